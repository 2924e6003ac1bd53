"""What every voice does that speaks in a worker process: words in order, an end when wanted, settings that change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from itertools import pairwise

import pytest
from pipecat.frames.frames import (
    Frame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStoppedFrame,
    TTSUpdateSettingsFrame,
)
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService

from piopiy_pipeline.services.tts.espeak import EspeakTTSService, EspeakTTSSettings
from piopiy_pipeline.services.tts.local_tts import LocalTTSService, SpeechPiece
from piopiy_pipeline.services.tts.piper import PiperTTSService, PiperTTSSettings
from piopiy_pipeline.services.tts.piper_files import find_piper_voice
from piopiy_pipeline.services.workers.worker_pool import Lease, WorkerPool
from piopiy_pipeline.services.workers.worker_processes import WorkerLost
from piopiy_pipeline.testing.stage.run_stage import At, run_stage
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


class SlowOrLost(LocalTTSService):
    """Its worker takes 20 s over "Slow." as one that starts again on a busy machine, and is lost over "Lost."."""

    def __init__(self) -> None:
        super().__init__(
            "test voice",
            settings=TTSSettings(model=None, voice=None, language=None),
            sample_rate=None,
            pool=WorkerPool("no_module", name="none", size=1),
        )

    async def speak(self, text: str, lease: Lease, rate: int) -> AsyncGenerator[SpeechPiece]:
        if "Lost" in text:
            raise WorkerLost("it ended")
        await asyncio.sleep(20.0 if "Slow" in text else 0.1)
        yield SpeechPiece(bytes(2 * rate), ((text, 0.0),))


def test_an_answer_whose_worker_takes_long_is_heard_and_is_no_error() -> None:
    run = run_stage(SlowOrLost, [TTSSpeakFrame("Slow.")], end_s=60)
    assert run.errors == []
    assert [word.text for word in words_of(run)] == ["Slow."]
    assert audio_s(run) == pytest.approx(1.0)


@pytest.mark.parametrize("said", ["Lost.", "Good. Lost."])
def test_a_lost_sentence_does_not_hold_up_the_next_answer(said: str) -> None:
    texts = [LLMTextFrame(f"{sentence} ") for sentence in said.split()]
    answer = [LLMFullResponseStartFrame(), *texts, LLMFullResponseEndFrame()]
    run = run_stage(SlowOrLost, [*answer, At(1.0, TTSSpeakFrame("Then."))])
    (ended, then_at, _) = [
        each.at
        for each in run.moments
        if isinstance(each.frame, TTSStoppedFrame)
        or (isinstance(each.frame, TTSAudioRawFrame) and each.at > 1)
    ][:3]
    assert ended < 0.5
    assert then_at == pytest.approx(1.1, abs=0.05)
