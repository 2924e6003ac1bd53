"""What a caller over a WebSocket is not told: errors of the bot, and the conversation, unless it may watch."""

from __future__ import annotations

import asyncio

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.calls import house
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS

pytestmark = pytest.mark.realtime


async def leaky(call_id: str) -> None:
    agent = VoiceAgent(instructions="Be brief.", greeting="Hello.")

    async def fail(_: object) -> None:
        await agent.hangup()

    agent.on("bot_turn", fail)
    await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS())
    await agent.start()


async def broken(call_id: str) -> None:
    raise RuntimeError("postgres://user:hunter2@db")


def test_a_caller_who_may_not_watch_learns_the_reason_of_the_end_and_no_more() -> None:
    async def scenario() -> None:
        async with house(broken, callers_may_watch=False) as place:
            log = await place.call()
            assert log.reason is EndReason.ERROR
            assert log.outcome is not None
            assert "hunter2" not in f"{log.outcome} {log.reports}"
            assert "hunter2" in place.ended()[0].detail, "the record has it"
        async with house(leaky, callers_may_watch=False) as place:
            log = await place.call()
            assert log.reason is EndReason.AGENT_HANGUP
            assert log.texts("bot") == []
            assert log.heard.any(), "but the call is a call"

    asyncio.run(scenario())


def test_a_caller_who_may_watch_is_told_both() -> None:
    async def scenario() -> None:
        async with house(broken) as place:
            log = await place.call()
            assert log.outcome is not None
            assert "hunter2" in log.outcome.detail
        async with house(leaky) as place:
            assert (await place.call()).texts("bot") == ["Hello."]

    asyncio.run(scenario())
