"""When the caller's audio arrived: a line only where it departs from its own pace. And what waits for the disk."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from piopiy_pipeline.capture.capture_log import Arrivals, CaptureLog, utc_now
from piopiy_pipeline.capture.format import CapturedCallInfo, Meta
from piopiy_pipeline.capture.reader import _placed
from piopiy_pipeline.capture.secrets import Scrubber
from piopiy_pipeline.capture.writer import CaptureBatch, CaptureWriter

RATE = 8000


def test_a_steady_stream_is_one_run() -> None:
    arrivals = Arrivals(RATE)
    told = [arrivals.add(160, 1.02 + i * 0.02 + (i % 3) * 0.01) for i in range(500)]
    assert told[0] == pytest.approx(1.0)
    assert told[1:] == [None] * 499


def test_a_pause_begins_a_run() -> None:
    arrivals = Arrivals(RATE)
    arrivals.add(160, 0.02)
    assert arrivals.add(160, 1.04) == pytest.approx(1.02)
    assert arrivals.samples == 320


def test_a_pause_is_silence_in_the_time_of_the_call() -> None:
    pcm = np.ones(320, np.int16)
    placed = _placed(pcm, [(0.0, 0), (1.02, 160)], RATE)
    assert np.flatnonzero(placed).tolist() == [*range(160), *range(8160, 8320)]


def test_audio_that_was_held_up_is_not_torn_apart() -> None:
    """The machine was busy for two seconds, and then all of it came at once."""
    arrivals = Arrivals(RATE)
    runs = []
    times = [0.02 * (i + 1) if i < 50 else max(3.0, 0.02 * (i + 1)) for i in range(300)]
    for i, now in enumerate(times):
        at = arrivals.add(160, now)
        if at is not None:
            runs.append((at, i * 160))
    assert len(runs) > 2
    placed = _placed(np.ones(300 * 160, np.int16), runs, RATE)
    assert placed.size == pytest.approx(300 * 160, abs=0.06 * RATE)
    assert np.count_nonzero(placed) == 300 * 160


class HungDisk(CaptureWriter):
    """Writes nothing until it is let go."""

    def __init__(self, path: Path, free: threading.Event) -> None:
        super().__init__(path, scrubber=Scrubber())
        self._free = free

    def write(self, batch: CaptureBatch) -> None:
        self._free.wait(30)


def test_what_waits_for_a_disk_that_hangs_is_bounded_by_the_size_of_the_requests(tmp_path: Path) -> None:
    """Each request to a model repeats the conversation: a thousand of them were counted as 0.2 MB."""
    meta = Meta(
        started_at=utc_now(),
        call=CapturedCallInfo(agent_id="a", call_id="c"),
        caller_rate=16_000,
        bot_rate=16_000,
    )
    free = threading.Event()

    async def run() -> int:
        log = CaptureLog(HungDisk(tmp_path / "call.zip", free), meta)
        kept = 0
        while not log._problem and kept < 10_000:
            log.exchange("llm", "Model", kept, "request", {"content": {"messages": ["x" * 10_000] * 2}})
            kept += 1
        free.set()
        assert await log.close() is None
        return kept

    assert asyncio.run(run()) < 2_000
