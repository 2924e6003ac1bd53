"""When an STT counts as mute: with no STT and no clock."""

from __future__ import annotations

from piopiy_pipeline.session.providers.mute_stt import MuteRecognizer


def heard(recognizer: MuteRecognizer, start: float, end: float) -> None:
    recognizer.speech_started(start)
    recognizer.speech_stopped(end)


def test_speech_without_a_word_is_missed_some_time_after_it_has_ended() -> None:
    mute = MuteRecognizer(voiced_s=1, wait_s=2.5)
    mute.speech_started(0)
    assert mute.due() is None, "words come when the caller has spoken"
    mute.speech_stopped(1.5)
    assert mute.owes_words
    assert mute.take(3.9) is None
    assert mute.take(4.0) == 1.5
    assert mute.misses == 1
    assert mute.due() is None


def test_a_cough_is_no_speech_and_several_short_words_are() -> None:
    mute = MuteRecognizer(voiced_s=1, wait_s=2.5)
    heard(mute, 0, 0.4)
    assert mute.due() is None
    heard(mute, 3, 3.4)
    heard(mute, 5, 5.4)
    assert mute.due() == 5.4 + 2.5
    late = MuteRecognizer(voiced_s=1, wait_s=2.5)
    late.words_came(0)
    for start in (0, 20, 40):
        heard(late, start, start + 0.4)
    assert late.due() is None, "what is long ago does not count"


def test_an_stt_of_which_no_word_has_ever_come_is_doubted_after_two_short_sounds_however_far_apart() -> None:
    mute = MuteRecognizer(voiced_s=1, wait_s=2.5)
    heard(mute, 0, 0.4)
    assert mute.due() is None, "it may be a cough"
    heard(mute, 20, 20.2)
    assert mute.due() is None, "a click"
    heard(mute, 40, 40.4)
    assert mute.due() == 40.4 + 2.5


def test_a_word_or_an_error_of_its_own_settles_it() -> None:
    mute = MuteRecognizer()
    heard(mute, 0, 2)
    mute.words_came(2.5)
    assert mute.due() is None
    heard(mute, 3, 5)
    mute.failed()
    assert mute.due() is None


def test_words_that_come_before_speech_has_ended_settle_what_was_said_so_far() -> None:
    mute = MuteRecognizer(voiced_s=1, wait_s=2.5)
    mute.speech_started(0)
    mute.words_came(2.6)
    mute.speech_stopped(2.5)  # known 0.2 s later
    assert mute.due() is None
    mute.speech_started(5)
    mute.words_came(6)
    mute.speech_stopped(8)
    assert mute.take(10.5) == 2.0, "it became mute in the middle"
