"""What one call does to its process, where each call has one: the others hear nothing of it.

Real processes, against the clock of the wall; `--chaos-report FILE` writes down what was measured. What else call
workers do is in tests/agent/test_isolated_agent.py.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.calls import eventually
from tests.support.chaos import ChaosCaller, ChaosPlace, chaos, go_on

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.chaos,
    pytest.mark.skipif(sys.platform != "linux", reason="isolation='process' is for Linux"),
]

GENEROUS_S = 30.0
OTHERS = 5
SETTLE_S = 1.0


def children(pid: int) -> list[int]:
    """Return the ids of a process's children."""
    return [
        int(each)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for each in (task / "children").read_text().split()
    ]


class Neighbours:
    """A gateway, an agent with a process for each call, and callers who talk all the time, for several tests."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._found: tuple[ChaosPlace, list[ChaosCaller]] | None = None

    async def talk(self) -> tuple[ChaosPlace, list[ChaosCaller]]:
        """Return the place and those who talk, new ones if need be."""
        if self._found is not None and any(caller.ended for caller in self._found[1]):
            place, _ = self._found
            print(
                place.gateway_log, place.agents[0].log, sep="\n", file=sys.stderr
            )  # of the test that failed
            await self._give_up()
        if self._found is None:
            environment = {
                "PIOPIY_ISOLATION": "process",
                "PIOPIY_WORKERS": "call",
                "PIOPIY_WARM": str(OTHERS + 1),
                "PIOPIY_MEMORY_MB": "250",
                "BLOCKED_CALL_S": "3",
            }
            place = await self._stack.enter_async_context(chaos(agents=1, environment=environment))
            ready = OTHERS + 1
            await eventually(lambda: place.gateway_log.count(" registered: instance ") >= ready, GENEROUS_S)
            self._found = place, await place.callers(OTHERS)
        return self._found

    async def _give_up(self) -> None:
        stack, self._stack, self._found = self._stack, AsyncExitStack(), None
        await stack.aclose()

    def close(self) -> None:
        """End everything."""
        self.runner.run(self._give_up())
        self.runner.close()


@pytest.fixture(scope="module")
def neighbours() -> Iterator[Neighbours]:
    shared = Neighbours()
    yield shared
    shared.close()


@pytest.mark.parametrize("harm", ["segfault", "os_exit", "sys_exit", "leak", "spin"])
def test_a_call_that_harms_its_process_ends_alone(
    harm: str, neighbours: Neighbours, record_property: Callable[[str, object], None]
) -> None:
    async def story() -> None:
        place, others = await neighbours.talk()
        await asyncio.sleep(SETTLE_S)
        began = asyncio.get_running_loop().time()
        culprit = await place.caller({"harm": harm, "after": 1.0})
        await eventually(lambda: culprit.ended is not None, GENEROUS_S)
        await asyncio.sleep(SETTLE_S)
        now = asyncio.get_running_loop().time()
        assert culprit.ended is not None
        assert culprit.ended[0] == "error"
        await go_on(others, now)
        after = await place.callers(1)
        record_property(
            "chaos",
            {
                "fault": f"{harm} in one call, isolation=process, workers=call",
                "others_worst_gap_s": max(caller.longest_silence_s(began, now) for caller in others),
                "what became of it": "it ended alone, with error; the next caller was served",
            },
        )
        assert after[0].ended is None
        await after[0].hang_up()

    neighbours.runner.run(story())


@pytest.mark.parametrize("harm", ["segfault", "os_exit", "leak"])
def test_a_call_that_kills_its_worker_again_and_again_harms_others_once(
    harm: str, record_property: Callable[[str, object], None]
) -> None:
    environment = {"PIOPIY_ISOLATION": "process", "PIOPIY_WORKERS": "2", "PIOPIY_MEMORY_MB": "250"}

    async def story() -> None:
        async with chaos(agents=1, environment=environment) as place:
            await eventually(lambda: place.gateway_log.count(" registered: instance ") == 2, GENEROUS_S)
            others = await place.callers(OTHERS)
            await asyncio.sleep(2 * SETTLE_S)
            began = asyncio.get_running_loop().time()
            culprit = await place.caller({"harm": harm, "after": 1.0})
            await eventually(lambda: culprit.ended is not None, GENEROUS_S)
            await asyncio.sleep(SETTLE_S)
            now = asyncio.get_running_loop().time()
            assert culprit.ended is not None
            assert culprit.ended[0] == "error"
            why = "MB of memory" if harm == "leak" else "2 processes of the agent have ended under this call"
            assert why in place.gateway_log.partition("ended: error after")[2]
            await go_on(others, now)
            if (
                harm != "leak"
            ):  # a worker that gets so much memory may be silent before it dies: its calls have moved
                lost = lost_agents(place)
                assert sorted(lost.values())[:2] == [1, 1], "two others once"
                assert len(lost) == 3, "and the culprit"
            # For the same reason the culprit may have moved, and its timer is left in the worker where it was.
            most = 4 if harm == "leak" else 2
            ended = place.agents[0].log.count(" has ended: ")
            assert 2 <= ended <= most, "it has ended no third process"
            record_property(
                "chaos",
                {
                    "fault": f"{harm} in one call of six, isolation=process, workers=2",
                    "silence_s": max(caller.longest_silence_s(began, now) for caller in others),
                    "others_worst_gap_s": sorted(caller.longest_silence_s(began, now) for caller in others)[
                        OTHERS - 3
                    ],
                    "what became of it": "two others went on apart after one gap, three noticed nothing; the "
                    "culprit ended with error when it did it again",
                },
            )

    asyncio.run(story())


def test_a_call_whose_native_code_hangs_its_worker_ends_in_the_second_one(
    record_property: Callable[[str, object], None],
) -> None:
    environment = {"PIOPIY_ISOLATION": "process", "PIOPIY_WORKERS": "2", "BLOCKED_CALL_S": "10"}

    async def story() -> None:
        async with chaos(agents=1, environment=environment) as place:
            await eventually(lambda: place.gateway_log.count(" registered: instance ") == 2, GENEROUS_S)
            others = await place.callers(OTHERS)
            await asyncio.sleep(2 * SETTLE_S)
            began = asyncio.get_running_loop().time()
            culprit = await place.caller({"harm": "hang", "after": 3.0})
            await eventually(lambda: culprit.ended is not None, GENEROUS_S)
            ended_s = asyncio.get_running_loop().time() - began
            await asyncio.sleep(SETTLE_S)
            now = asyncio.get_running_loop().time()
            assert culprit.ended is not None
            assert culprit.ended[0] == "error"
            why = "2 processes of the agent have ended or hung under this call"
            assert why in place.gateway_log.partition("ended: error after")[2]
            await go_on(others, now)
            # the third is where it was until it went on apart: its timer is left there
            assert 2 <= place.agents[0].log.count(" hangs: nothing of it has run for ") <= 3
            record_property(
                "chaos",
                {
                    "fault": "native code that keeps Python's lock for ever in one call of six, isolation=process, "
                    "workers=2",
                    "silence_s": max(caller.longest_silence_s(began, now) for caller in others),
                    "what became of it": f"it ended with error after {ended_s:.1f} s, when it did it again",
                },
            )

    asyncio.run(story())


def lost_agents(place: ChaosPlace) -> Counter[str]:
    """Return how often each call has lost its agent, by the gateway's log."""
    return Counter(re.findall(r"call (\S+): the connection to the agent was lost", place.gateway_log))


