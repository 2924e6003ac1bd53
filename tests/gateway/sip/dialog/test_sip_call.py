"""What happens within a call: hold, media moves, keys, transfer, session timers. In virtual time."""

from __future__ import annotations

import pytest

from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import SipRequest
from tests.support.sip_bench import SDP, Bench, Leg, codes, offer_of, request, response


def test_a_phone_holds_and_resumes() -> None:
    """RFC 3264, 8.4: sendonly is answered with recvonly."""
    bench = Bench()
    call, leg = bench.answered_call()
    hold = request("INVITE", branch="h", cseq=2, to_tag=call.local_tag, body=offer_of("sendonly"))
    (held,) = bench.receive(hold)
    assert codes([held]) == [200]
    assert b"a=recvonly" in held.body
    bench.receive(request("ACK", branch="h2", cseq=2, to_tag=call.local_tag))
    (resumed,) = bench.receive(request("INVITE", branch="r", cseq=3, to_tag=call.local_tag, body=offer_of()))
    assert b"a=sendrecv" in resumed.body
    assert leg.names == ["answered", "reoffered", "reoffered"]


def test_the_200_of_a_reinvite_is_repeated_until_its_ack_comes() -> None:
    """14.2, 13.3.1.4."""
    bench = Bench()
    call, _ = bench.answered_call()
    bench.receive(request("INVITE", branch="h", cseq=2, to_tag=call.local_tag, body=offer_of("inactive")))
    assert codes(m for _, m in bench.run(1.6)) == [200, 200]
    bench.receive(request("ACK", branch="h2", cseq=2, to_tag=call.local_tag))
    assert codes(m for _, m in bench.run(40)) == []


def test_a_change_that_the_leg_refuses_leaves_everything_as_it_is() -> None:
    bench = Bench()
    call, leg = bench.answered_call()
    leg.refuses = True
    change = request("INVITE", branch="h", cseq=2, to_tag=call.local_tag, body=offer_of())
    assert codes(bench.receive(change)) == [488]
    broken = request("INVITE", branch="h3", cseq=3, to_tag=call.local_tag, body="v=1")
    assert codes(bench.receive(broken)) == [400]
    assert not call.ended


def test_a_change_from_somebody_who_says_nowhere_to_answer_to_leaves_everything_as_it_is() -> None:
    bench = Bench()
    call, leg = bench.answered_call()
    change = request("INVITE", branch="h", cseq=2, to_tag=call.local_tag, body=offer_of("sendonly"))
    for n, uri in enumerate((b"sip:alice@192.%0.2.9", b"mailto:alice@x")):
        broken = change.replace(b"Contact: <sip:alice@192.0.2.9:5060>", b"Contact: <" + uri + b">")
        assert codes(bench.receive(broken.replace(b"z9hG4bKh", b"z9hG4bKh%d" % n))) == [400]
    assert leg.names == ["answered"]


def test_a_reinvite_without_an_offer_is_answered_with_ours() -> None:
    """14.2."""
    bench = Bench()
    call, leg = bench.answered_call()
    (offered,) = bench.receive(request("INVITE", branch="h", cseq=2, to_tag=call.local_tag))
    assert b"m=audio 30000" in offered.body
    bench.receive(request("ACK", branch="h2", cseq=2, to_tag=call.local_tag, body=SDP))
    assert leg.names == ["answered", "reoffered", "reanswered"]


def refreshing_call(bench: Bench) -> tuple[IncomingCall, Leg, SipRequest]:
    """A call whose session we refresh (RFC 4028), and our re-INVITE after half of its interval."""
    call, leg = bench.answered_call(headers=["Supported: timer", "Session-Expires: 90;refresher=uas"])
    seen = bench.run(45.0)
    (_, ours) = seen[-1]
    assert isinstance(ours, SipRequest)
    assert ours.method == "INVITE"
    return call, leg, ours


def test_two_changes_at_once_are_refused_by_the_book() -> None:
    """14.2: 500 while one waits for its ACK, 491 while ours is under way."""
    bench = Bench()
    call, _ = bench.answered_call()
    bench.receive(request("INVITE", branch="h", cseq=2, to_tag=call.local_tag, body=offer_of()))
    early = request("INVITE", branch="i", cseq=3, to_tag=call.local_tag, body=offer_of())
    (refused,) = bench.receive(early)
    assert (codes([refused]), refused.get("Retry-After")) == ([500], "2")
    bench = Bench()
    call, _, _ = refreshing_call(bench)
    glare = request("INVITE", branch="j", cseq=4, to_tag=call.local_tag, body=offer_of())
    assert codes(bench.receive(glare)) == [491]


