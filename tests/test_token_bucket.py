"""The bound on how often something may happen: twice the rate at once, the rate in the long run."""

from __future__ import annotations

from piopiy_pipeline.token_bucket import TokenBucket


def test_twice_the_rate_is_allowed_at_once_and_then_no_more() -> None:
    bucket = TokenBucket(10, 5.0)
    assert sum(bucket.take(5.0) for _ in range(50)) == 20


def test_the_rate_is_allowed_in_the_long_run() -> None:
    bucket = TokenBucket(10, 0.0)
    taken = sum(bucket.take(n / 100) for n in range(1000))  # ten times as often as allowed, for 10 s
    assert 115 <= taken <= 120


def test_a_pause_is_not_saved_up_beyond_what_is_allowed_at_once() -> None:
    bucket = TokenBucket(10, 0.0)
    assert sum(bucket.take(3600.0) for _ in range(50)) == 20


def test_amounts_are_counted_and_what_is_refused_is_not() -> None:
    bucket = TokenBucket(1.25, 0.0, at_once=10.0)
    assert bucket.take(0.0, 9.5)
    assert not bucket.take(0.0, 1.0)
    assert bucket.take(0.0, 0.5)
    assert [bucket.take(1.0, 1.25), bucket.take(1.0, 0.1)] == [True, False]
