"""What callers say: a sentence is spoken while the clock of the simulation stands still."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from piopiy_pipeline.testing import run_virtual
from piopiy_pipeline.testing.line import utterance_audio
from piopiy_pipeline.testing.line.utterance_audio import load_recording, words_beside
from tests.support.calls import tone

RATE = 16000


def test_a_voice_that_takes_its_time_does_not_move_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow_voice(text: str, rate: int) -> NDArray[np.int16]:
        time.sleep(0.01)  # as `subprocess` waits for a program
        return tone(0.5, rate)

    monkeypatch.setattr(utterance_audio, "synthesize", slow_voice)

    async def scenario() -> tuple[float, int]:
        began = asyncio.get_running_loop().time()
        recording = load_recording("Nobody has said this before.", 16000)
        return asyncio.get_running_loop().time() - began, len(recording.pcm)

    assert run_virtual(scenario) == (0.0, 16000)


def test_the_words_beside_a_file_may_begin_with_a_byte_order_mark_and_are_in_utf_8(tmp_path: Path) -> None:
    recording, words = tmp_path / "ja.wav", tmp_path / "ja.txt"
    soundfile.write(recording, np.full(RATE, 0.3), RATE)
    words.write_bytes(b"\xef\xbb\xbfgr\xc3\xbcn\n")
    assert load_recording(recording, RATE).text == "gr\u00fcn"
    other = recording.rename(tmp_path / "nein.wav")
    other.with_suffix(".txt").write_bytes("grün".encode("latin-1"))
    for load in (lambda: load_recording(other, RATE), lambda: words_beside(other)):
        with pytest.raises(ValueError, match=r"nein\.txt: not in UTF-8"):
            load()
