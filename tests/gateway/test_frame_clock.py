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


def nothing(now: float) -> None: ...


def on_hand_loop(story: Callable[[HandLoop], Coroutine[Any, Any, None]]) -> None:
    loop = HandLoop()
    try:
        loop.run_until_complete(story(loop))
    finally:
        loop.close()


def test_ticks_lie_on_a_grid_however_late_each_was() -> None:
    ticks: list[float] = []

    async def story(loop: HandLoop) -> None:
        clock = FrameClock(ticks.append, nothing)
        clock.start()
        for lateness in (0.005, -0.003, 0.009, -0.008):
            await loop.advance(0.02 + lateness)
        clock.stop()

    on_hand_loop(story)
    assert ticks == pytest.approx([1000.02, 1000.04, 1000.06, 1000.08])


def test_after_a_stall_there_is_one_beat_with_the_latest_time() -> None:
    ticks: list[float] = []

    async def story(loop: HandLoop) -> None:
        clock = FrameClock(ticks.append, nothing)
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
        clock = FrameClock(ticks.append, nothing)
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

        clock = FrameClock(once, nothing)
        clock.start()
        await loop.advance(0.02)
        await loop.advance(0.1)

    on_hand_loop(story)
    assert len(ticks) == 1


def test_half_ticks_lie_half_way_and_a_stall_leaves_none_out_and_makes_none_twice() -> None:
    told: list[tuple[str, float]] = []

    async def story(loop: HandLoop) -> None:
        clock = FrameClock(
            lambda now: told.append(("tick", round(now - 1000, 3))),
            lambda now: told.append(("half", round(now - 1000, 3))),
        )
        clock.start()
        for _ in range(4):
            await loop.advance(0.01)
        await loop.advance(0.113)
        await loop.advance(0.008)
        clock.stop()
        await loop.advance(1.0)

    on_hand_loop(story)
    assert told == [
        *[("tick", 0.02), ("half", 0.03), ("tick", 0.04), ("half", 0.05)],
        *[("tick", 0.14), ("half", 0.15), ("tick", 0.16)],
    ]


def test_a_half_tick_after_a_stall_may_stop_the_clock() -> None:
    ticks: list[float] = []

    async def story(loop: HandLoop) -> None:
        clock = FrameClock(ticks.append, lambda now: clock.stop())
        clock.start()
        await loop.advance(0.02)
        await loop.advance(0.04)
        await loop.advance(1.0)

    on_hand_loop(story)
    assert ticks == pytest.approx([1000.02])
