"""What a caller hears while nobody speaks."""

from __future__ import annotations

from itertools import islice
from typing import get_args

import numpy as np
import pytest

from piopiy_pipeline.audio.tones import Tone, ToneName


def sound(name: ToneName, rate: int, seconds: float) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    tone = Tone(name, rate)
    frames = islice(iter(tone.frame, None), int(seconds * 50))
    return np.frombuffer(b"".join(frames), "<i2")


@pytest.mark.parametrize("name", get_args(ToneName))
@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
def test_it_repeats_every_five_seconds_in_frames_of_20_ms(name: ToneName, rate: int) -> None:
    assert len(Tone(name, rate).frame()) == rate // 50 * 2
    ten = sound(name, rate, 10)
    assert np.array_equal(ten[: 5 * rate], ten[5 * rate :])
    assert 0 < int(np.abs(ten.astype(int)).max()) < 8000


def test_ringback_is_425_hz_for_a_second() -> None:
    ring = sound("ringback", 8000, 5)
    spectrum = np.abs(np.fft.rfft(ring[:8000]))
    assert int(spectrum.argmax()) == 425
    assert not ring[8000:].any()
