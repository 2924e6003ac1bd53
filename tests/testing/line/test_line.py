"""What a line does to a recording: its level, its noise, its band and its codec."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from piopiy_pipeline.audio.g711 import alaw_decode, alaw_encode
from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.testing.line.line import Line, LineSound, Noise, NoiseKind, speech_level, to_level

RATE = 16000
SPEECH = Path(__file__).parents[2] / "audio" / "booking" / "01-people.wav"


@pytest.fixture(scope="module")
def speech() -> NDArray[np.int16]:
    return read_wav(SPEECH, RATE)


def dbfs(pcm: NDArray[np.int16]) -> float:
    return float(10 * np.log10(np.square(pcm.astype(np.float64)).mean() / 32768**2))


def power_above(pcm: NDArray[np.int16], hertz: float) -> float:
    spectrum = np.square(np.abs(np.fft.rfft(pcm.astype(np.float64))))
    return float(spectrum[np.fft.rfftfreq(pcm.size, 1 / RATE) >= hertz].sum() / spectrum.sum())


def test_a_perfect_line_changes_nothing(speech: NDArray[np.int16]) -> None:
    assert np.array_equal(Line().apply(speech, RATE), speech)


def test_speech_is_brought_to_a_level_by_what_is_spoken_and_not_by_the_pauses(
    speech: NDArray[np.int16],
) -> None:
    quiet = to_level(speech, -40, RATE)
    with_a_pause = np.concatenate((quiet, np.zeros(5 * RATE, np.int16)))
    assert speech_level(quiet, RATE) == pytest.approx(-40, abs=0.2)
    assert speech_level(with_a_pause, RATE) == pytest.approx(-40, abs=0.2)


def test_silence_has_no_level_and_stays_silent() -> None:
    silence = np.zeros(1000, np.int16)
    assert speech_level(silence, RATE) == float("-inf")
    assert speech_level(np.zeros(0, np.int16), RATE) == float("-inf")
    assert np.array_equal(to_level(silence, -20, RATE), silence)


@pytest.mark.parametrize("kind", ["white", "pink", "hum", "babble"])
def test_noise_lies_as_far_below_the_speech_as_asked_for(kind: NoiseKind) -> None:
    line = Line(level_dbfs=-20, noise=Noise(kind, snr_db=15))
    behind_a_silent_caller = line.apply(np.zeros(20 * RATE, np.int16), RATE)
    assert dbfs(behind_a_silent_caller) == pytest.approx(-35, abs=0.2)


def test_with_noise_and_no_level_speech_is_at_the_nominal_one(speech: NDArray[np.int16]) -> None:
    line = Line(noise=Noise("white", snr_db=60))
    assert speech_level(line.apply(speech, RATE), RATE) == pytest.approx(-26, abs=0.3)


def test_noise_can_be_a_recording(speech: NDArray[np.int16]) -> None:
    line = Line(level_dbfs=-20, noise=Noise(SPEECH, snr_db=10))
    assert dbfs(line.apply(np.zeros(speech.size, np.int16), RATE)) == pytest.approx(-30, abs=0.2)


def test_the_same_seed_is_the_same_noise_and_another_seed_another(speech: NDArray[np.int16]) -> None:
    line = Line(noise=Noise("babble", snr_db=10))
    assert np.array_equal(line.apply(speech, RATE, seed=1), line.apply(speech, RATE, seed=1))
    assert not np.array_equal(line.apply(speech, RATE, seed=1), line.apply(speech, RATE, seed=2))


def test_a_narrow_line_lets_nothing_through_above_4_khz_and_keeps_the_rest_in_its_place() -> None:
    dice = np.random.default_rng(1)
    wide = np.rint(dice.standard_normal(2 * RATE) * 3000).astype(np.int16)
    narrow = Line(band="narrow").apply(wide, RATE)
    assert power_above(wide, 4100) > 0.4
    assert power_above(narrow, 4100) < 1e-4
    tone = np.rint(8000 * np.sin(np.arange(RATE) * 2 * np.pi * 440 / RATE)).astype(np.int16)
    inner = slice(1000, -1000)
    difference = Line(band="narrow").apply(tone, RATE)[inner].astype(int) - tone[inner]
    assert np.abs(difference).max() < 20, "a tone comes through with its phase"


def test_g711_leaves_the_noise_of_its_quantisation(speech: NDArray[np.int16]) -> None:
    at_8k = read_wav(SPEECH, 8000)
    assert np.array_equal(Line(codec="pcma").apply(at_8k, 8000), alaw_decode(alaw_encode(at_8k)))
    through = Line(codec="pcmu").apply(speech, RATE)
    assert power_above(through, 4100) < 1e-3
    assert speech_level(through, RATE) == pytest.approx(speech_level(speech, RATE), abs=1.0)


def test_a_line_takes_frames_of_20_ms_and_gives_them_back_as_long() -> None:
    for rate in (8000, 16000, 24000):
        sound = LineSound(Line(codec="pcmu", noise=Noise("pink", snr_db=20)), rate=rate, seed=1)
        assert {len(sound.process(bytes(rate // 50 * 2))) for _ in range(20)} == {rate // 50 * 2}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: Line(codec=cast(Any, "opus")), "'linear', 'pcmu' or 'pcma'"),
        (lambda: Line(band=cast(Any, "8k")), "'wide' or 'narrow'"),
        (lambda: Line(level_dbfs=26), "from -80 to 0"),
        (lambda: Noise(cast(Any, "street"), snr_db=1), "'babble', or the Path"),
        (lambda: Noise(Path("street.wav"), snr_db=1), "street.wav: no such file"),
    ],
)
def test_a_line_that_there_is_not_is_refused_with_the_choice(wrong: object, says: str) -> None:
    assert callable(wrong)
    with pytest.raises(ValueError, match=says):
        wrong()
