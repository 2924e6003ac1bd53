"""What stands in for a missing packet, and how time is taken out of speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from piopiy_pipeline.audio.concealment import Concealer, find_pitch, shorten
from piopiy_pipeline.audio.wav import read_wav

RATE = 16000
FRAME = 320
SPEECH = Path(__file__).parent / "booking_at_once" / "01-everything.wav"


def voice(
    samples: int, *, hertz: float = 120.0, rate: int = RATE, level: float = 6000.0
) -> NDArray[np.int16]:
    """A vowel of sorts: some harmonics of a deep voice."""
    at = np.arange(samples) / rate
    parts = sum(np.sin(2 * np.pi * hertz * n * at + n) / n for n in range(1, 8))
    return np.rint(level * np.asarray(parts)).astype(np.int16)


def noise(samples: int, level: float) -> NDArray[np.int16]:
    return np.rint(np.random.default_rng(3).standard_normal(samples) * level).astype(np.int16)


def rms(pcm: NDArray[np.int16]) -> float:
    return float(np.sqrt(np.square(pcm.astype(np.float64)).mean()))


def steepest(pcm: NDArray[np.int16]) -> int:
    return int(np.abs(np.diff(pcm.astype(np.int32))).max())


def with_gaps(pcm: NDArray[np.int16], lost: set[int], concealer: Concealer) -> NDArray[np.int16]:
    frames = [pcm[n : n + FRAME] for n in range(0, pcm.size - FRAME + 1, FRAME)]
    return np.concatenate(
        [concealer.conceal(FRAME) if n in lost else concealer.heard(f) for n, f in enumerate(frames)]
    )


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
def test_the_pitch_of_a_voice_is_found_at_every_rate(rate: int) -> None:
    period, correlation = find_pitch(voice(rate // 20, rate=rate).astype(np.float32), rate)
    assert rate / period == pytest.approx(120, rel=0.02)
    assert correlation > 0.99


def test_too_little_sound_for_a_pitch_is_refused() -> None:
    with pytest.raises(ValueError, match="35 ms"):
        find_pitch(np.zeros(100, np.float32), RATE)


def test_what_arrives_passes_unchanged_while_nothing_is_missing() -> None:
    pcm = read_wav(SPEECH, RATE)[: 100 * FRAME]
    assert np.array_equal(with_gaps(pcm, set(), Concealer(rate=RATE)), pcm)


@pytest.mark.parametrize("before_gap", [1, 2, 49, 50, 51, 173])
def test_what_only_passed_is_known_as_well_as_what_was_heard(before_gap: int) -> None:
    """It is looked at later, and in one go: what stands in for the next packet is the same, its background too."""
    pcm = read_wav(SPEECH, RATE)
    one, other = Concealer(rate=RATE), Concealer(rate=RATE)
    for at in range(0, before_gap * FRAME, FRAME):
        one.heard(pcm[at : at + FRAME])
        other.passed(pcm[at : at + FRAME].tobytes())
    for _ in range(6):
        made, also = one.conceal(FRAME).astype(np.int32), other.conceal(FRAME).astype(np.int32)
        assert np.abs(made - also).max() <= 1


def test_pieces_of_different_lengths_may_pass() -> None:
    vowel = voice(20 * FRAME)
    one, other = Concealer(rate=RATE), Concealer(rate=RATE)
    for start, end in ((0, 7 * FRAME), (7 * FRAME, 10 * FRAME), (10 * FRAME, 20 * FRAME)):
        one.heard(vowel[start:end])
        other.passed(vowel[start:end].tobytes())
    assert np.abs(one.conceal(FRAME).astype(int) - other.conceal(FRAME)).max() <= 1


def test_a_steady_vowel_goes_on_through_a_lost_packet() -> None:
    pcm = voice(20 * FRAME)
    mended = with_gaps(pcm, {10}, Concealer(rate=RATE))
    assert rms(mended - pcm) < 0.25 * rms(pcm)
    assert rms(mended[10 * FRAME : 11 * FRAME]) > 0.7 * rms(pcm)


def test_there_is_no_click_at_either_end_of_a_gap() -> None:
    pcm = read_wav(SPEECH, RATE)
    lost = {n for n in range(5, pcm.size // FRAME - 2) if n % 10 in (3, 4)}
    assert steepest(with_gaps(pcm, lost, Concealer(rate=RATE))) <= 1.15 * steepest(pcm)


def test_a_long_gap_fades_out_within_60_ms_into_the_line_s_own_background() -> None:
    background = noise(100 * FRAME, 30.0)
    pcm = background.copy()
    pcm[50 * FRAME :] += voice(50 * FRAME)
    mended = with_gaps(pcm, set(range(70, 90)), Concealer(rate=RATE))
    assert rms(mended[70 * FRAME : 71 * FRAME]) > 0.6 * rms(pcm[60 * FRAME : 70 * FRAME])
    assert rms(mended[73 * FRAME : 90 * FRAME]) == pytest.approx(30, rel=0.3)


def test_on_a_line_that_was_silent_a_gap_is_silent() -> None:
    assert not with_gaps(np.zeros(20 * FRAME, np.int16), {5, 6, 7}, Concealer(rate=RATE)).any()


def test_a_gap_at_the_very_beginning_is_silence() -> None:
    assert not Concealer(rate=RATE).conceal(FRAME).any()


def test_speech_itself_is_never_taken_for_the_background() -> None:
    mended = with_gaps(voice(40 * FRAME), set(range(20, 40)), Concealer(rate=RATE))
    assert rms(mended[30 * FRAME :]) < 200


def test_the_same_gaps_are_filled_the_same_way() -> None:
    pcm, lost = read_wav(SPEECH, RATE), {20, 21, 50, 51, 52, 53, 54, 90}
    first, second = (with_gaps(pcm, lost, Concealer(rate=RATE)) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_period_of_a_voice_can_be_taken_out_without_a_seam() -> None:
    pcm = voice(3 * FRAME)
    shorter = shorten(pcm, RATE)
    assert shorter is not None
    assert 0.005 * RATE <= pcm.size - shorter.size <= 0.015 * RATE + 1
    assert steepest(shorter) <= 1.05 * steepest(pcm)
    assert (shorter[0], shorter[-1]) == (pcm[0], pcm[-1])


def test_silence_can_be_shortened_and_a_hiss_cannot() -> None:
    shorter = shorten(noise(3 * FRAME, 10), RATE)
    assert shorter is not None
    assert shorter.size == 3 * FRAME - 240
    assert shorten(noise(3 * FRAME, 3000), RATE) is None
    assert shorten(voice(FRAME), RATE) is None, "too short to tell"
