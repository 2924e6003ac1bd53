"""Turns that are not joined, doubled or out of order, whatever is said beside them. Whole calls in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import pytest
from pipecat.frames.frames import InterimTranscriptionFrame
from pipecat.utils.time import time_now_iso8601

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import CallerLine, Providers, Replies, Transcripts, Voice, simulate
from piopiy_pipeline.testing.scripted.scripted_stt import ScriptedSTT
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedLLM, ToneTTS
from tests.support.virtual import info

pytestmark = pytest.mark.usefixtures("either_bot")

TABLE = "I would like to book a table for four people."
PARKING = "And do you have parking?"
ANSWER_S = 4.81
"""An answer is heard for so long behind the moment at which the caller notices it."""


class RepeatingSTT(ScriptedSTT):
    """Sends each final transcript again, or an interim one behind it, after `gap_s`."""

    def __init__(self, *texts: str, gap_s: float, interim: bool) -> None:
        super().__init__(Transcripts(texts=texts, latency=0.3))
        self._gap_s, self._interim = gap_s, interim

    async def _final(self, text: str, *, last: bool) -> None:
        await super()._final(text, last=last)
        await asyncio.sleep(self._gap_s)
        if self._interim:
            await self.push_frame(InterimTranscriptionFrame(text[:-5], "", time_now_iso8601()))
        else:
            await super()._final(text, last=last)


def converse(
    caller: Callable[[CallerLine], Awaitable[None]],
    *,
    own_stt: Callable[[], ScriptedSTT] | None = None,
    **action: Any,
) -> list[tuple[str, str]]:
    """Return role and text of each message that a call leaves: each answer has its number."""
    numbers = count(1)
    context: list[Any] = []

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello there.", call=call, dtmf="text")
        stt = own_stt() if own_stt else ScriptedSTT(Transcripts(texts=()))  # the providers replace the rest
        await agent.Action(stt=stt, llm=ScriptedLLM([]), tts=ToneTTS(), **action)
        await agent.start()
        assert agent.context is not None
        context.extend(agent.context.get_messages())

    def reply(_context: Any) -> str:
        number = next(numbers)
        return (
            f"This is answer {number} and it begins here. It goes on for long enough. Answer {number} ends."
        )

    simulate(
        bot,
        caller,
        info=info(),
        providers=Providers(
            stt=None if own_stt else Transcripts(latency=0.3),
            llm=Replies(otherwise=reply, latency=0.3, words_per_s=20),
            tts=Voice(latency=0.15, speed=4),
        ),
    )
    return [(one["role"], one["content"]) for one in context[1:]]


async def bot_is_heard(line: CallerLine) -> None:
    while not line.bot_speaking:
        await line.pause(0.02)


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.parametrize("after_s", [0.0, 0.4])
@pytest.mark.parametrize("word", ["Mhm.", "Okay."])
def test_a_listener_who_is_soon_heard_joins_no_later_question(eager: bool, after_s: float, word: str) -> None:
    async def caller(line: CallerLine) -> None:
        await line.my_turn()
        await line.say(TABLE)
        await bot_is_heard(line)
        await line.pause(after_s)
        await line.say(word, text=word)
        await line.my_turn()
        await line.say(PARKING)
        await line.my_turn()

    heard = converse(caller, eager=eager)
    assert [role for role, _ in heard] == ["assistant", "user", "assistant", "user", "assistant"]
    assert [text for role, text in heard if role == "user"] == [TABLE, PARKING]


@pytest.mark.three_services("the provider hears the end of a turn, by the sound alone")
def test_a_caller_who_goes_on_at_once_is_still_one_turn() -> None:
    async def caller(line: CallerLine) -> None:
        await line.my_turn()
        await line.say(TABLE)
        await bot_is_heard(line)
        await line.pause(0.3)
        await line.say(PARKING)
        await line.my_turn()

    users = [text for role, text in converse(caller) if role == "user"]
    assert users == [f"{TABLE} {PARKING}"]


@pytest.mark.parametrize("gap_s", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("interim", [False, True], ids=["final again", "interim behind its final"])
@pytest.mark.three_services("its ears are an STT")
def test_words_that_the_recogniser_sends_again_are_no_turn(gap_s: float, interim: bool) -> None:
    async def caller(line: CallerLine) -> None:
        for text in (TABLE, PARKING):
            await line.my_turn()
            await line.say(text)
        await line.my_turn()
        await line.pause(3)

    heard = converse(caller, own_stt=lambda: RepeatingSTT(TABLE, PARKING, gap_s=gap_s, interim=interim))
    assert [role for role, _ in heard] == ["assistant", "user", "assistant", "user", "assistant"]
    assert [text for role, text in heard if role == "user"] == [TABLE, PARKING]


def test_keys_that_cut_in_stand_behind_what_was_heard() -> None:
    async def caller(line: CallerLine) -> None:
        await line.my_turn()
        await line.say(TABLE)
        await bot_is_heard(line)
        await line.pause(2)
        await line.press("2#")
        await line.my_turn()

    heard = converse(caller)
    assert [role for role, _ in heard] == ["assistant", "user", "assistant", "user", "assistant"]
    assert heard[2][1].startswith("This is answer 1")
    assert heard[3] == ("user", "2")


@pytest.mark.three_services("the provider hears the end of a turn, by the sound alone")
def test_keys_that_join_a_turn_stand_behind_what_was_heard_in_between() -> None:
    async def caller(line: CallerLine) -> None:
        await line.my_turn()
        await line.say(TABLE)
        await bot_is_heard(line)
        await line.pause(0.4)
        await line.press("2#")
        await line.my_turn()

    heard = converse(caller)
    assert [role for role, _ in heard] == ["assistant", "assistant", "user", "assistant"]
    assert heard[2] == ("user", f"{TABLE} 2")


@pytest.mark.parametrize("before_end_s", [0.05, 0.3, 0.8])
@pytest.mark.three_services("the provider hears the end of a turn, by the sound alone")
def test_a_listener_at_the_end_of_a_statement_has_no_turn(before_end_s: float) -> None:
    async def caller(line: CallerLine) -> None:
        await line.my_turn()
        await line.say(TABLE)
        await bot_is_heard(line)
        await line.pause(ANSWER_S - before_end_s)
        await line.say("Mhm.", text="Mhm.")
        await line.pause(4)
        await line.say(PARKING)
        await line.my_turn()

    assert [text for role, text in converse(caller) if role == "user"] == [TABLE, PARKING]


@pytest.mark.parametrize("before_end_s", [0.05, 0.3])
def test_words_at_the_end_of_a_statement_are_a_turn(before_end_s: float) -> None:
    async def caller(line: CallerLine) -> None:
        await line.my_turn()
        await line.say(TABLE)
        await bot_is_heard(line)
        await line.pause(ANSWER_S - before_end_s)
        await line.say(PARKING)
        await line.my_turn()

    assert [text for role, text in converse(caller) if role == "user"] == [TABLE, PARKING]
