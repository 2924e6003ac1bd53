"""Two legs that talk to each other."""

from __future__ import annotations

import numpy as np
import pytest

from piopiy_pipeline.audio.frame import FRAME_MS, FRAME_S
from piopiy_pipeline.gateway.core.bridge import MOST_MS, PREFILL_MS, Relay


def tone(seconds: float, rate: int) -> bytes:
    at = np.arange(int(seconds * rate)) / rate
    return (8000 * np.sin(2 * np.pi * 440 * at)).astype("<i2").tobytes()


@pytest.mark.parametrize("piece_ms", [5, 20, 30, 60])
def test_pieces_of_any_size_leave_as_frames_of_20_ms(piece_ms: int) -> None:
    relay = Relay(8000, 8000)
    sound = tone(1.2, 8000)
    heard, at = b"", 0
    for tick in range(60):
        while at <= tick * FRAME_MS:
            relay.add(sound[at * 16 : (at + piece_ms) * 16])
            at += piece_ms
        frame = relay.frame()
        if frame is not None:
            assert len(frame) == FRAME_MS * 16
            heard += frame
    assert len(heard) > 1.0 * 16000
    assert sound.startswith(heard[: len(sound)])
    assert relay.dropped_bytes == 0


def test_the_first_frame_waits_for_a_little_more_than_itself() -> None:
    relay = Relay(8000, 8000)
    relay.add(tone(FRAME_S, 8000))
    assert relay.frame() is None
    relay.add(tone((PREFILL_MS - FRAME_MS) / 1000, 8000))
    assert relay.frame() is not None
    assert relay.frame() is not None
    assert relay.frame() is None


def test_delay_does_not_pile_up_when_one_side_is_faster() -> None:
    relay = Relay(8000, 8000)
    relay.add(tone(2.0, 8000))
    waiting = 0
    while relay.frame() is not None:
        waiting += FRAME_MS
    assert waiting <= MOST_MS
    assert relay.dropped_bytes == 2 * 16000 - waiting * 16


def test_different_rates_are_made_the_same() -> None:
    relay = Relay(8000, 48000)
    for _ in range(20):
        relay.add(tone(0.02, 8000))
    frame = relay.frame()
    assert frame is not None
    assert len(frame) == 48 * 2 * FRAME_MS
