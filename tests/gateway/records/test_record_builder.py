"""A call's times of day are counted from its placing, whatever the clock on the wall does meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.records.record_builder import RecordBuilder, time_of_day
from tests.support.news import NOON, Telling


def test_a_call_has_the_times_of_day_at_which_things_happened() -> None:
    calendar, call = RecordBuilder(), Telling(at=100)
    assert calendar.record(call.placed()).placed_at == time_of_day(NOON + 100)
    answered = calendar.record(call.answered(103))
    assert (answered.phase, answered.duration_s) == (Phase.LIVE, 0.0)
    ended = calendar.record(call.ended(163.5, EndReason.AGENT_HANGUP, detail="bye", gaps=2))
    assert ended.placed_at == time_of_day(NOON + 100)
    assert ended.answered_at == time_of_day(NOON + 103)
    assert ended.ended_at == time_of_day(NOON + 163.5)
    assert ended.duration_s == pytest.approx(60.5)
    assert (ended.reason, ended.detail, ended.quality.gaps) == (EndReason.AGENT_HANGUP, "bye", 2)


def test_a_clock_that_is_set_in_mid_call_bends_no_times() -> None:
    calendar, call = RecordBuilder(), Telling(at=100)
    calendar.record(call.placed())
    calendar.record(call.answered(103))
    ended = calendar.record(replace(call.ended(110), when=NOON - 86_400))
    assert ended.ended_at == time_of_day(NOON + 110)
    assert ended.duration_s == pytest.approx(7)


def test_a_call_that_was_never_answered_has_no_duration() -> None:
    calendar, call = RecordBuilder(), Telling()
    calendar.record(call.placed())
    assert calendar.record(call.ended(101, EndReason.NO_AGENT)).duration_s is None


def test_a_call_that_ends_at_once_is_placed_when_it_ends() -> None:
    record = RecordBuilder().record(Telling(at=5).ended(5, EndReason.BUSY))
    assert record.placed_at == record.ended_at == time_of_day(NOON + 5)


def test_calls_under_way_are_as_long_as_they_are_now() -> None:
    calendar, call, gone = RecordBuilder(), Telling(), Telling("call-2")
    for news in (call.placed(), call.answered(102), gone.placed(), gone.ended(103)):
        calendar.record(news)
    [record] = calendar.under_way(NOON + 112)
    assert record.call_id == "call-1"
    assert record.duration_s == pytest.approx(10)


def test_a_recording_counts_when_the_call_is_over() -> None:
    calendar, call = RecordBuilder(), Telling(recorded=True)
    assert not calendar.record(call.answered(101)).recorded
    assert calendar.record(call.ended(102)).recorded
