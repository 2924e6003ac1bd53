"""Noise and echo are taken out, and the caller stays: with the real library, on seeded sounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from benchmarks.speakerphone import Pcm, Speakerphone, on_line, room_response, through_cleaner
from piopiy_pipeline.audio.resample import Resampler
from piopiy_pipeline.audio.sound_cleaner import CleanSound, SoundCleaner, can_clean
from piopiy_pipeline.audio.wav import read_wav

RECORDINGS = Path(__file__).parent
RATES = (8_000, 16_000)


def speech(scene: str, rate: int, seconds: float) -> Pcm:
    """Return the lines of a scene, again and again."""
    lines = np.concatenate([read_wav(path, 16_000) for path in sorted((RECORDINGS / scene).glob("*.wav"))])
    lines = lines[: len(lines) // 320 * 320]
    pcm = np.frombuffer(Resampler(16_000, rate).process(lines.tobytes()), np.int16)
    return np.resize(pcm, int(seconds * rate))


def cleaned(what: CleanSound, rate: int, heard: Pcm, played: Pcm | None = None) -> Pcm:
    """Return what is left of a call in which `played` was played."""
    return through_cleaner(SoundCleaner(what, rate), heard, played)


def decibels(before: NDArray[np.int16], after: NDArray[np.int16]) -> float:
    def power(pcm: NDArray[np.int16]) -> float:
        return float((pcm.astype(np.float64) ** 2).mean()) + 1e-9

    return float(10 * np.log10(power(before) / power(after)))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("delay_ms", "seed"), [(60, 1), (150, 2), (250, 3), (450, 4)])
def test_the_echo_of_a_speakerphone_is_removed(rate: int, delay_ms: int, seed: int) -> None:
    played = speech("hours", rate, 12)
    heard = Speakerphone(rate, delay_ms, seed=seed).heard(played)
    left = cleaned("echo", rate, heard, played)
    begun = slice(2 * rate, 12 * rate)
    assert decibels(heard[begun], left[begun]) > 20


@pytest.mark.parametrize("rate", RATES)
def test_the_echo_of_a_room_whose_response_is_recorded_is_removed(rate: int, tmp_path: Path) -> None:
    """As of a clap: silence, a loud sample, and what the walls send back, at the rate of a recorder."""
    response = np.zeros(44_100 // 2)
    for second, level in ((0.1, 0.9), (0.107, 0.5), (0.123, -0.4), (0.16, 0.2), (0.31, -0.05)):
        response[int(second * 44_100)] = level
    soundfile.write(tmp_path / "room.wav", response, 44_100)
    room = room_response(tmp_path / "room.wav", rate)
    assert np.abs(room).argmax() == 0
    assert (room**2).sum() == pytest.approx(1.0)
    played = speech("hours", rate, 12)
    heard = Speakerphone(rate, 150, response=room).heard(played)
    left = cleaned("echo", rate, heard, played)
    begun = slice(2 * rate, 12 * rate)
    assert decibels(heard[begun], left[begun]) > 20


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("what", ["noise", "echo", "both"])
def test_a_caller_who_speaks_alone_stays_as_loud(rate: int, what: CleanSound) -> None:
    caller = on_line(speech("booking", rate, 10), rate)
    left = cleaned(what, rate, caller, np.zeros_like(caller))
    begun = slice(rate, 10 * rate)
    assert abs(decibels(caller[begun], left[begun])) < 1


@pytest.mark.parametrize("rate", RATES)
def test_a_caller_who_speaks_over_the_bot_is_still_there(rate: int) -> None:
    played, caller = speech("hours", rate, 20), speech("booking", rate, 20)
    caller[: 8 * rate] = 0
    phone = Speakerphone(rate, 150, echo_db=-10, seed=5)
    left = cleaned("echo", rate, phone.heard(played, caller), played)
    begun = slice(8 * rate, 20 * rate)
    assert decibels(caller[begun], left[begun]) < 6


@pytest.mark.parametrize("rate", RATES)
def test_steady_noise_is_taken_out(rate: int) -> None:
    rng = np.random.default_rng(7)
    noise = on_line(rng.normal(0, 300, 8 * rate), rate)
    left = cleaned("noise", rate, noise)
    assert decibels(noise[2 * rate :], left[2 * rate :]) > 8


def test_pieces_of_any_length_give_the_same_audio() -> None:
    rate = 8_000
    caller = speech("booking", rate, 3).tobytes()
    rng = np.random.default_rng(8)
    cleaner, parts, at = SoundCleaner("noise", rate), [], 0
    while at < len(caller):
        size = 2 * int(rng.integers(0, 500))
        parts.append(cleaner.clean(caller[at : at + size]))
        at += size
    whole = SoundCleaner("noise", rate).clean(caller)
    assert b"".join(parts) == whole
    assert len(whole) == len(caller)


def test_it_tells_what_was_removed() -> None:
    rate = 8_000
    played = speech("hours", rate, 10)
    heard = Speakerphone(rate, 100, seed=9).heard(played)
    cleaner = SoundCleaner("both", rate)
    through_cleaner(cleaner, heard, played)
    quality = cleaner.quality()
    assert quality["echo_removed_db"] > 10
    assert "noise_removed_db" in quality
    assert quality["echo_realigned"] == 0


@pytest.mark.parametrize(
    ("rate", "can"), [(8_000, True), (24_000, True), (48_000, True), (22_050, False), (96_000, False)]
)
def test_rates_with_whole_steps_can_be_cleaned(rate: int, can: bool) -> None:
    assert can_clean(rate) is can


@pytest.mark.parametrize("delay_ms", [700, 900, 1100])
def test_an_echo_that_comes_back_late_is_found_and_removed(delay_ms: int) -> None:
    rate = 8_000
    played = speech("hours", rate, 24)
    heard = Speakerphone(rate, delay_ms, seed=6).heard(played)
    cleaner = SoundCleaner("echo", rate)
    left = through_cleaner(cleaner, heard, played)
    late = slice(12 * rate, 24 * rate)
    assert decibels(heard[late], left[late]) > 15
    assert abs(cleaner.quality()["echo_delay_ms"] - delay_ms) <= 30


def test_a_caller_who_speaks_over_the_bot_is_no_echo() -> None:
    rate = 8_000
    cleaner = SoundCleaner("echo", rate)
    through_cleaner(cleaner, on_line(speech("booking", rate, 30), rate), speech("hours", rate, 30))
    assert "echo_delay_ms" not in cleaner.quality()
