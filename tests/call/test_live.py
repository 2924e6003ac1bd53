"""The same conversations over a real gateway and real sockets.

In real time, because sockets, the gateway's playout clock and `piopiy call`'s caller know no other; what the
conversation itself is about stands in the tests in virtual time beside this one.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from piopiy_pipeline.call import CallEnd, EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.bots import voice
from tests.support.calls import eventually, house
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("either_bot")]

GREETING = "Good evening, how can I help you today?"
LONG = "Certainly, we have a table by the window and another one out on the terrace under the trees."


def test_a_caller_is_greeted_answered_and_told_of_tools_and_the_bot_knows_who_calls() -> None:
    seen: dict[str, Any] = {}
    ends: list[CallEnd] = []

    async def bot(
        agent_id: str, call_id: str, from_number: str, to_number: str, metadata: Any, call: Call
    ) -> None:
        async def look_up(params: Any) -> None:
            """Look something up."""
            await params.result_callback({"free": True})

        seen.update(agent_id=agent_id, from_number=from_number, to_number=to_number, metadata=metadata)
        seen.update(call_id=call_id, kind=call.info.kind)
        agent = await voice(
            call,
            greeting="Hello.",
            texts=["a table"],
            replies=[("look_up", {}), "It is free."],
            tools=[look_up],
        )
        ends.append(await agent.start())

    async def scenario() -> None:
        async with house(bot) as place:
            log = await place.call("booking/03-yes.wav", metadata={"customer": 7}, hangup_after_s=1.5)
            await eventually(lambda: place.agent.active == 0, 10)
            (record,) = place.ended()
        assert log.reason is record.reason is EndReason.CALLER_HANGUP
        assert [end.reason for end in ends] == [EndReason.CALLER_HANGUP]
        told = [report.event for report in log.reports if report.event in ("user", "bot", "tool")]
        assert told[:2] == ["bot", "user"]
        assert log.texts("bot") == ["Hello.", "It is free."]
        assert log.texts("user") == ["a table"]
        assert {tool["name"] for tool in log.of("tool")} == {"look_up"}
        assert seen == {
            "agent_id": "test-agent",
            "call_id": log.of("ringing")[0]["call_id"],
            "from_number": "+15550100",
            "to_number": "+15550199",
            "metadata": {"customer": 7},
            "kind": "stream",
        }

    asyncio.run(scenario())


def test_after_a_barge_in_the_caller_hears_silence_and_the_context_holds_what_was_heard() -> None:
    contexts: list[list[Any]] = []

    async def bot(call_id: str) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting=GREETING)
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
            await eventually(lambda: contexts, 10)
        assert log.reason is EndReason.CALLER_HANGUP
        said = log.texts("bot")
        assert GREETING.startswith(said[0])
        assert LONG.startswith(said[1])
        assert 2 <= len(said[1].split()) <= 6, "about 1.2 s of it were heard, at 60 ms a letter"
        assert [m["content"] for m in contexts[0] if m["role"] == "assistant"] == said
        assert max(turn["barge_in_ms"] for turn in log.of("turn")) < 400

    asyncio.run(scenario())
