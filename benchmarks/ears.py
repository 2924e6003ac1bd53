"""What the ears cost, how soon they answer, and whether their confidence tells right words from wrong ones.

    python benchmarks/ears.py             # about three minutes
    python benchmarks/ears.py --json      # one JSON object as the last line
    chrt -f 5 python benchmarks/ears.py   # as root, on a machine that others keep busy: as if it were idle

Two calls at once play sentences of 1 to 4 s in real time into the VAD stage and the ears. Latency is from the VAD's
stop to the final transcript; CPU is that of the worker process, by its own clock, for a second of speech. The
confidence is judged by the area under the ROC curve: how often a right word has more of it than a wrong one. The
sentences are spoken by flite and espeak-ng, and are none of those of `hearing.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from statistics import median, quantiles

import numpy as np
import psutil
from loguru import logger
from numpy.typing import NDArray
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    TranscriptionFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from piopiy_pipeline.audio.g711 import ulaw_decode, ulaw_encode
from piopiy_pipeline.audio.resample import Resampler
from piopiy_pipeline.processors.vad import VadStage
from piopiy_pipeline.services.stt import speech_buffer
from piopiy_pipeline.services.stt.moonshine import MoonshineSTTService, moonshine_pool
from piopiy_pipeline.services.workers.worker_processes import Worker
from scripts.make_recordings import finish, speak

RATE = 16_000
GAP_S = 0.6
SENTENCES = (
    "I need a haircut next Thursday around ten in the morning.",
    "Do you have anything free on the twelfth of March?",
    "My name is Margaret Holloway.",
    "We have a reservation for nine under the name Baxter.",
    "The appointment was supposed to be at a quarter to eleven.",
    "Please cancel my order and refund the money.",
    "What are your opening hours during the holidays?",
    "No, I said fifteen, not fifty.",
    "The address is forty two Oakwood Lane.",
    "We are going to be about twenty minutes late.",
    "Saturday the ninth at eight thirty works for me.",
    "I want to change the booking from five to eight people.",
    "Is the kitchen still open after ten?",
    "My son is allergic to peanuts and milk.",
    "Seven thirty.",
    "Yes please.",
)
FLITE = ("slt", "rms", "awb", "kal16")

Pcm = NDArray[np.int16]


@dataclass(slots=True)
class _Line:
    text: str
    pcm: Pcm


class _Stopwatch(FrameProcessor):
    """Notes when the VAD has said that speech is over, and when the transcript came."""

    def __init__(self) -> None:
        super().__init__()
        self.latencies: list[float] = []
        self._stopped_at = 0.0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        now = asyncio.get_running_loop().time()
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            self._stopped_at = now
        elif isinstance(frame, TranscriptionFrame):
            self.latencies.append(now - self._stopped_at)
        await self.push_frame(frame, direction)


async def _call(lines: Sequence[_Line]) -> list[float]:
    stopwatch = _Stopwatch()
    worker = PipelineWorker(
        Pipeline([VadStage(), MoonshineSTTService(), stopwatch]),
        params=PipelineParams(audio_in_sample_rate=RATE),
        enable_rtvi=False,
        idle_timeout_secs=None,
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    gap = np.zeros(int(GAP_S * RATE), np.int16)
    audio = np.concatenate([part for line in lines for part in (line.pcm, gap)])
    loop = asyncio.get_running_loop()
    try:
        await asyncio.sleep(1.0)  # the model is loaded
        begin = loop.time()
        for number, at in enumerate(range(0, len(audio), RATE // 50)):
            await asyncio.sleep(max(0.0, begin + number / 50 - loop.time()))
            await worker.queue_frame(InputAudioRawFrame(audio[at : at + RATE // 50].tobytes(), RATE, 1))
        await asyncio.sleep(1.0)
        await worker.stop_when_done()
        await running
    finally:
        if not running.done():  # interrupted: pipecat's tasks do not end by a cancellation alone
            await worker.cancel()
            await asyncio.wait({running}, timeout=5)
    return stopwatch.latencies


async def _two_calls(lines: Sequence[_Line]) -> list[float]:
    both = await asyncio.gather(_call(lines[::2]), _call(lines[1::2]))
    return [latency for latencies in both for latency in latencies]


def _measure(lines: Sequence[_Line]) -> tuple[list[float], float]:
    """Return the latencies, and the worker's CPU in seconds for a second of speech."""
    worker = moonshine_pool().workers[0]
    worker.request("load", "en")
    process = psutil.Process(worker.pid)
    before = sum(process.cpu_times()[:2])
    latencies = asyncio.run(_two_calls(lines))
    cpu = sum(process.cpu_times()[:2]) - before
    return latencies, cpu / (sum(len(line.pcm) for line in lines) / RATE)


