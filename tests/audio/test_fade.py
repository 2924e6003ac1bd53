"""Fades that lose no sample: what one takes away is what the other gives back."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from piopiy_pipeline.audio.fade import fade_out, without

samples = st.lists(st.integers(-32768, 32767), max_size=700).map(lambda s: np.array(s, "<i2"))


@settings(deadline=None)
@given(samples)
def test_the_sum_of_both_fades_is_the_frame(frame: np.ndarray) -> None:
    faded = fade_out(frame.tobytes())
    back = without(frame.tobytes(), faded)
    assert np.array_equal(
        np.frombuffer(faded, "<i2").astype(int) + np.frombuffer(back, "<i2").astype(int), frame.astype(int)
    )


def test_a_fade_goes_down_to_silence_without_a_step() -> None:
    faded = np.frombuffer(fade_out(np.full(320, 10000, "<i2").tobytes()), "<i2")
    assert faded[0] == 10000
    assert 0 < faded[-1] < 50
    assert np.abs(np.diff(faded)).max() <= 32


def test_what_was_not_faded_comes_whole() -> None:
    frame = np.full(320, 1000, "<i2").tobytes()
    faded = fade_out(frame[:200])
    back = np.frombuffer(without(frame, faded), "<i2")
    assert back[0] == 0
    assert (back[100:] == 1000).all()


def test_no_audio_fades_to_no_audio() -> None:
    assert fade_out(b"") == b""
    assert without(b"", b"") == b""