def test_the_answer_to_a_refresh_is_acknowledged_each_time_it_comes() -> None:
    bench = Bench()
    _, leg, ours = refreshing_call(bench)
    answer = response(ours, 200, body=offer_of())
    assert codes(bench.receive(answer)) == ["ACK"]
    assert codes(bench.receive(answer)) == ["ACK"]
    assert leg.names == ["answered", "reanswered"]


def test_a_refresh_that_is_refused_is_tried_again_and_the_call_goes_on() -> None:
    bench = Bench()
    call, _, ours = refreshing_call(bench)
    bench.receive(response(ours, 488))
    assert not call.ended
    assert "INVITE" in codes(message for _, message in bench.run(6.0))


def test_who_does_not_know_the_call_any_more_has_left_it() -> None:
    """12.2.1.2: 481 and silence end the dialog."""
    bench = Bench()
    _, leg, ours = refreshing_call(bench)
    assert codes(bench.receive(response(ours, 481))) == ["ACK", "BYE"]
    assert leg.ending == (Ending.LOST, 481)


@pytest.mark.parametrize(
    ("content", "body", "digits"),
    [
        ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", "5"),
        ("application/dtmf-relay", "Signal= 11\r\n", "#"),
        ("application/dtmf-relay", "Duration=1\r\nSignal=*\r\n", "*"),
        ("application/dtmf-relay", "signal=d", "D"),
        ("Application/DTMF-Relay;charset=utf-8", "Signal=3", "3"),
        ("application/dtmf-relay", 'SIGNAL = "#"\nDURATION = 250\n', "#"),
        ("application/dtmf-relay", "Signal:9\rDuration:100\r", "9"),
        ("application/dtmf-relay", "Signal=star\r\n", "*"),
        ("application/dtmf-relay", "8", "8"),
        ("application/dtmf", "7", "7"),
        ("application/dtmf", "*\r\n", "*"),
        ("application/dtmf", "11", "#"),
        ("application/dtmf", "Signal=4\r\nDuration=100\r\n", "4"),
        ("application/dtmf", "5\0", "5"),
        (
            "application/vnd.nortelnetworks.digits",
            "p=Digit-Collection\r\ny=Digits\r\ns=success\r\nu=12345678\r\ni=87654321\r\np=1\r\nd=6\r\n",
            "6",
        ),
    ],
)
def test_keys_come_by_info_too(content: str, body: str, digits: str) -> None:
    bench = Bench()
    call, leg = bench.answered_call()
    info = request(
        "INFO", branch="i", cseq=2, to_tag=call.local_tag, body=body, headers=[f"Content-Type: {content}"]
    )
    assert codes(bench.receive(info)) == [200]
    assert codes(bench.receive(info)) == [200]
    assert leg.events[1:] == [("dtmf", digits)]


@pytest.mark.parametrize(
    ("content", "body"), [("application/hook-flash", "flash"), ("application/dtmf-relay", "Signal=16\r\n")]
)
def test_a_hook_flash_is_taken_and_presses_nothing(content: str, body: str) -> None:
    bench = Bench()
    call, leg = bench.answered_call()
    info = request(
        "INFO", branch="i", cseq=2, to_tag=call.local_tag, body=body, headers=[f"Content-Type: {content}"]
    )
    assert codes(bench.receive(info)) == [200]
    assert leg.names == ["answered"]


def test_an_info_about_something_else_is_refused() -> None:
    bench = Bench()
    call, leg = bench.answered_call()
    info = request("INFO", branch="i", cseq=2, to_tag=call.local_tag, body="x", headers=["Content-Type: a/b"])
    assert codes(bench.receive(info)) == [415]
    empty = request("INFO", branch="j", cseq=3, to_tag=call.local_tag)
    assert codes(bench.receive(empty)) == [200]
    assert leg.names == ["answered"]


def notify(bench: Bench, tag: str, cseq: int, body: str, state: str = "active") -> list[int | str]:
    headers = ["Event: refer", f"Subscription-State: {state}", "Content-Type: message/sipfrag;version=2.0"]
    data = request("NOTIFY", branch=f"n{cseq}", cseq=cseq, to_tag=tag, body=body, headers=headers)
    return codes(bench.receive(data))


def test_a_transfer_is_told_how_it_fares() -> None:
    """RFC 3515."""
    bench = Bench()
    call, leg = bench.answered_call()
    assert call.refer("sip:200@192.0.2.1", bench.now)
    assert not call.refer("sip:201@192.0.2.1", bench.now)
    (refer,) = bench.take()
    assert isinstance(refer, SipRequest)
    assert refer.get("Refer-To") == "<sip:200@192.0.2.1>"
    bench.receive(response(refer, 202))
    assert notify(bench, call.local_tag, 2, "SIP/2.0 180 Ringing\r\n") == [200]
    assert notify(bench, call.local_tag, 3, "SIP/2.0 200 OK\r\n", "terminated;reason=noresource") == [200]
    assert [event[1] for event in leg.events if event[0] == "transfer"] == [100, 180, 200]
    assert notify(bench, call.local_tag, 4, "SIP/2.0 200 OK\r\n") == [481]


