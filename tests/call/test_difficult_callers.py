"""Callers who pause, listen aloud, cough and interrupt, through the default chain with real ears and a real voice.

At 8 kHz, as a telephone codes it, in virtual time. `tests/sip/test_difficult_callers_phone.py` has the same callers on
a telephone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from piopiy_pipeline.services.stt.moonshine import MoonshineSTTService
from piopiy_pipeline.services.workers.worker_pool import WorkerPool
from piopiy_pipeline.testing import CallerLine, Line, SimulatedCall, simulate
from tests.support.difficult_callers import (
    COUGH,
    EXPLANATION,
    LISTENING,
    MISHEARD,
    NO_WAIT,
    PAUSING,
    RATE,
    ExplainingBot,
    joined,
    missing_words,
    plain,
)
from tests.support.phone_calls import recognised
from tests.support.virtual import texts

TELEPHONE = 8000
LINE = Line(codec="pcmu")


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool("piopiy_pipeline.services.stt.moonshine_worker", name="difficult", size=1)
    yield pool
    pool.close()


def on_telephone(*parts: Path | str | float) -> NDArray[np.int16]:
    return np.asarray(soxr.resample(joined(*parts), RATE, TELEPHONE), np.int16)


def bot_of(pool: WorkerPool, line: str, **options: Any) -> ExplainingBot:
    return ExplainingBot(line, stt=lambda: MoonshineSTTService(pool=pool), options=options)


def answering(bot: ExplainingBot, speech: NDArray[np.int16]) -> SimulatedCall:
    """Answer the bot's question with this."""

    async def caller(line: CallerLine) -> None:
        await line.heard()
        await line.say(speech)
        await line.heard()

    return simulate(bot, caller, rate=TELEPHONE, line=LINE)


def over_the_explanation(bot: ExplainingBot, *sounds: tuple[float, NDArray[np.int16]]) -> SimulatedCall:
    """Make sounds, each so many seconds after the call was answered, while the bot explains."""

    async def caller(line: CallerLine) -> None:
        for at, sound in sounds:
            await line.at(at)
            await line.say(sound)
        await line.at(17.0)

    return simulate(bot, caller, rate=TELEPHONE, line=LINE)


def assert_explained(bot: ExplainingBot, call: SimulatedCall) -> None:
    """Assert that the caller has heard all of the explanation, and that the model was not asked anything."""
    assert bot.whole == [True]
    assert texts(call, "bot") == [EXPLANATION]
    assert texts(call, "user") == []
    assert bot.said("assistant") == [EXPLANATION]
    assert bot.said("user") == []
    assert bot.llm.asked == []
    assert not call.of("interruption")
    heard = asyncio.run(recognised(call.bot_audio))
    assert len(missing_words(EXPLANATION, heard)) <= MISHEARD


# ---------------------------------------------------------------------- who pauses


@pytest.mark.parametrize("name", PAUSING)
def test_who_pauses_in_the_middle_is_answered_once(pool: WorkerPool, name: str) -> None:
    pausing = PAUSING[name]
    first, second = pausing.halves
    bot = bot_of(pool, pausing.question)
    call = answering(bot, on_telephone(first, 0.7, second))
    (said,) = bot.said("user")
    assert pausing.heard_in(said), said
    assert texts(call, "user") == [said]
    assert texts(call, "bot") == [pausing.question, "Thank you."]


@pytest.mark.parametrize("name", PAUSING)
def test_the_same_pauses_end_the_turn_of_a_bot_that_only_counts(pool: WorkerPool, name: str) -> None:
    pausing = PAUSING[name]
    first, second = pausing.halves
    call = answering(bot_of(pool, pausing.question, turns=0.5), on_telephone(first, 0.7, second))
    assert len(texts(call, "user")) == 2


@pytest.mark.parametrize("name", PAUSING)
def test_who_pauses_for_too_long_is_answered_early_and_one_message_remains(
    pool: WorkerPool, name: str
) -> None:
    pausing = PAUSING[name]
    first, second = pausing.halves
    bot = bot_of(pool, pausing.question)
    answering(bot, on_telephone(first, 1.7, second))
    said = bot.said("user")
    assert len(said) == 1, said
    assert pausing.heard_in(said[0]), said
    assert bot.said("assistant")[-1] == "Thank you."


# ---------------------------------------------------------------------- who listens, coughs, and interrupts


def test_who_says_mhm_through_a_long_explanation_hears_all_of_it(pool: WorkerPool) -> None:
    bot = bot_of(pool, EXPLANATION)
    sounds = [(at, on_telephone(sound)) for at, sound in zip((1.5, 3.6, 6.1, 8.0), LISTENING, strict=True)]
    call = over_the_explanation(bot, *sounds)
    assert_explained(bot, call)
    assert len(call.of("hold")) == len(call.of("resume")) == 4
    assert len(bot.backchannels) == 4
    assert "yeah" in plain(bot.backchannels[2].text)


def test_who_coughs_hears_all_of_the_explanation(pool: WorkerPool) -> None:
    bot = bot_of(pool, EXPLANATION)
    call = over_the_explanation(bot, (2.0, on_telephone(COUGH)), (6.0, on_telephone(COUGH)))
    assert_explained(bot, call)
    assert len(call.of("hold")) == len(call.of("resume")) == 2, "a cough of three bursts holds once"


def test_no_wait_stops_the_bot_and_the_context_holds_what_was_heard(pool: WorkerPool) -> None:
    bot = bot_of(pool, EXPLANATION)
    call = over_the_explanation(bot, (3.0, on_telephone(NO_WAIT, 0.4, "no_wait/02-goes_on.wav")))
    (hold,), (cut,), (speech,) = call.of("hold"), call.of("interruption"), call.of("user_speech")
    assert hold.at - speech.at < 0.35
    assert cut.at - hold.at < 1.46
    silence = call.bot_audio[int((hold.at + 0.041) * TELEPHONE) : int(cut.at * TELEPHONE)]
    assert np.abs(silence).max() < 50, "a codec has no exact silence"
    assert bot.whole == [False]
    (said,) = bot.said("user")
    assert plain(said)[:2] == ["no", "wait"]
    assert "saturday" in plain(said)
    heard, answer = bot.said("assistant")
    assert EXPLANATION.startswith(heard)
    assert 0 < len(heard) < len(EXPLANATION) / 2
    assert answer == "Thank you."
    # What the ears of a stranger make of the audio up to the hold is what the context says, to a word or two.
    recorded = asyncio.run(recognised(call.bot_audio[: int(cut.at * TELEPHONE)]))
    assert len(missing_words(heard, recorded)) <= 2
    assert abs(len(plain(heard)) - len(plain(" ".join(recorded)))) <= 2
