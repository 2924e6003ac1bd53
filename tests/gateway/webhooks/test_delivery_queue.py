"""What a receiver is still to be told, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from piopiy_pipeline.gateway.webhooks.delivery_queue import (
    JITTER,
    PAUSES_S,
    DeliveryAttempt,
    DeliveryQueue,
    DeliveryReply,
    Verdict,
)
from piopiy_pipeline.gateway.webhooks.webhook_messages import WebhookMessage

TAKEN = DeliveryReply(204)
FAILED = DeliveryReply(500)


def message(call_id: str, number: int = 1, size: int = 10) -> WebhookMessage:
    return WebhookMessage(f"{call_id}.{number}", call_id, "call.placed", b"x" * size)


def queue(**settings: Any) -> DeliveryQueue:
    """Without jitter: `random` is in the middle."""
    return DeliveryQueue(random=lambda: 0.5, **settings)


def due(box: DeliveryQueue, now: float) -> DeliveryAttempt:
    attempt = box.next(now)
    assert attempt is not None
    return attempt


def name(attempt: DeliveryAttempt) -> str:
    return attempt.message.message_id


def test_what_comes_is_due_at_once_and_gone_when_it_is_taken() -> None:
    box = queue()
    assert box.wake_at is None
    assert box.add(message("a"), 7)
    assert box.wake_at == 7
    attempt = due(box, 7)
    assert box.next(7) is None
    assert (len(box), box.busy) == (1, True)
    assert box.reply(attempt, TAKEN, 8) == "delivered"
    assert (len(box), box.busy, box.wake_at) == (0, False, None)


def test_the_messages_of_a_call_keep_their_order_and_calls_do_not_wait_for_each_other() -> None:
    box = queue()
    for one in (message("a", 1), message("a", 2), message("b", 1)):
        box.add(one, 0)
    first, other = due(box, 0), due(box, 0)
    assert (name(first), name(other)) == ("a.1", "b.1")
    assert box.next(0) is None, "a.2 waits for a.1"
    assert box.reply(first, FAILED, 0) == "again"
    assert box.next(PAUSES_S[0] - 0.1) is None
    again = due(box, PAUSES_S[0])
    assert (name(again), again.number) == ("a.1", 2)
    box.reply(again, TAKEN, 6)
    assert name(due(box, 6)) == "a.2"


def test_pauses_grow_and_in_the_end_a_message_is_given_up_for_the_next() -> None:
    box = queue()
    box.add(message("a", 1), 0)
    box.add(message("a", 2), 0)
    now, verdicts = 0.0, list[Verdict]()
    for pause_s in PAUSES_S:
        verdicts.append(box.reply(due(box, now), FAILED, now))
        assert box.wake_at == pytest.approx(now + pause_s)
        now += pause_s
    last = due(box, now)
    assert last.number == len(PAUSES_S) + 1
    assert box.reply(last, DeliveryReply(None, detail="no route"), now) == "given_up"
    assert set(verdicts) == {"again"}
    assert (box.given_up, len(box)) == (1, 1)
    fresh = due(box, now)
    assert (name(fresh), fresh.number) == ("a.2", 1)


@pytest.mark.parametrize(("chance", "factor"), [(0.0, 1 - JITTER), (1.0, 1 + JITTER)])
def test_pauses_are_jittered(chance: float, factor: float) -> None:
    box = DeliveryQueue(random=lambda: chance)
    box.add(message("a"), 0)
    box.reply(due(box, 0), FAILED, 0)
    assert box.wake_at == pytest.approx(PAUSES_S[0] * factor)


@pytest.mark.parametrize(("asked_for", "waits"), [(60.0, 60.0), (1.0, PAUSES_S[0]), (1e9, PAUSES_S[-1])])
def test_a_receiver_may_ask_for_a_longer_pause_within_bounds(asked_for: float, waits: float) -> None:
    box = queue()
    box.add(message("a"), 0)
    box.reply(due(box, 0), DeliveryReply(503, retry_after_s=asked_for), 0)
    assert box.wake_at == pytest.approx(waits)


def test_a_redirection_or_a_refusal_is_a_failure_like_any() -> None:
    box = queue()
    for status in (302, 400, 404, 429):
        box.add(message(f"call-{status}"), 0)
        assert box.reply(due(box, 0), DeliveryReply(status), 0) == "again"


def test_410_ends_it_for_what_waits_what_is_under_way_and_what_comes() -> None:
    dropped: list[WebhookMessage] = []
    box = queue(on_dropped=dropped.append)
    for one in (message("a", 1), message("a", 2), message("b", 1), message("c", 1)):
        box.add(one, 0)
    first, second = due(box, 0), due(box, 0)
    assert box.reply(first, DeliveryReply(410), 1) == "gone"
    assert box.gone
    assert box.reply(second, FAILED, 1) == "gone"
    assert (len(box), box.busy, box.wake_at, box.next(1e6)) == (0, False, None, None)
    assert not box.add(message("d"), 2)
    assert box.dropped == 5
    assert [one.message_id for one in dropped] == ["a.1", "a.2", "b.1", "c.1"], "each once"


def test_no_more_than_so_many_attempts_are_under_way() -> None:
    box = queue(at_once=2)
    for number in range(3):
        box.add(message(f"call-{number}"), 0)
    first = due(box, 0)
    due(box, 0)
    assert box.wake_at is None
    assert box.next(0) is None
    box.reply(first, TAKEN, 1)
    assert box.wake_at == 0
    assert name(due(box, 1)) == "call-2.1"


@pytest.mark.parametrize("bounds", [{"max_messages": 3}, {"max_bytes": 30}])
def test_where_there_is_no_room_what_comes_is_lost_and_counted(bounds: dict[str, int]) -> None:
    box = queue(**bounds)
    assert [box.add(message(f"call-{number}"), 0) for number in range(5)] == [True] * 3 + [False] * 2
    assert (len(box), box.lost) == (3, 2)
    box.reply(due(box, 0), TAKEN, 0)
    assert box.add(message("late"), 0)


def test_every_call_of_a_receiver_that_is_down_is_tried_nine_times_and_then_left() -> None:
    box = queue(max_messages=2000)
    for number in range(2000):
        box.add(message(f"call-{number}"), 0)
    now, tries = 0.0, 0
    while (wake_at := box.wake_at) is not None:
        now = max(now, wake_at)
        attempt = due(box, now)
        tries += 1
        box.reply(attempt, FAILED, now)
    assert tries == 2000 * (len(PAUSES_S) + 1)
    assert (box.given_up, len(box)) == (2000, 0)
    assert now == pytest.approx(sum(PAUSES_S))
