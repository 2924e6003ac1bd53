"""Text to speech: audio of a plausible length, words that know their time, and an end when it is wanted."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pipecat.frames.frames import (
    Frame,
    InterruptionFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
)

from piopiy_pipeline.services.tts.piper import PiperTTSService
from piopiy_pipeline.services.tts.piper_files import PiperVoiceFiles, PiperVoiceMissing, find_piper_voice
from piopiy_pipeline.services.workers.worker_pool import WorkerPool
from tests.support.mortal_worker import mortal_pool
from tests.support.offline import Chain, audio_s, stopped, words_of


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool(MODULE, name="piper-test", size=1)
    pool.workers[0].request("load", find_piper_voice())
    yield pool
    pool.close()


def _audio(frames: list[Frame]) -> bytes:
    return b"".join(frame.audio for frame in frames if isinstance(frame, TTSAudioRawFrame))


MODULE = "piopiy_pipeline.services.tts.piper_worker"
BUSY_S = 300.0
"""What a worker that is started again may take on a machine that is as busy as one that runs this whole suite."""


def test_a_worker_that_is_killed_in_mid_sentence_costs_nothing_that_is_said() -> None:
    text = "This is a sentence of which some was heard when its worker is killed, and we want all of it."
    pool = mortal_pool(MODULE, 3)  # each is some of its audio

    async def run(pool: WorkerPool) -> tuple[list[Frame], list[str]]:
        async with Chain(PiperTTSService(pool=pool)) as chain:
            await chain.send(TTSSpeakFrame(text))
            await chain.sink.until(stopped(1), limit_s=BUSY_S)
            return chain.sink.frames, chain.errors

    frames, errors = asyncio.run(run(pool))
    assert pool.workers[0].generation == 2
    pool.close()
    assert " ".join(word.text for word in words_of(frames)) == text
    assert 3 < audio_s(frames) < 8
    assert errors == []


def test_a_worker_that_is_lost_twice_costs_a_sentence_and_not_the_call() -> None:
    pool = mortal_pool(MODULE, 1, 2)

    async def run() -> tuple[list[Frame], list[str]]:
        async with Chain(PiperTTSService(pool=pool)) as chain:
            await chain.send(TTSSpeakFrame("Nobody will ever hear this."))
            async with asyncio.timeout(BUSY_S):
                await chain.error.wait()
            await chain.sink.until(stopped(1), limit_s=BUSY_S)
            chain.sink.frames = []
            await chain.send(TTSSpeakFrame("But they will hear that."))
            await chain.sink.until(stopped(1), limit_s=BUSY_S)
            return chain.sink.frames, chain.errors

    frames, errors = asyncio.run(run())
    pool.close()
    assert " ".join(word.text for word in words_of(frames)) == "But they will hear that."
    assert "the mortal worker was lost" in errors[0]


def test_a_voice_whose_hash_is_wrong_is_one_sentence_and_not_silence(
    pool: WorkerPool, tmp_path: Path
) -> None:
    path = tmp_path / "voice.onnx"
    path.write_bytes(b"not the voice")
    Path(f"{path}.json").write_text("{}")
    service = PiperTTSService(pool=pool)
    service._voice_files = PiperVoiceFiles(str(path), service._voice_files.sha256)

    async def run() -> list[str]:
        async with Chain(service) as chain:
            await chain.send(TTSSpeakFrame("Hello."))
            async with asyncio.timeout(20):
                await chain.error.wait()
        return chain.errors

    assert any("is not loaded, because its SHA-256 is" in error for error in asyncio.run(run()))


def test_what_was_said_before_needs_no_worker(pool: WorkerPool) -> None:
    async def run() -> tuple[list[Frame], list[Frame]]:
        async with Chain(PiperTTSService(pool=pool)) as chain:
            await chain.send(TTSSpeakFrame("Good morning, this is the front desk."))
            await chain.sink.until(stopped(1))
            first, chain.sink.frames = chain.sink.frames, []
        closed = WorkerPool(MODULE, name="closed", size=1)
        closed.close()
        async with Chain(PiperTTSService(pool=closed)) as chain:
            await chain.send(TTSSpeakFrame("Good morning, this is the front desk."))
            await chain.sink.until(stopped(1))
            return first, chain.sink.frames

    first, again = asyncio.run(run())
    assert _audio(first) == _audio(again) != b""
    assert [word.text for word in words_of(first)] == [word.text for word in words_of(again)]


def test_calls_that_speak_at_once_take_turns(pool: WorkerPool) -> None:
    """The second call's first audio does not wait for the first call's long answer."""

    async def run() -> float:
        long, short = Chain(PiperTTSService(pool=pool)), Chain(PiperTTSService(pool=pool))
        async with long, short:
            await long.send(
                TTSSpeakFrame("We count, and that takes long. " + "Nine, eight, seven, six. " * 40)
            )
            await long.sink.until(lambda frames: audio_s(frames) > 0)
            await short.send(TTSSpeakFrame("But I have only a word to say."))
            await short.sink.until(stopped(1))
            spoken_s = audio_s(long.sink.frames)
            await long.send(InterruptionFrame())
            return spoken_s

    assert asyncio.run(run()) < 30  # of more than a minute


@pytest.mark.parametrize("text", ["-", "🎉", "Yes - no."])
def test_a_word_without_a_sound_is_still_reported(pool: WorkerPool, text: str) -> None:
    async def run() -> tuple[list[Frame], list[str]]:
        async with Chain(PiperTTSService(pool=pool)) as chain:
            await chain.send(TTSSpeakFrame(text))
            await chain.sink.until(stopped(1))
            return chain.sink.frames, chain.errors

    frames, errors = asyncio.run(run())
    assert " ".join(word.text for word in words_of(frames)) == text
    assert errors == []


@pytest.mark.parametrize("speed", [0.1, 3, True, "fast"])
def test_a_speed_that_it_does_not_have_is_refused(speed: Any, pool: WorkerPool) -> None:
    with pytest.raises(ValueError, match=r"speed is .*; it must be a number from 0\.5 to 2"):
        PiperTTSService(pool=pool, speed=speed)


def test_a_voice_that_is_not_here_is_refused_when_the_service_is_made(pool: WorkerPool) -> None:
    with pytest.raises(PiperVoiceMissing, match=r"python -m piper\.download_voices xx_XX-nobody-low"):
        PiperTTSService(pool=pool, voice="xx_XX-nobody-low")
