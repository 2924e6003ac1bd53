"""Calls that come in, message by message, in virtual time. Sections are RFC 3261's."""

from __future__ import annotations

import pytest

from piopiy_pipeline.gateway.sip.config import SipConfig, SipRoute, SipTrunk
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import SipRequest, SipResponse
from tests.support.sip_bench import PHONE, SDP, Bench, codes, offer_of, request, response


def test_an_invite_is_told_trying_at_once_and_offered_to_the_gateway() -> None:
    bench = Bench()
    assert codes(bench.receive(request("INVITE", body=SDP, headers=["X-Campaign: spring"]))) == [100]
    (call,) = bench.calls
    assert (call.direction, call.agent_id, call.from_user, call.from_name) == (
        "in",
        "desk",
        "alice",
        "Alice A",
    )
    assert (call.to_user, call.headers["X-Campaign"], call.source) == ("100", "spring", ("192.0.2.9", 5060))
    assert call.offer is not None


def test_ringing_and_answer_carry_our_tag_contact_and_description() -> None:
    bench = Bench()
    bench.receive(request("INVITE", body=SDP, headers=["Record-Route: <sip:proxy.example;lr>"]))
    call, leg = bench.calls[0], bench.legs[0]
    call.ring(bench.now)
    assert call.offer is not None
    call.answer(leg.media.answer(call.offer)[0], bench.now)
    ringing, answer = bench.take()
    assert codes([ringing, answer]) == [180, 200]
    assert ringing.to.tag == answer.to.tag == call.local_tag
    assert answer.get("Contact") == "<sip:100@192.0.2.1:5060>"
    assert answer.get("Record-Route") == "<sip:proxy.example;lr>"  # 12.1.1
    assert answer.content_type == "application/sdp"


def test_the_invite_said_again_is_answered_with_the_last_provisional_response() -> None:
    """17.2.1."""
    bench = Bench()
    invite = request("INVITE", body=SDP)
    bench.receive(invite)
    assert codes(bench.receive(invite)) == [100]
    bench.calls[0].ring(bench.now)
    bench.take()
    assert codes(bench.receive(invite)) == [180]
    assert len(bench.calls) == 1
    assert bench.agent.stats.retransmissions == 2


def test_a_200_is_repeated_until_its_ack_comes() -> None:
    """13.3.1.4: T1, doubled up to T2."""
    bench = Bench()
    call, leg = bench.ringing_call()
    assert call.offer is not None
    call.answer(leg.media.answer(call.offer)[0], bench.now)
    assert codes(bench.take()) == [200]
    again = bench.run(8.0)
    assert [(at, m.code) for at, m in again if isinstance(m, SipResponse)] == [
        (0.5, 200),
        (1.5, 200),
        (3.5, 200),
        (7.5, 200),
    ]
    assert leg.names == []
    assert bench.receive(request("ACK", branch="ack", to_tag=call.local_tag)) == []
    assert leg.names == ["answered"]
    assert bench.run(60.0) == []
    assert bench.agent.transactions == 0


def test_without_an_ack_the_call_is_ended_with_a_bye() -> None:
    """13.3.1.4: after 64*T1."""
    bench = Bench()
    call, leg = bench.ringing_call()
    assert call.offer is not None
    call.answer(leg.media.answer(call.offer)[0], bench.now)
    bench.take()
    passed = bench.run(33.0)
    assert codes(m for _, m in passed)[-2] == "BYE"
    assert next(at for at, m in passed if isinstance(m, SipRequest)) == 32.0
    assert leg.ending == (Ending.LOST, 408)
    assert call.ended


def test_a_bye_of_ours_waits_for_the_ack() -> None:
    """15: a BYE must not be sent before the ACK came."""
    bench = Bench()
    call, leg = bench.ringing_call()
    assert call.offer is not None
    call.answer(leg.media.answer(call.offer)[0], bench.now)
    bench.take()
    call.hangup(bench.now)
    assert leg.ending == (Ending.HUNG_UP, 200)
    assert bench.take() == []
    assert codes(bench.receive(request("ACK", branch="ack", to_tag=call.local_tag))) == ["BYE"]


