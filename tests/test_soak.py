"""`benchmarks/soak.py`: which ends of calls it lets pass and which make it fail, and what may be left."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.soak import Soak
from benchmarks.soak_ends import ALONE_S, ENDS, HEARD_S, STOOD_S, SoakedCall, explanation, left_at
from benchmarks.soak_instances import LoggedInstances
from piopiy_pipeline.gateway.core.silent_instances import SilentInstances
from piopiy_pipeline.signaling.messages import Heartbeat
from tests.support.agents import logged
from tests.support.switchboard import Room

LONG_AGO = 1e9
FOUR_LOSSES = "the connection to the agent was lost, after 3 others"
TWO_DEATHS = "2 processes of the agent have ended under this call; the last one: SIGKILL, Killed"


def why(
    reason: str,
    detail: str = "",
    *,
    fault: str = "",
    alone: float = LONG_AGO,
    unheard: float = LONG_AGO,
    stood: float = 0.0,
) -> str:
    return explanation(fault, reason, detail, alone, unheard, stood)


@pytest.mark.parametrize(
    "reason",
    ["error", "agent_lost", "no_agent", "busy", "shutdown", "setup_timeout", "idle_timeout", "agent_hangup"],
)
def test_no_end_of_a_good_call_explains_itself(reason: str) -> None:
    assert why(reason) == ""


def test_a_fault_explains_its_own_ends_and_no_others() -> None:
    assert why("error", fault="os_exit") == "its own fault"
    assert why("idle_timeout", fault="tool_never_returns") == "its own fault"
    assert why("agent_lost", fault="os_exit") == ""
    assert why("error", fault="raises_in_a_handler") == "", "it goes on"
    assert why("idle_timeout", fault="os_exit") == ""
    assert all("agent_lost" not in ends for ends in ENDS.values())


def test_four_lost_agents_and_two_dead_call_workers_explain_an_end_and_fewer_do_not() -> None:
    assert why("agent_lost", FOUR_LOSSES) == "its agents were lost four times"
    assert why("agent_lost", "the connection to the agent was lost, after 2 others") == ""
    assert why("error", TWO_DEATHS) == "its call workers were lost twice"
    assert why("error", "SIGKILL, Killed") == ""


def test_a_time_without_agents_explains_for_a_while_what_comes_of_it_and_nothing_else() -> None:
    assert why("no_agent", alone=ALONE_S - 0.1) == "no agent was alive"
    assert why("no_agent", alone=ALONE_S + 0.1) == ""
    assert why("busy", unheard=1.0) == "the gateway heard of no agent"
    assert why("error", alone=0.0, unheard=0.0) == "", "an error is one all the same"
    assert why("idle_timeout", alone=0.0) == ""


def test_a_machine_that_stood_still_explains_what_comes_too_late_only() -> None:
    assert why("setup_timeout", stood=STOOD_S) == "the machine stood still"
    assert why("error", "no start within 10 s", stood=STOOD_S) == "the machine stood still"
    assert why("setup_timeout", stood=STOOD_S - 0.1) == ""
    assert why("error", stood=60.0) == ""


def test_a_caller_who_hears_nothing_is_not_served_even_if_the_call_does_not_end() -> None:
    assert SoakedCall("", HEARD_S + 1, heard=False).judge(LONG_AGO, LONG_AGO, 0.0) == (
        "good: hung up",
        "a call of 16.0 s heard nothing",
    )
    assert SoakedCall("", HEARD_S + 1, heard=True).judge(0.0, 0.0, 0.0)[1] == ""
    assert SoakedCall("", HEARD_S - 1, heard=False).judge(0.0, 0.0, 0.0)[1] == "", "it was short"
    assert SoakedCall("model", HEARD_S + 1, heard=False).judge(0.0, 0.0, 0.0)[1] == "", "it is at fault"


def test_an_end_without_an_explanation_makes_the_soak_fail() -> None:
    soak = Soak(seed=1, began=0.0)
    counted, wrong = SoakedCall("", 3.0, heard=True, ended=("error", "no reason")).judge(
        LONG_AGO, LONG_AGO, 0.0
    )
    assert counted == "good: error"
    assert wrong == "good call ended after 3.0 s: error (no reason)"
    assert soak.exit_status == 0
    soak.unexplained.append(wrong)
    assert soak.exit_status == 1
    explained = SoakedCall("", 3.0, heard=True, ended=("agent_lost", FOUR_LOSSES)).judge(
        LONG_AGO, LONG_AGO, 0.0
    )
    assert explained == ("good: agent_lost (its agents were lost four times)", "")


def census(**changes: Any) -> dict[str, Any]:
    held = {"calls": 0, "vad_streams": 0, "tasks": ["connection"], "threads": ["MainThread"], "fds": 20}
    return held | changes


@pytest.mark.parametrize(
    ("after", "left"),
    [
        ({}, []),
        ({"threads": ["MainThread", "asyncio_0", "offload_1"], "fds": 23}, []),
        ({"calls": 1}, ["agent 0: 1 calls"]),
        ({"vad_streams": 2}, ["agent 0: 2 vad_streams"]),
        ({"tasks": ["connection", "connection"]}, ["agent 0: tasks {'connection': 1}"]),
        ({"threads": ["MainThread", "mine"]}, ["agent 0: threads {'mine': 1}"]),
        ({"fds": 24}, ["agent 0: 24 descriptors, 20 when it was new"]),
    ],
)
def test_what_calls_leave_at_an_agent_makes_the_soak_fail(after: dict[str, Any], left: list[str]) -> None:
    soak = Soak(seed=1, began=0.0, left=left_at("agent 0", census(), census(**after)))
    assert soak.left == left
    assert soak.exit_status == int(bool(left))


def test_which_agents_the_gateway_hears_of_is_read_from_its_log() -> None:
    room, log = Room(), ""
    instances = LoggedInstances(lambda: log)
    with logged() as lines:
        agents = [room.agent("desk-1"), room.agent("desk-2", worker="shared")]
        for agent in agents:
            room.board.silences.silent(agent.instance, "nothing was heard of it for 1.0 s", room.now)
        for _ in range(SilentInstances.RETURNS):
            agent.say(Heartbeat())
        agent.lose()
    seen = []
    for _, line in lines:
        log += f"12:00:00.000 {line[:-3]}"
        instances.read()  # nothing is read of a line that is half written
        log += f"{line[-3:]}\n"
        instances.read()
        seen.append((instances.connected, instances.heard))
    assert seen == [
        (True, True),  # desk-1 has registered
        (True, True),  # desk-2, too
        (True, True),  # desk-1 is silent
        (True, False),  # desk-2, too
        (True, True),  # desk-2 is back
        (True, False),  # desk-2 is gone
    ]
    assert instances.silences == {"nothing was heard": 2}
