"""Resampling a live stream: nothing held back, nothing out of tune, nothing folded over."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from piopiy_pipeline.audio.resample import Resampler, resampler_between

PAIRS = [
    (24000, 16000),
    (24000, 8000),
    (16000, 8000),
    (8000, 16000),
    (16000, 24000),
    (48000, 8000),
    (8000, 48000),
]


def tone(rate: int, hertz: float, seconds: float = 1.0) -> bytes:
    at = np.arange(int(rate * seconds)) / rate
    return (np.sin(2 * np.pi * hertz * at) * 8000).astype("<i2").tobytes()


def samples(pcm: bytes) -> NDArray[np.float64]:
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def in_pieces(resampler: Resampler, pcm: bytes, milliseconds: int = 20) -> list[bytes]:
    size = resampler.rate_in * milliseconds // 1000 * 2
    return [resampler.process(pcm[at : at + size]) for at in range(0, len(pcm), size)]


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_twenty_milliseconds_in_are_twenty_milliseconds_out_at_once(rate_in: int, rate_out: int) -> None:
    pieces = in_pieces(Resampler(rate_in, rate_out), tone(rate_in, 440))
    assert {len(piece) for piece in pieces} == {rate_out // 50 * 2}


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_a_tone_comes_out_as_the_same_tone_later_by_the_delay(rate_in: int, rate_out: int) -> None:
    resampler = Resampler(rate_in, rate_out)
    out = samples(b"".join(in_pieces(resampler, tone(rate_in, 3000))))
    assert resampler.delay_s <= 0.003
    at = np.arange(len(out)) / rate_out - resampler.delay_s
    settled = slice(rate_out // 10, None)
    error = (out - np.sin(2 * np.pi * 3000 * at) * 8000)[settled]
    assert np.sqrt(np.mean(error**2)) < 8000 / 2**0.5 / 1000, "60 dB"


@pytest.mark.parametrize(("rate_in", "rate_out"), [(24000, 16000), (48000, 8000), (16000, 8000)])
def test_what_the_lower_rate_cannot_carry_is_gone(rate_in: int, rate_out: int) -> None:
    out = samples(Resampler(rate_in, rate_out).process(tone(rate_in, rate_out / 2 * 1.1)))
    assert np.sqrt(np.mean(out[rate_out // 10 :] ** 2)) < 8000 / 2**0.5 / 1000


@pytest.mark.parametrize(("rate_in", "rate_out"), [(22050, 16000), (44100, 24000), (16000, 8000)])
def test_pieces_of_any_size_give_what_one_piece_gives(rate_in: int, rate_out: int) -> None:
    pcm = tone(rate_in, 500, 0.5)
    whole, pieces = Resampler(rate_in, rate_out), Resampler(rate_in, rate_out)
    expected = whole.process(pcm) + whole.flush()
    out, at, size = b"", 0, 2
    while at < len(pcm):
        out += pieces.process(pcm[at : at + size])
        at, size = at + size, size % 1500 + 34
    assert samples(out + pieces.flush()) == pytest.approx(samples(expected), abs=1)


def test_the_end_of_a_stretch_comes_out_in_full() -> None:
    resampler = Resampler(24000, 16000)
    out = resampler.process(tone(24000, 440)) + resampler.flush()
    assert len(out) // 2 == 16000 + round(resampler.delay_s * 16000)


def test_a_new_stretch_does_not_hear_the_old_one() -> None:
    resampler = Resampler(16000, 8000)
    resampler.process(tone(16000, 440))
    resampler.reset()
    assert not samples(resampler.process(bytes(640))).any()


def test_the_loudest_samples_do_not_wrap_around() -> None:
    square = np.where(np.arange(16000) // 40 % 2, 32767, -32768).astype("<i2").tobytes()
    out = samples(Resampler(16000, 24000).process(square))
    assert out.max() == 32767
    assert out.min() == -32768
    assert np.sign(out[2000:2010]).var() <= 1


def test_equal_rates_pass_through() -> None:
    resampler = Resampler(16000, 16000)
    pcm = tone(16000, 440, 0.02)
    assert resampler.process(pcm) == pcm
    assert resampler.flush() == b""
    assert resampler.delay_s == 0


def test_half_a_sample_and_rates_without_a_simple_ratio_are_errors() -> None:
    with pytest.raises(ValueError, match="16-bit"):
        Resampler(16000, 8000).process(b"\0")
    with pytest.raises(ValueError, match="ratio"):
        Resampler(16001, 16000)
    with pytest.raises(ValueError, match="positive"):
        Resampler(0, 16000)


def test_two_streams_of_the_same_rates_do_not_share_what_came_before() -> None:
    one, other = resampler_between(8000, 16000), resampler_between(8000, 16000)
    assert one is not None
    assert other is not None
    expected = Resampler(8000, 16000).process(bytes(320))
    one.process(b"\xff\x3f" * 160)
    assert other.process(bytes(320)) == expected
    assert resampler_between(8000, 8000) is None
