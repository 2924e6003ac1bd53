"""The parts of a live answer's latency, from the marks of its way."""

from __future__ import annotations

import pytest

from piopiy_pipeline.latency import AnswerClock, LatencyParts


def asked(clock: AnswerClock, *, stop: float = 10.2, transcript: float = 10.5, at: float = 10.8) -> None:
    """A turn of the caller, up to the question to the model."""
    clock.speech_started()
    clock.speech_stopped(stop, 0.2)
    clock.transcript(transcript)
    clock.asked(at)


def test_an_answer_is_cut_at_its_marks_and_the_parts_are_the_whole() -> None:
    clock = AnswerClock()
    asked(clock)
    assert clock.token(11.1)
    assert not clock.token(11.2), "the first counts"
    clock.audio(11.3, behind_other_speech=False)
    clock.audio(11.4, behind_other_speech=False)
    parts = clock.played(11.35)
    assert parts is not None
    assert parts.event_data() == {
        "silence_s": 0.2,
        "stt_s": 0.3,
        "turn_s": 0.3,
        "llm_s": 0.3,
        "tts_s": 0.2,
        "playout_s": 0.05,
        "total_s": 1.35,
    }
    assert clock.played(11.5) is None, "once"


def test_what_is_told_still_sums_when_it_is_rounded() -> None:
    told = LatencyParts(0.00049, 0.00049, 0.00049, 0.00049, 0.00049, 0.00049).event_data()
    assert told["total_s"] == pytest.approx(sum(v for k, v in told.items() if k != "total_s"), abs=1e-9)


def test_a_transcript_that_nobody_waited_for_has_no_share() -> None:
    clock = AnswerClock()
    clock.speech_started()
    clock.transcript(10.1)
    clock.speech_stopped(10.2, 0.2)
    clock.asked(10.8)
    clock.audio(11.0, behind_other_speech=False)
    parts = clock.played(11.0)
    assert parts is not None
    assert (parts.stt, parts.turn, parts.llm, parts.tts) == pytest.approx((0.0, 0.6, 0.0, 0.2))


def test_without_a_vad_the_time_begins_with_the_transcript() -> None:
    clock = AnswerClock()
    clock.transcript(10.5)
    clock.asked(10.8)
    clock.audio(11.0, behind_other_speech=False)
    parts = clock.played(11.1)
    assert parts is not None
    assert parts.voice_to_voice == pytest.approx(0.6)


def test_what_the_bot_says_of_its_own_accord_has_no_latency() -> None:
    clock = AnswerClock()
    clock.audio(1.0, behind_other_speech=False)
    assert clock.played(1.0) is None
    clock.asked(2.0)
    clock.audio(2.0, behind_other_speech=False)
    assert clock.played(2.0) is None, "the model was asked by the bot, not by the caller"


def test_an_answer_behind_other_speech_or_cut_off_before_it_was_heard_has_none() -> None:
    clock = AnswerClock()
    asked(clock)
    clock.audio(11.0, behind_other_speech=True)
    assert clock.played(11.0) is None
    asked(clock)
    clock.audio(11.0, behind_other_speech=False)
    clock.cut()
    clock.audio(12.0, behind_other_speech=False)
    assert clock.played(12.0) is None


def test_a_caller_who_goes_on_before_the_answer_is_asked_anew() -> None:
    clock = AnswerClock()
    asked(clock)
    clock.token(11.0)
    asked(clock, stop=13.2, transcript=13.4, at=13.8)
    clock.audio(14.0, behind_other_speech=False)
    parts = clock.played(14.0)
    assert parts is not None
    assert parts.voice_to_voice == pytest.approx(1.0)
    assert parts.llm == 0, "the token was of the answer before"


def test_the_old_name_of_the_events_data_still_serves_and_warns() -> None:
    parts = LatencyParts.between(1.0, 2.0, vad_stop=1.2, token=1.7)
    with pytest.warns(DeprecationWarning, match=r"LatencyParts\.event_data"):
        assert parts.told() == parts.event_data()
