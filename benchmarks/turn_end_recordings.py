"""Turns of your own recorded calls, for `benchmarks/turn_end.py --recordings`: stereo, the caller on the left.

A turn is what the caller says between two utterances of the bot. A pause in it is one after which the caller went on
before the bot did. What the bot has asked is heard on the right channel. Where the bot of the recording spoke into a
pause, the turn counts as one if the caller went on within a second, so that what was cut then is not taken for an end.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soxr

from benchmarks.hearing_callers import RATE
from benchmarks.turn_end_corpus import Turn, quiet_places, tight
from benchmarks.turn_end_signals import Pcm, Studio
from piopiy_pipeline.processors.silero import SileroModel, load_model, window_shape
from piopiy_pipeline.processors.vad_segments import Segmenter, VadEvent, VadSettings

__all__ = ["turns_of"]

RESUMED_S = 1.0
LEAST_S = 0.2
MARGIN_S = 0.15
LONGEST_S = 30.0


def turns_of(folder: Path, studio: Studio) -> Iterator[Turn]:
    """Read the stereo WAV files of a folder.

    Raises:
        SystemExit: There are none.
    """
    files = sorted(folder.rglob("*.wav"))
    if not files:
        raise SystemExit(f"there is no WAV file in {folder}")
    for file in files:
        sides = _stereo(file)
        if sides is None:
            continue
        caller, bot = sides
        spoken, answered = _segments(caller), _segments(bot)
        for number, (begins, ends) in enumerate(_turns(spoken, answered)):
            before = [one for one in answered if one[1] <= begins + 0.3]
            asked = _heard(bot, before[-1], studio) if before else ""
            cut = caller[int(max(0.0, begins - MARGIN_S) * RATE) : int((ends + MARGIN_S) * RATE)]
            speech = tight(cut[: int(LONGEST_S * RATE)])
            if len(speech) >= LEAST_S * RATE:
                yield Turn(f"{file.stem}-{number}", "natural", "held", asked, speech, quiet_places(speech))


def _stereo(file: Path) -> tuple[Pcm, Pcm] | None:
    with wave.open(str(file)) as wav:
        if wav.getnchannels() != 2 or wav.getsampwidth() != 2:
            return None
        samples = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").reshape(-1, 2)
        rate = wav.getframerate()
    left, right = (soxr.resample(samples[:, side], rate, RATE).astype(np.int16) for side in (0, 1))
    return left, right


def _segments(pcm: Pcm) -> list[tuple[float, float]]:
    """Return where somebody speaks, in seconds, by the bot's own VAD."""
    shape, model, state = window_shape(RATE), load_model(), SileroModel.fresh_state()
    segmenter = Segmenter(VadSettings(), window_s=shape.seconds, activity_s=0)
    audio = bytes(shape.context_bytes) + pcm.tobytes()
    found: list[tuple[float, float]] = []
    begins = 0.0
    for number in range(len(pcm) // shape.samples):
        at = number * shape.window_bytes
        middle = at + shape.context_bytes
        window = (audio[at:middle], audio[middle : middle + shape.window_bytes])
        (score,), (power,), state = model.score(shape, window, state)
        now = (number + 1) * shape.seconds
        for event in segmenter.window(score, power):
            if event is VadEvent.STARTED:
                begins = now - VadSettings().start_secs
            elif event is VadEvent.STOPPED:
                found.append((begins, now - VadSettings().stop_secs))
    return found


def _turns(
    spoken: Sequence[tuple[float, float]], answered: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    turns: list[tuple[float, float]] = []
    for begins, ends in spoken:
        if turns:
            last = turns[-1][1]
            bot_at = next((at for at, _ in answered if at > last), float("inf"))
            if bot_at > begins or begins - bot_at <= RESUMED_S:
                turns[-1] = (turns[-1][0], ends)
                continue
        turns.append((begins, ends))
    return turns


def _heard(bot: Pcm, segment: tuple[float, float], studio: Studio) -> str:
    begins, ends = max(segment[0], segment[1] - 15.0), segment[1]
    return studio.words(bot[int(max(0.0, begins - MARGIN_S) * RATE) : int((ends + MARGIN_S) * RATE)], RATE)
