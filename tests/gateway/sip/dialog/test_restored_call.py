"""A call that goes on in another process, message by message. Sections are RFC 3261's."""

from __future__ import annotations

import pytest

from piopiy_pipeline.gateway.sip.agent.digest_gate import DigestGate
from piopiy_pipeline.gateway.sip.config import SipConfig, SipTrunk
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.dialog.kept_dialog import AHEAD, KeptDialog
from piopiy_pipeline.gateway.sip.dialog.restored_call import RestoredCall
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import Negotiation, SessionDescription
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import SipRequest
from tests.support.sip_bench import OURS, PHONE, SDP, Bench, Leg, codes, offer_of, request, response


def killed(**parts: object) -> KeptDialog:
    """A process with a call in progress is killed: what is left of the call."""
    call, _ = Bench().answered_call(**parts)
    kept = call.kept()
    assert kept is not None
    return KeptDialog.model_validate_json(kept.model_dump_json())


def restored(kept: KeptDialog) -> tuple[Bench, RestoredCall, Leg]:
    """Another process has taken its place."""
    bench = Bench()
    call = bench.agent.restore(kept, bench.now)
    leg = Leg(bench)
    call.attach(leg)
    return bench, call, leg


def test_what_is_kept_is_small() -> None:
    assert len(killed().model_dump_json()) < 2000


@pytest.mark.parametrize(
    "name", ["x" * 20_000, "Müller".encode("latin-1").decode("utf-8", "surrogateescape")]
)
def test_whatever_a_caller_is_called_the_call_is_kept(name: str) -> None:
    """A header may have as many bytes as all headers together, and some phones write names in Latin-1."""
    bench = Bench()
    data = request("INVITE", body=SDP).replace(b"Alice A", name.encode("utf-8", "surrogateescape"))
    bench.receive(data)
    (call,), (leg,) = bench.calls, bench.legs
    assert call.offer is not None
    call.answer(leg.media.answer(call.offer)[0], bench.now)
    bench.take()
    bench.receive(request("ACK", branch="ack", to_tag=call.local_tag))
    kept = call.kept()
    assert kept is not None
    assert KeptDialog.model_validate_json(kept.model_dump_json()) == kept


def test_a_call_that_only_rings_is_not_kept() -> None:
    call, _ = Bench().ringing_call()
    assert call.kept() is None


def test_the_phones_next_request_finds_the_call_whatever_its_number_is() -> None:
    """12.2.2: an empty remote number takes the value of the first request."""
    kept = killed()
    bench, call, leg = restored(kept)
    sent = bench.receive(request("INFO", branch="i", cseq=57, to_tag=kept.local_tag))
    assert codes(sent) == [200]
    assert codes(bench.receive(request("INFO", branch="j", cseq=56, to_tag=kept.local_tag))) == [500]
    assert codes(bench.receive(request("BYE", branch="k", cseq=58, to_tag=kept.local_tag))) == [200]
    assert leg.ending == (Ending.PEER_HUNG_UP, 200)
    assert call.ended
    assert bench.agent.calls == []


def test_the_phone_is_asked_with_a_number_that_it_has_not_seen_and_the_same_description() -> None:
    kept = killed()
    bench, call, leg = restored(kept)
    call.refresh(bench.now)
    (invite,) = bench.take()
    assert isinstance(invite, SipRequest)
    assert (invite.method, invite.to.tag, invite.from_.tag) == ("INVITE", "phone", kept.local_tag)
    assert invite.cseq.sequence > kept.sequence + AHEAD - 1
    assert bench.sent[-1].flow == PHONE
    assert invite.body == kept.ours.encode()
    assert codes(bench.receive(response(invite, 200, body=SDP))) == ["ACK"]
    assert leg.names == ["reanswered"]


def test_a_phone_that_has_given_up_says_so_and_the_call_ends() -> None:
    bench, call, leg = restored(killed())
    call.refresh(bench.now)
    (invite,) = bench.take()
    assert isinstance(invite, SipRequest)
    bench.receive(response(invite, 481))
    assert leg.ending == (Ending.LOST, 481)


def test_the_session_timer_goes_on() -> None:
    """RFC 4028, section 10: we refresh at half of the interval."""
    kept = killed(headers=["Supported: timer", "Session-Expires: 120;refresher=uas"])
    assert (kept.session_interval_s, kept.we_refresh) == (120, True)
    bench, _, _ = restored(kept)
    (first, *_) = bench.run(61)
    assert first[0] == 60.0
    assert codes([first[1]]) == ["INVITE"]


def test_a_call_of_another_address_does_not_go_on() -> None:
    kept = killed().model_copy(update={"sent_by": "192.0.2.99:5060"})
    bench = Bench()
    assert not bench.agent.is_here(kept)
    with pytest.raises(ValueError, match=r"it was at 192\.0\.2\.99:5060"):
        bench.agent.restore(kept, bench.now)


