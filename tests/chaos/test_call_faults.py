"""What goes wrong in one call of an agent: that call ends with a reason or goes on, and the others notice nothing.

Real processes, against the clock of the wall. The tests of one isolation share a gateway and an agent, which are as
good after each of them as before; if not, the next begins with others. `--chaos-long` has 19 others in place of 4;
`--chaos-report FILE` writes down what was measured, beside the same without a fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.busy_machine import skip_if_overloaded
from tests.support.calls import eventually
from tests.support.chaos import ChaosAgent, ChaosCaller, ChaosPlace, chaos, pss_mb
from tests.support.openai_server import Answer, endpoint

pytestmark = [pytest.mark.realtime, pytest.mark.chaos]

AGENT = "tests.support.faulty_agent"
GENEROUS_S = 20.0
SETTLE_S = 1.0
GROWTH_MB = 300.0
"""Before the agent's memory has grown by more, it is killed, so that the machine survives the test."""
BACK_MB = 60.0
"""What may be left of it afterwards: an allocator does not give back everything at once."""
GAP_S = 1.0
"""What others may miss on a busy machine. What they do miss is measured."""


@dataclass(frozen=True)
class CallFault:
    """A fault, and what becomes of its own call."""

    name: str
    ends: str | None
    """The reason with which it ends; None: it goes on."""
    named: str
    """What the agent tells of it, in an error of the call, at its end or in its log: a regular expression."""
    answer: Answer | None = None
    """What the endpoint of its model answers."""
    within_s: float = GENEROUS_S
    watched: bool = False
    """Whether it takes memory, which is looked at all the time: that costs."""
    short: Sequence[str] = ("task",)
    """The isolations in which it is part of the short form."""

    def __str__(self) -> str:
        return self.name if self.answer is None else f"model_{self.answer.kind}"


BOTH = ("task", "process")
FAULTS = [
    CallFault("none", None, ""),
    CallFault("raises_in_the_callback", "error", "no such order"),
    CallFault("raises_in_a_handler", None, "a handler's mistake"),
    CallFault("raises_in_a_stage", "error", "a stage's mistake", short=BOTH),
    CallFault("raises_in_a_tool", None, "no such table"),
    CallFault("sys_exit_in_a_tool", None, "look_up"),
    CallFault("tool_never_returns", None, "look_up"),
    CallFault("tool_gives_no_result", None, "look_up", within_s=6.0),
    CallFault("model", "error", "429", Answer("busy"), short=()),
    CallFault("model", "error", "llm", Answer("garbage"), short=()),
    CallFault("model", "error", "llm", Answer("silent"), short=()),
    CallFault("model", "error", "llm", Answer("stuck", "A table"), short=()),
    CallFault(
        "model", None, "more than .* characters", Answer("endless", "and another table."), watched=True
    ),
    CallFault("endless_voice", "error", "tts", watched=True),
    CallFault(
        "floods", "error", "flood", watched=True, within_s=90.0
    ),  # 13 s of the loop, and several times as long when it starves
]


class Ground:
    """A gateway and an agent for the tests of one isolation, and the loop that they are watched from."""

    def __init__(self, isolation: str, others: int) -> None:
        self.isolation = isolation
        self.others = others
        self.runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._place: ChaosPlace | None = None

    async def place(self) -> tuple[ChaosPlace, ChaosAgent]:
        """Return a place whose agent serves, a new one if need be."""
        if self._place is None:
            self._place = await self._stack.enter_async_context(chaos(agents=0))
        agents = self._place.agents
        if not agents:
            await self._add_agent()
        elif agents[-1].process.returncode is not None:
            agents.clear()
            await self._add_agent()
        return self._place, agents[-1]

    async def _add_agent(self) -> None:
        assert self._place is not None
        isolated = {
            "PIOPIY_ISOLATION": self.isolation,
            "PIOPIY_WORKERS": "call",
            "PIOPIY_WARM": str(self.others + 1),
        }
        before = self._place.gateway_log.count(" registered: instance ")
        await self._place.add_agent(
            module=AGENT, environment=isolated if self.isolation == "process" else None
        )
        if self.isolation == "process":
            ready = before + self.others + 1
            place = self._place
            await eventually(
                lambda: place.gateway_log.count(" registered: instance ") >= ready, GENEROUS_S * 2
            )

    def close(self) -> None:
        """End everything."""
        self.runner.run(self._stack.aclose())
        self.runner.close()


