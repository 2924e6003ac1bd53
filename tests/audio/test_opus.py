"""Opus by ctypes: voices survive it, gaps are made up, and rubbish is an error."""

from __future__ import annotations

import numpy as np
import pytest

from piopiy_pipeline.audio import opus
from piopiy_pipeline.audio.opus import OpusDecoder, OpusEncoder, OpusError, library
from tests.support.browser_peer import loudest_hz, tone

FRAME = 640


def frames(hz: float, seconds: float) -> list[bytes]:
    pcm = tone(hz, seconds, 16000).astype("<i2").tobytes()
    return [pcm[at : at + FRAME] for at in range(0, len(pcm), FRAME)]


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
def test_a_sound_comes_out_as_it_went_in_at_any_rate(rate: int) -> None:
    encoder, decoder = OpusEncoder(rate), OpusDecoder(rate)
    pcm = tone(440, 1, rate).astype("<i2").tobytes()
    size = rate // 50 * 2
    packets = [encoder.encode(pcm[at : at + size]) for at in range(0, len(pcm), size)]
    assert sum(map(len, packets)) < 8000
    heard = np.frombuffer(b"".join(decoder.decode(packet) for packet in packets), np.int16)
    assert heard.size == rate
    assert abs(loudest_hz(heard, rate) - 440) < 3


def test_a_gap_is_made_up_from_what_came_before_and_fades() -> None:
    encoder, decoder = OpusEncoder(16000), OpusDecoder(16000)
    for frame in frames(200, 0.4):
        heard = decoder.decode(encoder.encode(frame))
    first = np.frombuffer(decoder.conceal(320), np.int16)
    for _ in range(20):
        last = np.frombuffer(decoder.conceal(320), np.int16)
    assert first.size == 320
    assert np.abs(first).max() > 0.3 * np.abs(np.frombuffer(heard, np.int16)).max()
    assert np.abs(last).max() < 200


def test_where_packets_get_lost_each_carries_a_spare_copy_of_the_one_before() -> None:
    plain, careful = OpusEncoder(16000), OpusEncoder(16000)
    careful.expect_loss(0.2)
    voice = [frame for hz in (150, 300, 250, 180) for frame in frames(hz, 0.2)]
    without = [plain.encode(frame) for frame in voice]
    spared = [careful.encode(frame) for frame in voice]
    assert without != spared
    decoder = OpusDecoder(16000)
    for packet in spared[:-2]:
        decoder.decode(packet)
    assert decoder.duration(spared[-1]) == 320
    assert len(decoder.recover(spared[-1], 320)) == FRAME
    careful.expect_loss(0.0)


def test_rubbish_is_an_error_and_no_crash() -> None:
    decoder = OpusDecoder(16000)
    for rubbish in (b"", b"\xff", bytes(range(256)) * 8):
        with pytest.raises(OpusError):
            decoder.decode(rubbish)
    with pytest.raises(OpusError, match="20 ms"):
        OpusEncoder(16000).encode(bytes(10))
    with pytest.raises(OpusError):
        OpusEncoder(44100)
    with pytest.raises(OpusError):
        OpusDecoder(44100)


def test_no_more_is_asked_of_libopus_than_there_is_room_for() -> None:
    decoder = OpusDecoder(16000)
    for ask in (lambda: decoder.conceal(16001), lambda: decoder.recover(b"\x00" * 9, 1 << 20)):
        with pytest.raises(OpusError, match=r"1920 .120 ms. are the most"):
            ask()
    for odd in (-320, 0, 321):
        with pytest.raises(OpusError):
            decoder.conceal(odd)


def test_without_libopus_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opus, "_candidates", lambda: iter(("libno-such-opus.so", "libm.so.6")))
    library.cache_clear()
    try:
        with pytest.raises(OpusError, match=r"libopus was not found.*install"):
            library()
    finally:
        library.cache_clear()
