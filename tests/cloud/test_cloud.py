"""Calls of Piopiy's cloud, against a fake of it in a process of its own and LiveKit's real client."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.alone import run_alone
from tests.support.services import SECONDS_A_CHARACTER

for package in ("livekit.rtc", "livekit.protocol", "piopiy_agent", "grpc"):
    pytest.importorskip(package, reason="pip install 'piopiy-pipeline[cloud]' livekit-protocol")

pytestmark = pytest.mark.realtime
LIMIT_S = 200.0


def story(name: str, of: str = "cloud_stories") -> Any:
    return run_alone(f"tests.cloud.{of}", name, timeout_s=LIMIT_S)


def test_a_call_is_accepted_when_the_bot_is_ready_and_a_barge_in_keeps_what_was_heard() -> None:
    seen = story("whole_call")
    metadata = {"direction": "inbound", "sip": {"X-Customer": "ada"}}
    assert seen["info"] == ["uuid-one", "919000000001", "918000000002", metadata, "phone"]
    assert seen["identity"] == "bot"
    words = seen["heard_text"].split()
    begun_s = SECONDS_A_CHARACTER * len(" ".join(words[:-1]))
    said_s = SECONDS_A_CHARACTER * len(" ".join(words) + " ")
    assert begun_s - 0.1 <= seen["heard_s"] <= said_s + 0.1, "the context has what was heard, to the word"
    assert seen["heard_s"] == pytest.approx(seen["cleared_s"], abs=0.1), "the playout knows what is heard"
    assert seen["keys"] == ["5"]
    assert seen["reason"] == "caller_hangup"
    assert seen["rest"] == [], "nobody hangs up a caller who has hung up"
    assert seen["left"] == 1


def test_what_the_bot_does_is_asked_of_the_cloud() -> None:
    seen = story("bot_acts")
    assert seen["hung_up"] == "agent_hangup"
    assert seen["heard_s"] >= SECONDS_A_CHARACTER * len("Good bye then.") - 0.05, "to the last word"
    assert seen["keys"] == ["4", "2"]
    assert seen["deleted"] == ["caller_hangup", "the room was closed: room_deleted"]
    assert [outcome for outcome, _ in seen["outcomes"]] == [
        "no_answer",
        "bridged",
        "bridged",
        "unreachable",
        "refused",
    ]
    assert seen["outcomes"][3][1] == "Piopiy's cloud calls numbers and SIP URIs, and 'front desk' is neither"
    assert (seen["warm"], seen["cold"]) == ("transferred", "transferred")
    asked = [(call, action) for call, action, _ in seen["rest"]]
    assert asked == [
        ("uuid-bye", "hangup"),
        ("uuid-missed", "transfer"),
        ("uuid-warm", "transfer"),
        ("uuid-cold", "transfer"),
        ("uuid-busy", "transfer"),
    ]
    assert seen["rest"][1][2] == {
        "to_number": "919876543210",
        "timeout_sec": 30,
        "transfer_summary": "a booking",
    }


def test_jobs_that_cannot_be_served_are_turned_down_with_their_reason() -> None:
    seen = story("offers")
    assert seen["slow"] == [
        "CONFIG_ERROR",
        "the bot could not hear and speak within the time that Piopiy's cloud gives",
    ]
    assert seen["fails"][0] == "CONFIG_ERROR"
    assert "no such customer" in seen["fails"][1]
    assert seen["nowhere"][0] == "ROOM_JOIN_FAILED"
    assert seen["again"] == ["CONFIG_ERROR", "this call is in progress here already"]
    assert seen["third"][0] == "AT_CAPACITY"
    assert seen["nobody"] == ["AT_CAPACITY", "no instance of the agent is connected and free"]
    assert seen["cancelled"] == ["caller_hangup", "Piopiy's cloud has withdrawn the call"]
    assert seen["accepted"] == ["first", "second"]
    assert "first" not in seen["completed"]
    assert seen["calls_left"] == 0


def test_a_slow_bot_is_accepted_in_time_where_the_settings_say_so() -> None:
    seen = story("accepted_early")
    assert seen["join_ms"] < 3000
    assert seen["heard_s"] > 0.5


def test_a_restarted_register_and_a_killed_agent_end_no_call() -> None:
    seen = story("lost_and_found")
    assert seen["registered"] == 2
    assert seen["during_s"] >= 1.0, "the bot spoke on while the register was gone"
    assert seen["calls"] == [["live", 1], ["live", 1]]
    assert seen["recovered_s"] >= 0.5
    assert seen["left"] == 0


@pytest.mark.parametrize("name", ["own_gateway", "own_gateway_isolated"])
def test_piopiy_start_cloud_serves_calls_and_its_gateway_ends_with_it(name: str) -> None:
    seen = story(name)
    assert seen["heard_s"] >= 1.0
    assert seen["late"] == "SHUTTING_DOWN"
    assert seen["status"] == 0
    assert "has ended (-9): starting it again" in seen["log"]


def test_a_connection_that_is_lost_in_mid_call_is_made_again() -> None:
    seen = story("cut_off")
    assert seen["heard_s"] >= 1.5
    assert (seen["keys"], seen["ends"], seen["joined"]) == (["7"], 0, 1)


def test_a_process_of_rooms_that_is_lost_ends_no_call_and_its_bot_speaks_on() -> None:
    """By signal 9, and by hanging; the call of another process notices nothing."""
    seen = story("lost_processes", "process_stories")
    assert seen["heard_s"] >= 5.5, "what the bot said in the meantime has waited"
    assert seen["hole_s"] < 10.0
    assert seen["beside_hole_s"] < seen["hole_s"]
    assert seen["keys"] == ["5"]
    assert seen["ends_during"] == ["caller_hangup"], "of the call that was left"
    assert seen["ends"] == ["caller_hangup"] * 3
    assert seen["rest"] == []
    assert (sum(seen["legs"]), sum(seen["connections"])) == (0, 0)
    assert seen["left_over"] == []


def test_a_room_that_cannot_be_joined_again_ends_its_call_and_the_cloud_is_told() -> None:
    seen = story("not_joined_again", "process_stories")
    [lost, left] = seen["ends"]
    assert lost[0] == "error"
    assert lost[1].startswith("the room's process was lost, and it was not joined again: ")
    assert left == ["caller_hangup", ""]
    assert seen["rest"] == [["uuid-token", "hangup"]]


def test_calls_that_come_and_go_leave_nothing_in_the_processes_of_rooms() -> None:
    seen = story("churned", "process_stories")
    assert seen["ends"] == ["caller_hangup"] * 8
    assert 2 <= seen["processes"] <= 4
    assert (seen["legs"], seen["connections"], seen["calls_left"]) == (0, 0, 0)


def test_a_gateway_that_drains_takes_no_jobs_and_finishes_its_calls() -> None:
    seen = story("drained")
    assert seen["late"] == "SHUTTING_DOWN"
    assert seen["went_on"]
    assert seen["heard_s"] >= 0.5
    assert seen["ended"] == ["caller_hangup", "caller_hangup"]
    assert seen["refused"] == "SHUTTING_DOWN"