def test_a_bye_ends_the_call_once_however_often_it_comes() -> None:
    bench = Bench()
    call, leg = bench.answered_call()
    bye = request("BYE", branch="bye", cseq=2, to_tag=call.local_tag)
    assert codes(bench.receive(bye)) == [200]
    assert codes(bench.receive(bye)) == [200]
    assert leg.names == ["answered", "ended"]
    assert leg.ending == (Ending.PEER_HUNG_UP, 200)
    assert bench.agent.calls == []


def test_our_bye_is_repeated_until_it_is_answered() -> None:
    """17.1.2.2: timer E doubles up to T2, timer F is 64*T1."""
    bench = Bench()
    call, _ = bench.answered_call()
    call.hangup(bench.now)
    (bye,) = bench.take()
    assert isinstance(bye, SipRequest)
    assert (bye.method, bye.uri, bye.to.tag, bye.from_.tag) == (
        "BYE",
        "sip:alice@192.0.2.9:5060",
        "phone",
        call.local_tag,
    )
    assert [at for at, _ in bench.run(8.0)] == [0.5, 1.5, 3.5, 7.5]
    bench.receive(response(bye, 200))
    assert bench.run(60.0) == []


def test_cancel_while_it_rings_ends_the_call_with_487() -> None:
    """9.2."""
    bench = Bench()
    call, leg = bench.ringing_call()
    assert codes(bench.receive(request("CANCEL"))) == [200, 487]
    assert leg.ending == (Ending.CANCELLED, 487)
    call.answer(leg.media.offer(), bench.now)  # too late
    assert bench.take() == []
    assert bench.receive(request("ACK")) == []
    assert bench.run(60.0) == []
    assert bench.agent.transactions == 0


def test_a_487_is_repeated_until_its_ack_comes() -> None:
    """17.2.1: timer G, and H that gives up."""
    bench = Bench()
    bench.ringing_call()
    bench.receive(request("CANCEL"))
    assert [at for at, _ in bench.run(10.0)] == [0.5, 1.5, 3.5, 7.5]
    bench.run(60.0)
    assert bench.agent.transactions == 0


def test_a_cancel_that_crosses_the_answer_changes_nothing() -> None:
    """9.2: the INVITE has its final response already."""
    bench = Bench()
    call, leg = bench.ringing_call()
    assert call.offer is not None
    call.answer(leg.media.answer(call.offer)[0], bench.now)
    bench.take()
    assert codes(bench.receive(request("CANCEL"))) == [200]
    bench.receive(request("ACK", branch="ack", to_tag=call.local_tag))
    assert leg.names == ["answered"]
    assert not call.ended


def test_a_cancel_of_nothing_is_refused() -> None:
    assert codes(Bench().receive(request("CANCEL"))) == [481]


@pytest.mark.parametrize(
    ("code", "phrase"), [(486, "Busy Here"), (480, "Temporarily Unavailable"), (302, "Gone")]
)
def test_a_refusal_is_repeated_until_its_ack_comes_and_is_forgotten_then(code: int, phrase: str) -> None:
    """17.2.1: timer I keeps the transaction for T4, to take in ACKs that come twice."""
    bench = Bench()
    call, leg = bench.ringing_call()
    call.reject(code, phrase, bench.now)
    assert codes(bench.take()) == [code]
    assert codes(m for _, m in bench.run(0.6)) == [code]
    bench.receive(request("ACK"))
    assert bench.run(4.9) == []
    assert bench.agent.transactions == 1
    bench.run(0.2)
    assert bench.agent.transactions == 0
    assert leg.ending == (Ending.HUNG_UP, code)


