"""The frame clock, on a loop whose clock stands under the test's hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from piopiy_pipeline.gateway.frame_clock import FrameClock


class HandLoop(asyncio.SelectorEventLoop):
    """A loop whose time is what the test says. `advance` runs the timers that are due by then."""

    at = 1000.0

    def time(self) -> float:
        return self.at

    async def advance(self, seconds: float) -> None:
        self.at += seconds
        for _ in range(3):
            await asyncio.sleep(0)


def on_hand_loop(story: Callable[[HandLoop], Coroutine[Any, Any, None]]) -> None:
    loop = HandLoop()
    try:
        loop.run_until_complete(story(loop))
    finally:
        loop.close()


def test_ticks_lie_on_a_grid_however_late_each_was() -> None:
    ticks: list[float] = []

    async def story(loop: HandLoop) -> None:
        clock = FrameClock(ticks.append)
        clock.start()
        for lateness in (0.005, -0.003, 0.009, -0.008):
            await loop.advance(0.02 + lateness)
        clock.stop()

    on_hand_loop(story)
    assert ticks == pytest.approx([1000.02, 1000.04, 1000.06, 1000.08])


def test_after_a_stall_there_is_one_beat_with_the_latest_time() -> None:
    ticks: list[float] = []

    async def story(loop: HandLoop) -> None:
        clock = FrameClock(ticks.append)
        clock.start()
        await loop.advance(0.02)
        await loop.advance(2.013)
        await loop.advance(0.010)
        clock.stop()

    on_hand_loop(story)
    assert ticks == pytest.approx([1000.02, 1002.02, 1002.04])


def test_starting_twice_ticks_once_and_after_stop_there_is_silence() -> None:
    ticks: list[float] = []

    async def story(loop: HandLoop) -> None:
        clock = FrameClock(ticks.append)
        clock.start()
        clock.start()
        await loop.advance(0.02)
        clock.stop()
        clock.stop()
        await loop.advance(1.0)

    on_hand_loop(story)
    assert len(ticks) == 1


def test_the_beat_may_stop_the_clock() -> None:
    ticks: list[float] = []

    async def story(loop: HandLoop) -> None:
        def once(now: float) -> None:
            ticks.append(now)
            clock.stop()

        clock = FrameClock(once)
        clock.start()
        await loop.advance(0.02)
        await loop.advance(0.1)

    on_hand_loop(story)
    assert len(ticks) == 1
