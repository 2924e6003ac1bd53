"""`MuteVoice`: samples in which nothing is heard."""

from __future__ import annotations

import numpy as np
import pytest

from piopiy_pipeline.session.providers.mute_voice import MuteVoice

RATE = 16000


def silence(seconds: float, level: int = 0) -> bytes:
    return np.full(int(seconds * RATE), level, "<i2").tobytes()


SOUND = np.r_[np.zeros(100), np.full(100, 3000), np.zeros(100)].astype("<i2").tobytes()


@pytest.mark.parametrize("level", [0, 7, -15])
def test_a_voice_that_begins_with_a_long_silence_is_mute_and_that_is_told_once(level: int) -> None:
    voice = MuteVoice()
    told = [voice.audio(silence(0.2, level), RATE) for _ in range(20)]
    assert [round(one, 1) for one in told if one is not None] == [1.6]


def test_so_is_one_that_ends_without_a_sound() -> None:
    voice = MuteVoice()
    assert voice.audio(silence(0.5), RATE) is None
    assert voice.ends() == 0.5
    assert voice.ends() is None


def test_a_pause_is_no_fault_and_a_speech_that_stays_silent_is() -> None:
    voice = MuteVoice()
    assert voice.audio(silence(1.4), RATE) is None
    assert voice.audio(SOUND, RATE) is None
    assert voice.audio(silence(4.9), RATE) is None
    assert voice.audio(SOUND, RATE) is None
    assert voice.audio(silence(5.1), RATE) is not None
    assert voice.ends() is None


def test_a_moment_of_silence_for_a_text_without_a_word_is_no_fault() -> None:
    voice = MuteVoice()
    assert voice.audio(silence(0.2), RATE) is None
    assert voice.ends() is None


def test_an_odd_byte_and_no_bytes_are_nothing() -> None:
    voice = MuteVoice()
    assert voice.audio(b"", RATE) is None
    assert voice.audio(silence(0.1) + b"x", RATE) is None


def test_what_is_cut_off_does_not_count_for_the_next_speech() -> None:
    voice = MuteVoice()
    assert voice.audio(silence(1.4), RATE) is None
    voice.begins()
    assert voice.audio(silence(1.4), RATE) is None
