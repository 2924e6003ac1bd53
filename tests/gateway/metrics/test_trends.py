"""The day of a gateway: what is counted in which ten minutes, and how several gateways are added up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.event_bus import CallChanged, ConversationReported
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.gateway.core.snapshots import CallSnapshot
from piopiy_pipeline.gateway.metrics.trends import (
    BOUNDS_S,
    BUCKET_S,
    KEPT_BUCKETS,
    TrendBucket,
    Trends,
    merged,
    quantile,
)


def changed(when: float, call_id: str, phase: Phase, reason: EndReason | None = None) -> CallChanged:
    call = CallSnapshot(
        call_id=call_id,
        agent_id="desk",
        instance_id=None,
        kind="stream",
        from_number=None,
        to_number=None,
        metadata=None,
        phase=phase,
        placed_at=0.0,
        answered_at=None,
        ended_at=None,
        offers=0,
        losses=0,
        gaps=0,
        worst_gap_s=0.0,
        frames_dropped=0,
        caller_dropped_s=0.0,
        reason=reason,
        detail="",
    )
    return CallChanged(when, call)


def said(when: float, event: Any, **data: Any) -> ConversationReported:
    return ConversationReported(when, "a", 1, 0.0, event, data)


def test_a_call_is_counted_once_when_it_comes_and_once_when_it_ends() -> None:
    trends = Trends(lambda: 3)
    trends.on_event(changed(100, "a", Phase.OFFERING))
    trends.on_event(changed(101, "a", Phase.LIVE))
    trends.on_event(said(102, "latency", total_s=0.85))
    trends.on_event(said(103, "latency", total_s="nonsense"))
    trends.on_event(said(104, "error", message="no"))
    trends.on_event(said(105, "user_turn", text="yes"))
    trends.on_event(changed(BUCKET_S + 1, "a", Phase.ENDED, EndReason.ERROR))
    first, second = trends.buckets(0)
    assert (first.at, first.placed, first.most, first.errors, sum(first.answers)) == (0, 1, 3, 1, 2)
    assert (second.at, second.placed, dict(second.ended)) == (BUCKET_S, 0, {"error": 1})
    assert trends.buckets(BUCKET_S) == [second]


def test_a_day_is_kept_and_no_more_and_a_clock_that_is_set_back_does_no_harm() -> None:
    trends = Trends(lambda: 1)
    for number in range(3 * KEPT_BUCKETS):
        trends.on_event(said(number * BUCKET_S, "error"))
    assert len(trends.buckets(0)) == KEPT_BUCKETS
    trends.on_event(said(0.0, "error"))
    assert trends.buckets(0)[-1].errors == 2
    assert not trends._known


@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 50)), max_size=10), max_size=5))
def test_the_sums_of_gateways_have_what_each_has(several: list[list[tuple[int, int]]]) -> None:
    gateways = [
        list({at: TrendBucket(at * BUCKET_S, placed) for at, placed in one}.values()) for one in several
    ]
    sums = merged(gateways)
    assert [one.at for one in sums] == sorted({one.at for gateway in gateways for one in gateway})
    assert sum(one.placed for one in sums) == sum(one.placed for gateway in gateways for one in gateway)


@given(st.lists(st.floats(0.01, 9.9), min_size=1, max_size=200), st.sampled_from([0.5, 0.95]))
def test_a_quantile_is_within_the_bounds_of_the_true_one(answers: list[float], share: float) -> None:
    trends = Trends(lambda: 1)
    for total_s in answers:
        trends.on_event(said(1.0, "latency", total_s=total_s))
    [bucket] = trends.buckets(0)
    found = quantile(bucket.answers, share)
    true = sorted(answers)[max(0, -(-int(share * 1000) * len(answers) // 1000) - 1)]
    edges = (0.0, *BOUNDS_S)
    low = max(edge for edge in edges if edge < true)
    high = min(edge for edge in edges if edge >= true)
    assert found is not None
    assert low - 1e-3 <= found <= high + 1e-3


def test_of_no_answers_there_is_no_quantile() -> None:
    assert quantile([0] * (len(BOUNDS_S) + 1), 0.5) is None
    beyond = [0] * len(BOUNDS_S) + [3]
    assert quantile(beyond, 0.5) == pytest.approx(BOUNDS_S[-1])
