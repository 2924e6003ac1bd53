"""Calls of ours, message by message, in virtual time. Sections are RFC 3261's."""

from __future__ import annotations

import pytest

from piopiy_pipeline.gateway.sip.agent.digest_gate import DigestGate
from piopiy_pipeline.gateway.sip.agent.user_agent import CannotCall
from piopiy_pipeline.gateway.sip.config import SipConfig, SipTrunk
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import SipRequest
from tests.support.sip_bench import SDP, Bench, codes, response

TRUNK = SipTrunk(host="198.51.100.7", user="acme", password="secret")


def with_trunk() -> Bench:
    return Bench(SipConfig(trunks={"main": TRUNK}))


def test_a_call_goes_out_rings_is_answered_and_acknowledged() -> None:
    bench = Bench()
    call, leg, invite = bench.dialled_call(from_user="+15550100", headers={"X-Order": "7"})
    assert (invite.method, invite.uri, bench.sent[0].flow) == (
        "INVITE",
        "sip:bob@192.0.2.9",
        Flow("udp", "192.0.2.9", 5060),
    )
    assert invite.from_.uri == "sip:+15550100@192.0.2.1"
    assert (invite.get("X-Order"), invite.content_type) == ("7", "application/sdp")
    bench.receive(response(invite, 100))
    bench.receive(response(invite, 180, tag="bob"))
    (ack,) = bench.receive(response(invite, 200, tag="bob", body=SDP))
    assert isinstance(ack, SipRequest)
    assert (ack.method, ack.uri, ack.to.tag, ack.cseq.sequence) == ("ACK", "sip:bob@192.0.2.9:5060", "bob", 1)
    assert ack.via.branch != invite.via.branch  # 13.2.2.4: it is no part of the transaction
    assert leg.names == ["ringing", "answered"]
    call.hangup(bench.now)
    assert codes(bench.take()) == ["BYE"]
    assert leg.ending == (Ending.HUNG_UP, 200)


def test_the_invite_is_repeated_until_somebody_answers_and_given_up_then() -> None:
    """17.1.1.2: timer A doubles without a limit, timer B is 64*T1."""
    bench = Bench()
    _, leg, _ = bench.dialled_call()
    assert [at for at, _ in bench.run(31.9)] == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    bench.run(0.2)
    assert leg.ending == (Ending.LOST, 408)
    assert bench.agent.calls == []
    assert bench.agent.transactions == 0


def test_a_200_that_comes_again_is_acknowledged_again() -> None:
    bench = Bench()
    _, leg, invite = bench.dialled_call()
    answer = response(invite, 200, tag="bob", body=SDP)
    assert codes(bench.receive(answer)) == ["ACK"]
    assert codes(bench.receive(answer)) == ["ACK"]
    assert leg.names == ["answered"]


def test_a_second_phone_that_answers_too_is_hung_up_on() -> None:
    """13.2.2.4."""
    bench = Bench()
    _, leg, invite = bench.dialled_call()
    bench.receive(response(invite, 200, tag="bob", body=SDP))
    assert codes(bench.receive(response(invite, 200, tag="eve", body=SDP))) == ["ACK", "BYE"]
    assert leg.names == ["answered"]


def test_a_second_phone_behind_a_proxy_that_wants_a_password_is_hung_up_on() -> None:
    bench = with_trunk()
    gate = DigestGate(realm="t", users={"acme": "secret"}, algorithms=["MD5"])
    _, _, invite = bench.dialled_call("1")
    bench.receive(response(invite, 200, tag="bob", body=SDP))
    _, bye = bench.receive(response(invite, 200, tag="eve", body=SDP))
    assert isinstance(bye, SipRequest)
    challenge = gate.challenges(bench.now)[0]
    (again,) = bench.receive(response(bye, 407, Proxy_Authenticate=challenge))
    assert isinstance(again, SipRequest)
    assert (again.method, again.to.tag, again.cseq.sequence) == ("BYE", "eve", 3)
    verdict = gate.check([again.get("Proxy-Authorization")], method="BYE", now=bench.now)
    assert verdict.outcome == "right"


