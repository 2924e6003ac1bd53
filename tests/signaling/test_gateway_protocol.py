"""The gateway's side of an agent's connection: who may say what when, and who counts as alive."""

from __future__ import annotations

import json
from typing import Any

import pytest

from piopiy_pipeline.signaling.call_rates import CallRates
from piopiy_pipeline.signaling.gateway_protocol import GatewayProtocol, GatewayState, GatewayStep
from piopiy_pipeline.signaling.messages import (
    MAX_MESSAGE_BYTES,
    GatewayMessage,
    Heartbeat,
    Ping,
    Pong,
    ProtocolFault,
    Register,
    Registered,
    Status,
)


def text(**message: Any) -> bytes:
    return json.dumps(message).encode()


def protocol(**options: Any) -> GatewayProtocol:
    return GatewayProtocol(agent_ids=["front-desk"], now=0.0, **options)


REGISTER = {"type": "register", "agent_id": "front-desk", "instance_id": "one", "capacity": 4}


def registered(**options: Any) -> GatewayProtocol:
    machine = protocol(**options)
    machine.receive(text(**REGISTER), 0.0)
    assert machine.state is GatewayState.REGISTERED
    return machine


def fault_of(step: GatewayStep) -> ProtocolFault:
    assert step.close is not None
    [fault] = step.send
    assert isinstance(fault, ProtocolFault)
    return fault


def test_an_agent_that_registers_is_told_so_before_anything_happens_with_it() -> None:
    step = protocol(heartbeat_s=7).receive(text(**REGISTER), 1.0)
    assert step.send == (Registered(heartbeat_s=7),)
    assert step.events == (Register(agent_id="front-desk", instance_id="one", capacity=4),)
    assert step.close is None


def test_anything_before_register_is_a_fault_that_says_what_to_do() -> None:
    fault = fault_of(protocol().receive(text(type="status", active=0, capacity=1), 0.0))
    assert (fault.code, fault.detail) == ("protocol", "status before register: register first")


def test_registering_twice_is_a_fault() -> None:
    assert fault_of(registered().receive(text(**REGISTER), 0.0)).code == "protocol"


def test_a_token_is_good_for_its_own_agent_only() -> None:
    fault = fault_of(protocol().receive(text(**{**REGISTER, "agent_id": "another"}), 0.0))
    assert fault.code == "unknown_agent"
    assert "another" in fault.detail


def test_another_version_of_the_protocol_is_refused_with_both_numbers() -> None:
    fault = fault_of(protocol().receive(text(**REGISTER, protocol=99), 0.0))
    assert fault.code == "version"
    assert "99" in fault.detail
    assert "protocol 1" in fault.detail


@pytest.mark.parametrize(
    ("message", "names"),
    [
        (b'{"type": "status", "active": 1, "capacity": 2, "mood": "good"}', "mood"),
        (b'{"type": "dance"}', "dance"),
        (b'{"type": "status", "active": -1, "capacity": 2}', "active"),
        (b"no json", "JSON"),
        (b"\xff\xfe", ""),
        (b"[]", ""),
    ],
)
def test_what_fits_no_model_is_a_fault_that_names_it(message: bytes, names: str) -> None:
    machine = registered()
    fault = fault_of(machine.receive(message, 0.0))
    assert fault.code == "protocol"
    assert names in fault.detail
    assert machine.state is GatewayState.CLOSED


def test_a_binary_message_is_a_fault() -> None:
    assert fault_of(registered().receive_binary()).code == "protocol"


def test_a_message_beyond_the_limit_is_a_fault() -> None:
    assert "limit" in fault_of(registered().receive(b" " * (MAX_MESSAGE_BYTES + 1), 0.0)).detail


def test_an_agent_that_floods_is_cut_off_and_a_lively_one_is_not() -> None:
    lively, flooding = registered(), registered()
    status = text(type="status", active=0, capacity=4)
    for n in range(5000):
        assert lively.receive(status, n / 200).close is None
    steps = [flooding.receive(status, 1.0) for _ in range(2000)]
    assert "messages a second" in fault_of(next(step for step in steps if step.close)).detail


def event_of(call_id: str, kind: str = "event") -> bytes:
    more = {"at": 1.0, "event": "user_partial"} if kind == "event" else {}
    if kind == "control":
        more = {"what": "mute", "on": True}
    return text(type=kind, call_id=call_id, **more)


