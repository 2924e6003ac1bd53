"""When the last interim transcript is what the caller said."""

from __future__ import annotations

from piopiy_pipeline.session.providers.missing_finals import MissingFinals

WAIT_S = 2.0


def watch() -> MissingFinals:
    return MissingFinals(wait_s=WAIT_S)


def test_an_interim_without_a_final_is_taken_when_speech_has_been_over_for_long_enough() -> None:
    finals = watch()
    finals.speech_started()
    finals.interim("a table", 0.5)
    finals.interim("a table for four", 1.0)
    assert finals.due() is None, "the caller still speaks"
    finals.speech_stopped(1.5)
    assert finals.take(3.4) is None
    assert finals.take(3.5) == "a table for four"
    assert finals.due() is None, "once"
    assert finals.misses == 1


def test_a_final_in_time_is_all_that_counts() -> None:
    finals = watch()
    finals.speech_started()
    finals.interim("a table", 0.5)
    finals.speech_stopped(1.0)
    finals.final("A table.")
    assert finals.due() is None
    finals.interim("a table", 1.1)
    assert finals.due() is None, "an afterthought to the same utterance"
    assert finals.misses == 0


def test_after_an_error_of_the_stt_nothing_is_taken_because_the_caller_says_it_again() -> None:
    finals = watch()
    finals.speech_started()
    finals.interim("a table", 0.5)
    finals.speech_stopped(1.0)
    finals.failed()
    assert finals.due() is None
    finals.speech_started()
    finals.interim("a table for four", 2.0)
    finals.speech_stopped(2.5)
    assert finals.due() == 4.5


def test_a_final_that_comes_after_its_interim_was_taken_is_left_out() -> None:
    finals = watch()
    finals.speech_started()
    finals.interim("a table", 0.5)
    finals.speech_stopped(1.0)
    assert finals.take(3.0) == "a table"
    assert finals.taken
    finals.final("A table.")
    finals.speech_started()
    finals.interim("for four", 5.0)
    finals.speech_stopped(5.5)
    assert not finals.taken, "the next one counts again"
    finals.final("For four.")
    assert finals.misses == 0


def test_words_behind_a_final_in_the_middle_of_an_utterance_are_not_lost() -> None:
    finals = watch()
    finals.speech_started()
    finals.final("A table.")
    finals.interim("for four", 1.0)
    finals.speech_stopped(1.2)
    assert finals.take(3.2) == "for four"


def test_without_a_vad_the_last_interim_is_waited_for() -> None:
    finals = watch()
    finals.interim("a table", 0.5)
    finals.interim("a table for four", 1.0)
    assert finals.due() == 3.0


def test_misses_in_a_row_are_counted() -> None:
    finals = watch()
    for at in (0.0, 10.0):
        finals.speech_started()
        finals.interim("a table", at)
        finals.speech_stopped(at + 1)
        assert finals.take(at + 3) == "a table"
    assert finals.misses == 2
    finals.speech_started()
    finals.final("yes")
    assert finals.misses == 0


def test_a_blank_interim_is_nothing() -> None:
    finals = watch()
    finals.speech_started()
    finals.interim("  ", 0.5)
    finals.speech_stopped(1.0)
    assert finals.due() is None
