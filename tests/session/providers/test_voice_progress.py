"""When a voice holds up what waits behind its sentence: with no voice and no clock."""

from __future__ import annotations

from piopiy_pipeline.session.providers.voice_progress import VoiceProgress


def test_a_sentence_that_waits_for_too_long_without_a_sound_is_overdue() -> None:
    voice = VoiceProgress(0.0)
    assert not voice.overdue(100.0, pending=False, patience_s=5), "nothing waits"
    assert not voice.overdue(104.9, pending=True, patience_s=5)
    assert voice.overdue(105.0, pending=True, patience_s=5)
    voice.reset(105.0)
    assert not voice.overdue(109.0, pending=True, patience_s=5)


def test_a_sound_is_progress_until_it_was_heard() -> None:
    voice = VoiceProgress(0.0)
    voice.made(8.0, 1.0)
    voice.made(2.0, 1.5)
    assert not voice.overdue(15.9, pending=True, patience_s=5)
    assert voice.overdue(16.0, pending=True, patience_s=5)
