"""How a call begins whose recogniser is loaded slowly, or not at all. In virtual time, with workers of which only
the times count.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any

import pytest
from pipecat.frames.frames import StartFrame

from piopiy_pipeline.services.stt.moonshine import LOAD_S, MoonshineSTTService
from piopiy_pipeline.services.workers.worker_pool import WorkerPool
from piopiy_pipeline.services.workers.worker_processes import Worker, WorkerLost
from piopiy_pipeline.testing.stage.run_stage import run_stage


class _Loads(Worker):
    """Takes so many seconds for each load; below 0: its process is lost after them."""

    def __init__(self, *seconds: float) -> None:
        super().__init__("no_module", name="fake")
        self._seconds = list(seconds)

    def submit(self, method: str, *args: Any) -> asyncio.Future[Any]:
        assert (method, *args) == ("load", "en")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        seconds = self._seconds.pop(0)
        if seconds < 0:
            loop.call_later(-seconds, answer.set_exception, WorkerLost("it ended"))
        elif seconds < inf:
            loop.call_later(seconds, answer.set_result, None)
        return answer


@pytest.mark.parametrize(
    ("loads", "takes_s", "errors"),
    [
        ([[0.7]], 0.7, 0),
        ([[inf], [0.7]], 0.7, 0),
        ([[-0.2, 9.0], [0.7]], 0.7, 0),
        ([[-0.2, 0.7]], 0.9, 0),
        ([[-0.2, -0.2]], 0.4, 1),
        ([[-0.2, -0.2], [-0.3, -0.3]], 0.6, 1),
        ([[inf]], LOAD_S, 0),
        ([[-3.5, inf]], LOAD_S, 0),
    ],
    ids=[
        "one",
        "other_hangs",
        "other_dies",
        "dies",
        "dies_twice",
        "both_die_twice",
        "hangs",
        "dies_and_hangs",
    ],
)
def test_a_call_waits_for_the_first_worker_that_has_the_model_but_not_long(
    loads: list[list[float]], takes_s: float, errors: int
) -> None:
    took: list[float] = []

    class Timed(MoonshineSTTService):
        async def start(self, frame: StartFrame) -> None:
            began = asyncio.get_running_loop().time()
            await super().start(frame)
            took.append(asyncio.get_running_loop().time() - began)

    pool = WorkerPool("no_module", name="fake", size=len(loads), make=lambda number: _Loads(*loads[number]))
    run = run_stage(lambda: Timed(pool=pool), [])
    assert took == [pytest.approx(takes_s, abs=0.01)]
    assert len(run.errors) == errors
