"""What was heard of the bot, from what was sent and what the playout clock reports."""

from __future__ import annotations

import numpy as np
import pytest

from piopiy_pipeline.capture.played import PlayedSpeech

RATE = 16000


def speech(seconds: float, first: int = 1) -> bytes:
    """Samples that can be told apart."""
    return (np.arange(round(seconds * RATE)) % 1000 + first).astype(np.int16).tobytes()


def test_a_stretch_begins_with_the_first_frame_and_goes_on_sample_by_sample() -> None:
    played = PlayedSpeech(RATE)
    pcm = speech(0.5)
    played.sent(pcm)
    first = played.played(0, 320, False, 10.0)
    second = played.played(0, 3520, False, 10.2)
    last = played.played(0, 8000, True, 10.5)
    assert first is not None
    assert second is not None
    assert last is not None
    assert (first.at, first.began) == (10.0, 10.0), "20 ms have left when the first frame is reported"
    assert second.at == pytest.approx(10.02)
    assert second.began is None
    assert last.stopped == pytest.approx(10.5)
    assert first.pcm + second.pcm + last.pcm == pcm


def test_a_late_report_does_not_move_the_audio() -> None:
    played = PlayedSpeech(RATE)
    played.sent(speech(1.0))
    played.played(0, 320, False, 5.0)
    late = played.played(0, 16000, True, 8.0)
    assert late is not None
    assert late.at == pytest.approx(5.02)
    assert late.stopped == pytest.approx(6.0)


def test_after_an_interruption_only_what_was_reached_was_heard() -> None:
    played = PlayedSpeech(RATE)
    pcm, answer = speech(2.0), speech(0.1, first=5)
    played.sent(pcm)
    played.played(0, 320, False, 1.0)
    played.clearing(1)
    played.sent(answer)
    cut = played.cleared(1, 4800, 1.3)
    assert cut is not None
    assert cut.cut
    assert cut.pcm == pcm[640 : 2 * 4800]
    assert cut.stopped == pytest.approx(1.3)
    again = played.played(1, 1600, True, 2.0)
    assert again is not None
    assert again.pcm == answer


def test_a_clear_in_silence_is_no_end_of_speech() -> None:
    played = PlayedSpeech(RATE)
    played.clearing(1)
    assert played.cleared(1, 0, 1.0) is None


def test_a_clear_without_an_answer_is_got_over() -> None:
    played = PlayedSpeech(RATE)
    played.sent(speech(1.0))
    played.played(0, 320, False, 1.0)
    played.clearing(1)
    played.sent(speech(0.5, first=7))
    heard = played.played(1, 320, False, 2.0)
    assert heard is not None
    assert heard.pcm == speech(0.02, first=7)
    assert played.played(0, 1600, False, 2.1) is None, "of an epoch that is over"


def test_speech_that_was_held_goes_on_at_its_time() -> None:
    played = PlayedSpeech(RATE)
    pcm = speech(1.0)
    played.sent(pcm)
    played.played(0, 320, False, 1.0)
    held = played.held(0, 4800, 1.3)
    assert held is not None
    assert held.cut
    assert held.stopped == pytest.approx(1.3)
    played.resuming(None)
    on = played.played(0, 5120, False, 2.0)
    assert on is not None
    assert (on.began, on.pcm) == (2.0, pcm[9600:10240])


def test_speech_that_is_said_again_was_heard_twice() -> None:
    played = PlayedSpeech(RATE)
    pcm = speech(1.0)
    played.sent(pcm)
    played.played(0, 320, False, 1.0)
    played.held(0, 4800, 1.3)
    played.resuming(3200)
    again = played.played(0, 3520, False, 2.0)
    rest = played.played(0, 16000, True, 2.8)
    assert again is not None
    assert rest is not None
    assert again.pcm + rest.pcm == pcm[6400:]


def test_a_hold_while_nothing_plays_is_nothing_heard() -> None:
    played = PlayedSpeech(RATE)
    assert played.held(0, 0, 1.0) is None
    played.resuming(0)
    played.sent(speech(0.02))
    first = played.played(0, 320, True, 2.0)
    assert first is not None
    assert first.pcm == speech(0.02)


def test_the_answer_to_a_clear_that_was_never_asked_for_changes_nothing() -> None:
    played = PlayedSpeech(RATE)
    pcm = speech(0.5)
    played.sent(pcm[:6400])
    assert played.cleared(7, 3200, 1.2) is None
    played.sent(pcm[6400:])
    heard = played.played(0, 8000, True, 1.5)
    assert heard is not None
    assert heard.pcm == pcm
