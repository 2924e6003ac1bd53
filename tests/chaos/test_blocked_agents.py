"""One call whose code does not return to the event loop: it is named, the others move, and nobody else is offered it.

Real processes, against the clock of the wall: what blocks is `time.sleep` or a loop that computes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest

from tests.chaos.test_silent_agents import GENEROUS_S, SETTLE_S, Harm
from tests.support.calls import eventually
from tests.support.chaos import chaos, go_on

pytestmark = [pytest.mark.realtime, pytest.mark.chaos]
PATIENT_S = 120.0
"""What takes seconds of a processor takes many more by the clock on a full machine."""


@pytest.mark.parametrize("how", ["sleep", "spin"])
def test_a_call_that_blocks_its_agent_is_named_and_the_others_move(
    how: str, record_property: Callable[[str, object], None], full: bool
) -> None:
    seconds, limit_s = (18, 10) if full else (4, 2)

    async def story() -> None:
        async with chaos(agents=2, environment={"BLOCKED_CALL_S": str(limit_s)}) as place:
            culprit = await place.caller({"block": how, "after": 3, "seconds": seconds})
            callers = [culprit, *await place.callers(5)]
            blocked, other = sorted(place.agents, key=lambda agent: agent.pitch != culprit.agent_heard())
            await asyncio.sleep(SETTLE_S / 2)
            assert len([caller for caller in callers if caller.agent_heard() == blocked.pitch]) == 3
            await eventually(lambda: blocked.told("blocks"), GENEROUS_S)
            harm = Harm(place, callers, blocked)
            await harm.until_moved(without=culprit)
            row = harm.row(
                f"{how} for {seconds} s in one call's handler, limit {limit_s} s", "", without=culprit
            )
            await eventually(lambda: culprit.ended is not None, PATIENT_S)
            assert culprit.ended == ("error", "")
            row["noticed_s"] = harm.noticed_s(" is blocked by call ")
            await eventually(lambda: "its code has blocked" in place.gateway_log, GENEROUS_S)
            detail = re.search(r"\((its code has blocked .*)\)", place.gateway_log)
            assert detail is not None
            assert re.search(rf"for {limit_s} s at tests/support/chaos_agent.py:\d+ in block", detail[1])
            assert not other.told("blocks"), "it does not block the next one"
            # On a full machine it may be named when it has left, and is taken from the next one before it speaks there.
            left = "which it has left" in place.gateway_log
            assert left or not culprit.first_heard(other.pitch, harm.at), "nobody else was offered it"
            assert "the event loop has not turned for" in blocked.log
            await eventually(lambda: " is back" in place.gateway_log, PATIENT_S)
            await eventually(lambda: len(blocked.told("end")) == 3, GENEROUS_S)
            reasons = sorted(line["reason"] for line in blocked.told("end"))
            assert reasons == ["moved" if left else "error", "moved", "moved"]
            assert all(caller.ended is None for caller in callers if caller is not culprit)
            row["what became of it"] = f"the others moved; it ended: {detail[1]}"
            record_property("chaos", row)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("how", "place_and_tasks"),
    [
        ("tasks", r"tests/support/chaos_agent.py:\d+ in slow_down \(1,0\d\d tasks\)"),
        # The look may find the loop at its own work for these tasks: then that is the place, with their number.
        (
            "many_tasks",
            r"(tests/support/chaos_agent.py:\d+ in poll|asyncio/\S+ in \S+) \(12,0\d\d tasks\)",
        ),
    ],
)
def test_a_call_that_makes_each_turn_slow_is_named_and_ends_and_the_others_move(
    how: str, place_and_tasks: str, record_property: Callable[[str, object], None]
) -> None:
    async def story() -> None:
        async with chaos(agents=2, environment={"BLOCKED_CALL_S": "6"}) as place:
            culprit = await place.caller({"block": how, "after": 3, "seconds": 0})
            callers = [culprit, *await place.callers(3)]
            slow, other = sorted(place.agents, key=lambda agent: agent.pitch != culprit.agent_heard())
            await eventually(lambda: slow.told("blocks"), GENEROUS_S)
            harm = Harm(place, callers, slow)
            await harm.until_moved(without=culprit)
            await eventually(lambda: culprit.ended is not None, GENEROUS_S)
            assert culprit.ended == ("error", "")
            await eventually(lambda: "its code has blocked" in place.gateway_log, GENEROUS_S)
            detail = re.search(r"\((its code has blocked .*)\)", place.gateway_log)
            assert detail is not None
            assert re.search(r"for 6 s at " + place_and_tasks, detail[1])
            assert not culprit.first_heard(other.pitch, harm.at), "nobody else was offered it"
            await eventually(lambda: " is back" in place.gateway_log, GENEROUS_S)
            assert all(caller.ended is None for caller in callers if caller is not culprit)
            row = harm.row(f"{how} of one call, which make each turn slow, limit 6 s", "", without=culprit)
            row["noticed_s"] = harm.noticed_s(" is blocked by call ")
            row["what became of it"] = f"the others moved; it ended: {detail[1]}"
            record_property("chaos", row)

    asyncio.run(story())


def test_native_code_that_keeps_pythons_lock_is_noticed_from_outside(
    record_property: Callable[[str, object], None], full: bool
) -> None:
    """No thread of the process runs, so no watchdog can name the call: all of them move, and that one as well."""
    seconds = 18 if full else 6

    async def story() -> None:
        async with chaos(agents=2) as place:
            culprit = await place.caller({"block": "native", "after": 3, "seconds": seconds})
            callers = [culprit, *await place.callers(5)]
            blocked = min(place.agents, key=lambda agent: agent.pitch != culprit.agent_heard())
            await eventually(lambda: blocked.told("blocks"), GENEROUS_S)
            harm = Harm(place, callers, blocked)
            assert len(harm.theirs) == 3
            await harm.until_moved()
            row = harm.row(
                f"native code that keeps Python's lock for {seconds} s in one call's handler", "all moved"
            )
            assert "is blocked by" not in place.gateway_log
            await eventually(lambda: len(blocked.told("end")) == 3, GENEROUS_S + seconds)
            assert {line["reason"] for line in blocked.told("end")} <= {"moved", "agent_lost"}
            assert all(caller.ended is None for caller in callers)
            record_property("chaos", row)

    asyncio.run(story())


def test_a_call_worker_that_a_call_blocks_is_killed_and_its_other_calls_go_on(
    record_property: Callable[[str, object], None],
) -> None:
    async def story() -> None:
        environment = {
            "BLOCKED_CALL_S": "3",
            "PIOPIY_ISOLATION": "process",
            "PIOPIY_WORKERS": "2",
        }
        async with chaos(agents=1, environment=environment) as place:
            [agent] = place.agents
            await eventually(lambda: place.gateway_log.count(" registered: instance ") == 2, GENEROUS_S)
            culprit = await place.caller({"block": "spin", "after": 4, "seconds": 60})
            others = await place.callers(5)
            await eventually(lambda: agent.told("blocks"), GENEROUS_S)
            began = asyncio.get_running_loop().time()
            await eventually(lambda: culprit.ended is not None, GENEROUS_S)
            assert culprit.ended == ("error", "")
            await eventually(lambda: "SIGKILL" in agent.log, GENEROUS_S)
            await eventually(lambda: place.gateway_log.count(" registered: instance ") >= 3, GENEROUS_S)
            now = asyncio.get_running_loop().time()
            assert "this call worker is killed" in agent.log
            await go_on(others, now)
            record_property(
                "chaos",
                {
                    "fault": "while True in one call's handler, isolation=process, limit 3 s",
                    "silence_s": max(caller.longest_silence_s(began, now) for caller in others),
                    "what became of it": "its call worker was killed and replaced; the others moved",
                },
            )

    asyncio.run(story())
