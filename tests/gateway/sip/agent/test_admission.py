"""Who may register and call, and what becomes of floods: refused without a trace, and counted."""

from __future__ import annotations

from piopiy_pipeline.gateway.sip.config import SipConfig, SipTrunk
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from tests.support.sip_bench import PHONE, SDP, Bench, codes, request

USERS = {"bob": "pw", "alice": "secret"}


def known_only(**more: object) -> Bench:
    return Bench(SipConfig.model_validate({"users": USERS, "default_agent": "desk", **more}))


def test_a_phone_registers_with_its_password() -> None:
    bench = known_only()
    (accepted,) = bench.register("bob", "pw")
    assert codes([accepted]) == [200]
    assert accepted.get("Contact") == "<sip:bob@192.0.2.9:5060>;expires=600"
    assert bench.agent.registrar.find("bob", bench.now) is not None
    assert bench.agent.registrar.find("bob", bench.now + 601) is None
    assert (bench.agent.stats.challenges, bench.agent.stats.registrations) == (1, 1)


def test_wrong_passwords_are_refused_without_a_transaction_and_counted() -> None:
    bench = known_only()
    assert codes(bench.register("bob", "guess")) == [403]
    assert bench.agent.stats.wrong_passwords == 1
    assert bench.agent.transactions == 0
    assert bench.agent.registrar.find("bob", bench.now) is None


def test_a_password_is_good_for_its_own_name_only() -> None:
    bench = known_only()
    data = request("REGISTER", user="bob")
    (challenge,) = bench.receive(data)
    assert codes([challenge]) == [401]
    assert codes(bench.register("alice", "pw")) == [403]


def test_a_phone_takes_its_registration_back() -> None:
    """10.2.2."""
    bench = known_only()
    bench.register("bob", "pw")
    assert codes(bench.register("bob", "pw", expires=0, contact="*", n=2)) == [200]
    assert bench.agent.registrar.find("bob", bench.now) is None


def test_the_newest_phone_of_a_user_is_the_one_that_is_called() -> None:
    bench = known_only()
    bench.register("bob", "pw")
    bench.register("bob", "pw", contact="<sip:bob@192.0.2.77>", n=2)
    found = bench.agent.registrar.find("bob", bench.now)
    assert found is not None
    assert found.uri == "sip:bob@192.0.2.77"
    assert bench.agent.registrar.count(bench.now) == 2


def test_an_interval_that_is_too_brief_is_refused_with_the_least_that_is_not() -> None:
    """10.3."""
    bench = known_only()
    (refused,) = bench.register("bob", "pw", expires=5)
    assert (codes([refused]), refused.get("Min-Expires")) == ([423], "30")


def test_contacts_that_make_no_sense_are_refused() -> None:
    bench = known_only()
    assert codes(bench.register("bob", "pw", contact="*")) == [400]
    assert codes(bench.register("bob", "pw", contact="mailto:bob@x", n=2)) == [400]
    assert codes(bench.register("bob", "pw", contact='"', n=3)) == [400]


def test_calls_of_strangers_are_asked_for_a_password() -> None:
    bench = known_only()
    assert codes(bench.receive(request("INVITE", body=SDP))) == [401]
    assert bench.calls == []
    assert bench.agent.transactions == 0


def test_where_nobody_has_a_password_strangers_are_refused() -> None:
    bench = Bench(SipConfig(default_agent="desk"))
    assert codes(bench.receive(request("INVITE", body=SDP))) == [403]
    assert codes(bench.receive(request("REGISTER", branch="b2"))) == [403]


def test_a_trunk_calls_from_its_addresses_without_a_password() -> None:
    trunk = SipTrunk(host="trunk.example", sources=["198.51.100.0/24", "2001:db8::/32"])
    bench = Bench(SipConfig(default_agent="desk", trunks={"t": trunk}))
    assert codes(bench.receive(request("INVITE", body=SDP), Flow("udp", "198.51.100.9", 5060))) == [100]
    call = request("INVITE", body=SDP, branch="b2", call_id="c2")
    assert codes(bench.receive(call, Flow("udp", "2001:db8::1", 5060))) == [100]
    assert codes(bench.receive(request("INVITE", body=SDP, branch="b3", call_id="c3"))) == [403]
    bench.agent.admission.trust("192.0.2.9")  # what trunk.example resolves to
    assert codes(bench.receive(request("INVITE", body=SDP, branch="b4", call_id="c4"))) == [100]