def test_a_transfer_of_which_no_more_is_to_be_told_than_that_it_is_tried_is_still_told() -> None:
    """Some phones end the subscription at once, and tell how it went nevertheless."""
    bench = Bench()
    call, leg = bench.answered_call()
    call.refer("sip:200@192.0.2.1", bench.now)
    (refer,) = bench.take()
    assert isinstance(refer, SipRequest)
    bench.receive(response(refer, 202))
    over = "terminated;reason=noresource"
    assert notify(bench, call.local_tag, 2, "SIP/2.0 100 Trying\r\n", over) == [200]
    assert not call.refer("sip:201@192.0.2.1", bench.now)
    assert notify(bench, call.local_tag, 3, "SIP/2.0 200 OK\r\n", over) == [200]
    assert [event[1] for event in leg.events if event[0] == "transfer"] == [100, 100, 200]


def test_a_transfer_that_is_over_without_a_word_has_failed() -> None:
    bench = Bench()
    call, leg = bench.answered_call()
    call.refer("sip:200@192.0.2.1", bench.now)
    (refer,) = bench.take()
    assert isinstance(refer, SipRequest)
    bench.receive(response(refer, 202))
    assert notify(bench, call.local_tag, 2, "", "terminated;reason=timeout") == [200]
    assert leg.events[-1] == ("transfer", 503)
    assert call.refer("sip:201@192.0.2.1", bench.now)


def test_a_transfer_that_is_refused_can_be_tried_again() -> None:
    bench = Bench()
    call, leg = bench.answered_call()
    call.refer("tel:+15550100", bench.now)
    (refer,) = bench.take()
    assert isinstance(refer, SipRequest)
    bench.receive(response(refer, 603, "Decline"))
    assert leg.events[-1] == ("transfer", 603)
    assert call.refer("tel:+15550101", bench.now)
    with pytest.raises(ValueError, match="URI"):
        call.refer("nobody", bench.now)


def test_notifications_of_nothing_are_refused() -> None:
    bench = Bench()
    call, _ = bench.answered_call()
    assert notify(bench, call.local_tag, 2, "SIP/2.0 200 OK\r\n") == [481]
    other = request("NOTIFY", branch="m", cseq=3, to_tag=call.local_tag, headers=["Event: presence"])
    assert codes(bench.receive(other)) == [489]


@pytest.mark.parametrize("method", ["UPDATE", "PRACK", "REFER", "MESSAGE"])
def test_what_is_not_served_within_a_call_is_refused_politely(method: str) -> None:
    bench = Bench()
    call, _ = bench.answered_call()
    assert codes(bench.receive(request(method, branch="u", cseq=2, to_tag=call.local_tag))) == [405]
    required = request("INFO", branch="v", cseq=3, to_tag=call.local_tag, headers=["Require: 100rel"])
    assert codes(bench.receive(required)) == [420]
    assert not call.ended


def test_options_within_a_call_are_a_sign_of_life() -> None:
    bench = Bench()
    call, _ = bench.answered_call()
    assert codes(bench.receive(request("OPTIONS", branch="o", cseq=2, to_tag=call.local_tag))) == [200]


def test_a_phone_that_moves_is_followed() -> None:
    """12.2.2: the Contact of a re-INVITE is the new target; messages go where it now speaks from."""
    bench = Bench()
    call, _ = bench.answered_call()
    elsewhere = Flow("udp", "192.0.2.77", 5080)
    move = request("INVITE", branch="h", cseq=2, to_tag=call.local_tag, body=offer_of())
    move = move.replace(b"Contact: <sip:alice@192.0.2.9:5060>", b"Contact: <sip:alice@192.0.2.77:5080>")
    bench.receive(move, elsewhere)
    bench.receive(request("ACK", branch="h2", cseq=2, to_tag=call.local_tag), elsewhere)
    call.hangup(bench.now)
    (bye,) = bench.take()
    assert isinstance(bye, SipRequest)
    assert (bye.uri, bench.sent[-1].flow) == ("sip:alice@192.0.2.77:5080", elsewhere)


