"""A text comes in pieces, and an answer in sentences: the speech does not depend on where they are cut."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator

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
    TTSTextFrame,
)
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TextAggregationMode, TTSService
from pipecat.utils.text.transforms.strip_markdown import strip_markdown

from piopiy_pipeline.services.failover.switch import ServiceSwitch
from piopiy_pipeline.services.tts.espeak import EspeakTTSService
from piopiy_pipeline.spoken_text import SpokenText
from piopiy_pipeline.spoken_text.recognizer import Recognizer
from piopiy_pipeline.spoken_text.word_aggregator import MAX_HELD, WordAggregator
from piopiy_pipeline.transports.frames import as_written
from tests.support.offline import Chain

ANSWER = (
    "Sure! **Dr. O'Neill** is free on Nov. 29 at 3-5 pm, and it costs $4.50 per person. Call +1 (555) 010-9999"
    " or write to bob@example.com. Here is the list:\n- Soup for 12,50 €\n- Fish\n\n```\nx = 1. \ny = 2\n```\nVersion"
    " v2.10.1 is out 😊. Anything else?"
)
SAID = (
    "Sure! Doctor O'Neill is free on November twenty-ninth at three to five PM, and it costs four dollars and fifty"
    " cents per person. Call plus one, five five five, zero one zero, nine nine nine nine or write to bob at example"
    " dot com. Here is the list: Soup for twelve euros and fifty cents Fish"
    " Version two point ten point one is out. Anything else?"
)


class Quiet(TTSService):
    """A voice that remembers what it was asked to say, and says it in no time."""

    def __init__(
        self, mode: TextAggregationMode = TextAggregationMode.SENTENCE, *, language: str = "en"
    ) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            text_aggregation_mode=mode,
            settings=TTSSettings(model=None, voice=None, language=language),
        )
        self.said: list[str] = []

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        self.said.append(text)
        yield TTSAudioRawFrame(bytes(320), self.sample_rate, 1, context_id=context_id)


def pieces(text: str, seed: int) -> list[str]:
    rng = random.Random(seed)
    cut: list[str] = []
    at = 0
    while at < len(text):
        size = rng.choice((1, 1, 2, 3, 5, 8, 40))
        cut.append(text[at : at + size])
        at += size
    return cut


def response(*texts: str) -> list[Frame]:
    return [LLMFullResponseStartFrame(), *map(LLMTextFrame, texts), LLMFullResponseEndFrame()]


def said_by(voice: Quiet, *frames: Frame, stops: int = 1) -> str:
    async def run() -> str:
        async with Chain(voice) as chain:
            await chain.send(*frames)
            await chain.sink.until(
                lambda seen: sum(isinstance(frame, TTSStoppedFrame) for frame in seen) >= stops
            )
        return ("" if voice._is_streaming_tokens else " ").join(voice.said)

    return asyncio.run(run())


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("mode", list(TextAggregationMode))
@pytest.mark.parametrize("seed", range(6))
def test_an_answer_is_said_in_the_same_way_however_it_is_cut(mode: TextAggregationMode, seed: int) -> None:
    voice = Quiet(mode)
    SpokenText().apply_to(voice)
    assert words(said_by(voice, *response(*pieces(ANSWER, seed)))) == SAID


def test_an_answer_that_was_cut_off_in_code_leaves_nothing_to_the_next() -> None:
    voice = Quiet()
    SpokenText().apply_to(voice)

    async def run() -> None:
        async with Chain(voice) as chain:
            await chain.send(LLMFullResponseStartFrame(), LLMTextFrame("Look. ```\nx = 1. y = 2. z"))
            await chain.sink.until(lambda seen: any(isinstance(frame, TTSAudioRawFrame) for frame in seen))
            await chain.send(InterruptionFrame())
            await chain.sink.until(lambda seen: any(isinstance(frame, InterruptionFrame) for frame in seen))
            await chain.send(*response("All is well."))
            await chain.sink.until(lambda seen: isinstance(seen[-1], LLMFullResponseEndFrame))

    asyncio.run(run())
    assert words(" ".join(voice.said)) == "Look. All is well."


def test_what_is_said_in_between_does_not_belong_to_the_answer() -> None:
    voice = Quiet()
    SpokenText().apply_to(voice)
    frames = [LLMFullResponseStartFrame(), LLMTextFrame("Look. ```\nx = 1. y")]
    more = [LLMTextFrame(" = 2\n```\nDone."), LLMFullResponseEndFrame()]
    assert (
        words(said_by(voice, *frames, TTSSpeakFrame("One moment."), *more, stops=2))
        == "Look. One moment. Done."
    )


def test_the_language_is_that_of_the_voice_and_follows_it() -> None:
    voice = Quiet(language="de-DE")
    SpokenText().apply_to(voice)
    assert said_by(voice, *response("Das kostet 2 €.")) == "Das kostet zwei Euro."


@pytest.mark.parametrize(
    ("language", "voice", "expected"),
    [
        ("de-DE", None, "de-DE"), (None, "en_US-joe-medium", "en_US"), (None, "de+f3", "de"), (None, "en-gb", "en-gb"),
        (None, "de-DE-KatjaNeural", "de-DE"), (None, "af_heart", "en"), (None, "Joanna", "en"), ("multi", None, "en"),
    ],
)  # fmt: skip
def test_a_voice_says_its_language(language: str | None, voice: str | None, expected: str) -> None:
    tts = Quiet()
    tts._settings.language, tts._settings.voice = language, voice
    assert SpokenText().language_of(tts) == expected


def test_each_voice_of_a_switch_is_given_spoken_texts() -> None:
    first, second = Quiet(), Quiet(language="de")
    SpokenText().apply_to(ServiceSwitch([first, second]))
    assert said_by(first, *response("$2")) == "two dollars"
    assert said_by(second, *response("2 €")) == "zwei Euro"


def test_the_authors_own_transforms_come_first() -> None:
    voice = Quiet()

    async def drive(text: str, text_type: str) -> str:
        return text.replace("Dr.", "Drive")

    voice.add_text_transformer(strip_markdown)
    voice.add_text_transformer(drive)
    SpokenText().apply_to(voice)
    assert said_by(voice, *response("12 **Oak** Dr. is closed.")) == "twelve Oak Drive is closed."


def test_a_rule_that_fails_does_not_make_the_bot_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise ArithmeticError("too many")

    voice = Quiet(language="fr")
    SpokenText().apply_to(voice)
    monkeypatch.setattr(Recognizer, "spans", fail)
    assert said_by(voice, *response("Il y a 3 chats.")) == "Il y a 3 chats."


def test_marks_of_pronunciation_stay_behind_what_is_spoken() -> None:
    class Marked(Quiet):
        @classmethod
        def format_pronunciation(cls, word: str, ipa: str) -> str | None:
            return f'<phoneme alphabet="ipa" ph="{ipa}">{word}</phoneme>'

    voice = Marked()
    voice.add_text_transformer(Marked.pronunciation_transform_ipa({"Ann": "æ_n*3"}))
    SpokenText().apply_to(voice)
    assert (
        said_by(voice, *response("Ann has 3."))
        == '<phoneme alphabet="ipa" ph="æ_n*3">Ann</phoneme> has three.'
    )


@pytest.mark.parametrize(
    "text", ["word " * 200, "x" * 2000, "**" + "a " * 400, "```" + "a\n" * 400, "1" * 1000]
)
def test_what_a_voice_of_pieces_waits_for_is_bounded(text: str) -> None:
    async def run() -> None:
        aggregator = WordAggregator()
        for character in text:
            async for _ in aggregator.aggregate(character):
                pass
            assert len(aggregator.text.text) <= MAX_HELD + 1

    asyncio.run(run())


def test_plain_words_wait_for_one_word_only() -> None:
    async def run() -> list[str]:
        aggregator = WordAggregator()
        out = []
        for word in ("We ", "have ", "a ", "table ", "for ", "you "):
            out += [piece.text async for piece in aggregator.aggregate(word)]
        return out

    assert "".join(asyncio.run(run())).startswith("We have")


def test_a_sentence_of_a_language_without_blanks_is_said_when_it_is_whole() -> None:
    async def run() -> list[str]:
        aggregator = WordAggregator()
        return [piece.text async for piece in aggregator.aggregate("はい、承知しました。明日の")]

    assert asyncio.run(run()) == ["はい、承知しました。"]


@pytest.mark.realtime
def test_the_words_of_a_real_voice_find_the_written_ones() -> None:
    """In real time, because espeak is a process: on a busy machine it may be given up before its first sound."""
    text = "Dr. O'Neill charges $4.50 on Nov. 29, 3-5 pm."

    async def run() -> list[TTSTextFrame]:
        voice = EspeakTTSService()
        SpokenText().apply_to(voice)
        async with Chain(voice) as chain:
            await chain.send(*response(text))
            await chain.sink.until(lambda seen: any(isinstance(each, TTSStoppedFrame) for each in seen))
            return [frame for frame in chain.sink.frames if isinstance(frame, TTSTextFrame)]

    frames = asyncio.run(run())
    assert " ".join(frame.text for frame in frames).startswith("Doctor O'Neill charges four dollars")
    written = [frame.raw_text or frame.text for frame in frames if frame.append_to_context]
    assert " ".join(written) == text
    shown = [shown.text for frame in frames if (shown := as_written(frame)) is not None]
    assert " ".join(shown) == text


def test_a_text_that_was_cut_off_leaves_nothing_behind_for_the_answers_that_follow() -> None:
    async def scenario() -> list[str]:
        tts = Quiet()
        SpokenText("en").apply_to(tts)
        transform = tts._text_transforms[-1][1]
        say, begins = "on_before_process_frame", LLMFullResponseStartFrame
        await tts._call_event_handler(say, TTSSpeakFrame("Look:\n```\nx = 1"))
        await transform("Look:\n```\nx = 1", "sentence")  # cut off: nobody tells that it was processed
        said = []
        for answer in ("Fine.", "Here:\n```\ny = 2", "Good."):
            await tts._call_event_handler(say, begins())
            said.append((await transform(answer, "sentence")).strip())
        return said

    assert asyncio.run(scenario()) == ["Fine.", "Here:", "Good."]
