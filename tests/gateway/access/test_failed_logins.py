"""Who guesses keys, by the address: counted, bounded, and forgiven."""

from __future__ import annotations

import pytest

from piopiy_pipeline.gateway.access.failed_logins import MAX_PER_MINUTE, FailedLogins

HOME = "203.0.113.7"


def after(wrong: int, host: str = HOME) -> FailedLogins:
    sources = FailedLogins()
    for _ in range(wrong):
        sources.wrong(host, 100.0)
    return sources


def test_some_wrong_keys_a_minute_are_mistakes_and_more_are_guesses() -> None:
    assert not after(MAX_PER_MINUTE - 1).guesses(HOME, 110.0)
    assert after(MAX_PER_MINUTE).guesses(HOME, 110.0)
    assert not after(MAX_PER_MINUTE).guesses("203.0.113.8", 110.0)


def test_after_a_minute_it_is_forgiven() -> None:
    sources = after(MAX_PER_MINUTE)
    assert sources.guesses(HOME, 159.9)
    assert not sources.guesses(HOME, 160.0)
    sources.wrong(HOME, 161.0)
    assert not sources.guesses(HOME, 161.0)


@pytest.mark.parametrize(
    ("guesser", "same", "other"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"),
        ("::ffff:203.0.113.7", HOME, "::ffff:203.0.113.8"),
        ("fe80::1%eth0", "fe80::2", "fe80:0:0:1::1"),
    ],
)
def test_a_network_of_ipv6_is_one_source(guesser: str, same: str, other: str) -> None:
    sources = after(MAX_PER_MINUTE, guesser)
    assert sources.guesses(same, 110.0)
    assert not sources.guesses(other, 110.0)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1", None, "", "a-path"])
def test_loopback_and_who_has_no_address_are_never_counted(host: str | None) -> None:
    sources = FailedLogins()
    for _ in range(2 * MAX_PER_MINUTE):
        sources.wrong(host, 100.0)
    assert not sources.guesses(host, 100.0)


def test_many_guessers_take_bounded_memory_and_the_latest_are_remembered() -> None:
    sources = FailedLogins()
    for number in range(10_000):
        sources.wrong(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 100.0)
    assert len(sources._wrong) < 5000
    assert not sources.guesses("10.0.39.15", 100.0)
