"""When a provider that fails is asked first, and when it comes last. With no clock and no provider."""

from __future__ import annotations

import pytest

from piopiy_pipeline.services.failover.circuit_breaker import FIRST_PROBE_S, PROBE_LASTS_S, CircuitBreaker


@pytest.fixture
def opened() -> CircuitBreaker:
    breaker = CircuitBreaker()
    for at in (1, 2, 3):
        breaker.failed(at)
    return breaker


def test_a_breaker_opens_after_three_failures_in_a_minute(opened: CircuitBreaker) -> None:
    assert not opened.allows(4)
    slowly = CircuitBreaker()
    for at in (0, 50, 100, 150):
        slowly.failed(at)
    assert slowly.allows(151)


def test_a_success_in_between_counts(opened: CircuitBreaker) -> None:
    breaker = CircuitBreaker()
    breaker.failed(1)
    breaker.failed(2)
    breaker.succeeded()
    breaker.failed(3)
    assert breaker.allows(4)


def test_one_probe_at_a_time_brings_a_provider_back(opened: CircuitBreaker) -> None:
    at = 3 + FIRST_PROBE_S
    assert opened.allows(at)
    opened.asked(at)
    assert not opened.allows(at), "another call does not probe meanwhile"
    opened.succeeded()
    assert opened.allows(at)


def test_a_probe_that_fails_is_repeated_later_and_later(opened: CircuitBreaker) -> None:
    at = 3 + FIRST_PROBE_S
    opened.asked(at)
    opened.failed(at)
    assert not opened.allows(at + 1.9 * FIRST_PROBE_S)
    assert opened.allows(at + 2 * FIRST_PROBE_S)


def test_a_probe_of_which_nobody_hears_any_more_does_not_keep_a_provider_out(opened: CircuitBreaker) -> None:
    at = 3 + FIRST_PROBE_S
    opened.asked(at)
    assert opened.allows(at + PROBE_LASTS_S)
    opened.abandoned()
    assert opened.allows(at)
