"""What waits for the database: in order, bounded, and never more than the latest of a call."""

from __future__ import annotations

import pytest

from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.records.write_queue import BATCH_EVENTS, WriteQueue
from tests.support.call_events import NOON, CallEvents


def test_the_latest_state_of_a_call_is_written_once() -> None:
    queue, call = WriteQueue(), CallEvents()
    for event in (call.placed(), call.answered(101), call.ended(102)):
        assert queue.add(event)
    batch = queue.take()
    assert [record.phase for record in batch.calls.values()] == [Phase.ENDED]
    assert len(queue) == 0


def test_events_are_kept_in_order_and_partial_ones_are_not_kept() -> None:
    queue, call = WriteQueue(), CallEvents()
    queue.add(call.placed())
    assert queue.add(call.event(text="one"))
    assert not queue.add(call.event("user_partial", text="tw"))
    assert not queue.add(call.event("bot_partial", text="th"))
    assert queue.add(call.event("bot_turn", text="two"))
    assert [(event.number, event.data["text"]) for event in queue.take().events] == [(1, "one"), (4, "two")]


def test_a_batch_that_was_put_back_is_the_next_but_newer_states_win() -> None:
    queue, call, other = WriteQueue(), CallEvents(), CallEvents("call-2")
    for event in (call.placed(), call.event(), other.placed()):
        queue.add(event)
    queue.add_recording("call-0", "day/call-0.wav")
    failed = queue.take()
    queue.add(call.event())
    queue.add(call.ended(105))
    queue.put_back(failed)
    batch = queue.take()
    assert [(one.call_id, one.phase) for one in batch.calls.values()] == [
        ("call-1", Phase.ENDED),
        ("call-2", Phase.OFFERING),
    ]
    assert [event.number for event in batch.events] == [1, 2]
    assert batch.recordings == {"call-0": "day/call-0.wav"}


def test_when_there_is_no_room_the_first_events_stay_and_the_rest_is_counted() -> None:
    queue, call = WriteQueue(max_events=3), CallEvents()
    queue.add(call.placed())
    assert [queue.add(call.event()) for _ in range(5)] == [True, True, True, False, False]
    assert queue.lost == 2
    assert [event.number for event in queue.take().events] == [1, 2, 3]
    assert queue.add(call.event()), "there is room again"


@pytest.mark.parametrize("result", ["x" * 4000, "订" * 1334])
def test_large_events_fill_the_room_sooner(result: str) -> None:
    queue, call = WriteQueue(max_bytes=10_000), CallEvents()
    queue.add(call.placed())
    assert [queue.add(call.event("tool_result", result=result)) for _ in range(3)] == [
        True,
        True,
        False,
    ]


def test_calls_that_wait_may_end_though_there_is_no_room_for_others() -> None:
    queue, first, second = WriteQueue(max_calls=1), CallEvents(), CallEvents("call-2")
    assert queue.add(first.placed())
    assert not queue.add(second.placed())
    assert not queue.add(second.event()), "the event of a call that is not on record"
    assert queue.add(first.ended(101))
    assert queue.lost == 2
    assert [record.phase for record in queue.take().calls.values()] == [Phase.ENDED]
    assert queue.add(second.answered(102)), "the call is on record from now on"
    assert queue.add(second.event())


def test_a_transaction_takes_only_so_many_events() -> None:
    queue, call = WriteQueue(), CallEvents()
    queue.add(call.placed())
    for _ in range(BATCH_EVENTS + 1):
        queue.add(call.event())
    assert [len(queue.take().events), len(queue.take().events)] == [BATCH_EVENTS, 1]


def test_calls_under_way_can_be_written_again() -> None:
    queue, call, gone = WriteQueue(), CallEvents(), CallEvents("call-2")
    for event in (call.placed(), gone.placed(), gone.ended(101)):
        queue.add(event)
    queue.take()
    queue.add_calls_under_way(NOON + 110)
    assert [record.call_id for record in queue.take().calls.values()] == ["call-1"]
