"""Turns and the parts of their latency, from events alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import pytest

from piopiy_pipeline.call import ToolUse
from piopiy_pipeline.testing.report.latency import turns_of
from piopiy_pipeline.testing.report.simulated_call import Event


def events(*lines: tuple[Any, ...]) -> Sequence[Event]:
    return [Event(at, kind, data[0] if data else {}) for at, kind, *data in lines]


def speech(start: float, end: float) -> tuple[float, str, dict[str, Any]]:
    return start, "user_speech", {"start": start, "end": end, "name": "some.wav"}


def answer(at: float, text: str, *, until: float, interrupted: bool = False) -> list[tuple[Any, ...]]:
    return [
        (at - 0.3, "llm_text", {"text": text}),
        (at - 0.1, "tts_started"),
        (at, "bot_audio"),
        (until, "bot_turn", {"text": text, "interrupted": interrupted}),
    ]


def test_the_parts_of_a_turn_sum_to_what_the_caller_waited() -> None:
    log = events(
        (0.0, "answered"),
        speech(1.0, 2.0),
        (1.1, "vad_started"),
        (2.2, "vad_stopped"),
        (2.5, "transcript"),
        (2.8, "user_turn", {"text": "hello"}),
        (2.8, "llm_started"),
        (3.1, "llm_token"),
        *answer(3.5, "Good day.", until=4.0),
    )
    (turn,) = turns_of(log)
    assert (turn.number, turn.user, turn.bot) == (1, "hello", "Good day.")
    assert (turn.spoke_at, turn.spoke_until, turn.answered_at) == (1.0, 2.0, 3.5)
    assert turn.parts is not None
    assert astuple(turn.parts) == pytest.approx([0.2, 0.3, 0.3, 0.3, 0.3, 0.1])
    assert turn.voice_to_voice == pytest.approx(turn.parts.voice_to_voice) == pytest.approx(1.5)


def test_what_the_bot_says_first_is_turn_0_and_has_no_latency() -> None:
    log = events(
        (0.0, "answered"), (0.2, "bot_audio"), (1.0, "bot_turn", {"text": "Hello.", "interrupted": False})
    )
    (turn,) = turns_of(log)
    assert (turn.number, turn.bot, turn.answered_at) == (0, "Hello.", 0.2)
    assert turn.parts is None
    assert turn.voice_to_voice is None


def test_a_barge_in_belongs_to_the_answer_that_it_cut_off() -> None:
    log = events(
        speech(1.0, 2.0),
        (2.2, "vad_stopped"),
        (2.8, "user_turn", {"text": "one"}),
        *answer(3.5, "A long", until=5.1, interrupted=True),
        speech(5.0, 6.0),
        (6.2, "vad_stopped"),
        (6.8, "user_turn", {"text": "two"}),
        *answer(7.5, "Yes.", until=8.0),
    )
    first, second = turns_of(sorted(log, key=lambda event: event.at))
    assert (first.bot, first.interrupted) == ("A long", True)
    assert (second.bot, second.interrupted, second.spoke_at) == ("Yes.", False, 5.0)


def test_tools_have_their_results_also_where_one_name_is_used_twice() -> None:
    log = events(
        speech(1.0, 2.0),
        (2.8, "user_turn", {"text": "book"}),
        (3.0, "tool", {"name": "book", "arguments": {"people": 2}, "number": 1}),
        (3.0, "tool", {"name": "book", "arguments": {"people": 4}, "number": 2}),
        (3.1, "tool_result", {"name": "book", "result": "second", "number": 2}),
        *answer(4.0, "Done.", until=5.0),
    )
    (turn,) = turns_of(log)
    assert turn.tools == (ToolUse("book", {"people": 2}), ToolUse("book", {"people": 4}, "second"))


def test_a_mark_that_is_missing_has_no_length_and_the_sum_is_the_same() -> None:
    log = events(speech(1.0, 2.0), (2.8, "user_turn", {"text": "hello"}), (3.5, "bot_audio"))
    (turn,) = turns_of(log)
    assert turn.parts is not None
    assert turn.parts.silence == 0
    assert turn.parts.turn == pytest.approx(0.8)
    assert turn.parts.voice_to_voice == pytest.approx(1.5)


def test_words_that_come_behind_the_answer_do_not_end_the_turn() -> None:
    log = events(
        speech(1.0, 2.0),
        (2.2, "vad_stopped"),
        (2.5, "turn_end"),
        *answer(3.0, "Good day.", until=4.0),
        speech(4.5, 5.5),
        (4.6, "user_turn", {"text": "hello"}),
        (5.7, "vad_stopped"),
        (6.0, "turn_end"),
        (6.1, "user_turn", {"text": "a table"}),
        *answer(6.5, "For how many?", until=7.0),
        (8.0, "user_turn", {"text": "4"}),
        *answer(8.5, "It is booked.", until=9.0),
    )
    first, second, typed = turns_of(log)
    assert [turn.user for turn in (first, second, typed)] == ["hello", "a table", "4"]
    assert [turn.bot for turn in (first, second, typed)] == ["Good day.", "For how many?", "It is booked."]
    assert [turn.spoke_until for turn in (first, second)] == [2.0, 5.5]
    assert [turn.voice_to_voice for turn in (first, second)] == pytest.approx([1.0, 1.0])
    assert first.parts is not None
    assert (first.parts.stt, first.parts.turn) == pytest.approx((0.0, 0.3))


def test_a_model_that_is_asked_because_of_words_ends_no_other_turn() -> None:
    log = events(
        speech(1.0, 2.0),
        (2.5, "user_turn", {"text": "hello"}),
        (2.5, "turn_end"),
        *answer(3.0, "Good day.", until=4.0),
        (6.0, "user_turn", {"text": "4"}),
        *answer(6.5, "It is booked.", until=7.0),
    )
    assert [(turn.user, turn.bot) for turn in turns_of(log)] == [
        ("hello", "Good day."),
        ("4", "It is booked."),
    ]


def test_a_recording_that_the_vad_cut_in_two_belongs_to_both_turns() -> None:
    log = events(
        speech(1.0, 4.0),
        (2.0, "vad_stopped"),
        (2.6, "user_turn", {"text": "the first"}),
        *answer(2.9, "Hm?", until=3.0, interrupted=True),
        (4.2, "vad_stopped"),
        (4.8, "user_turn", {"text": "the second"}),
        *answer(5.5, "Yes.", until=6.0),
    )
    first, second = turns_of(log)
    assert (first.spoke_at, first.spoke_until) == (1.0, 2.0)
    assert (second.spoke_at, second.spoke_until) == (1.0, 4.0)
    assert second.parts is not None
    assert second.parts.voice_to_voice == pytest.approx(1.5)


def test_a_turn_without_an_answer_has_no_latency() -> None:
    (turn,) = turns_of(events(speech(1.0, 2.0), (2.8, "user_turn", {"text": "hello"})))
    assert turn.answered_at is None
    assert turn.parts is None


def test_without_user_turns_each_stretch_of_speech_is_one() -> None:
    log = events(speech(1.0, 2.0), (2.0, "bot_audio"), speech(5.0, 6.0), (6.3, "bot_audio"))
    first, second = turns_of(log)
    assert first.voice_to_voice == 0
    assert second.voice_to_voice == pytest.approx(0.3)
    assert second.user == "some.wav"
