"""A call's times of day are counted from its placing, whatever the clock on the wall does meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.records.record_builder import RecordBuilder, time_of_day
from tests.support.call_events import NOON, CallEvents


def test_a_call_has_the_times_of_day_at_which_things_happened() -> None:
    builder, call = RecordBuilder(), CallEvents(at=100)
    assert builder.record(call.placed()).placed_at == time_of_day(NOON + 100)
    answered = builder.record(call.answered(103))
    assert (answered.phase, answered.duration_s) == (Phase.LIVE, 0.0)
    ended = builder.record(call.ended(163.5, EndReason.AGENT_HANGUP, detail="bye", gaps=2))
    assert ended.placed_at == time_of_day(NOON + 100)
    assert ended.answered_at == time_of_day(NOON + 103)
    assert ended.ended_at == time_of_day(NOON + 163.5)
    assert ended.duration_s == pytest.approx(60.5)
    assert (ended.reason, ended.detail, ended.quality.gaps) == (EndReason.AGENT_HANGUP, "bye", 2)


def test_a_clock_that_is_set_in_mid_call_bends_no_times() -> None:
    builder, call = RecordBuilder(), CallEvents(at=100)
    builder.record(call.placed())
    builder.record(call.answered(103))
    ended = builder.record(replace(call.ended(110), when=NOON - 86_400))
    assert ended.ended_at == time_of_day(NOON + 110)
    assert ended.duration_s == pytest.approx(7)


def test_a_call_that_was_never_answered_has_no_duration() -> None:
    builder, call = RecordBuilder(), CallEvents()
    builder.record(call.placed())
    assert builder.record(call.ended(101, EndReason.NO_AGENT)).duration_s is None


def test_a_call_that_ends_at_once_is_placed_when_it_ends() -> None:
    record = RecordBuilder().record(CallEvents(at=5).ended(5, EndReason.BUSY))
    assert record.placed_at == record.ended_at == time_of_day(NOON + 5)


def test_calls_under_way_are_as_long_as_they_are_now() -> None:
    builder, call, gone = RecordBuilder(), CallEvents(), CallEvents("call-2")
    for event in (call.placed(), call.answered(102), gone.placed(), gone.ended(103)):
        builder.record(event)
    [record] = builder.under_way(NOON + 112)
    assert record.call_id == "call-1"
    assert record.duration_s == pytest.approx(10)


def test_a_recording_counts_when_the_call_is_over() -> None:
    builder, call = RecordBuilder(), CallEvents(recorded=True)
    assert not builder.record(call.answered(101)).recorded
    assert builder.record(call.ended(102)).recorded
