"""What a model may write and a voice may say of it."""

from __future__ import annotations

import pytest

from piopiy_pipeline.session.limits.answer_budget import SENTENCE, AnswerBudget
from piopiy_pipeline.session.limits.speech_budget import SpeechBudget
from piopiy_pipeline.session.limits.stream_limits import StreamLimits


def said(budget: AnswerBudget, pieces: list[str]) -> str:
    return "".join(budget.said(budget.written(piece)) for piece in pieces)


def test_an_answer_is_cut_behind_the_sentence_in_which_it_grows_too_long() -> None:
    budget = AnswerBudget(StreamLimits(answer_chars=20))
    assert (
        said(budget, ["One two three. ", "Four five ", "six seven. ", "Eight."])
        == "One two three. Four five six seven."
    )
    assert budget.fault == "an answer of more than 20 characters: cut behind a sentence"


@pytest.mark.parametrize("pieces", [["word " * 10_000], ["word "] * 10_000])
def test_an_answer_without_sentences_is_cut_all_the_same(pieces: list[str]) -> None:
    budget = AnswerBudget(StreamLimits(answer_chars=20))
    assert len(said(budget, pieces)) <= 20 + SENTENCE
    assert budget.fault is not None


def test_what_is_not_said_has_a_bound_of_its_own_and_a_stream_of_nothing_ends() -> None:
    budget = AnswerBudget(StreamLimits(written_chars=100))
    for _ in range(100):
        assert budget.written("") == ""
        assert budget.fault is None
    budget.written("")
    assert budget.fault == "it wrote more than 100 characters in one answer: cut off"
    budget.begin()
    assert budget.fault is None
    assert budget.written("x" * 1000) == "x" * 100


def test_a_sentence_that_grows_too_long_for_the_voice_is_broken_up() -> None:
    budget = AnswerBudget()
    breaks = [budget.breaks_sentence("x" * 100) for _ in range(14)]
    assert [i for i, broken in enumerate(breaks) if broken] == [6, 12]
    assert not budget.breaks_sentence("x. " + "y" * 300)
    assert not budget.breaks_sentence("y" * 299)
    assert budget.breaks_sentence("y" * 10)


def test_a_voice_may_take_as_long_as_slow_speech_with_pauses_and_no_longer() -> None:
    budget = SpeechBudget(600)
    budget.asked("a", 20)
    budget.made("a", 39)
    assert budget.runaway("a") is None
    budget.made("a", 2)
    assert budget.runaway("a") == "41 s of sound for a text of 20 characters"
    assert budget.left_s("a") == 559
    budget.made("b", 1000)
    assert budget.runaway("b") is None, "nobody knows what it says"
    assert budget.left_s("b") == -400
