"""How late the event loop is, measured in virtual time."""

from __future__ import annotations

import asyncio
import time

import pytest

from piopiy_pipeline.metrics.loop_lag import LoopLag
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual


def test_each_lag_is_observed_until_it_is_closed() -> None:
    seen: list[float] = []

    async def story() -> None:
        lag = LoopLag(seen.append)
        await asyncio.sleep(2.1 * LoopLag.EVERY_S)
        time.sleep(LoopLag.EVERY_S)  # noqa: ASYNC251  what blocks the loop, in virtual time
        await asyncio.sleep(LoopLag.EVERY_S / 2)
        lag.close()
        await asyncio.sleep(10)

    run_virtual(story)
    assert seen == pytest.approx([0, 0, 0.1 * LoopLag.EVERY_S])


def test_it_measures_on_when_what_observes_a_lag_fails() -> None:
    seen: list[float] = []

    def observe(lag_s: float) -> None:
        seen.append(lag_s)
        if len(seen) == 1:
            raise RuntimeError("the registry is broken")

    async def story() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        lag = LoopLag(observe)
        await asyncio.sleep(3.1 * LoopLag.EVERY_S)
        lag.close()

    run_virtual(story)
    assert len(seen) == 3
