"""How loud speech is by its position, and where its words begin."""

from __future__ import annotations

import numpy as np
import pytest

from piopiy_pipeline.audio.envelope import Envelope

RATE = 16000


def sound(seconds: float, level: int = 8000) -> np.ndarray:
    n = int(seconds * RATE)
    return np.asarray(level * np.sin(np.arange(n) * 0.3), np.int16)


def envelope(*parts: np.ndarray, piece: int = 777) -> Envelope:
    made = Envelope(RATE)
    pcm = np.concatenate(parts).tobytes()
    for at in range(0, len(pcm), 2 * piece):
        made.add(pcm[at : at + 2 * piece])
    return made


def at(seconds: float) -> int:
    return int(seconds * RATE)


def test_a_word_begins_after_the_last_gap() -> None:
    words = envelope(sound(0.3), sound(0.1, 0), sound(0.4))
    assert words.sound_begins(at(0.7), RATE) == pytest.approx(at(0.4), abs=160)


def test_a_gap_within_a_word_is_passed_over_where_there_is_a_longer_one() -> None:
    words = envelope(sound(0.3), sound(0.1, 0), sound(0.2), sound(0.03, 0), sound(0.2))
    assert words.sound_begins(at(0.8), RATE) == pytest.approx(at(0.4), abs=160)


def test_a_short_gap_will_do_where_there_is_no_longer_one() -> None:
    words = envelope(sound(0.5), sound(0.03, 0), sound(0.2))
    assert words.sound_begins(at(0.7), RATE) == pytest.approx(at(0.53), abs=160)


def test_between_two_words_nothing_is_said_again() -> None:
    assert envelope(sound(0.5), sound(0.3, 0)).sound_begins(at(0.6), RATE) == at(0.6)


def test_without_any_gap_nothing_is_known() -> None:
    assert envelope(sound(1.0)).sound_begins(at(0.6), RATE) is None
    assert Envelope(RATE).sound_begins(at(0.6), RATE) is None


def test_no_further_back_is_looked_than_was_asked_for() -> None:
    words = envelope(sound(0.3), sound(0.1, 0), sound(0.8))
    assert words.sound_begins(at(1.2), at(0.5)) is None


def test_the_power_is_that_of_the_samples_before_a_position() -> None:
    words = envelope(sound(0.5, 0), sound(0.5))
    assert words.power(at(0.5), at(0.03)) == 0.0
    assert words.power(at(1.0), at(0.03)) == pytest.approx((8000 / 32768) ** 2 / 2, rel=0.1)
    assert words.power(at(5.0), at(0.03)) == 0.0


def test_what_is_forgotten_is_silent_and_positions_stay() -> None:
    words = envelope(sound(0.3), sound(0.1, 0), sound(0.4))
    words.forget_before(at(0.35))
    assert words.power(at(0.2), at(0.05)) == 0.0
    assert words.sound_begins(at(0.7), RATE) == pytest.approx(at(0.4), abs=160)
    words.clear()
    words.add(sound(0.1).tobytes())
    assert words.power(at(0.1), at(0.05)) > 0