def test_a_trunk_is_trusted_at_the_addresses_that_its_name_had_within_the_hour() -> None:
    control = Bench().agent.admission
    control.trust_named("trunk.example", ["192.0.2.9", "2001:db8::1"], 0.0)
    control.trust_named("other.example", ["192.0.2.30"], 0.0)
    control.trust_named("trunk.example", ["192.0.2.10"], 3600.0)
    assert [control.trusts(f"192.0.2.{n}") for n in (9, 10, 30)] == [True, True, True]
    control.trust_named("trunk.example", ["192.0.2.10"], 3601.0)
    assert [control.trusts(f"192.0.2.{n}") for n in (9, 10, 30)] == [False, True, True]
    assert not control.trusts("2001:db8::1")


def test_a_flood_of_wrong_passwords_is_dropped_unread_until_it_has_been_quiet() -> None:
    bench = known_only(max_refusals_per_minute=5)
    for n in range(5):
        bench.register("bob", "guess", n=n + 1)
    assert bench.receive(request("REGISTER", branch="x")) == []
    assert bench.receive(request("INVITE", branch="y", body=SDP)) == []
    assert bench.agent.stats.floods_dropped == 2
    other = Flow("udp", "192.0.2.10", 5060)
    assert codes(bench.receive(request("REGISTER", branch="z"), other)) == [401]
    bench.run(61.0)
    assert codes(bench.receive(request("REGISTER", branch="w"))) == [401]


def test_a_phone_that_is_here_does_not_pay_for_its_neighbours_wrong_passwords() -> None:
    """Behind one router there may be an office. But its own it does pay for."""
    bench = known_only(max_refusals_per_minute=5)
    bench.register("bob", "pw")
    neighbour = Flow("udp", PHONE.host, 61_000)
    for n in range(5):
        bench.register("alice", "guess", neighbour, n=n + 10)
    assert bench.receive(request("REGISTER", branch="x"), neighbour) == []
    assert codes(bench.receive(request("INVITE", branch="y", body=SDP))) == [401]
    assert codes(bench.register("bob", "pw", n=50)) == [200]
    for n in range(5):
        bench.register("alice", "guess", n=n + 60)
    assert bench.receive(request("INVITE", branch="z", body=SDP)) == []


def test_a_phone_that_is_gone_is_one_of_its_network_again() -> None:
    bench = known_only()
    bench.register("bob", "pw", expires=60)
    assert bench.agent.registrar.here(PHONE, bench.now)
    assert not bench.agent.registrar.here(PHONE, bench.now + 61)
    bench.register("bob", "pw", expires=0, n=2)
    assert not bench.agent.registrar.here(PHONE, bench.now)


def test_a_flood_from_ten_thousand_addresses_leaves_bounded_traces() -> None:
    bench = Bench(SipConfig(default_agent="desk"))
    data = request("REGISTER")
    for n in range(10_000):
        bench.agent.receive(data, Flow("udp", f"10.0.{n >> 8}.{n & 255}", 5060), bench.now)
    assert len(bench.take()) == 10_000
    assert bench.agent.transactions == 0
    assert len(bench.agent.admission.failures) <= 4096


def test_phones_of_a_socket_for_both_families_are_locked_out_one_by_one() -> None:
    """A socket on ``::`` shows IPv4 phones as IPv4-mapped addresses, which are of no common network."""
    bench = known_only(max_refusals_per_minute=5)
    guesser, other = Flow("udp", "::ffff:192.0.2.9", 5060), Flow("udp", "::ffff:192.0.2.10", 5060)
    for n in range(5):
        bench.register("bob", "guess", guesser, n=n + 1)
    assert bench.receive(request("REGISTER", branch="x"), guesser) == []
    assert bench.receive(request("REGISTER", branch="y"), Flow("udp", "192.0.2.9", 5060)) == []
    assert codes(bench.receive(request("REGISTER", branch="z"), other)) == [401]
    assert codes(bench.register("bob", "pw", other, n=20)) == [200]


