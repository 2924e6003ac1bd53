"""Speech to text on real speech: recordings and sentences that flite says anew, in a running pipeline."""

import asyncio
import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest
from pipecat.frames.frames import (
    TranscriptionFrame,
)

from piopiy_pipeline.offload import in_flight
from piopiy_pipeline.services.language_model import normalise
from piopiy_pipeline.services.playbook.loading import load_playbook
from piopiy_pipeline.services.playbook.matching import Matcher
from piopiy_pipeline.services.playbook.phrases import expected_phrases
from piopiy_pipeline.services.sphinx import SphinxSTTService
from piopiy_pipeline.services.sphinx_worker import Widen, narrowband
from piopiy_pipeline.services.workers import WorkerPool
from tests.support.offline import AUDIO, Chain, Pcm, load, say, scenes, telephone

PLAYBOOK = load_playbook(AUDIO.parents[1] / "examples" / "front_desk.yaml")
PHRASES = expected_phrases(PLAYBOOK)


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    """One worker for the whole module: starting it takes longer than most of these tests."""
    pool = WorkerPool("piopiy_pipeline.services.sphinx_worker", name="sphinx-test", size=1)
    yield pool
    pool.close()


def _hear(pool: WorkerPool, *turns: Pcm, rate: int = 16_000) -> list[str]:
    async def run() -> list[str]:
        async with Chain(SphinxSTTService(PHRASES, pool=pool), rate_in=rate) as chain:
            return await chain.hear(*turns)

    return asyncio.run(run())


def _word_errors(said: str, heard: str) -> int:
    """Edits between the two, in words (Levenshtein)."""
    a, b = normalise(said).split(), heard.split()
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (word != other))
    return row[-1]


LINES = [turn for turns in scenes().values() for turn in turns]


def test_recordings_at_16_khz_have_at_most_3_percent_word_errors(pool: WorkerPool) -> None:
    heard = _hear(pool, *(load(line["file"]) for line in LINES))
    errors = sum(_word_errors(line["text"], text) for line, text in zip(LINES, heard, strict=True))
    assert errors <= 0.03 * sum(len(line["text"].split()) for line in LINES)


def test_recordings_over_a_telephone_have_at_most_8_percent_word_errors(pool: WorkerPool) -> None:
    heard = _hear(pool, *(telephone(load(line["file"])) for line in LINES), rate=8_000)
    errors = sum(_word_errors(line["text"], text) for line, text in zip(LINES, heard, strict=True))
    assert errors <= 0.08 * sum(len(line["text"].split()) for line in LINES)


UNSEEN: list[tuple[str, str, dict[str, object]]] = [
    (
        "slt",
        "Good evening, could we have a table for six on Sunday at quarter past eight?",
        {"people": 6, "day": "Sunday", "time": "20:15"},
    ),
    (
        "rms",
        "Hi, I need to book for ten people tomorrow at nine thirty.",
        {"people": 10, "day": "tomorrow", "time": "21:30"},
    ),
    (
        "awb",
        "We would like a table for three on Wednesday at six o'clock please.",
        {"people": 3, "day": "Wednesday", "time": "18:00"},
    ),
    ("rms", "Change it to seven people please.", {"people": 7}),
]


@pytest.mark.parametrize(("rate", "share"), [(16_000, 1.0), (8_000, 0.7)])
def test_sentences_that_are_in_no_list_give_their_slots(pool: WorkerPool, rate: int, share: float) -> None:
    """All of them at 16 kHz. Over a telephone the recogniser takes a "six" for an "eight" now and then."""
    known = {normalise(phrase) for phrase in PHRASES}
    assert not known.intersection(normalise(text) for _, text, _ in UNSEEN)
    speech = [say(text, voice) for voice, text, _ in UNSEEN]
    heard = _hear(pool, *(telephone(pcm) if rate == 8_000 else pcm for pcm in speech), rate=rate)
    matcher = Matcher(PLAYBOOK, vectors=None)
    right = wanted = 0
    for text, (_, _, slots) in zip(heard, UNSEEN, strict=True):
        values = matcher.read(text, slots=["people", "day", "time"]).values
        right += sum(name in values and values[name].value == value for name, value in slots.items())
        wanted += len(slots)
    assert right >= share * wanted, heard


def test_a_call_resampled_from_a_telephone_is_heard_as_well(pool: WorkerPool) -> None:
    narrow = telephone(load("booking/01-people.wav"))
    wide = np.frombuffer(_resampled(narrow), np.int16)
    assert narrowband(wide.tobytes(), 16_000)
    assert not narrowband(load("booking/01-people.wav").tobytes(), 16_000)
    assert _hear(pool, wide) == ["i would like to book a table for four people"]