def test_requests_within_a_call_have_numbers_of_their_own_after_a_challenge_too() -> None:
    """12.2.1.1: each is greater than all before."""
    bench = with_trunk()
    gate = DigestGate(realm="t", users={"acme": "secret"}, algorithms=["MD5"])
    call, _, invite = bench.dialled_call("1")
    bench.receive(response(invite, 200, tag="bob", body=SDP, Session_Expires="120;refresher=uac"))
    ((_, refresh),) = bench.run(60.0)
    assert isinstance(refresh, SipRequest)
    challenge = gate.challenges(bench.now)[0]
    _, again = bench.receive(response(refresh, 407, Proxy_Authenticate=challenge))
    call.hangup(bench.now)
    (bye,) = bench.take()
    assert isinstance(again, SipRequest)
    assert isinstance(bye, SipRequest)
    assert [(one.method, one.cseq.sequence) for one in (invite, refresh, again, bye)] == [
        ("INVITE", 1),
        ("INVITE", 2),
        ("INVITE", 3),
        ("BYE", 4),
    ]


def test_sound_before_the_answer_is_told() -> None:
    bench = Bench()
    _, leg, invite = bench.dialled_call()
    bench.receive(response(invite, 183, tag="bob", body=SDP))
    assert leg.names == ["early_media"]


@pytest.mark.parametrize("code", [404, 486, 603, 302, 500])
def test_a_refusal_is_acknowledged_and_told_once(code: int) -> None:
    """17.1.1.3; redirections are not followed."""
    bench = Bench()
    _, leg, invite = bench.dialled_call()
    refusal = response(invite, code, "No", tag="bob")
    (ack,) = bench.receive(refusal)
    assert isinstance(ack, SipRequest)
    assert (ack.method, ack.via.branch, ack.uri, ack.to.tag) == ("ACK", invite.via.branch, invite.uri, "bob")
    assert codes(bench.receive(refusal)) == ["ACK"]
    assert leg.events == [("ended", Ending.REFUSED, code, "No")]
    bench.run(33.0)  # timer D
    assert bench.agent.transactions == 0


def test_a_password_is_given_when_it_is_asked_for() -> None:
    """22.2, 22.3: with the same Call-ID and tag, the next CSeq and another branch."""
    bench = with_trunk()
    gate = DigestGate(realm="t", users={"acme": "secret"}, algorithms=["SHA-256", "MD5"])
    _, leg, invite = bench.dialled_call("+15550199")
    assert invite.uri == "sip:+15550199@198.51.100.7:5060"
    challenge = gate.challenges(bench.now)[0]
    ack, again = bench.receive(response(invite, 407, tag="p", Proxy_Authenticate=challenge))
    assert isinstance(again, SipRequest)
    assert codes([ack, again]) == ["ACK", "INVITE"]
    assert (again.cseq.sequence, again.call_id, again.from_.tag) == (2, invite.call_id, invite.from_.tag)
    assert again.via.branch != invite.via.branch
    given = [again.get("Proxy-Authorization")]
    assert gate.check(given, method="INVITE", now=bench.now).outcome == "right"
    (ack2,) = bench.receive(response(again, 200, tag="bob", body=SDP))
    assert (ack2.cseq.sequence, ack2.get("Proxy-Authorization")) == (2, given[0])
    assert leg.names == ["answered"]


def test_a_wrong_password_is_not_given_twice() -> None:
    bench = with_trunk()
    gate = DigestGate(realm="t", users={"acme": "other"}, algorithms=["MD5"])
    _, leg, invite = bench.dialled_call("1")
    _, again = bench.receive(response(invite, 401, WWW_Authenticate=gate.challenges(bench.now)[0]))
    assert isinstance(again, SipRequest)
    refused = response(again, 401, tag="p", WWW_Authenticate=gate.challenges(bench.now)[0])
    assert codes(bench.receive(refused)) == ["ACK"]
    assert leg.ending == (Ending.REFUSED, 401)


