"""Who guesses keys, by the address: counted, bounded, and forgiven."""

from __future__ import annotations

import pytest

from piopiy_pipeline.gateway.access.failure_limiter import MAX_PER_MINUTE, FailureLimiter

HOME = "203.0.113.7"


def after(wrong: int, host: str = HOME) -> FailureLimiter:
    failures = FailureLimiter()
    for _ in range(wrong):
        failures.failed(host, 100.0)
    return failures


def test_some_wrong_keys_a_minute_are_mistakes_and_more_are_guesses() -> None:
    assert not after(MAX_PER_MINUTE - 1).blocks(HOME, 110.0)
    assert after(MAX_PER_MINUTE).blocks(HOME, 110.0)
    assert not after(MAX_PER_MINUTE).blocks("203.0.113.8", 110.0)


def test_after_a_minute_it_is_forgiven() -> None:
    failures = after(MAX_PER_MINUTE)
    assert failures.blocks(HOME, 159.9)
    assert not failures.blocks(HOME, 160.0)
    failures.failed(HOME, 161.0)
    assert not failures.blocks(HOME, 161.0)


@pytest.mark.parametrize(
    ("guesser", "same", "other"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"),
        ("::ffff:203.0.113.7", HOME, "::ffff:203.0.113.8"),
        ("fe80::1%eth0", "fe80::2", "fe80:0:0:1::1"),
    ],
)
def test_a_network_of_ipv6_is_one_source(guesser: str, same: str, other: str) -> None:
    failures = after(MAX_PER_MINUTE, guesser)
    assert failures.blocks(same, 110.0)
    assert not failures.blocks(other, 110.0)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1", None, "", "a-path"])
def test_loopback_and_who_has_no_address_are_never_counted(host: str | None) -> None:
    failures = FailureLimiter()
    for _ in range(2 * MAX_PER_MINUTE):
        failures.failed(host, 100.0)
    assert not failures.blocks(host, 100.0)


def test_many_guessers_take_bounded_memory_and_the_latest_are_remembered() -> None:
    failures = FailureLimiter()
    for number in range(10_000):
        failures.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 100.0)
    assert len(failures) < 5000
    assert not failures.blocks("10.0.39.15", 100.0)