def test_a_call_that_sends_too_much_is_not_taken_and_the_others_are() -> None:
    machine = registered()
    steps = [machine.receive(event_of("loud"), 1.0) for _ in range(3 * CallRates.PER_S)]
    assert sum(bool(step.events) for step in steps) == 2 * CallRates.PER_S
    unread = steps[-1].unread
    assert unread is not None
    assert (unread.call_id, unread.kind, unread.detail) == (
        "loud",
        "event",
        "more than 100 messages a second",
    )
    assert machine.receive(event_of("calm"), 1.0).events
    for kind in ("control", "hangup", "answer"):
        step = machine.receive(event_of("loud", kind) if kind != "hangup" else HANGUP, 1.0)
        assert bool(step.events) is (kind != "control"), "how it ends is not left out"


HANGUP = text(type="hangup", call_id="loud", reason="agent_hangup")


def flood(machine: GatewayProtocol, seconds: float, begin: float = 1.0) -> list[GatewayStep]:
    """What comes of 2,000 messages a second of one call."""
    return [machine.receive(event_of("loud"), begin + n / 2000) for n in range(round(2000 * seconds))]


def test_a_flood_ends_its_call_and_the_connection_only_if_it_goes_on() -> None:
    machine = registered()
    steps = flood(machine, 2.0)
    assert not [step for step in steps if step.close]
    unread = steps[-1].unread
    assert unread is not None
    assert (unread.call_id, unread.kind) == ("loud", ""), "which ends the call"
    assert machine.receive(event_of("calm"), 3.0).events
    steps = flood(machine, 2.5, begin=3.0)
    assert "of one call, which has ended" in fault_of(next(step for step in steps if step.close)).detail


def test_floods_with_pauses_do_not_add_up() -> None:
    machine = registered()
    for begin in range(1, 60, 6):
        steps = flood(machine, 1.5, begin=float(begin))
        assert not [step for step in steps if step.close]


def test_calls_that_are_invented_do_not_make_room_for_more() -> None:
    machine = registered()
    steps = [machine.receive(event_of(f"call-{n}"), 1.0) for n in range(5000)]
    assert fault_of(next(step for step in steps if step.close)).code == "protocol"


def test_what_an_agent_says_is_passed_on() -> None:
    step = registered().receive(text(type="status", active=3, capacity=4), 0.0)
    assert step.events == (Status(active=3, capacity=4),)


def test_a_ping_is_answered_with_its_number() -> None:
    assert registered().receive(text(type="ping", n=17), 0.0).send == (Pong(n=17),)


def test_an_agent_that_does_not_register_in_time_is_sent_away() -> None:
    machine = protocol(register_s=5)
    assert machine.wake_at == 5
    assert machine.tick(4.9) == GatewayStep()
    assert "register within 5 s" in fault_of(machine.tick(5.0)).detail


def test_an_agent_is_asked_for_a_sign_of_life_each_heartbeat() -> None:
    machine = registered(heartbeat_s=10)
    pings: list[GatewayMessage] = []
    for beat in range(1, 6):
        at = beat * 10.0
        assert machine.wake_at == at
        pings += machine.tick(at).send
        machine.receive(text(type="pong", n=beat), at + 0.1)
    assert pings == [Ping(n=n) for n in range(1, 6)]


def test_three_pings_without_any_answer_mean_that_it_is_lost() -> None:
    machine = registered(heartbeat_s=10)
    assert [machine.tick(at).close for at in (10.0, 20.0, 30.0)] == [None, None, None]
    step = machine.tick(40.0)
    assert step.close is not None
    assert "no sign of life" in step.close
    assert machine.wake_at is None


def test_any_message_is_a_sign_of_life() -> None:
    machine = registered(heartbeat_s=10)
    for at in (10.0, 20.0, 30.0):
        machine.tick(at)
    machine.receive(text(type="status", active=0, capacity=4), 39.0)
    assert machine.tick(40.0).close is None


