"""Whole calls: over a real gateway and real sockets, with services that follow a script."""

from __future__ import annotations

import asyncio
from typing import Any

from piopiy_pipeline.call import CallEnd, EndReason
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.calls import house
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS

LONG = "Certainly, we have a table by the window and another one out on the terrace under the trees."


def test_after_a_barge_in_the_context_holds_what_was_heard() -> None:
    contexts: list[list[Any]] = []

    async def bot(call_id: str) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Good evening, how can I help you today?")
        await agent.Action(
            stt=ScriptedSTT(["a table please", "goodbye"]),
            llm=ScriptedLLM([LONG, "Bye."]),
            tts=ToneTTS(words=True),
        )
        await agent.start()
        assert agent.context is not None
        contexts.append(agent.context.get_messages())

    async def scenario() -> None:
        async with house(bot) as place:
            log = await place.call(
                "booking/01-people.wav", "booking/03-yes.wav", interrupt_s=1.0, hangup_after_s=2.5
            )
        assert log.reason is EndReason.CALLER_HANGUP
        said = log.texts("bot")
        assert "Good evening, how can I help you today?".startswith(said[0])
        assert LONG.startswith(said[1])
        assert 2 <= len(said[1].split()) <= 6, "about 1.2 s of it were heard, at 60 ms a letter"
        assert [m["content"] for m in contexts[0] if m["role"] == "assistant"] == said
        assert max(turn["barge_in_ms"] for turn in log.of("turn")) < 400

    asyncio.run(scenario())


def test_the_callback_learns_who_calls_and_why() -> None:
    seen: dict[str, Any] = {}
    ends: list[CallEnd] = []

    async def bot(
        agent_id: str, call_id: str, from_number: str, to_number: str, metadata: Any, call: Any
    ) -> None:
        seen.update(agent_id=agent_id, from_number=from_number, to_number=to_number, metadata=metadata)
        seen["kind"] = call.info.kind
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello.")
        agent.on("answered", lambda _: asyncio.ensure_future(agent.hangup()))
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS())
        ends.append(await agent.start())

    async def scenario() -> None:
        async with house(bot) as place:
            log = await place.call(metadata={"customer": 7})
        assert log.reason is EndReason.AGENT_HANGUP

    asyncio.run(scenario())
    assert seen == {
        "agent_id": "test-agent",
        "from_number": "+15550100",
        "to_number": "+15550199",
        "metadata": {"customer": 7},
        "kind": "stream",
    }
    assert [end.reason for end in ends] == [EndReason.AGENT_HANGUP]