def test_hanging_up_before_the_answer_is_a_refusal() -> None:
    bench = Bench()
    call, _ = bench.ringing_call()
    call.hangup(bench.now)
    assert codes(bench.take()) == [480]
    with pytest.raises(ValueError, match="300-699"):
        call.reject(200, "OK", bench.now)


def test_a_caller_may_give_up_with_bye_too() -> None:
    """15.1.2: the early dialog ends, and so does the INVITE."""
    bench = Bench()
    call, leg = bench.ringing_call()
    assert codes(bench.receive(request("BYE", branch="bye", cseq=2, to_tag=call.local_tag))) == [200, 487]
    assert leg.ending == (Ending.PEER_HUNG_UP, 200)


def test_a_caller_without_an_offer_answers_ours_in_the_ack() -> None:
    """13.2.2.4, 14.2."""
    bench = Bench()
    bench.receive(request("INVITE"))
    call, leg = bench.calls[0], bench.legs[0]
    assert call.offer is None
    call.answer(leg.media.offer(), bench.now)
    (answer,) = bench.take()
    assert b"m=audio 30000" in answer.body
    bench.receive(request("ACK", branch="ack", to_tag=call.local_tag, body=SDP))
    name, description = leg.events[0]
    assert (name, description.audio.port) == ("answered", 4000)


def test_an_ack_without_the_answer_that_is_due_ends_the_call() -> None:
    bench = Bench()
    bench.receive(request("INVITE"))
    call, leg = bench.calls[0], bench.legs[0]
    call.answer(leg.media.offer(), bench.now)
    bench.take()
    assert codes(bench.receive(request("ACK", branch="ack", to_tag=call.local_tag))) == ["BYE"]
    assert leg.ending == (Ending.HUNG_UP, 488)


def test_an_invite_that_came_by_two_ways_is_refused_the_second_time() -> None:
    """8.2.2.2."""
    bench = Bench()
    bench.receive(request("INVITE", body=SDP))
    assert codes(bench.receive(request("INVITE", branch="b2", body=SDP))) == [482]
    assert len(bench.calls) == 1


def test_requests_within_calls_that_are_none_are_refused() -> None:
    """12.2.2."""
    bench = Bench()
    call, _ = bench.answered_call()
    assert codes(bench.receive(request("BYE", branch="x", cseq=2, to_tag="nobody"))) == [481]
    stranger = request("BYE", branch="y", cseq=2, to_tag=call.local_tag, from_tag="stranger")
    assert codes(bench.receive(stranger)) == [481]
    assert not call.ended


def test_a_request_that_was_overtaken_is_refused() -> None:
    """12.2.2."""
    bench = Bench()
    call, _ = bench.answered_call(cseq=10)
    assert codes(bench.receive(request("INFO", branch="x", cseq=9, to_tag=call.local_tag))) == [500]


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"uri": "tel:+15550100", "body": SDP}, 100),
        ({"uri": "mailto:100@192.0.2.1", "body": SDP}, 416),
        ({"uri": "sip:100@@192.0.2.1", "body": SDP}, 400),
        ({"body": SDP, "headers": ["Require: 100rel, timer"]}, 420),
        ({"body": SDP, "headers": ["Accept: text/plain"]}, 406),
        ({"body": "hello", "headers": ["Content-Type: text/plain"]}, 415),
        ({"body": "hello"}, 400),
        ({"body": SDP.replace("m=audio", "m=video")}, 488),
        ({"body": offer_of(codecs="18")}, 488),
        ({"body": SDP.replace("RTP/AVP", "RTP/SAVP")}, 488),
        ({"body": SDP, "headers": ["Supported: timer", "Session-Expires: 30"]}, 422),
    ],
)
def test_what_cannot_be_taken_is_refused_with_the_status_that_says_why(
    parts: dict[str, object], code: int
) -> None:
    bench = Bench()
    (only,) = bench.receive(request("INVITE", **parts))  # type: ignore[arg-type]  # parts of several kinds
    assert codes([only]) == [code]
    assert only.to.tag or code == 100
    if code != 100:
        assert bench.calls == []
        assert bench.agent.transactions == 0  # refused without one: 8.2.7
        if code == 420:
            assert only.get("Unsupported") == "100rel"


