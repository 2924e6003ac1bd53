"""The ears on real speech: recordings and sentences that flite says anew, in a running pipeline."""

import asyncio
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pipecat.frames.frames import InputAudioRawFrame
from pipecat.transcriptions.language import Language

from piopiy_pipeline.offload import in_flight
from piopiy_pipeline.processors.caller_pause import CallerPausedFrame
from piopiy_pipeline.services.stt.moonshine import MoonshineSTTService
from piopiy_pipeline.services.stt.moonshine_files import SpeechModelMissing, find_speech_model
from piopiy_pipeline.services.workers.worker_pool import WorkerPool
from tests.support.calls import eventually
from tests.support.offline import Chain, Pcm, load, say, scenes, telephone


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    """One worker for the whole module: starting it takes longer than most of these tests."""
    pool = WorkerPool("piopiy_pipeline.services.stt.moonshine_worker", name="moonshine-test", size=1)
    yield pool
    pool.close()


def _hear(pool: WorkerPool, *turns: Pcm, rate: int = 16_000) -> list[str]:
    async def run() -> list[str]:
        async with Chain(MoonshineSTTService(pool=pool), rate_in=rate) as chain:
            return await chain.hear(*turns)

    return asyncio.run(run())


def _plain(text: str) -> str:
    """What was said, without punctuation and case; "good-by" is as good as "goodbye"."""
    words = re.sub(r"[^a-z' ]", "", text.lower().replace("good-by", "goodby"))
    return re.sub(r"\bgoodby\b", "goodbye", words)


def _word_errors(said: str, heard: str) -> int:
    """Edits between the two, in words (Levenshtein)."""
    a, b = _plain(said).split(), _plain(heard).split()
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (word != other))
    return row[-1]


LINES = [turn for turns in scenes().values() for turn in turns]


@pytest.mark.parametrize(("rate", "share"), [(16_000, 0.1), (8_000, 0.15)])
def test_recordings_have_few_word_errors(pool: WorkerPool, rate: int, share: float) -> None:
    speech = [load(line["file"]) for line in LINES]
    heard = _hear(pool, *(telephone(pcm) if rate == 8_000 else pcm for pcm in speech), rate=rate)
    errors = sum(_word_errors(line["text"], text) for line, text in zip(LINES, heard, strict=True))
    assert errors <= share * sum(len(line["text"].split()) for line in LINES), heard


def test_sentences_of_any_topic_are_heard(pool: WorkerPool) -> None:
    said = [
        ("slt", "My grandmother keeps chickens behind the old barn."),
        ("slt", "We would be six of us, could you squeeze us in on Saturday?"),
    ]
    heard = _hear(pool, *(say(text, voice) for voice, text in said))
    errors = sum(_word_errors(text, words) for (_, text), words in zip(said, heard, strict=True))
    assert errors <= 2, heard


def test_partial_results_come_while_the_caller_speaks_and_one_final_at_the_end(pool: WorkerPool) -> None:
    async def run() -> Chain:
        async with Chain(MoonshineSTTService(pool=pool)) as chain:
            pcm = load("booking/01-people.wav")
            await chain.speak(pcm[:32_000], stops=False)
            await chain.sink.until(lambda _: bool(chain.interims()))
            assert not chain.transcripts()
            await chain.speak(pcm[32_000:])
            await chain.sink.until(lambda _: bool(chain.transcripts()))
        return chain

    chain = asyncio.run(run())
    assert chain.interims()[0].text.startswith("I would")
    [final] = chain.transcripts()
    assert final.finalized
    assert final.text.startswith("I would like to book a table")
    assert final.result is not None
    assert 0 < final.result["confidence"] <= 1
    assert [text for text, _ in final.result["words"]] == final.text.split()


def test_what_was_asked_at_a_pause_is_the_final_when_speech_has_stopped(pool: WorkerPool) -> None:
    async def run() -> tuple[str, int]:
        stt = MoonshineSTTService(pool=pool)
        async with Chain(stt) as chain:
            await chain.speak(load("booking/03-yes.wav"), stops=False)
            await chain.send(CallerPausedFrame())
            await chain.hear(np.zeros(0, np.int16))
            return chain.transcripts()[0].text, len(chain.transcripts())

    assert asyncio.run(run()) == ("Yes, please.", 1)


