"""G.711, against the standard library's implementation where there is one, and against the law itself."""

from __future__ import annotations

import warnings
from types import ModuleType

import numpy as np
import pytest

from piopiy_pipeline.audio.g711 import alaw_decode, alaw_encode, ulaw_decode, ulaw_encode

EVERY_SAMPLE = np.arange(-32768, 32768, dtype=np.int32).astype(np.int16)
EVERY_CODE = np.arange(256, dtype=np.uint8)


@pytest.fixture(scope="module")
def audioop() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module: ModuleType = pytest.importorskip("audioop", reason="removed from Python 3.13")
    return module


def test_every_sample_encodes_as_the_standard_library_does(audioop: ModuleType) -> None:
    raw = EVERY_SAMPLE.tobytes()
    assert ulaw_encode(EVERY_SAMPLE).tobytes() == audioop.lin2ulaw(raw, 2)
    assert alaw_encode(EVERY_SAMPLE).tobytes() == audioop.lin2alaw(raw, 2)


def test_every_code_decodes_as_the_standard_library_does(audioop: ModuleType) -> None:
    raw = EVERY_CODE.tobytes()
    assert ulaw_decode(EVERY_CODE).tobytes() == audioop.ulaw2lin(raw, 2)
    assert alaw_decode(EVERY_CODE).tobytes() == audioop.alaw2lin(raw, 2)


def test_the_ends_of_both_laws_are_where_the_recommendation_puts_them() -> None:
    # G.711 tables 2a and 1a: the largest output is 8031 of 14 bits (µ), 4032 of 13 bits (A).
    assert ulaw_decode(EVERY_CODE).max() == 8031 * 4
    assert alaw_decode(EVERY_CODE).max() == 4032 * 8
    assert ulaw_encode(np.array([0], np.int16))[0] == 0xFF
    assert alaw_encode(np.array([0], np.int16))[0] == 0xD5


def test_a_second_round_trip_changes_nothing() -> None:
    for encode, decode in ((ulaw_encode, ulaw_decode), (alaw_encode, alaw_decode)):
        once = decode(encode(EVERY_SAMPLE))
        assert np.array_equal(decode(encode(once)), once)


def test_the_shape_is_kept_and_strided_input_is_welcome() -> None:
    stereo = np.zeros((160, 2), np.int16)
    stereo[:, 0] = np.arange(160) * 100
    assert ulaw_encode(stereo).shape == (160, 2)
    assert np.array_equal(ulaw_encode(stereo[:, 0]), ulaw_encode(stereo)[:, 0])