@pytest.mark.parametrize("method", ["BYE", "INFO", "NOTIFY"])
def test_a_request_of_a_call_without_a_to_tag_belongs_to_no_call(method: str) -> None:
    """15.1.2. With 405 the Allow header would list the very method that it refuses."""
    assert codes(Bench().receive(request(method))) == [481]


@pytest.mark.parametrize(
    ("method", "code"), [("MESSAGE", 405), ("PUBLISH", 405), ("UPDATE", 405), ("FROB", 501)]
)
def test_methods_that_are_not_served_are_refused_with_those_that_are(method: str, code: int) -> None:
    (only,) = Bench().receive(request(method))
    assert codes([only]) == [code]
    assert "INVITE" in only.get("Allow")


def test_options_tell_what_is_served() -> None:
    """11.2."""
    (only,) = Bench().receive(request("OPTIONS"))
    assert codes([only]) == [200]
    assert (only.get("Accept"), "BYE" in only.get("Allow")) == ("application/sdp", True)


def test_a_number_that_no_route_names_is_not_found_and_counted() -> None:
    bench = Bench(SipConfig(callers="anyone", routes=[SipRoute(to="2*", agent="sales")]))
    assert codes(bench.receive(request("INVITE", body=SDP))) == [404]
    assert bench.agent.stats.unknown_numbers == 1
    assert codes(bench.receive(request("INVITE", branch="b2", uri="sip:200@x", body=SDP))) == [100]
    assert bench.calls[0].agent_id == "sales"


def test_only_a_trunk_is_believed_what_it_asserts_of_the_caller() -> None:
    trunk = SipTrunk(host="198.51.100.7")
    bench = Bench(SipConfig(callers="anyone", default_agent="desk", trunks={"t": trunk}))
    asserted = ["P-Asserted-Identity: <sip:+15550100@x>"]
    bench.receive(request("INVITE", body=SDP, headers=asserted))
    bench.receive(
        request("INVITE", call_id="c2", branch="b2", body=SDP, headers=asserted),
        Flow("udp", "198.51.100.7", 5060),
    )
    assert ["P-Asserted-Identity" in call.headers for call in bench.calls] == [False, True]


def test_who_will_not_say_who_calls_is_nobody() -> None:
    bench = Bench()
    data = request("INVITE", body=SDP).replace(
        b"sip:alice@192.0.2.9>;tag", b"sip:anonymous@anonymous.invalid>;tag"
    )
    bench.receive(data)
    assert (bench.calls[0].from_user, bench.calls[0].from_name) == ("", "")


def test_replies_go_where_the_request_came_from_when_it_asks_for_that() -> None:
    """RFC 3581; without rport to the port of Via: 18.2.2."""
    bench = Bench()
    behind_nat = Flow("udp", "203.0.113.5", 40_000)
    (reply,) = bench.receive(request("OPTIONS"), behind_nat)
    assert bench.sent[-1].flow == behind_nat
    assert reply.via.parameters["received"] == "203.0.113.5"
    assert reply.via.parameters["rport"] == "40000"
    bench.receive(request("OPTIONS", branch="b2").replace(b";rport", b""), behind_nat)
    assert bench.sent[-1].flow == Flow("udp", "203.0.113.5", 5060)


def test_calls_of_a_phone_behind_a_nat_are_ended_where_they_came_from() -> None:
    bench = Bench()
    home = Flow("udp", "203.0.113.5", 40_000)
    invite = request("INVITE", body=SDP).replace(
        b"Contact: <sip:alice@192.0.2.9", b"Contact: <sip:alice@10.0.0.7"
    )
    bench.receive(invite, home)
    call, leg = bench.calls[0], bench.legs[0]
    assert call.offer is not None
    call.answer(leg.media.answer(call.offer)[0], bench.now)
    bench.take()
    bench.receive(request("ACK", branch="ack", to_tag=call.local_tag), home)
    call.hangup(bench.now)
    (bye,) = bench.take()
    assert isinstance(bye, SipRequest)
    assert bye.uri == "sip:alice@10.0.0.7:5060"
    assert bench.sent[-1].flow == home


