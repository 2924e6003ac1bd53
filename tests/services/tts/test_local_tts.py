"""What every voice does that speaks in a worker process: words in order, an end when wanted, settings that change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from pipecat.frames.frames import (
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSSpeakFrame,
    TTSUpdateSettingsFrame,
)
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService

from piopiy_pipeline.services.tts.espeak import EspeakTTSService, EspeakTTSSettings
from piopiy_pipeline.services.tts.piper import PiperTTSService, PiperTTSSettings
from piopiy_pipeline.services.tts.piper_files import find_piper_voice
from piopiy_pipeline.services.workers.worker_processes import WorkerPool
from tests.support.offline import Chain, audio_s, stopped, words_of

FASTER: dict[type[TTSService], TTSSettings] = {
    EspeakTTSService: EspeakTTSSettings(rate=330),
    PiperTTSService: PiperTTSSettings(speed=2.0),
}
Voice = Callable[[], TTSService]


@pytest.fixture(scope="module", params=[EspeakTTSService, PiperTTSService])
def voice(request: pytest.FixtureRequest) -> Iterator[Voice]:
    kind = request.param
    name = "espeak" if kind is EspeakTTSService else "piper"
    pool = WorkerPool(f"piopiy_pipeline.services.tts.{name}_worker", name=f"{name}-test", size=1)
    if kind is PiperTTSService:
        pool.workers[0].request("load", find_piper_voice())
    yield lambda: kind(pool=pool)
    pool.close()


def test_the_words_of_a_turn_go_on_from_sentence_to_sentence(voice: Voice) -> None:
    text = "A table for four. On Friday at seven. Is that right?"

    async def run() -> list[Frame]:
        async with Chain(voice()) as chain:
            words = [LLMTextFrame(f"{word} ") for word in text.split()]
            await chain.send(LLMFullResponseStartFrame(), *words, LLMFullResponseEndFrame())
            await chain.sink.until(stopped(1))
            return chain.sink.frames

    frames = asyncio.run(run())
    words = words_of(frames)
    assert " ".join(word.text for word in words) == text
    times = [word.pts for word in words if word.pts is not None]
    assert len(times) == len(words)
    assert all(earlier <= later for earlier, later in pairwise(times))
    assert (times[-1] - times[0]) / 1e9 < audio_s(frames)


def test_an_interruption_ends_it_and_the_next_turn_starts_from_zero(voice: Voice) -> None:
    async def run() -> tuple[float, list[Frame]]:
        async with Chain(voice()) as chain:
            await chain.send(TTSSpeakFrame("one, two, three, four. " * 80))
            await chain.sink.until(lambda frames: audio_s(frames) > 0)
            await chain.send(InterruptionFrame())
            await chain.sink.until(
                lambda frames: any(isinstance(frame, InterruptionFrame) for frame in frames)
            )
            before = audio_s(chain.sink.frames)
            chain.sink.frames = []
            await chain.send(TTSSpeakFrame("Sorry."))
            await chain.sink.until(stopped(1))
            return before, chain.sink.frames

    before, after = asyncio.run(run())
    assert before < 60  # of about 150 s
    assert [word.text for word in words_of(after)] == ["Sorry."]
    assert audio_s(after) < 2.0


def test_settings_change_while_the_call_runs(voice: Voice) -> None:
    async def run() -> tuple[float, float]:
        service = voice()
        async with Chain(service) as chain:
            await chain.send(TTSSpeakFrame("A table for four people on Friday."))
            await chain.sink.until(stopped(1))
            slow = audio_s(chain.sink.frames)
            await chain.send(TTSUpdateSettingsFrame(delta=FASTER[type(service)]))
            chain.sink.frames = []
            await chain.send(TTSSpeakFrame("A table for four people on Friday."))
            await chain.sink.until(stopped(1))
            return slow, audio_s(chain.sink.frames)

    slow, fast = asyncio.run(run())
    assert fast < 0.7 * slow