def test_a_session_that_is_not_refreshed_ends() -> None:
    """RFC 4028, 10: the side that does not refresh sends BYE shortly before the interval is over."""
    bench = Bench()
    call, leg = bench.answered_call(headers=["Supported: timer", "Session-Expires: 120;refresher=uac"])
    answer = next(s.message for s in bench.sent if codes([s.message]) == [200])
    assert (answer.get("Session-Expires"), answer.get("Require")) == ("120;refresher=uac", "timer")
    assert [(at, *codes([m])) for at, m in bench.run(90.0)][:1] == [(88.0, "BYE")]
    assert leg.ending == (Ending.LOST, 408)
    assert call.ended


def test_a_phone_that_knows_timers_is_given_the_interval_that_is_configured() -> None:
    bench = Bench(SipConfig(callers="anyone", default_agent="desk", session_expires_s=300))
    bench.answered_call(headers=["Supported: timer"])
    answer = next(s.message for s in bench.sent if codes([s.message]) == [200])
    assert answer.get("Session-Expires") == "300;refresher=uac"


def test_a_session_that_we_refresh_goes_on() -> None:
    """RFC 4028, 10: at half of the interval."""
    bench = Bench()
    call, _ = bench.answered_call(headers=["Session-Expires: 120"])  # a phone behind a proxy that wants it
    for _ in range(3):
        ((at, refresh),) = bench.run(60.0)
        assert isinstance(refresh, SipRequest)
        assert (at, refresh.method, refresh.get("Session-Expires")) == (60.0, "INVITE", "120;refresher=uac")
        bench.receive(response(refresh, 200, body=SDP, Session_Expires="120;refresher=uac"))
    assert not call.ended


def test_a_refresh_that_nobody_answers_ends_the_call() -> None:
    bench = Bench()
    _, leg = bench.answered_call(headers=["Session-Expires: 120"])
    bench.run(60.0 + 33.0)
    assert leg.ending == (Ending.LOST, 408)


def test_a_refresh_of_which_only_100_is_heard_ends_the_call() -> None:
    """Before the session is over, and 32 s after the re-INVITE at the latest."""
    for interval, ends in ((120, 28.0), (1800, 32.0)):
        bench = Bench()
        call, leg = bench.answered_call(headers=[f"Session-Expires: {interval}"])
        refresh = bench.run(interval / 2)[-1][1]
        assert isinstance(refresh, SipRequest)
        bench.receive(response(refresh, 100))
        bench.run(ends - 0.1)
        assert not call.ended
        assert [(at, *codes([m])) for at, m in bench.run(0.2)][:1] == [(0.1, "BYE")]
        assert leg.ending == (Ending.LOST, 408)
        bench.run(40.0)
        assert bench.agent.calls == []
        assert bench.agent.transactions == 0


@pytest.mark.parametrize("code", [403, 488, 491, 500, 503])
def test_a_session_whose_refreshes_are_refused_is_over_in_time(code: int) -> None:
    """RFC 4028, 10."""
    bench = Bench()
    call, leg = bench.answered_call(headers=["Session-Expires: 1800"])
    asked = 0
    while not call.ended and bench.now < 4000.0:
        for _, message in bench.run(5.0):
            if isinstance(message, SipRequest) and message.method == "INVITE":
                asked += 1
                bench.receive(response(message, code))
    assert bench.now - 1000.0 == 1770.0
    assert leg.ending == (Ending.LOST, 408)
    assert 10 < asked < 25


def test_a_refresh_that_asks_for_too_little_is_repeated_with_what_the_other_side_wants() -> None:
    """RFC 4028, 7.4."""
    bench = Bench()
    call, _ = bench.answered_call(headers=["Session-Expires: 120"])
    ((_, refresh),) = bench.run(60.0)
    assert isinstance(refresh, SipRequest)
    bench.receive(response(refresh, 422, Min_SE="600"))
    ((at, again),) = bench.run(5.1)
    assert isinstance(again, SipRequest)
    assert (at, again.get("Session-Expires"), again.get("Min-SE")) == (5.0, "600;refresher=uac", "600")
    bench.receive(response(again, 200, body=SDP, Session_Expires="600;refresher=uac"))
    ((_, third),) = bench.run(300.0)
    assert codes([third]) == ["INVITE"]
    assert not call.ended


def test_closing_hangs_up_on_everybody() -> None:
    bench = Bench()
    bench.answered_call()
    bench.ringing_call(call_id="c2", branch="b2")
    _, _, invite = bench.dialled_call()
    bench.receive(response(invite, 180, tag="bob"))
    bench.agent.close(bench.now)
    assert sorted(map(str, codes(bench.take()))) == ["480", "BYE", "CANCEL"]
    assert codes(bench.receive(request("INVITE", call_id="c3", branch="b3", body=SDP))) == [503]