def test_a_stale_nonce_is_answered_with_the_new_one() -> None:
    """22.3: stale=true means that the password was right."""
    bench = with_trunk()
    gate = DigestGate(realm="t", users={"acme": "secret"}, algorithms=["MD5"])
    _, _, invite = bench.dialled_call("1")
    _, second = bench.receive(response(invite, 401, WWW_Authenticate=gate.challenges(0.0)[0]))
    assert isinstance(second, SipRequest)
    stale = gate.challenges(bench.now, stale=True)[0]
    _, third = bench.receive(response(second, 401, WWW_Authenticate=stale))
    assert isinstance(third, SipRequest)
    verdict = gate.check([third.get("Authorization")], method="INVITE", now=bench.now)
    assert verdict.outcome == "right"


def test_giving_up_while_it_rings_is_a_cancel() -> None:
    """9.1: same branch, same CSeq number; the INVITE ends with 487."""
    bench = Bench()
    call, leg, invite = bench.dialled_call()
    bench.receive(response(invite, 180, tag="bob"))
    call.hangup(bench.now)
    (cancel,) = bench.take()
    assert isinstance(cancel, SipRequest)
    assert (cancel.method, cancel.via.branch, cancel.cseq.sequence) == ("CANCEL", invite.via.branch, 1)
    assert leg.ending == (Ending.CANCELLED, 487)
    bench.receive(response(cancel, 200))
    assert codes(bench.receive(response(invite, 487, tag="bob"))) == ["ACK"]
    assert bench.agent.calls == []


def test_nothing_is_cancelled_before_the_other_side_has_said_anything() -> None:
    """9.1."""
    bench = Bench()
    call, _, invite = bench.dialled_call()
    call.hangup(bench.now)
    assert bench.take() == []
    assert codes(bench.receive(response(invite, 100))) == ["CANCEL"]


def test_an_answer_that_crosses_the_cancel_is_acknowledged_and_ended() -> None:
    """9.1, 15."""
    bench = Bench()
    call, leg, invite = bench.dialled_call()
    bench.receive(response(invite, 180, tag="bob"))
    call.hangup(bench.now)
    bench.take()
    assert codes(bench.receive(response(invite, 200, tag="bob", body=SDP))) == ["ACK", "BYE"]
    assert leg.names == ["ringing", "ended"]


def test_a_cancelled_call_that_is_never_answered_is_forgotten() -> None:
    """9.1: after 64*T1."""
    bench = Bench()
    call, _, invite = bench.dialled_call()
    bench.receive(response(invite, 180, tag="bob"))
    call.hangup(bench.now)
    bench.run(40.0)
    assert bench.agent.calls == []
    assert bench.agent.transactions == 0


@pytest.mark.parametrize("said", [100, 180])
def test_what_comes_late_does_not_keep_a_cancelled_call(said: int) -> None:
    """9.1: a proxy repeats its 180 each minute, or it crosses the CANCEL."""
    bench = Bench()
    call, _, invite = bench.dialled_call()
    bench.receive(response(invite, 180, tag="bob"))
    call.hangup(bench.now)
    bench.run(1.0)
    bench.receive(response(invite, said, tag="bob"))
    bench.run(40.0)
    assert bench.agent.calls == []
    assert bench.agent.transactions == 0


def test_who_does_not_answer_within_the_ring_timeout_is_left_alone() -> None:
    bench = Bench()
    _, leg, invite = bench.dialled_call(ring_timeout_s=20.0)
    bench.receive(response(invite, 180, tag="bob"))
    passed = bench.run(20.1)
    assert [(at, *codes([m])) for at, m in passed] == [(20.0, "CANCEL")]
    assert leg.ending == (Ending.NO_ANSWER, 408)