def test_who_goes_on_after_a_pause_is_heard_to_the_end(pool: WorkerPool) -> None:
    async def run() -> list[str]:
        async with Chain(MoonshineSTTService(pool=pool)) as chain:
            pcm = load("booking/01-people.wav")
            await chain.speak(pcm[:24_000], stops=False)
            await chain.send(CallerPausedFrame())
            return await chain.hear(pcm[24_000:])

    [heard] = asyncio.run(run())
    assert "four people" in heard


@pytest.mark.parametrize("waits", [True, False], ids=["first_half_known", "first_half_asked_yet"])
def test_the_second_half_of_a_sentence_is_heard_together_with_the_first(
    pool: WorkerPool, waits: bool
) -> None:
    """Alone, it was heard as "Could you squeeze us in on Saturday or on date?"."""
    halves = "We'd be six of us,", "could you squeeze us in on Saturday around eight?"

    async def run() -> list[str]:
        async with Chain(MoonshineSTTService(pool=pool), rate_in=8_000) as chain:
            first, second = (telephone(say(half, "slt")) for half in halves)
            await chain.speak(first)
            if waits:
                await chain.sink.until(lambda _: bool(chain.transcripts()))
            await chain.speak(second)
            await chain.sink.until(lambda _: len(chain.transcripts()) >= 2)
            return [frame.text for frame in chain.transcripts()]

    _, heard = asyncio.run(run())
    assert _plain(heard) == "could you squeeze us in on saturday around eight"


def test_short_answers_right_after_a_sentence_are_heard_too(pool: WorkerPool) -> None:
    """For the model, nothing comes behind some sentences."""
    answers = [say(text, "rms") for text in ("Four.", "Seven thirty.", "Two.", "Tomorrow.")]
    assert all(_hear(pool, load("hours/01-open.wav"), answer)[1] for answer in answers)


@pytest.mark.parametrize("loudness", [0, 100, 1_000])
def test_noise_is_no_words(pool: WorkerPool, loudness: int) -> None:
    noise = np.random.default_rng(0).normal(0, loudness, 24_000).astype(np.int16)

    async def run() -> list[str]:
        async with Chain(MoonshineSTTService(pool=pool)) as chain:
            await chain.speak(noise)
            # What is said after it comes out, and nothing came out before.
            return await chain.hear(load("booking/03-yes.wav"))

    assert asyncio.run(run()) == ["Yes, please."]


def test_nothing_is_asked_while_nobody_speaks(pool: WorkerPool) -> None:
    async def run() -> int:
        asked = 0
        async with Chain(MoonshineSTTService(pool=pool)) as chain:
            await chain.hear(load("booking/03-yes.wav"))
            loop = asyncio.get_running_loop()
            for _ in range(200):
                await chain.send(InputAudioRawFrame(bytes(640), 16_000, 1))
                asked = max(asked, in_flight(loop))
        return asked

    assert asyncio.run(run()) == 0


def test_a_worker_killed_in_mid_utterance_costs_nothing(pool: WorkerPool) -> None:
    async def run() -> tuple[list[str], list[str]]:
        async with Chain(MoonshineSTTService(pool=pool)) as chain:
            assert await chain.hear(load("booking/03-yes.wav")) == ["Yes, please."]
            pcm = load("booking/01-people.wav")
            await chain.speak(pcm[:32_000], stops=False)
            await chain.sink.until(lambda _: bool(chain.interims()))
            pid = pool.workers[0].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            return await chain.hear(pcm[32_000:], load("booking/03-yes.wav")), chain.errors

    heard, errors = asyncio.run(run())
    assert len(heard) == 2
    assert heard[0].startswith("I would like to book")
    assert heard[1] == "Yes, please."
    assert errors == []