def test_a_trunk_is_trusted_in_both_ways_to_write_its_address() -> None:
    trunk = SipTrunk(host="198.51.100.1", sources=["203.0.113.0/24"])
    bench = Bench(SipConfig(default_agent="desk", trunks={"t": trunk}))
    for n, host in enumerate(["::ffff:198.51.100.1", "::ffff:203.0.113.9"]):
        call = request("INVITE", body=SDP, branch=f"t{n}", call_id=f"t{n}")
        assert codes(bench.receive(call, Flow("udp", host, 5060))) == [100]
    call = request("INVITE", body=SDP, branch="n", call_id="n")
    assert codes(bench.receive(call, Flow("udp", "::ffff:198.51.100.2", 5060))) == [403]


def test_one_network_of_ipv6_has_as_many_calls_as_one_address() -> None:
    bench = Bench(SipConfig(callers="anyone", default_agent="desk", max_calls_per_source=1))
    for n, (host, code) in enumerate([("2001:db8::1", 100), ("2001:db8::2", 486), ("2001:db8:0:1::1", 100)]):
        call = request("INVITE", body=SDP, branch=f"v{n}", call_id=f"v{n}")
        assert codes(bench.receive(call, Flow("udp", host, 5060))) == [code]


def test_calls_in_progress_go_on_during_a_flood_of_the_same_address() -> None:
    bench = known_only(users={"bob": "pw"}, callers="anyone", max_refusals_per_minute=1)
    call, leg = bench.answered_call()
    bench.register("bob", "guess")
    assert bench.receive(request("INVITE", branch="y", call_id="c2", body=SDP)) == []
    assert codes(bench.receive(request("BYE", branch="z", cseq=2, to_tag=call.local_tag))) == [200]
    assert leg.ending is not None


def test_one_address_has_only_so_many_calls() -> None:
    bench = known_only(users={"bob": "pw"}, callers="anyone", max_calls_per_source=2)
    call, _ = bench.ringing_call()
    bench.ringing_call(call_id="c2", branch="b2")
    third = request("INVITE", call_id="c3", branch="b3", body=SDP)
    assert codes(bench.receive(third)) == [486]
    call.reject(486, "", bench.now)
    bench.take()
    assert codes(bench.receive(third)) == [100]
    assert bench.agent.stats.over_limit == 1


def test_only_so_many_calls_ring_at_once() -> None:
    bench = known_only(users={"bob": "pw"}, callers="anyone", max_pending_invites=1)
    bench.answered_call()
    bench.ringing_call(call_id="c2", branch="b2")
    assert codes(bench.receive(request("INVITE", call_id="c3", branch="b3", body=SDP))) == [486]


def test_transactions_are_bounded_in_all_and_for_each_address() -> None:
    bench = known_only(users={"bob": "pw"}, callers="anyone", max_transactions=8)
    for n in range(4):
        assert codes(bench.receive(request("INVITE", call_id=f"c{n}", branch=f"b{n}", body=SDP)))[-1] in (
            100,
            503,
        )
    full = bench.receive(request("INVITE", call_id="c9", branch="b9", body=SDP))
    assert codes(full) == [503]
    assert full[0].get("Retry-After") == "5"
    other = Flow("udp", "192.0.2.10", 5060)
    assert codes(bench.receive(request("INVITE", call_id="d", branch="d", body=SDP), other)) == [100]
    assert bench.agent.transactions <= 8


def test_a_broken_message_counts_against_its_address() -> None:
    bench = known_only(max_refusals_per_minute=3)
    for n in range(5):
        bench.receive(request("OPTIONS", branch=f"b{n}", cseq_method="INVITE"))
    assert bench.agent.stats.malformed == 5
    assert len(bench.sent) == 3
    assert bench.receive(b"\r\n\r\n", PHONE) == []