def test_an_answer_without_a_description_ends_the_call() -> None:
    bench = Bench()
    _, leg, invite = bench.dialled_call()
    assert codes(bench.receive(response(invite, 200, tag="bob"))) == ["ACK", "BYE"]
    assert leg.ending == (Ending.REFUSED, 488)


def test_requests_within_the_call_follow_the_recorded_route() -> None:
    """12.1.2, 12.2.1.1: in reverse order, loosely routed."""
    bench = Bench()
    call, _, invite = bench.dialled_call()
    routes = "<sip:192.0.2.50;lr>, <sip:192.0.2.40;lr>"
    bench.receive(response(invite, 200, tag="bob", body=SDP, Record_Route=routes))
    call.hangup(bench.now)
    (bye,) = bench.take()
    assert isinstance(bye, SipRequest)
    assert (bye.uri, bye.listed("Route")) == (
        "sip:bob@192.0.2.9:5060",
        ["<sip:192.0.2.40;lr>", "<sip:192.0.2.50;lr>"],
    )
    assert bench.sent[-1].flow == Flow("udp", "192.0.2.40", 5060)


def test_a_strict_router_is_addressed_itself() -> None:
    """12.2.1.1."""
    bench = Bench()
    call, _, invite = bench.dialled_call()
    bench.receive(response(invite, 200, tag="bob", body=SDP, Record_Route="<sip:192.0.2.40>"))
    call.hangup(bench.now)
    (bye,) = bench.take()
    assert isinstance(bye, SipRequest)
    assert (bye.uri, bye.listed("Route")) == ("sip:192.0.2.40", ["<sip:bob@192.0.2.9:5060>"])


def test_a_call_that_cannot_be_sent_is_lost_at_once() -> None:
    """17.1.4."""
    bench = Bench()
    _, leg, invite = bench.dialled_call()
    bench.agent.undelivered((invite.via.branch, "INVITE"), bench.now)
    assert leg.ending == (Ending.LOST, 503)
    assert bench.agent.calls == []


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ("100", "no trunk"),
        ("sip:@", "no URI|no user|no host"),
        ("sip:", "no host"),
        ("sips:a b@c", "characters"),
    ],
)
def test_what_cannot_be_called_says_why(to: str, says: str) -> None:
    with pytest.raises(CannotCall, match=says):
        Bench().dialled_call(to)


def test_headers_of_the_protocol_cannot_be_set_and_none_can_smuggle_another_in() -> None:
    with pytest.raises(CannotCall, match="may not set"):
        Bench().dialled_call(headers={"Via": "x"})
    with pytest.raises(CannotCall, match="printable"):
        Bench().dialled_call(headers={"X-A": "b\r\nVia: x"})
    _, _, invite = Bench().dialled_call(from_name='Eve" <sip:ceo@bank>\r\nX-Evil: 1')
    assert invite.get("X-Evil") == ""
    assert invite.from_.name == 'Eve" <sip:ceo@bank>  X-Evil: 1'


def test_a_registered_phone_is_called_where_it_registered_from() -> None:
    bench = Bench(SipConfig(users={"bob": "pw"}))
    home = Flow("tcp", "203.0.113.5", 40_000)
    assert codes(bench.register("bob", "pw", home)) == [200]
    _, _, invite = bench.dialled_call("bob")
    assert (invite.uri, bench.sent[-1].flow) == ("sip:bob@192.0.2.9:5060", home)


def test_what_the_183_said_holds_for_an_answer_that_says_nothing() -> None:
    bench = Bench()
    _, leg, invite = bench.dialled_call()
    bench.receive(response(invite, 183, tag="bob", body=SDP))
    assert codes(bench.receive(response(invite, 200, tag="bob"))) == ["ACK"]
    assert leg.names == ["early_media", "answered"]
