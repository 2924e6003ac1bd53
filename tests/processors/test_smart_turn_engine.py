"""One smart-turn for all calls says what pipecat's own analyzer says."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import soxr
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3

from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.processors.smart_turn_engine import RecentAudio, SmartTurnEngine, shared_smart_turn
from tests.support.calls import AUDIO

RECORDINGS = sorted((AUDIO / "pauses").glob("*.wav"))[:3]


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_its_opinions_are_those_of_pipecats_analyzer(rate: int) -> None:
    heard = [read_wav(path, rate) for path in RECORDINGS]
    heard.append(np.tile(heard[0], 10)[: 10 * rate])

    async def opinions() -> list[float]:
        engine = SmartTurnEngine()
        try:
            return list(await asyncio.gather(*(engine.judge(pcm.tobytes(), rate) for pcm in heard)))
        finally:
            engine.close()

    analyzer = LocalSmartTurnAnalyzerV3()
    for pcm, opinion in zip(heard, asyncio.run(opinions()), strict=True):
        samples = pcm[-8 * rate :].astype(np.float32) / 32768
        at_16_khz = samples if rate == 16_000 else soxr.resample(samples, rate, 16_000)
        assert opinion == pytest.approx(analyzer._predict_endpoint(at_16_khz)["probability"], abs=0.001)


def test_there_is_one_engine_a_process() -> None:
    assert shared_smart_turn() is shared_smart_turn()


def test_the_recent_audio_is_bounded_and_ends_with_the_newest() -> None:
    recent = RecentAudio(most_bytes=8)
    for i in range(100):
        recent.add(bytes([i, i]))
        assert len(recent.last()) <= 8
        assert len(recent._pcm) <= 18
    assert recent.last() == bytes([96, 96, 97, 97, 98, 98, 99, 99])
