"""How many noises without words reach the context as a caller's turn, and do short answers still arrive?

    python benchmarks/noises.py             # 200 noises and 96 short answers
    python benchmarks/noises.py --json      # one JSON object as the last line

Each is played into a call in virtual time: the VAD stage, the ears with their worker, the turn strategies and the
context are real; the model and the voice are scripted. Half of all is at 16 kHz, half at 8 kHz and µ-law, as a
telephone has it. The answers are spoken by flite and espeak-ng, each by four voices. `credulous_ears.py` says how
many would arrive if nothing were refused.
"""

from __future__ import annotations

import argparse
import json
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from benchmarks.noise_sounds import KINDS, noise
from piopiy_pipeline.audio.g711 import ulaw_decode, ulaw_encode
from piopiy_pipeline.audio.resample import Resampler
from piopiy_pipeline.services.stt.moonshine import MoonshineSTTService, moonshine_pool
from piopiy_pipeline.services.workers.worker_pool import WorkerPool
from piopiy_pipeline.services.workers.worker_processes import Worker
from piopiy_pipeline.testing import CallerLine, Replies, ScriptedLLM, ScriptedTTS, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from scripts.make_recordings import finish, speak

NOISES = 200
SEED = 5_000
RATE = 16_000
A_CALL = 25
"""Sounds that are played into one call."""
GAP_S = 2.5
"""Silence after each: the turn that it makes has ended by then."""
ANSWERS = (
    "Yes.",
    "No.",
    "Four.",
    "Seven thirty.",
    "Friday.",
    "Bye.",
    "Okay.",
    "Two.",
    "Tomorrow.",
    "Eight people.",
    "No thanks.",
    "Sunday.",
)
FLITE = ("slt", "rms", "awb", "kal16")
ESPEAK = ((150, 50), (170, 35), (130, 65), (160, 20))
"""Words a minute and pitch of the four voices that espeak-ng is asked for."""

Pcm = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class _Sound:
    kind: str
    pcm: Pcm  # at 16 kHz
    rate: int  # of the call that it is played into


def main() -> None:
    """Play all sounds, and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    wanted = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    noises = [_noise(number) for number in range(NOISES)]
    answers = _answers()
    pool = moonshine_pool()
    credulous = WorkerPool("benchmarks.credulous_ears", name="credulous", size=1)
    heard_noises, heard_answers = _play(noises, pool), _play(answers, pool)
    believed_noises, believed_answers = _play(noises, credulous), _play(answers, credulous)
    result = {
        "noises": len(noises),
        "noises_as_turns": sum(bool(texts) for texts in heard_noises),
        "noises_as_turns_if_nothing_is_refused": sum(bool(texts) for texts in believed_noises),
        "answers": len(answers),
        "answers_as_turns": sum(bool(texts) for texts in heard_answers),
        "answers_as_turns_if_nothing_is_refused": sum(bool(texts) for texts in believed_answers),
        "answers_right": sum(
            _plain(answer.kind) in map(_plain, texts)
            for answer, texts in zip(answers, heard_answers, strict=True)
        ),
        "noises_as_turns_by_kind": dict(
            Counter(sound.kind for sound, texts in zip(noises, heard_noises, strict=True) if texts)
        ),
        "answers_lost": [
            f"{answer.kind} ({answer.rate} Hz)"
            for answer, texts in zip(answers, heard_answers, strict=True)
            if not texts
        ],
        "invented": [text for texts in heard_noises for text in texts],
    }
    for name, value in result.items():
        print(f"{name}: {value}")
    if wanted.json:
        print(json.dumps(result))


def _noise(number: int) -> _Sound:
    kind = list(KINDS)[number % len(KINDS)]
    pcm = (noise(kind, SEED + number) * 32_767).astype(np.int16)
    return _Sound(kind, pcm, 8_000 if number // len(KINDS) % 2 else RATE)


def _answers() -> list[_Sound]:
    spoken = [(text, finish(speak(text, voice))) for text in ANSWERS for voice in FLITE]
    worker = Worker("piopiy_pipeline.services.tts.espeak_worker", name="espeak")
    try:
        for text in ANSWERS:
            for speed, pitch in ESPEAK:
                pcm, _ = worker.request("speak", text, "en-us", speed, pitch, RATE)
                spoken.append((text, finish(np.frombuffer(pcm, "<i2").astype(np.int16))))
    finally:
        worker.close()
    return [_Sound(text, pcm, (RATE, 8_000)[number % 2]) for number, (text, pcm) in enumerate(spoken)]


def _play(sounds: Sequence[_Sound], pool: WorkerPool) -> list[list[str]]:
    """Return, for each sound, the turns of the caller that began after it and before the next one."""
    heard: dict[int, list[str]] = {}
    for rate in (RATE, 8_000):
        numbers = [number for number, sound in enumerate(sounds) if sound.rate == rate]
        for at in range(0, len(numbers), A_CALL):
            some = numbers[at : at + A_CALL]
            texts = _call([_on_line(sounds[number]) for number in some], rate, pool)
            heard.update(zip(some, texts, strict=True))
    return [heard[number] for number in range(len(sounds))]


def _on_line(sound: _Sound) -> Pcm:
    if sound.rate == RATE:
        return sound.pcm
    whole = sound.pcm[: len(sound.pcm) // 320 * 320]
    narrow = np.frombuffer(Resampler(RATE, sound.rate).process(whole.tobytes()), np.int16)
    return ulaw_decode(ulaw_encode(narrow))


def _call(sounds: Sequence[Pcm], rate: int, pool: WorkerPool) -> list[list[str]]:
    """Play sounds into one call, and return what reached the context after each and before the next one."""

    async def bot(call_id: str) -> None:
        agent = VoiceAgent(instructions="Be brief.")
        await agent.Action(
            stt=MoonshineSTTService(pool=pool),
            llm=ScriptedLLM(Replies(otherwise="Okay.")),
            tts=ScriptedTTS(),
        )
        await agent.start()

    gap = np.zeros(int(GAP_S * rate), np.int16)
    begins: list[float] = []

    async def caller(line: CallerLine) -> None:
        lengths = [(len(sound) + len(gap)) / rate for sound in sounds]
        begins.extend(line.now + sum(lengths[:number]) for number in range(len(sounds)))
        await line.say(np.concatenate([part for sound in sounds for part in (sound, gap)]), text="noises")
        line.hangup()

    call = simulate(bot, caller, rate=rate, limit_s=1_200, wall_limit_s=900)
    # A turn ends some time after the transcript that it is made of.
    arrived = [event.at for event in call.of("transcript")]
    texts: list[list[str]] = [[] for _ in sounds]
    for turn in call.of("user_turn"):
        at = max((each for each in arrived if each <= turn.at), default=turn.at)
        texts[max(0, bisect_right(begins, at) - 1)].append(str(turn.data["text"]))
    return texts


def _plain(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalpha() or c == " ").strip()


if __name__ == "__main__":
    main()