def test_a_worker_that_dies_in_silence_is_there_again_before_anybody_speaks(pool: WorkerPool) -> None:
    async def run() -> None:
        async with Chain(MoonshineSTTService(pool=pool)):
            (worker,) = pool.workers
            await eventually(lambda: worker.is_ready, 60)  # the first test of its process starts it
            first = worker.pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            await eventually(lambda: worker.pid not in (None, first), 30)
            assert worker.first == ("load", "en")

    asyncio.run(run())


def test_two_calls_at_once_do_not_hear_each_other(pool: WorkerPool) -> None:
    async def call(*files: str) -> list[str]:
        async with Chain(MoonshineSTTService(pool=pool)) as chain:
            return await chain.hear(*map(load, files))

    async def run() -> tuple[list[str], list[str]]:
        return await asyncio.gather(
            call("booking/01-people.wav", "booking/03-yes.wav"),
            call("correction/02-change.wav", "hours/01-open.wav"),
        )

    first, second = asyncio.run(run())
    assert [_plain(text) for text in first] == ["i would like to book a table for four people", "yes please"]
    assert [_plain(text) for text in second] == ["no make it five people", "when are you open"]


def test_a_language_that_is_not_installed_is_an_error_that_says_what_to_run() -> None:
    with pytest.raises(SpeechModelMissing, match=r"moonshine_voice\.download --stt --language es`"):
        MoonshineSTTService(language="es")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("en", Language.EN),
        ("en-GB", Language.EN_GB),
        ("en_gb", Language.EN_GB),
        ("EN", Language.EN),
        ("en-zz", Language.EN),
    ],
)
def test_a_language_may_be_written_in_any_way_and_has_one_model(
    code: str, told: Language, pool: WorkerPool
) -> None:
    stt = MoonshineSTTService(language=code, pool=pool)
    assert stt._spoken == told
    assert stt._language == "en", "which is what the workers load"


def test_a_model_in_the_cache_of_the_package_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOONSHINE_VOICE_CACHE", str(tmp_path))
    folder = tmp_path / "download.moonshine.ai" / "model" / "base-es" / "quantized" / "base-es"
    folder.mkdir(parents=True)
    (folder / "encoder_model.ort").touch()
    (folder / "tokenizer.bin").touch()
    with pytest.raises(SpeechModelMissing):  # half a download
        find_speech_model("es")
    (folder / "decoder_model_merged.ort").touch()
    assert find_speech_model("es-MX") == folder


def test_an_utterance_longer_than_the_model_hears_is_one_transcript(pool: WorkerPool) -> None:
    lines = [line for line in LINES if len(line["text"].split()) > 5] * 2
    pause = np.zeros(4_000, np.int16)
    speech = np.concatenate([part for line in lines for part in (load(line["file"]), pause)])
    assert 40 * 16_000 < len(speech) < 55 * 16_000

    async def run() -> tuple[list[str], list[str]]:
        async with Chain(MoonshineSTTService(pool=pool)) as chain:
            return await chain.hear(speech), chain.errors

    [heard], errors = asyncio.run(run())
    assert errors == []
    said = " ".join(line["text"] for line in lines)
    assert _word_errors(said, heard) < 0.25 * len(said.split()), heard


def test_a_caller_who_never_stops_is_cut_after_a_minute(pool: WorkerPool) -> None:
    speech = np.tile(load("booking/01-people.wav"), 25)

    async def run() -> Chain:
        async with Chain(MoonshineSTTService(pool=pool)) as chain:
            await chain.speak(speech)
            await chain.sink.until(lambda _: len(chain.transcripts()) >= 2, limit_s=60)
        return chain

    chain = asyncio.run(run())
    first, second = chain.transcripts()
    assert not first.finalized
    assert second.finalized
    assert chain.errors == []


def test_a_hot_word_is_put_in_and_noted(pool: WorkerPool) -> None:
    async def run() -> Chain:
        async with Chain(MoonshineSTTService(pool=pool, hot_words=["Margherita"])) as chain:
            await chain.hear(say("I would like a margarita please.", "slt"))
        return chain

    [final] = asyncio.run(run()).transcripts()
    assert final.result is not None
    assert "Margherita" in final.text
    assert final.result["repaired"][0][1] == "Margherita"