def _confidences(lines: Sequence[_Line], worker: Worker) -> dict[str, float]:
    words: list[tuple[float, bool]] = []
    by_least: list[tuple[float, bool]] = []
    by_mean: list[tuple[float, bool]] = []
    for number, line in enumerate(lines):
        rate = (RATE, 8_000)[number % 2]
        heard = worker.request("hear", _on_line(line.pcm, rate).tobytes(), rate, "en").words
        right = list(_right(line.text, [word for word, _ in heard]))
        words += [(sure, each) for (_, sure), each in zip(heard, right, strict=True)]
        if heard:
            whole = all(right) and len(right) == len(_plain(line.text))
            by_least.append((min(sure for _, sure in heard), whole))
            mean = math.exp(sum(math.log(max(sure, 1e-3)) for _, sure in heard) / len(heard))
            by_mean.append((mean, whole))
    return {
        "words_right": round(sum(right for _, right in words) / len(words), 3),
        "auc_of_words": _auc(words),
        "auc_of_sentences_by_least_word": _auc(by_least),
        "auc_of_sentences_by_mean": _auc(by_mean),
    }


def _right(said: str, heard: Sequence[str]) -> Iterator[bool]:
    """Say of each word that was heard whether it was said there."""
    words = [" ".join(_plain(word)) for word in heard]
    right = [False] * len(words)
    for block in SequenceMatcher(None, _plain(said), words, autojunk=False).get_matching_blocks():
        right[block.b : block.b + block.size] = [True] * block.size
    yield from right


def _plain(text: str) -> list[str]:
    return re.sub(r"[^a-z ]", "", text.lower().replace("-", "")).split()


def _auc(marks: Sequence[tuple[float, bool]]) -> float:
    right = np.array([mark for mark, is_right in marks if is_right])
    wrong = np.array([mark for mark, is_right in marks if not is_right])
    more = (right[:, None] > wrong).mean() + (right[:, None] == wrong).mean() / 2
    return round(float(more), 3)


def _on_line(pcm: Pcm, rate: int) -> Pcm:
    if rate == RATE:
        return pcm
    narrow = Resampler(RATE, rate).process(pcm[: len(pcm) // 320 * 320].tobytes())
    return ulaw_decode(ulaw_encode(np.frombuffer(narrow, np.int16)))


def _lines() -> list[_Line]:
    lines = [_Line(text, finish(speak(text, voice))) for text in SENTENCES for voice in FLITE]
    worker = Worker("piopiy_pipeline.services.tts.espeak_worker", name="espeak")
    try:
        for text in SENTENCES:
            for speed, pitch in ((150, 50), (170, 35)):
                pcm, _ = worker.request("speak", text, "en-us", speed, pitch, RATE)
                lines.append(_Line(text, finish(np.frombuffer(pcm, "<i2").astype(np.int16))))
    finally:
        worker.close()
    return lines


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    wanted = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    lines = _lines()
    some = [lines[number] for number in range(0, len(SENTENCES) * len(FLITE), 3)]
    latencies, cpu = _measure(some)
    speech_buffer.PARTIAL_S = math.inf
    _, cpu_without = _measure(some)
    worker = moonshine_pool().workers[0]
    result: dict[str, float] = {
        "finals": len(latencies),
        "latency_median_ms": round(1000 * median(latencies), 1),
        "latency_p95_ms": round(1000 * quantiles(latencies, n=20)[-1], 1),
        "worker_cpu_ms_a_second_of_speech": round(1000 * cpu, 1),
        "without_partial_results": round(1000 * cpu_without, 1),
        "worker_pss_mb": round(psutil.Process(worker.pid).memory_full_info().pss / 1e6, 1),
        **_confidences(lines, worker),
    }
    for name, value in result.items():
        print(f"{name}: {value}")
    if wanted.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