def test_the_media_are_those_that_were_agreed_on() -> None:
    offer = SessionDescription.parse(offer_of(codecs="8 0 101").encode())
    before = Negotiation(host=OURS, port=30_000, codecs=["PCMU", "PCMA"], session_id=7)
    ours, agreed = before.answer(offer)
    after = Negotiation(host=OURS, port=30_000, codecs=["PCMU", "PCMA"], session_id=99)
    assert (
        after.resume(SessionDescription.parse(bytes(ours)), SessionDescription.parse(bytes(offer))) == agreed
    )
    again = after.answer(offer)[0]
    assert (again.session_id, again.version - ours.version) == (7, 1), (
        "RFC 3264, 8: the next of the same session"
    )


def test_a_call_through_a_trunk_answers_a_challenge_as_the_process_before_would() -> None:
    """22.2: and the password is not in what is kept."""
    trunk = SipTrunk(host="198.51.100.7", user="acme", password="secret")
    other = trunk.model_copy(update={"host": "198.51.100.8", "password": "another"})
    config = SipConfig(trunks={"other": other, "acme": trunk})
    before = Bench(config)
    call, _, invite = before.dialled_call("+15550199", trunk="acme")
    before.receive(response(invite, 200, tag="phone", body=SDP))
    kept = call.kept()
    assert kept is not None
    assert "secret" not in kept.model_dump_json()
    bench = Bench(config)
    gone_on = bench.agent.restore(KeptDialog.model_validate_json(kept.model_dump_json()), bench.now)
    gone_on.attach(Leg(bench))
    gone_on.hangup(bench.now)
    (bye,) = bench.take()
    assert isinstance(bye, SipRequest)
    gate = DigestGate(realm="t", users={"acme": "secret"}, algorithms=["MD5"])
    (again,) = bench.receive(response(bye, 407, Proxy_Authenticate=gate.challenges(bench.now)[0]))
    assert isinstance(again, SipRequest)
    given = [again.get("Proxy-Authorization")]
    assert gate.check(given, method="BYE", now=bench.now).outcome == "right"


TRUNKS = SipConfig(
    default_agent="desk",
    trunks={
        "other": SipTrunk(host="192.0.2.9", user="other", password="another"),
        "acme": SipTrunk(host="trunk.example", sources=["192.0.2.0/24"], user="acme", password="secret"),
        "elsewhere": SipTrunk(host="198.51.100.8", user="acme", password="a third"),
    },
)


@pytest.mark.parametrize("goes_on", [False, True], ids=["here", "in a new process"])
@pytest.mark.parametrize("method", ["BYE", "REFER"])
def test_a_call_that_came_from_a_trunk_answers_its_challenge(method: str, goes_on: bool) -> None:
    """22.2: of two trunks at one address the one whose user was called."""
    bench = Bench(TRUNKS)
    call: SipCall = bench.answered_call(uri="sip:acme@192.0.2.1")[0]
    if goes_on:
        kept = call.kept()
        assert kept is not None
        assert "secret" not in kept.model_dump_json()
        bench = Bench(TRUNKS)
        call = bench.agent.restore(KeptDialog.model_validate_json(kept.model_dump_json()), bench.now)
        call.attach(Leg(bench))
    if method == "BYE":
        call.hangup(bench.now)
    else:
        call.refer("sip:300@192.0.2.9", bench.now)
    (asked,) = bench.take()
    assert isinstance(asked, SipRequest)
    gate = DigestGate(realm="t", users={"acme": "secret"}, algorithms=["MD5"])
    (again,) = (
        one
        for one in bench.receive(response(asked, 401, WWW_Authenticate=gate.challenges(bench.now)[0]))
        if isinstance(one, SipRequest) and one.method == method
    )
    assert gate.check([again.get("Authorization")], method=method, now=bench.now).outcome == "right"


def test_a_call_that_came_from_no_trunk_is_given_no_password() -> None:
    bench = Bench(TRUNKS.model_copy(update={"callers": "anyone"}))
    phone = Flow("udp", "203.0.113.9", 5060)
    bench.receive(request("INVITE", body=SDP, uri="sip:acme@192.0.2.1"), phone)
    (call,), (leg,) = bench.calls, bench.legs
    assert call.offer is not None
    call.answer(leg.media.answer(call.offer)[0], bench.now)
    bench.receive(request("ACK", branch="ack", to_tag=call.local_tag, uri="sip:acme@192.0.2.1"), phone)
    bench.take()
    call.hangup(bench.now)
    (bye,) = bench.take()
    assert isinstance(bye, SipRequest)
    gate = DigestGate(realm="t", users={"acme": "secret"}, algorithms=["MD5"])
    challenge = response(bye, 401, WWW_Authenticate=gate.challenges(bench.now)[0])
    assert bench.receive(challenge, phone) == []
