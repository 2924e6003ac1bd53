"""The codecs: a voice comes through at its rate, 20 ms at a time, and what is no payload is refused."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from piopiy_pipeline.audio import g711
from piopiy_pipeline.gateway.rtp import codecs
from piopiy_pipeline.gateway.rtp.codecs import CODECS, CodecError, codec_rate, make_codec, preload


def voice(rate: int, seconds: float = 1.0) -> NDArray[np.int16]:
    """Something voiced: some harmonics of 150 Hz that swell and fade."""
    at = np.arange(int(rate * seconds)) / rate
    tone = sum(np.sin(2 * np.pi * 150 * n * at) / n for n in range(1, 8))
    return (3000 * tone * (1 + np.sin(2 * np.pi * 3 * at))).astype(np.int16)


def through(name: str, pcm: NDArray[np.int16], rate: int | None = None) -> tuple[NDArray[np.int16], set[int]]:
    """What is left of `pcm`, and the lengths of the pieces in which it came."""
    codec = make_codec(name, rate)
    frame = codec.rate // 50
    pieces = [
        codec.decode(codec.encode(pcm[start : start + frame].tobytes()))
        for start in range(0, pcm.size - frame + 1, frame)
    ]
    return np.frombuffer(b"".join(pieces), np.int16), {len(piece) // 2 for piece in pieces}


def likeness(sent: NDArray[np.int16], heard: NDArray[np.int16], rate: int) -> float:
    """The best correlation, if the codec may take up to 25 ms."""
    size = min(sent.size, heard.size) - rate // 40
    return max(
        float(np.corrcoef(sent[:size], heard[delay : delay + size])[0, 1]) for delay in range(rate // 40)
    )


@pytest.mark.parametrize(
    ("name", "rate", "clock"),
    [("PCMU", 8000, 8000), ("pcma", 8000, 8000), ("G722", 16000, 8000), ("opus", 16000, 48000)],
)
def test_a_voice_comes_through(name: str, rate: int, clock: int) -> None:
    codec = make_codec(name)
    assert (codec.rate, codec.clock, codec_rate(name)) == (rate, clock, rate)
    heard, pieces = through(name, voice(rate))
    assert pieces == {rate // 50}
    assert likeness(voice(rate), heard, rate) > 0.9


@pytest.mark.parametrize(("name", "rate"), [("PCMU", 16000), ("G722", 8000)])
def test_a_call_keeps_its_rate_when_the_codec_has_another(name: str, rate: int) -> None:
    heard, pieces = through(name, voice(rate), rate)
    assert pieces == {rate // 50}
    assert likeness(voice(rate), heard, rate) > 0.9


@pytest.mark.parametrize("name", list(CODECS))
def test_silence_is_silent(name: str) -> None:
    codec = make_codec(name)
    heard = b"".join(codec.decode(codec.silence()) for _ in range(20))
    assert np.abs(np.frombuffer(heard, np.int16)).max() <= 16


def test_g711_has_the_payloads_of_the_standard() -> None:
    assert make_codec("PCMU").silence() == b"\xff" * 160
    assert make_codec("PCMA").silence() == b"\xd5" * 160
    assert make_codec("PCMU").decode(b"\x00\x80\xff") == np.array([-32124, 32124, 0], "<i2").tobytes()


@pytest.mark.parametrize("name", list(CODECS))
@pytest.mark.parametrize("payload", [b"", b"\xff" * 2000])
def test_what_is_no_payload_is_refused(name: str, payload: bytes) -> None:
    with pytest.raises(CodecError, match=r"(?i)" + name):
        make_codec(name).decode(payload)


def test_opus_survives_what_is_no_opus() -> None:
    codec = make_codec("opus")
    with pytest.raises(CodecError, match="opus"):
        codec.decode(b"\xff" * 5)
    assert len(codec.decode(codec.encode(bytes(640)))) == 640


def test_a_codec_that_is_not_here_is_named_with_those_that_are() -> None:
    with pytest.raises(CodecError, match="'speex': there are PCMU, PCMA, G722, OPUS"):
        make_codec("speex")


def test_all_can_be_loaded_ahead_of_time() -> None:
    tables = [
        each for module in (codecs, g711) for each in vars(module).values() if hasattr(each, "cache_info")
    ]
    for table in tables:
        table.cache_clear()
    preload()
    made = [table.cache_info().misses for table in tables]
    assert len(made) == 5
    assert all(made)
    for name in CODECS:
        codec = make_codec(name)
        codec.decode(codec.encode(bytes(codec.rate // 50 * 2)))
    assert [table.cache_info().misses for table in tables] == made, "a call makes none"
