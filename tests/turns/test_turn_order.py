"""Turns that are not joined, doubled or out of order, whatever is said beside them. Whole calls in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import pytest

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import CallerLine, Providers, Replies, Transcripts, Voice, simulate
from piopiy_pipeline.testing.scripted.scripted_stt import ScriptedSTT
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedLLM, ToneTTS
from tests.support.virtual import info

TABLE = "I would like to book a table for four people."
PARKING = "And do you have parking?"


def converse(caller: Callable[[CallerLine], Awaitable[None]], **action: Any) -> list[tuple[str, str]]:
    """Return role and text of each message that a call leaves: each answer has its number."""
    numbers = count(1)
    context: list[Any] = []

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello there.", call=call, dtmf="text")
        stt, llm, tts = (
            ScriptedSTT(Transcripts(texts=())),
            ScriptedLLM([]),
            ToneTTS(),
        )  # the providers replace them
        await agent.Action(stt=stt, llm=llm, tts=tts, **action)
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
            stt=Transcripts(latency=0.3),
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
