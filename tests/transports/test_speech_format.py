"""Whatever a service makes leaves as whole samples of one channel at the stream's rate."""

from __future__ import annotations

import numpy as np

from piopiy_pipeline.transports.speech_format import SpeechFormat

RATE = 16000
SAMPLES = np.arange(1, 1001, dtype=np.int16)
PCM = SAMPLES.tobytes()


def test_what_fits_already_passes_as_it_is() -> None:
    assert SpeechFormat(RATE).convert(PCM, rate=RATE, channels=1) == PCM


def test_a_sample_that_was_cut_in_two_is_put_together() -> None:
    speech = SpeechFormat(RATE)
    pieces = [PCM[:1001], PCM[1001:1002], PCM[1002:]]
    assert b"".join(speech.convert(each, rate=RATE, channels=1, context_id="a") for each in pieces) == PCM


def test_half_a_sample_does_not_shift_the_next_context() -> None:
    speech = SpeechFormat(RATE)
    assert speech.convert(b"\1", rate=RATE, channels=1, context_id="a") == b""
    assert speech.convert(PCM, rate=RATE, channels=1, context_id="b") == PCM
    assert speech.convert(b"\1", rate=RATE, channels=1, context_id="b") == b""
    assert speech.convert(PCM, rate=RATE, channels=1) == PCM


def test_channels_are_averaged() -> None:
    stereo = np.stack([SAMPLES, SAMPLES + 2], axis=1).tobytes()
    made = SpeechFormat(RATE).convert(stereo, rate=RATE, channels=2)
    assert np.array_equal(np.frombuffer(made, np.int16), SAMPLES + 1)


def test_another_rate_is_converted_without_a_seam() -> None:
    t = np.arange(24_000) / 24_000
    pcm = (8000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16).tobytes()
    whole = SpeechFormat(RATE).convert(pcm, rate=24_000, channels=1)
    speech = SpeechFormat(RATE)
    pieces = b"".join(
        speech.convert(pcm[at : at + 4800], rate=24_000, channels=1) for at in range(0, len(pcm), 4800)
    )
    assert abs(len(whole) / 2 - RATE) < 0.05 * RATE
    a, b = (np.frombuffer(each, np.int16)[2000:12_000].astype(int) for each in (whole, pieces))
    assert np.abs(a - b).max() <= 2