@pytest.fixture(scope="module")
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    ground = Ground(request.param, 19 if request.config.getoption("--chaos-long") else 4)
    try:
        yield ground
    finally:
        ground.close()


def _params() -> Iterator[Any]:
    for isolation in BOTH:
        for fault in FAULTS:
            marks = [] if isolation in fault.short else [pytest.mark.long_form]
            if isolation == "process":
                marks.append(pytest.mark.skipif(sys.platform != "linux", reason="forks are for Linux"))
            yield pytest.param(isolation, fault, marks=marks, id=f"{fault}-{isolation}")


@pytest.mark.parametrize(("ground", "fault"), list(_params()), indirect=["ground"], scope="module")
def test_a_fault_of_one_call_is_its_own(
    ground: Ground, fault: CallFault, record_property: Callable[[str, object], None]
) -> None:
    ground.runner.run(_story(ground, fault, record_property))


async def _story(ground: Ground, fault: CallFault, record_property: Callable[[str, object], None]) -> None:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        place, agent = await ground.place()
        others = await place.callers(ground.others)
        stack.push_async_callback(_hang_up, others)
        await asyncio.sleep(SETTLE_S)
        before_mb, logged, printed = pss_mb(agent.process.pid), len(agent.log), len(agent.printed)
        metadata: dict[str, Any] = {"fault": fault.name}
        if fault.answer is not None:
            metadata["url"] = (await stack.enter_async_context(endpoint(fault.answer))).url
        began = loop.time()
        culprit = await place.caller(metadata)
        stack.push_async_callback(_hang_up, [culprit])
        most_mb = before_mb

        def told() -> str:
            lines = agent.printed[printed:]
            events = [str(line) for line in lines if line.get("event") in ("error", "end")]
            return "\n".join([*events, agent.log[logged:]])

        def over() -> bool:
            nonlocal most_mb
            if fault.watched:
                most_mb = max(most_mb, pss_mb(agent.process.pid))
            assert most_mb < before_mb + GROWTH_MB, "the agent's memory grows"
            named = fault.name == "none" or re.search(fault.named, told()) is not None
            return named and (fault.ends is None or culprit.ended is not None)

        try:
            await eventually(over, fault.within_s, every_s=0.1)
            took_s = loop.time() - began
            await asyncio.sleep(SETTLE_S)
            if fault.ends is None:
                assert culprit.ended is None
                outcome = "it went on"
            else:
                assert culprit.ended is not None
                assert culprit.ended[0] == fault.ends
                outcome = f"it ended alone, with {fault.ends}"
            now = loop.time()
            assert all(other.ended is None for other in others), "somebody else has lost the call"
            gaps = [other.longest_silence_s(began, now) for other in others]
            if max(gaps) >= GAP_S:
                skip_if_overloaded(f"others have heard nothing for {max(gaps):.1f} s")
            assert max(gaps) < GAP_S
            await _hang_up([culprit])
            await eventually(lambda: pss_mb(agent.process.pid) < before_mb + BACK_MB, GENEROUS_S, every_s=0.5)
        except BaseException:
            agent.kill()  # who knows what is left in it
            await agent.process.wait()
            print(told()[-4000:], file=sys.stderr)
            print(place.gateway_log[-2000:], file=sys.stderr)
            raise
        record_property(
            "chaos",
            {
                "fault": f"{fault} in one of {len(others) + 1} calls, isolation={ground.isolation}",
                "noticed_s": took_s if fault.named else "",
                "others_worst_gap_s": max(gaps),
                "memory_mb": f"+{most_mb - before_mb:.0f}" if fault.watched else "",
                "what became of it": outcome,
            },
        )


async def _hang_up(callers: list[ChaosCaller]) -> None:
    for caller in callers:
        with contextlib.suppress(OSError):
            await caller.hang_up()
