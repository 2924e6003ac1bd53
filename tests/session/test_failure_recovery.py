"""The care for failing providers, with no pipeline and no clock."""

from __future__ import annotations

import pytest
from pipecat.frames.frames import ErrorFrame, LLMFullResponseEndFrame, LLMFullResponseStartFrame, LLMTextFrame
from pipecat.utils.errors import ErrorCategory
from pipecat.utils.utils import obj_id

from piopiy_pipeline.session.failure_recovery import FailureRecovery, RecoveryAction


@pytest.fixture
def care() -> FailureRecovery:
    return FailureRecovery(patience_s=8)


def test_an_answer_that_makes_no_progress_is_overdue_after_the_patience(care: FailureRecovery) -> None:
    care.user_turn(0)
    care.response_started(1)
    assert care.overdue(8.9) is None
    assert care.overdue(9) == "llm"


def test_every_piece_of_audio_is_progress(care: FailureRecovery) -> None:
    care.response_started(0)
    care.progressed(7)
    assert care.overdue(14.9) is None
    assert care.overdue(15) == "llm"


def test_a_sentence_without_audio_is_the_tts_that_is_waited_for(care: FailureRecovery) -> None:
    care.response_started(0)
    care.text_announced(1)
    assert care.overdue(9) == "tts"


def test_a_tool_may_take_its_time(care: FailureRecovery) -> None:
    care.response_started(0)
    care.tool_started("a", 1)
    assert care.overdue(100) is None
    assert care.busy
    care.tool_ended("a", 100)
    assert care.overdue(108) == "llm"


def test_an_answer_that_the_model_gives_beside_a_tool_is_waited_for_no_longer_than_others(
    care: FailureRecovery,
) -> None:
    care.response_started(0)
    care.tool_started("a", 1)
    care.response_ended(1)
    care.asked(5)
    assert care.overdue(12) is None
    assert care.overdue(13) == "llm"
    care.tool_started("b", 16)
    assert care.overdue(100) is None, "this one it waits for"


@pytest.mark.parametrize("ending", ["response_ended", "interrupted"])
def test_nothing_is_overdue_once_the_answer_is_over(care: FailureRecovery, ending: str) -> None:
    care.response_started(0)
    getattr(care, ending)(1)
    assert care.overdue(1000) is None
    assert not care.busy


def test_the_first_failure_of_a_turn_is_retried_and_the_second_ends_the_call(care: FailureRecovery) -> None:
    care.user_turn(0)
    assert care.failed(1) is RecoveryAction.RETRY
    care.retrying(1.5, answer=True)
    assert care.failed(2) is RecoveryAction.END
    assert care.failed(3) is RecoveryAction.NOTHING, "it is ending already"


def test_until_the_retry_has_begun_more_failures_are_an_echo_of_the_first(care: FailureRecovery) -> None:
    assert care.failed(1) is RecoveryAction.RETRY
    assert care.failed(1.1) is RecoveryAction.NOTHING
    care.retrying(2, answer=True)
    assert care.overdue(13) == "llm", "an answer that was asked for and does not begin"
    assert care.failed(13) is RecoveryAction.END


def test_each_turn_has_a_retry_of_its_own(care: FailureRecovery) -> None:
    care.user_turn(0)
    assert care.failed(1) is RecoveryAction.RETRY
    care.user_turn(10)
    assert care.failed(11) is RecoveryAction.RETRY


def test_words_that_are_written_down_behind_the_failure_of_their_answer_are_no_new_turn(
    care: FailureRecovery,
) -> None:
    care.user_turn(0)
    assert care.failed(1) is RecoveryAction.RETRY
    care.user_turn(1.2, late_words=True)
    assert care.failed(1.3) is RecoveryAction.NOTHING, "an echo of the first"
    care.retrying(1.5, answer=True)
    care.user_turn(1.6, late_words=True)
    assert care.failed(2) is RecoveryAction.END


def test_a_provider_that_takes_no_more_work_is_not_asked_again(care: FailureRecovery) -> None:
    assert care.failed(1, hopeless=True) is RecoveryAction.END


def test_an_answer_that_is_told_of_behind_its_failure_is_not_the_retry(care: FailureRecovery) -> None:
    """A busy loop passes the beginning of an answer on behind its failure: the retry is still to be asked for."""
    care.asked(0)
    assert care.failed(1) is RecoveryAction.RETRY
    care.response_started(1.1)
    assert not care.answer_open
    care.asked(1.2)  # by a tool that has returned
    care.response_started(1.3)
    assert care.answer_open


def test_the_late_end_of_an_answer_that_has_failed_does_not_end_its_retry(care: FailureRecovery) -> None:
    began, ended = obj_id(), obj_id()  # of the answer that fails; its frames are on their way
    assert care.failed(1) is RecoveryAction.RETRY
    care.retrying(1.1, answer=True)
    care.asked(1.2)
    care.response_started(1.3, began)
    care.response_ended(1.4, ended)
    assert care.answer_open
    assert care.overdue(9.3) == "llm", "the retry is waited for"
    care.response_started(9.4, obj_id())
    care.response_ended(9.5, obj_id())
    assert not care.answer_open


def test_an_answer_that_was_begun_ahead_of_its_turn_ends_as_any_other(care: FailureRecovery) -> None:
    assert care.failed(1) is RecoveryAction.RETRY
    care.retrying(1.1, answer=True)
    care.asked(1.2)
    began, ended = obj_id(), obj_id()
    care.asked(5, ahead=True)
    care.response_started(5.1, began)
    care.response_ended(5.2, ended)
    assert not care.answer_open


@pytest.mark.parametrize("ended", [None, 1.0, 1.95], ids=["in the middle", "long before", "just before"])
@pytest.mark.parametrize("words", ["", "A table"])
@pytest.mark.parametrize("category", [ErrorCategory.CONNECTIVITY, ErrorCategory.APPLICATION])
def test_a_model_that_fails_in_an_answer_with_words_has_broken_off(
    care: FailureRecovery, ended: float | None, words: str, category: ErrorCategory
) -> None:
    care.model_wrote(LLMFullResponseStartFrame(), 0.0)
    care.model_wrote(LLMTextFrame(words), 0.5)
    if ended is not None:
        care.model_wrote(LLMFullResponseEndFrame(), ended)
    care.model_wrote(ErrorFrame("it fails", category=category), 2.0)
    broken_off = words != "" and ended != 1.0 and category is not ErrorCategory.APPLICATION
    assert care.take_broken_off() is broken_off
    assert not care.take_broken_off()


def test_an_answer_that_has_begun_since_is_another_one(care: FailureRecovery) -> None:
    care.model_wrote(LLMTextFrame("A table"), 0.0)
    care.broke_off(open=True)
    care.model_wrote(LLMFullResponseStartFrame(), 1.0)
    assert not care.take_broken_off()
