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
