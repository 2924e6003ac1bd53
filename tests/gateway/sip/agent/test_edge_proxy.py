"""Calls of one gateway to a phone at another, message by message. Sections are RFC 3261's."""

from __future__ import annotations

import pytest

from piopiy_pipeline.gateway.sip.agent.flow_tokens import FlowToken, FlowTokens
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import SipRequest, SipResponse
from tests.support.sip_bench import SDP, Bench, Leg, Sent, response

NAT = Flow("udp", "198.51.100.77", 40_123)
"""Where the phone's messages come from: its own address, which its Contact has, is private."""
CONTACT = "<sip:alice@192.168.1.20:5060>"
CALLER = Flow("udp", "192.0.2.1", 5060)
"""The gateway that calls, as the phone's gateway sees it: the benches all have one address."""
EDGE = Flow("udp", "10.0.0.5", 5060)


class Pair:
    """The phone's gateway, and one that calls the phone."""

    def __init__(self, flow: Flow = NAT) -> None:
        self.edge, self.caller = Bench(SipConfig(users={"alice": "secret"})), Bench()
        self.flow = flow
        self.edge.register("alice", "secret", flow, contact=CONTACT)
        self.path = self.edge.agent.edge_proxy.path(flow, EDGE.host)
        self.leg = Leg(self.caller)

    def dial(self) -> SipRequest:
        """Call the phone. Returns the INVITE as it goes to the edge."""
        hop = self.caller.agent.location.elsewhere(CONTACT[1:-1], self.flow, self.path)
        assert hop.flow == EDGE._replace(transport="tcp" if self.flow.reliable else "udp")
        self.caller.agent.invite("alice", self.leg.media.offer(), self.leg, hop=hop, now=self.caller.now)
        (invite,) = self.caller.take()
        assert isinstance(invite, SipRequest)
        return invite

    def pass_on(self, data: bytes, source: Flow) -> Sent:
        """Let a message arrive at the edge. Returns the one that it sends."""
        self.edge.receive(data, source)
        return self.edge.sent[-1]


def raw(bench: Bench) -> bytes:
    (message,) = bench.agent.take_outbox()
    return message.data


