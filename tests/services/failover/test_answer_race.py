"""Which model's answer is passed on: with no model, no pipeline and no clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piopiy_pipeline.services.failover.answer_race import (
    AnswerRace,
    Ask,
    Drop,
    Lost,
    Say,
    Step,
    Won,
    sentence_end,
)

A, B = 0, 1


def race(*order: int) -> AnswerRace:
    return AnswerRace(order or (A, B), first_token_s=1.2, between_tokens_s=3.0)


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("Hello", ""),
        ("Hello.", ""),
        ("Hello. ", ""),
        ("Hello. I", "Hello."),
        ("Dr. Smith is", ""),
        ("Hello. How are you? I", "Hello. How are you?"),
        ('He said "no." Then', 'He said "no."'),
        ("It costs 3.50 euros", ""),
        ("はい。わ", "はい。"),
        ("One\ntwo", "One\n"),
    ],
)
def test_what_counts_as_a_whole_sentence(text: str, whole: str) -> None:
    assert text[: sentence_end(text)] == whole


def test_a_model_in_time_answers_alone_sentence_by_sentence() -> None:
    one = race()
    assert one.begin(0) == [Ask(A, "")]
    assert one.token(A, "Hel", 0.5) == []
    assert one.token(A, "lo. We", 0.6) == [Won(A), Say("Hello.")]
    assert one.token(A, " are open", 0.7) == []
    assert one.ended(A, 0.8) == [Say(" We are open")]
    assert one.over
    assert one.asked == [A]


def test_the_next_model_is_asked_beside_one_without_a_word_and_the_first_sentence_wins() -> None:
    one = race()
    one.begin(0)
    assert one.due() == pytest.approx(1.2)
    assert one.overdue(1.2) == [Ask(B, "")]
    assert one.token(A, "Well", 1.3) == []
    assert one.token(B, "Here. I", 1.4) == [Drop(A, late=True), Won(B), Say("Here.")]
    assert one.token(A, " now. I", 1.5) == [], "what the loser still writes goes nowhere"


def test_a_model_that_is_late_may_win_all_the_same() -> None:
    one = race()
    one.begin(0)
    one.overdue(1.2)
    assert one.token(A, "Here. I", 1.3) == [Drop(B, late=False), Won(A), Say("Here.")]


def test_a_first_sentence_that_drips_is_overtaken() -> None:
    one = race()
    one.begin(0)
    for at in (0.5, 1.5, 2.5):
        one.token(A, "and ", at)
    assert one.due() == pytest.approx(3.5)
    assert one.overdue(3.5) == [Ask(B, "")]


def test_an_error_has_the_next_model_asked_at_once_and_the_last_one_loses() -> None:
    one = race()
    one.begin(0)
    assert one.failed(A, 0.1) == [Ask(B, "")]
    assert one.failed(B, 0.2) == [Lost()]
    assert one.over


def test_the_next_model_goes_on_where_the_last_whole_sentence_ended() -> None:
    one = race()
    one.begin(0)
    one.token(A, "We are open. From", 0.1)
    assert one.due() == pytest.approx(3.1)
    assert one.overdue(3.1) == [Drop(A, late=True), Ask(B, "We are open.")]
    assert one.token(B, " From nine. I", 3.5) == [Won(B), Say(" From nine.")]
    assert one.said == "We are open. From nine."


def test_a_tool_call_wins_as_a_sentence_does() -> None:
    one = race()
    one.begin(0)
    one.overdue(1.2)
    assert one.claims(A, 1.3) == [Drop(B, late=False), Won(A)]
    assert one.claims(B, 1.4) == []
    assert one.winner == A


@given(st.data())
def test_one_answer_is_said_whatever_happens(data: st.DataObject) -> None:
    one = race(0, 1, 2)
    done: list[Step] = list(one.begin(0.0))
    now = 0.0
    for _ in range(data.draw(st.integers(1, 40))):
        now += data.draw(st.floats(0, 2))
        who = data.draw(st.integers(0, 2))
        event = data.draw(st.sampled_from(["token", "end", "fail", "tools", "time"]))
        before = one.winner
        steps = {
            "token": lambda: one.token(who, data.draw(st.sampled_from(["a ", "It is b. ", "Come"])), now),  # noqa: B023
            "end": lambda: one.ended(who, now),  # noqa: B023
            "fail": lambda: one.failed(who, now),  # noqa: B023
            "tools": lambda: one.claims(who, now),  # noqa: B023
            "time": lambda: one.overdue(now),  # noqa: B023
        }[event]()
        for step in steps:
            if isinstance(step, Say):
                assert one.winner == who, "only the winner speaks"
                assert before in (None, who)
        done += steps
    assert "".join(step.text for step in done if isinstance(step, Say)) == one.said
    if one.winner is not None and not one.over:
        assert [who for who in range(3) if one.runs(who)] == [one.winner], "nobody runs beside a winner"
    assert len(done) < 200