def test_the_calls_of_a_killed_call_worker_are_heard_in_another(
    record_property: Callable[[str, object], None],
) -> None:
    environment = {"PIOPIY_ISOLATION": "process", "PIOPIY_WORKERS": "2"}

    async def story() -> None:
        async with chaos(agents=1, environment=environment) as place:
            await eventually(lambda: place.gateway_log.count(" registered: instance ") == 2, GENEROUS_S)
            callers = await place.callers(6)
            await asyncio.sleep(3 * SETTLE_S)  # a sentence has been said: there is a checkpoint
            (template,) = children(place.agents[0].process.pid)
            began = asyncio.get_running_loop().time()
            os.kill(children(template)[0], signal.SIGKILL)
            # its place is taken, and each of its calls has one apart
            await eventually(lambda: place.gateway_log.count(" registered: instance ") == 6, GENEROUS_S)
            await asyncio.sleep(2 * SETTLE_S)
            now = asyncio.get_running_loop().time()
            await go_on(callers, now)
            gaps = sorted(caller.longest_silence_s(began, now) for caller in callers)
            record_property(
                "chaos",
                {
                    "fault": "kill -9 of one of two call workers, three calls on it",
                    "silence_s": gaps[-1],
                    "others_worst_gap_s": gaps[2],
                    "what became of it": "all six calls go on, and another call worker has its place",
                },
            )

    asyncio.run(story())
