"""Text to speech: audio of a plausible length, words that know their time, and an end when it is wanted."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from pipecat.frames.frames import (
    TTSSpeakFrame,
)

from piopiy_pipeline.services.tts.clauses import clauses
from piopiy_pipeline.services.tts.espeak import EspeakTTSService
from piopiy_pipeline.services.tts.espeak_worker import EspeakVoice, word_times
from piopiy_pipeline.services.workers.worker_pool import WorkerPool
from tests.support.mortal_worker import mortal_pool
from tests.support.offline import Chain, audio_s, stopped

TEXT = "Hello! A table for 12 people, on Friday at 7:30. Dr. Smith's café - okay?"


@pytest.fixture(scope="module")
def voice() -> EspeakVoice:
    return EspeakVoice()


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool("piopiy_pipeline.services.tts.espeak_worker", name="espeak-test", size=1)
    yield pool
    pool.close()


def test_words_are_the_texts_own_and_their_times_never_go_back(voice: EspeakVoice) -> None:
    pcm, words = voice.speak(TEXT, "en-us", 165, 50, 22_050)
    assert [word for word, _ in words] == TEXT.split()
    times = [second for _, second in words]
    assert times == sorted(times)
    assert 0 <= times[0] < 0.2
    assert times[-1] < len(pcm) / 2 / 22_050


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000])
def test_the_length_is_that_of_speech_at_every_rate(voice: EspeakVoice, rate: int) -> None:
    pcm, _ = voice.speak("A table for four people on Friday at seven.", "en-us", 165, 50, rate)
    assert 1.8 < len(pcm) / 2 / rate < 4.0
    assert np.abs(np.frombuffer(pcm, np.int16)).max() > 3_000


def test_faster_is_shorter(voice: EspeakVoice) -> None:
    slow, _ = voice.speak("A table for four people.", "en-us", 120, 50, 16_000)
    fast, _ = voice.speak("A table for four people.", "en-us", 240, 50, 16_000)
    assert len(fast) < 0.7 * len(slow)


def test_a_mark_inside_a_word_is_not_a_word() -> None:
    assert word_times("at 7:30 - yes", [(0, 0.0), (3, 0.2), (5, 0.5), (10, 0.9)]) == [
        ("at", 0.0),
        ("7:30", 0.2),
        ("-", 0.2),
        ("yes", 0.9),
    ]


@pytest.mark.parametrize("text", ["", "   ", "Yes.", TEXT, "word " * 400, "x" * 2_000])
def test_clauses_together_are_the_text(text: str) -> None:
    pieces = list(clauses(text))
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(0 < len(piece) <= 4 * 160 for piece in pieces)


@pytest.mark.parametrize(
    "inside",
    ["1,250", "7:30", "$1,234.56", "example.com", "3.14"],
)
def test_a_clause_ends_in_no_number_and_no_address(inside: str) -> None:
    for before in range(120, 170):  # wherever a long sentence has to be cut
        text = f"{'a' * (before % 10 + 1)} {'word ' * (before // 5)}{inside} and so on, {'word ' * 20}"
        assert any(inside in piece for piece in clauses(text)), text


def test_a_long_text_is_cut_behind_its_punctuation() -> None:
    long = "and this one has more words than anybody can say at once " * 2
    first, second = 'He said "good day."', f"Then came the rest of it, {long}{long}"
    assert list(clauses(f"{first} {second}"))[:2] == [
        f"{first} Then came the rest of it,",
        f"{long}{long}".strip(),
    ]
    chinese = "您好，欢迎光临。" * 30
    assert all(piece.endswith(("，", "。")) for piece in clauses(chinese))
    assert len(list(clauses(chinese))) > 1


@pytest.mark.parametrize(
    ("deaths", "least_s", "lost"), [((1,), 0.8, 0), ((1, 2), 0.2, 1)], ids=["once", "twice"]
)
def test_a_sentence_whose_worker_is_killed_is_asked_for_once_more(
    deaths: tuple[int, ...], least_s: float, lost: int
) -> None:
    pool = mortal_pool("piopiy_pipeline.services.tts.espeak_worker", *deaths)

    async def run() -> tuple[float, list[str]]:
        async with Chain(EspeakTTSService(pool=pool)) as chain:
            for number, text in enumerate(("Are you there?", "Good."), 1):
                await chain.send(TTSSpeakFrame(text))
                await chain.sink.until(stopped(number))
            return audio_s(chain.sink.frames), chain.errors

    seconds, errors = asyncio.run(run())
    pool.close()
    assert least_s < seconds < least_s + 0.4
    assert sum("did not speak: the mortal worker was lost" in error for error in errors) == lost


def test_a_voice_that_does_not_exist_is_an_error_and_not_silence(pool: WorkerPool) -> None:
    async def run() -> list[str]:
        async with Chain(EspeakTTSService(voice="no-such-voice", pool=pool)) as chain:
            await chain.send(TTSSpeakFrame("Hello."))
            async with asyncio.timeout(120):  # a worker starts
                await chain.error.wait()
        return chain.errors

    assert any("no voice 'no-such-voice'" in error for error in asyncio.run(run()))


@pytest.mark.parametrize("wrong", [{"rate": 20}, {"pitch": 100}])
def test_a_rate_or_pitch_that_it_does_not_have_is_refused(wrong: dict[str, int], pool: WorkerPool) -> None:
    with pytest.raises(ValueError, match="whole number from"):
        EspeakTTSService(pool=pool, **wrong)  # type: ignore[arg-type]  # one of two names
