"""The agent's half of signaling, driven with bytes and a clock of the test's own."""

from __future__ import annotations

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.signaling.agent_protocol import AgentProtocol, AgentState, Backoff
from piopiy_pipeline.signaling.messages import (
    Ended,
    GatewayMessage,
    Heartbeat,
    Offer,
    Ping,
    Pong,
    ProtocolFault,
    Register,
    Registered,
    dump,
)


@pytest.fixture
def protocol() -> AgentProtocol:
    return AgentProtocol(agent_id="desk", instance_id="desk-1", capacity=5, version="0", now=0.0)


def said(message: GatewayMessage) -> bytes:
    return dump(message).encode()


def registered(protocol: AgentProtocol, heartbeat_s: float = 10) -> AgentProtocol:
    protocol.receive(said(Registered(heartbeat_s=heartbeat_s)), 0.1)
    return protocol


def test_it_registers_first(protocol: AgentProtocol) -> None:
    (message,) = protocol.start().send
    assert isinstance(message, Register)
    assert (message.agent_id, message.instance_id, message.capacity) == ("desk", "desk-1", 5)


def test_a_gateway_that_does_not_answer_the_registration_is_given_up(protocol: AgentProtocol) -> None:
    assert protocol.wake_at == 5.0
    assert protocol.tick(4.9).close is None
    assert "did not answer the registration" in (protocol.tick(5.0).close or "")


def test_pings_are_answered_with_their_number(protocol: AgentProtocol) -> None:
    assert registered(protocol).receive(said(Ping(n=7)), 1).send == (Pong(n=7),)


def test_a_gateway_that_is_silent_for_three_heartbeats_is_given_up(protocol: AgentProtocol) -> None:
    registered(protocol, heartbeat_s=2).receive(said(Ping(n=1)), 4)
    assert protocol.tick(9.9).close is None
    assert "nothing was heard" in (protocol.tick(10).close or "")
    assert protocol.state is AgentState.CLOSED


def test_what_concerns_calls_is_passed_on(protocol: AgentProtocol) -> None:
    offer = Offer(
        call_id="c", offer_id="o", agent_id="desk", from_number=None, to_number=None, metadata=None,
        kind="phone", caller_rate=8000, deadline_ms=400, setup_s=10, media_path="/media/c", media_token="t",
    )  # fmt: skip
    ended = Ended(call_id="c", reason=EndReason.CALLER_HANGUP)
    registered(protocol)
    assert protocol.receive(said(offer), 1).events == (offer,)
    assert protocol.receive(said(ended), 2).events == (ended,)


@pytest.mark.parametrize("code", ["unknown_agent", "duplicate_instance", "version"])
def test_a_refusal_for_good_says_so(protocol: AgentProtocol, code: str) -> None:
    step = protocol.receive(said(ProtocolFault.model_validate({"code": code, "detail": "not you"})), 0.1)
    assert step.refused
    assert "not you" in (step.close or "")


def test_a_gateway_that_shuts_down_may_come_back(protocol: AgentProtocol) -> None:
    step = registered(protocol).receive(said(ProtocolFault(code="shutdown", detail="bye")), 1)
    assert step.close
    assert not step.refused


@pytest.mark.parametrize("text", [b"not json", b'{"type":"pong","n":1,"extra":1}', b'{"type":"what"}'])
def test_a_message_that_fits_no_model_ends_the_connection_with_a_fault(
    protocol: AgentProtocol, text: bytes
) -> None:
    step = registered(protocol).receive(text, 1)
    assert isinstance(step.send[0], ProtocolFault)
    assert "breaks the protocol" in (step.close or "")


def test_calls_before_the_registration_are_a_fault(protocol: AgentProtocol) -> None:
    step = protocol.receive(said(Ended(call_id="c", reason=EndReason.ERROR)), 0.1)
    assert "before registered" in (step.close or "")


def test_the_backoff_grows_to_its_limit_and_starts_anew() -> None:
    backoff = Backoff(first_s=0.1, longest_s=1.5, factor=2)
    assert [round(backoff.wait(1.0), 2) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.5, 1.5]
    assert backoff.wait(0.0) == 0.75, "the jitter is up to half of it"
    backoff.reset()
    assert backoff.wait(1.0) == 0.1


# ---------------------------------------------------------------------- heartbeats


def beating() -> AgentProtocol:
    """Return a protocol that is registered at a gateway which takes heartbeats."""
    machine = AgentProtocol(
        agent_id="desk",
        instance_id="desk-1",
        capacity=5,
        version="0",
        now=0.0,
        count_media=lambda: {"call-1": (640, 1280)},
    )
    assert machine.receive(said(Registered(heartbeat_s=10)), 0.0).send == (OWN,)
    return machine


OWN = Heartbeat(media={"call-1": (640, 1280)})


def test_heartbeats_say_four_times_a_second_how_far_the_media_has_come() -> None:
    machine = beating()
    sent = []
    while machine.wake_at is not None and machine.wake_at <= 1.0:
        now = machine.wake_at
        sent += [(now, message) for message in machine.tick(now).send]
    assert [message for _, message in sent] == [OWN] * 3
    assert [at for at, _ in sent] == pytest.approx([0.3, 0.6, 0.9])


def test_they_go_out_with_the_gateway_s_so_that_the_agent_wakes_once_for_both() -> None:
    machine = beating()
    for at in range(1, 20):
        assert machine.receive(said(Heartbeat()), at * 0.251).send == (OWN,)
        assert machine.wake_at is not None
        assert machine.wake_at > (at + 1) * 0.251


def test_an_older_gateway_is_sent_none(protocol: AgentProtocol) -> None:
    assert registered(protocol).wake_at == 30.1
    assert protocol.tick(1.0).send == ()


def test_a_gateway_whose_heartbeats_stop_is_given_up_after_about_two_seconds() -> None:
    machine = beating()
    for at in range(40):
        machine.receive(said(Heartbeat()), at / 4)
    closed_at = None
    while machine.wake_at is not None:
        now = machine.wake_at
        step = machine.tick(now)
        closed_at = now if step.close else None
    assert closed_at == pytest.approx(9.75 + 1.75)


def test_a_gateway_that_takes_heartbeats_and_has_sent_none_has_as_long_as_an_older_one() -> None:
    machine = beating()
    while machine.wake_at is not None and machine.wake_at < 30:
        assert machine.tick(machine.wake_at).close is None


def test_an_agent_that_slept_itself_reads_before_it_gives_up_its_gateway() -> None:
    machine = beating()
    for at in range(40):
        machine.receive(said(Heartbeat()), at / 4)
    assert machine.tick(20.0).close is None, "ten seconds late: what came meanwhile is not read yet"
    machine.receive(said(Heartbeat()), 20.01)
    assert machine.tick(20.02).close is None
