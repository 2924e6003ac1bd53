"""What callers say: a sentence is spoken while the clock of the simulation stands still."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from piopiy_pipeline.testing import run_virtual
from piopiy_pipeline.testing.line import utterance_audio
from piopiy_pipeline.testing.line.utterance_audio import load_recording
from tests.support.calls import tone


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