def _resampled(pcm: Pcm) -> bytes:
    from piopiy_pipeline.audio.resample import Resampler

    return Resampler(8_000, 16_000).process(pcm[: len(pcm) // 8 * 8].tobytes())


OFF_TOPIC = [
    "The stock market fell sharply after the announcement.",
    "My grandmother keeps chickens behind the old barn.",
    "Photosynthesis converts sunlight into chemical energy.",
]


def test_off_topic_speech_is_no_booking(pool: WorkerPool) -> None:
    matcher = Matcher(PLAYBOOK, vectors=None)

    async def run() -> list[TranscriptionFrame]:
        async with Chain(SphinxSTTService(PHRASES, pool=pool)) as chain:
            await chain.hear(*(say(text, voice) for text in OFF_TOPIC for voice in ("slt", "rms")))
            return chain.transcripts()

    for frame in asyncio.run(run()):
        heard = matcher.read(frame.text, slots=["people", "day", "time"])
        assert heard.intent is None, frame.text
        assert "people" not in heard.values, frame.text
        assert frame.result is not None
        assert frame.result["confidence"] < 0.8, frame.text


@pytest.mark.parametrize("loudness", [0, 100, 1_000])
def test_noise_is_no_words(pool: WorkerPool, loudness: int) -> None:
    noise = np.random.default_rng(0).normal(0, loudness, 24_000).astype(np.int16)

    async def run() -> list[str]:
        async with Chain(SphinxSTTService(PHRASES, pool=pool)) as chain:
            await chain.speak(noise)
            # What is said after it comes out, and nothing came out before.
            return await chain.hear(load("booking/03-yes.wav"))

    assert asyncio.run(run()) == ["yes please"]


def test_partial_results_come_while_the_caller_speaks_and_one_final_at_the_end(pool: WorkerPool) -> None:
    async def run() -> Chain:
        async with Chain(SphinxSTTService(PHRASES, pool=pool)) as chain:
            pcm = load("booking/01-people.wav")
            await chain.speak(pcm[:32_000], stops=False)
            await chain.sink.until(lambda _: bool(chain.interims()))
            assert not chain.transcripts()
            await chain.speak(pcm[32_000:])
            await chain.sink.until(lambda _: bool(chain.transcripts()))
        return chain

    chain = asyncio.run(run())
    assert chain.interims()[0].text.startswith("i would")
    [final] = chain.transcripts()
    assert final.finalized
    assert final.text.startswith("i would like to book a table")


def test_nothing_is_decoded_while_nobody_speaks(pool: WorkerPool) -> None:
    async def run() -> int:
        from pipecat.frames.frames import InputAudioRawFrame

        asked = 0
        async with Chain(SphinxSTTService(PHRASES, pool=pool)) as chain:
            await chain.hear(load("booking/03-yes.wav"))
            loop = asyncio.get_running_loop()
            for _ in range(200):
                await chain.send(InputAudioRawFrame(bytes(640), 16_000, 1))
                asked = max(asked, in_flight(loop))
        return asked

    assert asyncio.run(run()) == 0


def test_a_killed_worker_costs_the_utterance_and_not_the_call(pool: WorkerPool) -> None:
    async def run() -> tuple[list[str], list[str]]:
        async with Chain(SphinxSTTService(PHRASES, pool=pool)) as chain:
            assert await chain.hear(load("booking/03-yes.wav")) == ["yes please"]
            pcm = load("booking/01-people.wav")
            await chain.speak(pcm[:32_000], stops=False)
            await chain.sink.until(lambda _: bool(chain.interims()))
            pid = pool.workers[0].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await chain.speak(pcm[32_000:])
            async with asyncio.timeout(20):
                await chain.error.wait()
            return await chain.hear(load("booking/03-yes.wav")), chain.errors

    heard, errors = asyncio.run(run())
    assert heard == ["yes please"]
    assert len(errors) == 1
    assert "an utterance was lost" in errors[0]


def test_two_calls_at_once_do_not_hear_each_other(pool: WorkerPool) -> None:
    async def call(*files: str) -> list[str]:
        async with Chain(SphinxSTTService(PHRASES, pool=pool)) as chain:
            return await chain.hear(*map(load, files))

    async def run() -> tuple[list[str], list[str]]:
        return await asyncio.gather(
            call("booking/01-people.wav", "booking/03-yes.wav"),
            call("correction/02-change.wav", "hours/01-open.wav"),
        )

    first, second = asyncio.run(run())
    assert first == ["i would like to book a table for four people", "yes please"]
    assert second == ["no make it five people", "when are you open"]


def test_a_finished_call_gives_its_place_back(pool: WorkerPool) -> None:
    before = pool.leases
    _hear(pool, load("booking/03-yes.wav"))
    assert pool.leases == before


def test_widening_a_telephone_keeps_its_band_and_is_a_stream() -> None:
    pcm = telephone(load("booking/01-people.wav"))
    whole = Widen().process(pcm)
    stream = Widen()
    pieces = np.concatenate([stream.process(pcm[at : at + 160]) for at in range(0, len(pcm), 160)])
    assert len(whole) == 2 * len(pcm)
    assert np.array_equal(whole, pieces)
    low = 20 * np.log10(_band(whole, 300, 3_400) / _band(np.repeat(pcm, 2), 300, 3_400))
    assert abs(low) < 2.0


def _band(pcm: Pcm, low: int, high: int) -> float:
    spectrum = np.abs(np.fft.rfft(pcm.astype(np.float64)))
    hertz = np.fft.rfftfreq(len(pcm), 1 / 16_000)
    return float(np.sqrt((spectrum[(hertz >= low) & (hertz <= high)] ** 2).sum()))
