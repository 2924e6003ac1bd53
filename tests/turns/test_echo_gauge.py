"""The bot's echo is known by its loudness; a caller who speaks over it is louder."""

from __future__ import annotations

import numpy as np
import pytest

from piopiy_pipeline.turns.echo_gauge import EchoGauge


def powers(seed: int, windows: int = 120) -> np.ndarray:
    """The power of speech, window by window: syllables and pauses."""
    rng = np.random.default_rng(seed)
    levels = np.repeat(rng.choice([-18.0, -22.0, -28.0, -60.0], windows // 4), 4)
    return 10 ** ((levels + rng.normal(0, 1.5, levels.size)) / 10)


def follow(gauge: EchoGauge, came: np.ndarray, went: np.ndarray) -> list[bool]:
    explained = []
    for power_in, power_out in zip(came, went, strict=True):
        gauge.window(float(power_in), float(power_out))
        explained.append(gauge.explains())
    return explained


def echo_of(went: np.ndarray, *, lag: int, gain_db: float) -> np.ndarray:
    return np.concatenate([np.zeros(lag), went[: went.size - lag]]) * 10 ** (gain_db / 10) + 1e-6


@pytest.mark.parametrize(("lag", "gain_db"), [(0, -10.0), (4, -20.0), (15, -6.0)])
def test_an_echo_is_found_whatever_its_delay_and_level(lag: int, gain_db: float) -> None:
    gauge, went = EchoGauge(), powers(1)
    follow(gauge, echo_of(went, lag=lag, gain_db=gain_db), went)
    gauge.learn()
    assert gauge.heard
    later = powers(2)
    assert all(follow(gauge, echo_of(later, lag=lag, gain_db=gain_db), later)[lag + 5 :])


def test_a_caller_over_the_echo_is_heard() -> None:
    gauge, went = EchoGauge(), powers(1)
    follow(gauge, echo_of(went, lag=4, gain_db=-25.0), went)
    gauge.learn()
    later = powers(2)
    caller = np.full(later.size, 10 ** (-20 / 10))
    assert not any(follow(gauge, echo_of(later, lag=4, gain_db=-25.0) + caller, later)[10:])


def test_a_caller_who_speaks_on_their_own_is_no_echo() -> None:
    gauge = EchoGauge()
    follow(gauge, powers(3), powers(1))
    gauge.learn()
    assert not gauge.heard


def test_a_silent_line_has_no_echo() -> None:
    gauge = EchoGauge()
    follow(gauge, np.full(120, 1e-7), powers(1))
    gauge.learn()
    assert not gauge.heard
    assert not gauge.explains()


def test_nothing_is_learnt_of_a_bot_that_has_hardly_spoken() -> None:
    gauge, went = EchoGauge(), np.zeros(60)
    went[50:55] = 0.01
    follow(gauge, echo_of(went, lag=1, gain_db=-6.0), went)
    gauge.learn()
    assert not gauge.heard


def test_without_a_window_there_is_no_echo() -> None:
    gauge = EchoGauge()
    gauge.learn()  # a VAD of the author's tells no windows
    assert not gauge.heard