def test_after_a_fault_nothing_is_heard_or_said_any_more() -> None:
    machine = registered()
    machine.fault("shutdown", "the gateway is shutting down")
    assert machine.receive(text(type="ping", n=1), 0.0) == GatewayStep()
    assert machine.fault("protocol", "again") == GatewayStep()
    assert machine.tick(1e6) == GatewayStep()


def test_a_fault_of_the_agent_closes_without_an_answer() -> None:
    step = registered().receive(text(type="fault", code="protocol", detail="I give up"), 0.0)
    assert step.send == ()
    assert step.close is not None
    assert "I give up" in step.close


# ---------------------------------------------------------------------- heartbeats


HEARTBEAT = b'{"type":"heartbeat","media":{"call-1":[640,1280]}}'


def test_an_agent_that_sends_heartbeats_is_sent_some_and_an_older_one_is_not() -> None:
    older, newer = registered(), registered()
    newer.receive(HEARTBEAT, 0.1)
    for at in range(1, 9):
        now = 0.1 + at * 0.25
        newer.receive(HEARTBEAT, now)
        assert newer.tick(now).send == (Heartbeat(),)
        assert older.tick(now).send == ()
    assert older.wake_at == 10.0


def test_a_heartbeat_is_for_the_switchboard() -> None:
    step = registered().receive(HEARTBEAT, 0.1)
    assert step.events == (Heartbeat(media={"call-1": (640, 1280)}),)


def test_an_agent_whose_heartbeats_stop_is_silent_once_and_stays_connected() -> None:
    machine = registered()
    for number in range(20):
        machine.receive(HEARTBEAT, number * 0.25)
    silent = []
    while machine.wake_at is not None and machine.wake_at < 9:
        now = machine.wake_at
        step = machine.tick(now)
        assert step.close is None
        if step.silent:
            silent.append((now, step.silent))
    [(at, why)] = silent
    assert at == pytest.approx(4.75 + 1.0)
    assert why == "nothing was heard of it for 1.0 s"
    machine.receive(HEARTBEAT, 9.0)
    assert machine.wake_at is not None
    assert machine.wake_at <= 9.25


def test_any_message_shows_that_the_agent_is_alive() -> None:
    machine = registered()
    machine.receive(HEARTBEAT, 0.0)
    machine.receive(text(type="status", active=0, capacity=1), 0.8)
    assert machine.tick(1.05).silent is None


def test_heartbeats_that_a_network_held_for_half_a_minute_are_no_fault() -> None:
    machine = protocol()
    machine.receive(text(**{**REGISTER, "capacity": 1}), 0.0)
    for _ in range(160):
        assert machine.receive(HEARTBEAT, 40.0).close is None


def test_but_heartbeats_without_end_are() -> None:
    machine = registered()
    steps = [machine.receive(HEARTBEAT, 1.0) for _ in range(2 * GatewayProtocol.HEARTBEATS_PER_S + 1)]
    assert fault_of(steps[-1]).detail == "more than 100 messages a second"


# ---------------------------------------------------------------------- watchdogs


BLOCKED = {
    "type": "blocked",
    "agent_id": "front-desk",
    "instance_id": "one",
    "call_id": "call-1",
    "place": "bot.py:12 in look_up",
    "blocked_s": 0.5,
    "limit_s": 10,
}


def test_a_watchdog_speaks_on_a_connection_of_its_own_and_says_nothing_else() -> None:
    machine = protocol()
    for at in range(10):
        [event] = machine.receive(text(**BLOCKED), float(at)).events
        assert (event.type, machine.state) == ("blocked", GatewayState.WATCHDOG)
    assert fault_of(machine.receive(text(**REGISTER), 10.0)).code == "protocol"


def test_a_watchdog_that_falls_silent_is_let_go() -> None:
    machine = protocol()
    machine.receive(text(**BLOCKED), 1.0)
    assert machine.tick(5.5).close is None
    step = machine.tick(6.0)
    assert (step.close, step.send) == ("the watchdog has nothing more to say", ())


def test_a_watchdog_s_token_must_be_its_agent_s() -> None:
    assert fault_of(protocol().receive(text(**{**BLOCKED, "agent_id": "x"}), 0.0)).code == "unknown_agent"


def test_a_registered_agent_that_says_blocked_turns_and_breaks_the_protocol() -> None:
    assert fault_of(registered().receive(text(**BLOCKED), 0.0)).code == "protocol"