def test_an_invite_goes_to_the_flow_of_the_phone_and_the_dialog_stays_on_that_way() -> None:
    pair = Pair()
    hop = pair.caller.agent.location.elsewhere(CONTACT[1:-1], NAT, pair.path)
    call = pair.caller.agent.invite("alice", pair.leg.media.offer(), pair.leg, hop=hop, now=1000)
    sent = pair.pass_on(raw(pair.caller), CALLER)
    invite = sent.message
    assert isinstance(invite, SipRequest)
    assert sent.flow == NAT
    assert (invite.method, invite.uri, invite.get("Max-Forwards")) == ("INVITE", CONTACT[1:-1], "69")
    assert invite.listed("Route") == [], "the token that calls begin with stays between gateways"
    assert len(invite.listed("Record-Route")) == 2
    assert len(invite.vias) == 2
    assert pair.edge.agent.transactions == 1, "that of the REGISTER: nothing else is kept"

    pair.edge.agent.receive(answered(invite, 180), NAT, pair.edge.now)
    (back,) = pair.edge.agent.take_outbox()
    assert back.flow == CALLER
    pair.caller.receive(back.data, EDGE)
    assert pair.leg.names == ["ringing"]
    pair.edge.agent.receive(answered(invite, 200), NAT, pair.edge.now)
    (back,) = pair.edge.agent.take_outbox()
    pair.caller.agent.receive(back.data, EDGE, pair.caller.now)
    assert pair.leg.names == ["ringing", "answered"]
    ack = pair.pass_on(raw(pair.caller), CALLER)
    assert isinstance(ack.message, SipRequest)
    assert (ack.message.method, ack.flow, ack.message.listed("Route")) == ("ACK", NAT, [])

    # The phone's own request takes the other of the two routes.
    bye = (
        f"BYE sip:192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.20:5060;branch=z9hG4bKbye;rport\r\n"
        f"Route: {', '.join(invite.listed('Record-Route'))}\r\n"
        f"From: {ack.message.get('To')}\r\nTo: {ack.message.get('From')}\r\nCall-ID: {call.call_id}\r\n"
        "CSeq: 7 BYE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
    pair.edge.agent.receive(bye.encode(), NAT, pair.edge.now)
    (passed,) = pair.edge.agent.take_outbox()
    assert passed.flow == CALLER
    (ok,) = pair.caller.receive(passed.data, EDGE)
    assert isinstance(ok, SipResponse)
    assert ok.code == 200
    assert pair.leg.names[-1] == "ended"


def answered(invite: SipRequest, code: int) -> bytes:
    routes = ", ".join(invite.listed("Record-Route"))
    data = response(invite, code, tag="phone", body=SDP if code == 200 else "", Record_Route=routes)
    return data.replace(b"<sip:bob@192.0.2.9:5060>", CONTACT.encode())


def test_a_cancel_and_the_ack_of_a_refusal_belong_to_the_invite_that_was_passed_on() -> None:
    """16.11: the branch follows from the request."""
    pair = Pair()
    hop = pair.caller.agent.location.elsewhere(CONTACT[1:-1], NAT, pair.path)
    call = pair.caller.agent.invite("alice", pair.leg.media.offer(), pair.leg, hop=hop, now=1000)
    invite = pair.pass_on(raw(pair.caller), CALLER).message
    assert isinstance(invite, SipRequest)
    pair.edge.agent.receive(answered(invite, 180), NAT, pair.edge.now)
    pair.caller.agent.receive(pair.edge.agent.take_outbox()[0].data, EDGE, pair.caller.now)
    call.hangup(pair.caller.now)
    cancel = pair.pass_on(raw(pair.caller), CALLER)
    assert (cancel.flow, cancel.message.via.branch) == (NAT, invite.via.branch)
    pair.edge.agent.receive(response(invite, 487, tag="phone"), NAT, pair.edge.now)
    pair.caller.agent.receive(pair.edge.agent.take_outbox()[0].data, EDGE, pair.caller.now)
    ack = pair.pass_on(raw(pair.caller), CALLER)
    assert (ack.flow, ack.message.via.branch) == (NAT, invite.via.branch)


def test_a_token_that_another_process_made_is_refused() -> None:
    pair = Pair()
    pair.edge.agent.edge_proxy.sign_with(b"another one" * 3)
    pair.dial()
    refused = pair.pass_on(bytes_of(pair), CALLER).message
    assert isinstance(refused, SipResponse)
    assert refused.code == 430


def bytes_of(pair: Pair) -> bytes:
    """The INVITE once more, as it goes over UDP when nobody answers."""
    pair.caller.now += 0.5
    pair.caller.agent.wake(pair.caller.now)
    return raw(pair.caller)


def test_a_connection_that_no_phone_is_registered_on_is_refused_at_once() -> None:
    pair = Pair(Flow("tcp", "198.51.100.77", 40_123))
    assert "transport=tcp" in pair.path, "each hop repeats what is lost, or none does"
    hop = pair.caller.agent.location.elsewhere(CONTACT[1:-1], pair.flow, pair.path)
    pair.caller.agent.invite("alice", pair.leg.media.offer(), pair.leg, hop=hop, now=1000)
    pair.edge.now += 601  # the registration has expired
    refused = pair.pass_on(raw(pair.caller), CALLER._replace(transport="tcp")).message
    assert isinstance(refused, SipResponse)
    assert refused.code == 430


def test_a_response_to_what_was_never_passed_on_goes_nowhere() -> None:
    pair = Pair()
    hop = pair.caller.agent.location.elsewhere(CONTACT[1:-1], NAT, pair.path)
    pair.caller.agent.invite("alice", pair.leg.media.offer(), pair.leg, hop=hop, now=1000)
    invite = pair.pass_on(raw(pair.caller), CALLER).message
    assert isinstance(invite, SipRequest)
    forged = response(invite, 200, tag="x").replace(b"rport=5060", b"rport=9999")
    assert forged != response(invite, 200, tag="x")
    assert pair.edge.receive(forged, NAT) == []
    assert pair.edge.agent.stats.strays == 1


@pytest.mark.parametrize(("old", "new", "code"), [(b"Max-Forwards: 70", b"Max-Forwards: 0", 483)])
def test_what_cannot_be_passed_on_is_refused(old: bytes, new: bytes, code: int) -> None:
    pair = Pair()
    pair.dial()
    refused = pair.pass_on(bytes_of(pair).replace(old, new), CALLER).message
    assert isinstance(refused, SipResponse)
    assert refused.code == code


def test_the_token_of_a_dialog_does_not_begin_calls() -> None:
    """A phone knows it, and is to reach nobody with it whom it does not talk to."""
    pair = Pair()
    pair.dial()
    token = FlowTokens(b"k" * 32)
    pair.edge.agent.edge_proxy.sign_with(b"k" * 32)
    within = token.write(FlowToken(CALLER, within=True)).encode()
    data = bytes_of(pair)
    begin = data.index(b"Route: <sip:") + len(b"Route: <sip:")
    data = data[:begin] + within + data[data.index(b"@", begin) :]
    refused = pair.pass_on(data, NAT).message
    assert isinstance(refused, SipResponse)
    assert refused.code == 430
    begins = token.write(FlowToken(CALLER, within=False)).encode()
    passed = pair.pass_on(data.replace(within, begins), NAT)
    assert passed.flow == CALLER, "the other kind does, so it is the kind that was refused"


def test_a_request_with_a_route_of_somebody_else_is_not_touched() -> None:
    bench = Bench()
    call, _ = bench.ringing_call(headers=["Route: <sip:proxy.example;lr>"])
    assert call.unanswered
    assert bench.agent.stats.passed_on == 0
