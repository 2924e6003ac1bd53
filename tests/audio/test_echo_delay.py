"""The delay of an echo: found while the bot speaks alone, and never where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.speakerphone import Pcm, Speakerphone
from piopiy_pipeline.audio.echo_delay import LONGEST_MS, EchoDelay
from tests.audio.test_sound_cleaner import speech

RATE = 8_000


def delays(played: Pcm, heard: Pcm) -> list[int]:
    finder, frame = EchoDelay(RATE), RATE // 50
    pieces = range(0, len(played) - frame + 1, frame)
    found = [finder.add(played[at : at + frame], heard[at : at + frame]) for at in pieces]
    return [one for one in found if one is not None]


@pytest.mark.parametrize("delay_ms", [0, 60, 300, 700, 1150])
@pytest.mark.parametrize("echo_db", [0, -15])
def test_a_plain_echo_is_found_to_20_ms(delay_ms: int, echo_db: int) -> None:
    played = speech("hours", RATE, 20)
    found = delays(played, Speakerphone(RATE, delay_ms, echo_db=echo_db, seed=delay_ms).heard(played))
    assert len(found) >= 5
    assert all(abs(one - delay_ms) <= 20 for one in found)


def test_a_caller_who_speaks_is_no_echo() -> None:
    assert delays(speech("hours", RATE, 40), speech("booking", RATE, 40)) == []


def test_neither_is_noise_nor_silence() -> None:
    rng = np.random.default_rng(1)
    played = speech("hours", RATE, 20)
    assert delays(played, rng.normal(0, 300, len(played)).astype(np.int16)) == []
    assert delays(played, np.zeros_like(played)) == []
    assert delays(np.zeros_like(played), np.zeros_like(played)) == []


def test_what_is_later_than_a_second_is_not_looked_for() -> None:
    played = speech("hours", RATE, 20)
    heard = Speakerphone(RATE, LONGEST_MS + 300, seed=2).heard(played)
    assert all(one <= LONGEST_MS for one in delays(played, heard))
