"""What waits for an RTVI client: bounded, in order, and without a word missing."""

from __future__ import annotations

from typing import Any

from piopiy_pipeline.session.rtvi.paced_queue import LONGEST, MESSAGES_PER_S, PacedQueue


def message(kind: str, **data: Any) -> dict[str, Any]:
    return {"label": "rtvi-ai", "type": kind, "data": data}


def full() -> PacedQueue:
    """One whose budget is spent."""
    box = PacedQueue(0.0)
    for n in range(2 * MESSAGES_PER_S):
        box.add(message("server-message", n=n))
    assert len(box.take(0.0)) == 2 * MESSAGES_PER_S
    return box


def test_what_is_within_the_budget_goes_at_once_and_in_order() -> None:
    box = PacedQueue(0.0)
    told = [message("bot-llm-started"), message("bot-llm-text", text="a"), message("bot-llm-stopped")]
    for each in told:
        box.add(each)
    assert box.take(0.0) == told
    assert not box.waits


def test_more_waits_and_follows_at_the_pace_of_the_budget() -> None:
    box = full()
    for n in range(10):
        box.add(message("server-message", n=n))
    assert box.take(0.0) == []
    assert box.waits
    assert [each["data"]["n"] for each in box.take(5 / MESSAGES_PER_S)] == [0, 1, 2, 3, 4]
    assert [each["data"]["n"] for each in box.take(1.0)] == [5, 6, 7, 8, 9]


def test_pieces_of_a_text_grow_together_while_they_wait() -> None:
    box = full()
    for word in ("one ", "two ", "three"):
        box.add(message("bot-llm-text", text=word))
    box.add(message("bot-llm-stopped"))
    assert [each["data"] for each in box.take(1.0)] == [{"text": "one two three"}, {}]


def test_a_transcript_replaces_the_interim_one_that_waits() -> None:
    box = full()
    box.add(message("user-transcription", text="a", final=False))
    box.add(message("user-transcription", text="a table", final=False))
    box.add(message("user-transcription", text="a table", final=True))
    box.add(message("user-transcription", text="please", final=False))
    assert [(each["data"]["text"], each["data"]["final"]) for each in box.take(1.0)] == [
        ("a table", True),
        ("please", False),
    ]


def test_of_too_many_what_is_told_in_passing_is_dropped_first() -> None:
    box = full()
    for n in range(LONGEST):
        box.add(message("metrics" if n % 2 else "server-message", n=n))
    for n in range(LONGEST // 2):
        box.add(message("server-message", n=LONGEST + n))
    assert box.dropped == LONGEST // 2
    kept = [each for _ in range(100) for each in box.take(1000.0 * (_ + 1))]
    assert {each["type"] for each in kept} == {"server-message"}
    assert len(kept) == LONGEST
