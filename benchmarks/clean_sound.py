"""What `clean_sound` costs, what it takes out of a caller's audio, and what it does to the caller's words.

    python -m benchmarks.clean_sound                  # about 2 minutes of CPU, most of it for the words
    python -m benchmarks.clean_sound --json           # one JSON object as the last line
    python -m benchmarks.clean_sound --only noise     # or echo, or cost
    python -m benchmarks.clean_sound --only echo --room room.wav    # the impulse response of a real room

The lines have 16 kHz, or 8 kHz and G.711. Noise: sentences of three synthetic voices (flite) in white noise, music,
babble of five voices, and on a quiet line, before and after each level of noise suppression. Echo: six simulated
speakerphones (`benchmarks/speakerphone.py`) of 60 to 400 ms, while the bot talks alone (how much of the echo is left,
and how often the VAD takes it for a caller), and while callers speak over it: the bot goes on (*over*), or it is
silent 0.3 s after they began, as in a call (*cut*). Words are heard by the offline recogniser.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import psutil
from loguru import logger

from benchmarks.ears import SENTENCES
from benchmarks.hearing_lines import babble_of
from benchmarks.hearing_words import word_errors
from benchmarks.noise_sounds import noise
from benchmarks.speakerphone import Pcm, Speakerphone, on_line, room_response, through_cleaner
from piopiy_pipeline.audio.resample import Resampler
from piopiy_pipeline.audio.sound_cleaner import CleanSound, SoundCleaner
from piopiy_pipeline.processors.silero import SileroModel, load_model, window_shape
from piopiy_pipeline.processors.vad_segments import Segmenter, VadEvent, VadSettings
from piopiy_pipeline.services.workers.worker_processes import Worker
from scripts.make_recordings import finish, speak

RATES = (16_000, 8_000)
CALLERS = ("rms", "awb", "kal16")
BOT = "slt"
BOT_SAYS = (
    "Good evening, this is the front desk of the corner restaurant. How can I help you today?",
    "I have a table for four people on Friday at seven in the evening. Shall I book that for you?",
    "We are open every day from noon until eleven, and on Sundays from ten in the morning, with a brunch.",
    "I am sorry, I did not understand that. Could you please tell me the day and the time once more?",
)
SNRS = {"white": 10.0, "music": 10.0, "babble": 10.0, "quiet line": None}
"""How far each noise is below the caller, in dB; the quiet line has -65 dBFS of noise."""
LINES = (
    (60, -6, 0.2, 0.5),
    (100, 0, 0.3, 1.0),
    (150, -10, 0.5, 1.0),
    (200, -3, 0.4, 2.0),
    (250, -15, 0.3, 1.0),
    (400, -6, 0.3, 0.5),
)
"""Speakerphones: delay in ms, level of the echo in dB, seconds of the room's ringing, drive of the loudspeaker."""
ALONE_S = 60.0
"""Noise without speech, and the bot alone: so long at a time."""
GAP_S = 1.5
STOPS_S = 0.3
"""The bot is silent so long after a caller began."""
NEAR_S = (-0.2, 0.6)
"""A start of speech so long around a sentence's beginning is that sentence's."""


@dataclass(frozen=True, slots=True)
class _Placed:
    text: str
    begin: int  # of its samples on the line
    end: int


