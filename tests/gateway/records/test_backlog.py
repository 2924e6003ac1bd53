"""What waits for the database: in order, bounded, and never more than the latest of a call."""

from __future__ import annotations

from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.records.backlog import BATCH_EVENTS, Backlog
from tests.support.news import NOON, Telling


def test_the_latest_state_of_a_call_is_written_once() -> None:
    backlog, call = Backlog(), Telling()
    for news in (call.placed(), call.answered(101), call.ended(102)):
        assert backlog.tell(news)
    batch = backlog.take()
    assert [record.phase for record in batch.calls.values()] == [Phase.ENDED]
    assert len(backlog) == 0


def test_events_are_kept_in_order_and_partial_ones_are_not_kept() -> None:
    backlog, call = Backlog(), Telling()
    backlog.tell(call.placed())
    assert backlog.tell(call.event(text="one"))
    assert not backlog.tell(call.event("user_partial", text="tw"))
    assert not backlog.tell(call.event("bot_partial", text="th"))
    assert backlog.tell(call.event("bot_turn", text="two"))
    assert [(row.number, row.data["text"]) for row in backlog.take().events] == [(1, "one"), (4, "two")]


def test_a_batch_that_was_put_back_is_the_next_but_newer_states_win() -> None:
    backlog, call, other = Backlog(), Telling(), Telling("call-2")
    for news in (call.placed(), call.event(), other.placed()):
        backlog.tell(news)
    backlog.tell_recording("call-0", "day/call-0.wav")
    failed = backlog.take()
    backlog.tell(call.event())
    backlog.tell(call.ended(105))
    backlog.put_back(failed)
    batch = backlog.take()
    assert [(one.call_id, one.phase) for one in batch.calls.values()] == [
        ("call-1", Phase.ENDED),
        ("call-2", Phase.OFFERING),
    ]
    assert [row.number for row in batch.events] == [1, 2]
    assert batch.recordings == {"call-0": "day/call-0.wav"}


def test_when_there_is_no_room_the_first_events_stay_and_the_rest_is_counted() -> None:
    backlog, call = Backlog(max_events=3), Telling()
    backlog.tell(call.placed())
    assert [backlog.tell(call.event()) for _ in range(5)] == [True, True, True, False, False]
    assert backlog.lost == 2
    assert [row.number for row in backlog.take().events] == [1, 2, 3]
    assert backlog.tell(call.event()), "there is room again"


def test_large_events_fill_the_room_sooner() -> None:
    backlog, call = Backlog(max_bytes=10_000), Telling()
    backlog.tell(call.placed())
    assert [backlog.tell(call.event("tool_result", result="x" * 4000)) for _ in range(3)] == [
        True,
        True,
        False,
    ]


def test_calls_that_wait_may_end_though_there_is_no_room_for_others() -> None:
    backlog, first, second = Backlog(max_calls=1), Telling(), Telling("call-2")
    assert backlog.tell(first.placed())
    assert not backlog.tell(second.placed())
    assert not backlog.tell(second.event()), "the event of a call that is not on record"
    assert backlog.tell(first.ended(101))
    assert backlog.lost == 2
    assert [record.phase for record in backlog.take().calls.values()] == [Phase.ENDED]
    assert backlog.tell(second.answered(102)), "the call is on record from now on"
    assert backlog.tell(second.event())


def test_a_transaction_takes_only_so_many_events() -> None:
    backlog, call = Backlog(), Telling()
    backlog.tell(call.placed())
    for _ in range(BATCH_EVENTS + 1):
        backlog.tell(call.event())
    assert [len(backlog.take().events), len(backlog.take().events)] == [BATCH_EVENTS, 1]


def test_calls_under_way_can_be_written_again() -> None:
    backlog, call, gone = Backlog(), Telling(), Telling("call-2")
    for news in (call.placed(), gone.placed(), gone.ended(101)):
        backlog.tell(news)
    backlog.take()
    backlog.tell_again(NOON + 110)
    assert [record.call_id for record in backlog.take().calls.values()] == ["call-1"]
