"""`piopiy chat` with lines that are piped in: when it is the person's turn."""

from __future__ import annotations

from piopiy_pipeline.cli.chatting.chat_progress import (
    ASKED_S,
    ERROR_S,
    GREETING_S,
    KEYS_S,
    QUIET_S,
    RESULT_S,
    UNANSWERED_S,
    ChatProgress,
)


def test_it_is_the_persons_turn_when_the_bot_has_been_quiet() -> None:
    progress = ChatProgress(0.0)
    assert progress.due() == GREETING_S
    progress.message("bot-llm-started", 0.1)
    assert progress.due() == float("inf")
    progress.words(5.0)
    progress.message("bot-llm-stopped", 6.0)
    assert progress.due() == 6.0 + QUIET_S


def test_it_is_not_while_a_tool_runs_or_a_message_waits_for_its_answer() -> None:
    progress = ChatProgress(0.0)
    progress.sent(1.0)
    assert progress.due() == 1.0 + UNANSWERED_S
    progress.event("tool", {"number": 1}, 2.0)
    assert progress.busy
    progress.event("tool_result", {"number": 1}, 9.0)
    assert progress.due() == 9.0 + RESULT_S
    progress.pressed(20.0)
    assert progress.due() == 20.0 + KEYS_S


def test_an_answer_may_take_its_time_once_the_bot_has_taken_the_message() -> None:
    progress = ChatProgress(0.0)
    progress.sent(1.0)
    progress.message("bot-interrupted", 1.1)  # of what was before
    assert progress.due() == 1.0 + UNANSWERED_S
    progress.event("user_turn", {}, 1.2)
    progress.message("bot-llm-stopped", 1.3)
    assert progress.due() == 1.2 + ASKED_S
    progress.event("error", {}, 12.0)
    assert progress.due() == 12.0 + ERROR_S
    progress.words(14.0)
    progress.event("user_turn", {}, 14.1)  # it is told late, and answered already
    assert progress.due() < 16.0


def test_a_message_is_waited_for_longer_while_a_provider_fails() -> None:
    progress = ChatProgress(0.0)
    progress.event("error", {"stage": "llm"}, 0.0)
    progress.began(0.1)
    assert progress.due() == 0.1 + GREETING_S
    progress.words(0.1)  # a greeting that no model writes
    progress.sent(4.0)
    assert progress.due() == 4.0 + ASKED_S
    progress.message("bot-llm-started", 6.0)
    progress.message("bot-llm-stopped", 6.5)
    progress.sent(8.0)
    assert progress.due() == 8.0 + UNANSWERED_S


def test_after_a_failure_the_bot_gets_time_for_its_second_try() -> None:
    progress = ChatProgress(0.0)
    progress.message("bot-llm-started", 1.0)
    progress.event("error", {}, 2.0)
    progress.event("bot_turn", {}, 2.5)
    assert progress.due() == 2.0 + ERROR_S


def test_a_tool_that_asks_for_a_value_waits_for_the_person() -> None:
    progress = ChatProgress(0.0)
    progress.sent(1.0)
    progress.event("tool", {"number": 1}, 2.0)
    progress.event("collection", {"outcome": "begun"}, 5.0)
    progress.event("bot_turn", {}, 5.1)
    assert progress.due() == 5.1 + QUIET_S
    progress.sent(6.0)
    progress.event("user_turn", {}, 6.1)
    progress.event(
        "collection", {"outcome": "begun"}, 6.2
    )  # of the next value, of which the question is the answer
    assert progress.due() == 6.1 + ASKED_S
    progress.event("collection", {"outcome": "collected"}, 6.3)
    assert progress.busy
    progress.event("tool_result", {"number": 1}, 9.0)
    assert progress.due() == 9.0 + RESULT_S


def test_what_a_tool_has_returned_is_waited_for_until_the_model_begins_to_answer_it() -> None:
    progress = ChatProgress(0.0)
    progress.sent(1.0)
    progress.message("bot-llm-started", 1.1)
    progress.event("tool", {"number": 1}, 1.2)
    progress.event("tool_result", {"number": 1}, 9.0)
    progress.words(9.1)  # of what was before the tool
    progress.message("bot-llm-stopped", 9.2)
    progress.event("bot_turn", {}, 9.3)
    assert progress.due() == 9.0 + RESULT_S
    progress.message("bot-llm-started", 9.8)
    progress.words(9.9)
    progress.message("bot-llm-stopped", 10.0)
    assert progress.due() == 10.0 + QUIET_S