class _Ears:
    """The VAD and the recogniser, without the pipeline around them."""

    def __init__(self) -> None:
        self._worker = Worker("piopiy_pipeline.services.stt.moonshine_worker", name="clean")
        self._silero = load_model()

    def close(self) -> None:
        self._worker.close()

    def speech(self, pcm: Pcm, rate: int) -> tuple[list[float], float]:
        """Return when speech begins by the VAD, in seconds, and what share of the time it lasts, in percent."""
        shape = window_shape(rate)
        segmenter = Segmenter(VadSettings(), window_s=shape.seconds)
        state, found, speaking = SileroModel.fresh_state(), list[float](), 0
        audio = bytes(shape.context_bytes) + pcm.tobytes()
        windows = range(0, len(audio) - shape.context_bytes - shape.window_bytes, shape.window_bytes)
        for number, at in enumerate(windows):
            middle = at + shape.context_bytes
            pieces = (audio[at:middle], audio[middle : middle + shape.window_bytes])
            (score,), (power,), state = self._silero.score(shape, pieces, state)
            if VadEvent.STARTED in segmenter.window(score, power):
                found.append((number + 1) * shape.seconds)
            speaking += segmenter.speaking
        return found, round(100 * speaking / len(windows), 1)

    def errors(self, pcm: Pcm, rate: int, placed: Sequence[_Placed]) -> float:
        """Return the share of wrong words."""
        wrong = said = 0
        for one in placed:
            cut = pcm[max(0, one.begin - rate * 3 // 10) : one.end + rate * 4 // 10]
            heard = self._worker.request("hear", cut.tobytes(), rate, "en")
            errors, count = word_errors(one.text, " ".join(word for word, _ in heard.words))
            wrong, said = wrong + errors, said + count
        return round(100 * wrong / said, 1)

    def noticed(self, pcm: Pcm, rate: int, placed: Sequence[_Placed]) -> dict[str, float]:
        """Return how many sentences' beginnings the VAD noticed, in percent, and how late, in ms."""
        starts, late = self.speech(pcm, rate)[0], list[float]()
        for one in placed:
            begin = one.begin / rate
            late += [start - begin for start in starts if NEAR_S[0] < start - begin < NEAR_S[1]][:1]
        return {
            "noticed": round(100 * len(late) / len(placed)),
            "late_ms": round(1000 * float(np.median(late))) if late else -1,
        }


def _resampled(pcm: Pcm, rate: int) -> Pcm:
    if rate == 16_000:
        return pcm
    return np.frombuffer(Resampler(16_000, rate).process(pcm[: len(pcm) // 320 * 320].tobytes()), np.int16)


def _spoken(texts: Sequence[str], voices: Sequence[str], rate: int) -> list[Pcm]:
    """Return what the voices say in turn, without silence around it."""
    said = [finish(speak(text, voices[number % len(voices)])) for number, text in enumerate(texts)]
    margin = 16_000 // 5
    return [_resampled(pcm[margin:-margin], rate) for pcm in said]


def _talk(sentences: Sequence[Pcm], seconds: float, rate: int) -> Pcm:
    pause = np.zeros(rate // 2, np.int16)
    return np.resize(
        np.concatenate([part for one in sentences for part in (one, pause)]), int(seconds * rate)
    )


def _power(pcm: Pcm) -> float:
    return float((pcm.astype(np.float64) ** 2).mean()) + 1e-3


def _db(a: float, b: float) -> float:
    return round(float(10 * np.log10(max(a, 1e-3) / max(b, 1e-3))), 1)


# ---------------------------------------------------------------------- cost


def _cost(rate: int, what: CleanSound) -> dict[str, float]:
    rng = np.random.default_rng(1)
    played = rng.normal(0, 2000, 20 * rate).astype(np.int16)
    heard = Speakerphone(rate, 120).heard(played)
    cpu = []
    for _ in range(3):
        begun = time.process_time()
        left = through_cleaner(SoundCleaner(what, rate), heard, played)
        cpu.append((time.process_time() - begun) / 20)
    caller = finish(speak(SENTENCES[0], CALLERS[0]))
    caller = _resampled(caller, rate)
    left = through_cleaner(SoundCleaner(what, rate), caller, np.zeros_like(caller)).astype(np.float64)
    lags = range(rate // 20)
    same = [float(left[lag:] @ caller[: len(left) - lag].astype(np.float64)) for lag in lags]
    return {
        "cpu_ms_per_call_second": round(1000 * sorted(cpu)[1], 2),
        "us_per_frame": round(1e6 * sorted(cpu)[1] / 50),
        "delay_ms": round(1000 * int(np.argmax(same)) / rate, 1),
    }


def _memory() -> float:
    """Return the MB that a call's cleaner takes: to be measured before all else, while no memory lies free."""
    frame = bytes(320)
    through_cleaner(SoundCleaner("both", 8_000), np.zeros(8_000, np.int16))
    process, cleaners = psutil.Process(), []
    before = process.memory_info().rss
    for _ in range(100):
        cleaner = SoundCleaner("both", 8_000)
        cleaner.played(frame)
        cleaner.clean(frame)
        cleaners.append(cleaner)
    return round(float(process.memory_info().rss - before) / len(cleaners) / 2**20, 2)


# ---------------------------------------------------------------------- noise


def _noises(rate: int) -> dict[str, Callable[[int], Pcm]]:
    """Return what makes each noise: int16 of that many samples, at any level."""
    rng = np.random.default_rng(3)
    babble = babble_of(_spoken(SENTENCES, ("awb", "kal16", "rms", "slt"), 16_000), rng)
    music = np.concatenate([noise("music", seed)[4_000:-4_000] for seed in range(40)])
    sounds = {
        "white": rng.normal(0, 3000, 30 * rate).astype(np.int16),
        "music": _resampled((music / np.abs(music).max() * 20_000).astype(np.int16), rate),
        "babble": _resampled(babble, rate),
        "quiet line": rng.normal(0, 3000, 30 * rate).astype(np.int16),
    }
    return {name: partial(np.resize, pcm) for name, pcm in sounds.items()}


def _noise_line(rate: int, name: str, make: Callable[[int], Pcm], count: int) -> tuple[Pcm, list[_Placed]]:
    texts = [SENTENCES[number % len(SENTENCES)] for number in range(count)]
    sentences = _spoken(texts, CALLERS, rate)
    gap = int(GAP_S * rate)
    caller = np.concatenate(
        [np.zeros(2 * gap), *(part for one in sentences for part in (one, np.zeros(gap)))]
    )
    caller = np.concatenate([caller, np.zeros(int(ALONE_S * rate))])
    placed, at = [], 2 * gap
    for text, one in zip(texts, sentences, strict=True):
        placed.append(_Placed(text, at, at + len(one)))
        at += len(one) + gap
    sound = make(len(caller)).astype(np.float64)
    loud = np.mean([_power(one) for one in sentences])
    snr = SNRS[name]
    wanted = 32768**2 * 10**-6.5 if snr is None else loud / 10 ** (snr / 10)
    return on_line(caller + sound * np.sqrt(wanted / (sound**2).mean()), rate), placed


def _noise(rate: int, ears: _Ears, count: int) -> dict[str, dict[str, dict[str, float]]]:
    result: dict[str, dict[str, dict[str, float]]] = {}
    for name, make in _noises(rate).items():
        heard, placed = _noise_line(rate, name, make, count)
        alone = slice(placed[-1].end + rate, None)
        speech = np.concatenate([heard[one.begin : one.end] for one in placed])
        result[name] = {}
        for level in (None, 0, 1, 2, 3):
            left = heard
            if level is not None:
                left = through_cleaner(SoundCleaner("noise", rate, noise_level=level), heard)
            spoken = np.concatenate([left[one.begin : one.end] for one in placed])
            quieter = _db(_power(heard[alone]), _power(left[alone]))
            lost = _db(_power(speech) - _power(heard[alone]), _power(spoken) - _power(left[alone]))
            _, taken = ears.speech(left[alone], rate)
            result[name]["off" if level is None else str(level)] = {
                "noise_db": -quieter,
                "snr_gain_db": round(quieter - lost, 1),
                "taken_for_speech": taken,
                **ears.noticed(left, rate, placed),
                "word_errors": ears.errors(left, rate, placed),
            }
            print(
                f"{rate} Hz, {name}, noise level {level}: {result[name]['off' if level is None else str(level)]}"
            )
    return result


# ---------------------------------------------------------------------- echo


def _phones(rate: int, room: Path | None) -> list[Speakerphone]:
    """Return the speakerphones: in simulated rooms, or all in the one whose response is in this file."""
    response = None if room is None else room_response(room, rate)
    return [
        Speakerphone(rate, delay, echo_db=loud, rt60_s=rings, drive=drive, seed=seed, response=response)
        for seed, (delay, loud, rings, drive) in enumerate(LINES)
    ]


def _echo_alone(rate: int, ears: _Ears, bot: Sequence[Pcm], room: Path | None) -> dict[str, dict[str, float]]:
    """Return what is left of the echo while the caller is silent."""
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    played = _talk(bot, ALONE_S, rate)
    begun = 2 * rate
    for phone in _phones(rate, room):
        heard = phone.heard(played)
        for what in ("off", "echo", "both"):
            left = heard
            if what != "off":
                left = through_cleaner(SoundCleaner(what, rate), heard, played)
            first = _db(_power(heard[:begun]), _power(left[:begun]))
            later = _db(_power(heard[begun:]), _power(left[begun:]))
            starts, taken = ears.speech(left, rate)
            found.setdefault(what, []).append((first, later, float(len(starts)), taken))
    return {
        what: {
            "first_2s_db": round(float(np.median([each[0] for each in lines])), 1),
            "later_db": round(float(np.median([each[1] for each in lines])), 1),
            "later_least_db": min(each[1] for each in lines),
            "false_barge_ins_per_minute": round(
                60 / ALONE_S * float(np.mean([each[2] for each in lines])), 2
            ),
            "taken_for_speech": round(float(np.mean([each[3] for each in lines])), 1),
        }
        for what, lines in found.items()
    }


def _double_talk(
    rate: int, ears: _Ears, bot: Sequence[Pcm], count: int, stops: bool, room: Path | None
) -> dict[str, dict[str, float]]:
    """Return what is left of callers who speak over the bot."""
    rng = np.random.default_rng(11)
    totals: dict[str, list[tuple[float, float, float, int]]] = {}
    each_line = max(1, count // len(LINES))
    for seed, phone in enumerate(_phones(rate, room)):
        texts = [SENTENCES[(seed * each_line + number) % len(SENTENCES)] for number in range(each_line)]
        sentences = _spoken(texts, CALLERS[seed % 3 :], rate)
        seconds = 6.0 + sum(len(one) / rate + 4.0 for one in sentences)
        played, caller, placed = _talk(bot, seconds, rate), np.zeros(int(seconds * rate), np.int16), []
        at = 6 * rate
        for text, one in zip(texts, sentences, strict=True):
            at += int(rng.uniform(0, 2) * rate)
            caller[at : at + len(one)] = one
            placed.append(_Placed(text, at, at + len(one)))
            if stops:
                played[at + int(STOPS_S * rate) : at + len(one) + rate] = 0
            at += len(one) + 2 * rate
        heard = phone.heard(played, caller)
        lines = {"no echo": on_line(caller, rate), "off": heard}
        for what in ("echo", "both"):
            lines[what] = through_cleaner(SoundCleaner(what, rate), heard, played)
        for what, left in lines.items():
            noticed = ears.noticed(left, rate, placed)
            wrong = ears.errors(left, rate, placed)
            totals.setdefault(what, []).append((wrong, noticed["noticed"], noticed["late_ms"], len(placed)))
    return {
        what: {
            "word_errors": round(float(np.mean([one[0] for one in found])), 1),
            "noticed": round(float(np.mean([one[1] for one in found]))),
            "late_ms": round(float(np.median([one[2] for one in found if one[2] >= 0] or [-1]))),
        }
        for what, found in totals.items()
    }


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--only", choices=("cost", "noise", "echo"))
    parser.add_argument("--sentences", type=int, default=12, help="how many are said in each condition")
    parser.add_argument("--room", type=Path, help="a WAV file with a room's impulse response, for the echo")
    wanted = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    parts = (wanted.only,) if wanted.only else ("cost", "noise", "echo")
    result: dict[str, dict[str, object]] = {}
    if "cost" in parts:
        result["memory"] = {"mb_per_call": _memory()}
        print(result["memory"])
    ears = _Ears()
    try:
        for rate in RATES:
            of_rate = result[f"{rate} Hz"] = {}
            if "cost" in parts:
                of_rate["cost"] = {what: _cost(rate, what) for what in get_args(CleanSound) if what != "off"}
            if "noise" in parts:
                of_rate["noise"] = _noise(rate, ears, wanted.sentences)
            if "echo" in parts:
                bot = _spoken(BOT_SAYS, (BOT,), rate)
                of_rate["echo alone"] = _echo_alone(rate, ears, bot, wanted.room)
                of_rate["over"] = _double_talk(
                    rate, ears, bot, wanted.sentences, stops=False, room=wanted.room
                )
                of_rate["cut"] = _double_talk(rate, ears, bot, wanted.sentences, stops=True, room=wanted.room)
            for part, figures in of_rate.items():
                if part != "noise":
                    print(f"{rate} Hz, {part}: {json.dumps(figures, indent=1)}")
    finally:
        ears.close()
    if wanted.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
