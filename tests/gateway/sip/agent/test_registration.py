"""Our registration with a trunk: given a password, refreshed in time, tried again, taken back. RFC 3261, 10.2."""

from __future__ import annotations

from piopiy_pipeline.gateway.sip.agent.digest_gate import DigestGate
from piopiy_pipeline.gateway.sip.config import SipConfig, SipTrunk
from piopiy_pipeline.gateway.sip.syntax.message import SipRequest
from tests.support.sip_bench import Bench, codes, response

TRUNK = SipTrunk(host="198.51.100.7", user="acme", password="secret", register_there=True, expires_s=600)


def begun() -> tuple[Bench, SipRequest]:
    bench = Bench(SipConfig(trunks={"main": TRUNK}))
    bench.agent.begin_registrations(bench.now)
    (register,) = bench.take()
    assert isinstance(register, SipRequest)
    return bench, register


def accepted(bench: Bench, register: SipRequest, **headers: str) -> None:
    bench.receive(response(register, 200, **headers))


def test_it_says_who_we_are_and_where_our_calls_go() -> None:
    _, register = begun()
    assert (register.method, register.uri) == ("REGISTER", "sip:198.51.100.7")
    assert register.to.uri == "sip:acme@198.51.100.7"
    assert register.get("Contact") == "<sip:acme@192.0.2.1:5060>"
    assert register.get("Expires") == "600"


def test_it_gives_its_password_and_is_refreshed_before_it_runs_out() -> None:
    bench, register = begun()
    gate = DigestGate(realm="t", users={"acme": "secret"}, algorithms=["MD5"])
    (again,) = bench.receive(response(register, 401, WWW_Authenticate=gate.challenges(bench.now)[0]))
    assert isinstance(again, SipRequest)
    verdict = gate.check([again.get("Authorization")], method="REGISTER", now=bench.now)
    assert verdict.outcome == "right"
    registration = bench.agent.registrations["main"]
    assert not registration.registered
    accepted(bench, again, Expires="120")
    assert registration.registered
    ((at, refresh),) = bench.run(90.1)
    assert (at, refresh.call_id, refresh.cseq.sequence) == (90.0, register.call_id, 3)


def test_the_expiry_of_our_own_contact_counts() -> None:
    bench, register = begun()
    bench.receive(
        response(register, 200).replace(
            b"<sip:bob@192.0.2.9:5060>", b"<sip:other@x>;expires=60, <sip:acme@192.0.2.1:5060>;expires=200"
        )
    )
    assert [at for at, _ in bench.run(170.1)] == [170.0]


def test_an_interval_that_is_too_brief_is_asked_for_as_it_must_be() -> None:
    bench, register = begun()
    bench.receive(response(register, 423, Min_Expires="1800"))
    ((_, again),) = bench.run(0.1)
    assert again.get("Expires") == "1800"


def test_a_refusal_is_tried_again_ever_more_seldom() -> None:
    bench, register = begun()
    waits = []
    for _ in range(8):
        bench.receive(response(register, 403))
        began = bench.now
        while not (sent := bench.take()):
            assert bench.agent.wake_at is not None
            bench.now = bench.agent.wake_at
            bench.agent.wake(bench.now)
        (register,) = [m for m in sent if isinstance(m, SipRequest)]
        waits.append(bench.now - began)
    assert 4 <= waits[0] <= 6
    assert 240 <= waits[-1] <= 360
    assert not bench.agent.registrations["main"].registered


def test_silence_is_a_failure_too() -> None:
    bench, _ = begun()
    passed = bench.run(45.0)
    assert [m.cseq.sequence for at, m in passed if at > 32.0][:1] == [2]


def test_it_is_taken_back_at_the_end() -> None:
    bench, register = begun()
    accepted(bench, register)
    bench.agent.close(bench.now)
    (last,) = bench.take()
    assert (codes([last]), last.get("Expires")) == (["REGISTER"], "0")
    assert isinstance(last, SipRequest)
    bench.receive(response(last, 200))
    assert codes(m for _, m in bench.run(2000)) == []
