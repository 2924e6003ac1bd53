"""Passwords: asked for, given, and not to be had by listening."""

from __future__ import annotations

import pytest

from piopiy_pipeline.gateway.sip.agent.digest_gate import DigestGate
from piopiy_pipeline.gateway.sip.syntax.digest import Challenge, Credentials, answer

USERS = {"alice": "wonder:land"}


def gate(*algorithms: str) -> DigestGate:
    return DigestGate(realm='pi"o', users=USERS, algorithms=algorithms or ("MD5",))


def asked(gate: DigestGate, now: float = 1000.0) -> Challenge:
    challenge = Challenge.choose(gate.challenges(now))
    assert challenge is not None
    return challenge


def given(
    challenge: Challenge, password: str = "wonder:land", *, count: int = 1, user: str = "alice"
) -> list[str]:
    return [answer(challenge, Credentials(user, password), method="INVITE", uri="sip:x", count=count)]


def test_the_answer_is_that_of_the_published_example() -> None:
    """RFC 2617, 3.5; the same password with SHA-256: RFC 7616, 3.9.1."""
    challenge = Challenge(
        realm="testrealm@host.com",
        nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
        algorithm="MD5",
        opaque="5ccc069c403ebaf9f0171e9517f40e41",
        qop=True,
        stale=False,
    )
    mufasa = Credentials("Mufasa", "Circle Of Life")
    value = answer(challenge, mufasa, method="GET", uri="/dir/index.html", cnonce="0a4f113b")
    assert 'response="6629fae49393a05397450978507c4ef1"' in value
    newer = Challenge(
        realm="http-auth@example.org",
        nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        algorithm="SHA-256",
        opaque=None,
        qop=True,
        stale=False,
    )
    mufasa = Credentials("Mufasa", "Circle of Life")
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    value = answer(newer, mufasa, method="GET", uri="/dir/index.html", cnonce=cnonce)
    assert 'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"' in value


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_the_right_password_is_right_and_a_wrong_one_is_wrong(algorithm: str) -> None:
    door = gate(algorithm)
    right = door.check(given(asked(door)), method="INVITE", now=1001.0)
    assert (right.outcome, right.user) == ("right", "alice")
    assert door.check(given(asked(door), "other"), method="INVITE", now=1001.0).outcome == "wrong"
    assert door.check(given(asked(door), "", user="nobody"), method="INVITE", now=1001.0).outcome == "wrong"


def test_recorded_credentials_are_of_no_use() -> None:
    door = gate()
    challenge = asked(door)
    recorded = given(challenge)
    assert door.check(recorded, method="INVITE", now=1001.0).outcome == "right"
    assert door.check(recorded, method="INVITE", now=1002.0).outcome == "stale"
    assert door.check(given(challenge, count=2), method="INVITE", now=1003.0).outcome == "right"
    assert door.check(given(asked(door)), method="REGISTER", now=1001.0).outcome == "wrong"


def test_an_old_or_foreign_nonce_is_stale_and_not_an_accusation() -> None:
    door = gate()
    assert door.check(given(asked(door, 1000.0)), method="INVITE", now=1400.0).outcome == "stale"
    assert door.check(given(asked(gate())), method="INVITE", now=1000.0).outcome == "stale"
    assert "stale=true" in door.challenges(1400.0, stale=True)[0]


def test_without_qop_a_nonce_serves_once() -> None:
    """RFC 2617, 3.2.2: for those who know only RFC 2069."""
    door = gate()
    challenge = asked(door)
    old = Challenge(challenge.realm, challenge.nonce, "MD5", None, qop=False, stale=False)
    assert door.check(given(old), method="INVITE", now=1000.0).outcome == "right"
    assert door.check(given(old), method="INVITE", now=1000.0).outcome == "stale"


def test_an_algorithm_that_was_not_asked_for_is_not_taken() -> None:
    challenge = asked(gate("MD5"))
    strict = gate("SHA-256")
    assert strict.check(given(challenge), method="INVITE", now=1000.0).outcome == "wrong"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Basic YTpi",
        "Digest",
        "Digest realm",
        'Digest realm="x',
        "Digest " + "a=b, " * 40,
        "Digest =",
        "\udcff",
    ],
)
def test_what_is_no_digest_counts_as_none(value: str) -> None:
    assert gate().check([value], method="INVITE", now=1000.0).outcome == "missing"
    assert Challenge.choose([value]) is None


def test_of_several_challenges_the_first_that_we_know_is_answered() -> None:
    """RFC 8760, 2.4."""
    values = [
        'Digest realm="r", nonce="1", algorithm=SHA-512-256',
        'Digest realm="r", nonce="2", algorithm=SHA-256, qop="auth-int,auth"',
        'Digest realm="r", nonce="3"',
    ]
    chosen = Challenge.choose(values)
    assert chosen is not None
    assert (chosen.nonce, chosen.algorithm, chosen.qop) == ("2", "SHA-256", True)
    assert Challenge.choose(['Digest realm="r", nonce="1", qop="auth-int"']) is None