def test_over_a_connection_nothing_is_repeated_but_the_200() -> None:
    """17.2.1: timer G is for unreliable transports; 13.3.1.4 for all."""
    bench = Bench()
    phone = Flow("tcp", PHONE.host, 50_000)
    bench.receive(request("INVITE", body=SDP, transport="TCP"), phone)
    bench.calls[0].reject(486, "", bench.now)
    assert codes(bench.take()) == [486]
    assert bench.run(10.0) == []
    bench.receive(request("INVITE", call_id="c2", branch="b2", body=SDP, transport="TCP"), phone)
    call, leg = bench.calls[1], bench.legs[1]
    assert call.offer is not None
    call.answer(leg.media.answer(call.offer)[0], bench.now)
    assert codes(bench.take()) == [200]
    assert codes(m for _, m in bench.run(0.6)) == [200]


def test_a_leg_that_fails_costs_its_own_call_only() -> None:
    bench = Bench()

    def fail(call: object, now: float) -> None:
        raise RuntimeError("a bug")

    bench.incoming_call = fail  # type: ignore[method-assign]  # the gateway's side breaks
    assert codes(bench.receive(request("INVITE", body=SDP))) == [100, 500]
    assert codes(bench.receive(request("OPTIONS", branch="o"))) == [200]


def test_a_call_that_nobody_could_take_is_over() -> None:
    """It would be counted, and keep its ports, for ever."""

    class Broken(Bench):
        def incoming_call(self, call: IncomingCall, now: float) -> None:
            super().incoming_call(call, now)
            raise RuntimeError("no room in the book")

    bench = Broken()
    assert codes(bench.receive(request("INVITE", body=SDP))) == [100, 500]
    assert bench.legs[0].ending == (Ending.HUNG_UP, 500)
    bench.run(70.0)
    assert (bench.agent.calls, bench.agent.transactions) == ([], 0)
    assert codes(bench.receive(request("INVITE", branch="b2", body=SDP))) == [100, 500]


def test_whose_sender_may_be_false_is_known() -> None:
    """A datagram may come from anybody; a connection, a password and a trunk's network speak for themselves."""
    trunk = SipTrunk(host="198.51.100.9")
    bench = Bench(SipConfig(callers="anyone", default_agent="desk", trunks={"t": trunk}))
    assert not bench.ringing_call()[0].present
    tcp, of_trunk = Flow("tcp", "192.0.2.9", 5060), Flow("udp", "198.51.100.9", 5060)
    for n, source in enumerate((tcp, of_trunk)):
        bench.receive(request("INVITE", body=SDP, branch=f"x{n}", call_id=f"x{n}"), source)
        assert bench.calls[-1].present


def test_a_gateway_that_drains_sends_new_calls_elsewhere_and_goes_on_with_those_that_it_has() -> None:
    bench = Bench()
    call, leg = bench.answered_call()
    bench.agent.drain(on=True)
    (refused,) = bench.receive(request("INVITE", branch="new", call_id="call-2", body=SDP))
    assert isinstance(refused, SipResponse)
    assert (refused.code, refused.get("Retry-After")) == (503, "60")
    assert codes(bench.receive(request("OPTIONS", branch="o", call_id="ping"))) == [503]
    assert codes(bench.receive(request("BYE", branch="bye", cseq=2, to_tag=call.local_tag))) == [200]
    assert leg.names[-1] == "ended"
    bench.agent.drain(on=False)
    assert codes(bench.receive(request("INVITE", branch="third", call_id="call-3", body=SDP))) == [100]
