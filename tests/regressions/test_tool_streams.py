"""Tool calls as servers really stream them, read by a real OpenAI client, on calls over real sockets."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pipecat.services.openai.llm import OpenAILLMService

from piopiy_pipeline.call import CallEnd, EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.call.test_openai import PATIENCE_S, Case, ListeningTTS, play
from tests.support.bots import ask
from tests.support.openai_server import Answer, Endpoint, endpoint
from tests.support.services import ScriptedSTT

pytestmark = pytest.mark.realtime

FINE = Answer("fine", "All is done.")


def call(index: Any, name: Any, arguments: Any, id: Any = None) -> dict[str, Any]:
    """One piece of a tool call."""
    return {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def sent(*chunks: list[dict[str, Any]], finish: str = "tool_calls", words: str | None = None) -> Answer:
    """An answer whose chunks hold these pieces; the first one has `words` beside them."""
    deltas: list[dict[str, Any]] = [{"tool_calls": pieces} for pieces in chunks]
    deltas[0]["content"] = words
    return Answer("deltas", deltas=deltas, finish=finish)


BOTH = [("book", 4), ("book", 2)]

STREAMS: dict[str, tuple[Answer, list[tuple[str, int]]]] = {
    "openai": (
        sent([call(0, "book", "", "call_a")], [call(0, None, '{"people":')], [call(0, None, " 4}")]),
        BOTH[:1],
    ),
    "ollama": (
        sent([call(0, "book", '{"people":4}', "call_a")], [call(0, "book", '{"people":2}', "call_b")]),
        BOTH,
    ),
    "gemini": (sent([call(0, "book", '{"people":4}', "")], [call(0, "book", '{"people":2}', "")]), BOTH),
    "mistral": (
        sent([call(0, "book", '{"people": 4}', "D681PevKs"), call(1, "book", '{"people": 2}', "aB3dE6fG9")]),
        BOTH,
    ),
    "llamacpp": (sent([call(0, "book", '{"peo', "x")], [call(0, "book", 'ple":4}', "x")]), BOTH[:1]),
    "from_one": (sent([call(1, "book", '{"people":4}', "a")], [call(2, "book", '{"people":2}', "b")]), BOTH),
    "no_index": (sent([call(None, "book", '{"people":4}', "a")]), BOTH[:1]),
    "words": (sent([call(0, "book", '{"people":4}', "a")], words="One moment."), BOTH[:1]),
    "null": (sent([call(0, "look", "null", "a")]), [("look", 0)]),
    "cut": (sent([call(0, "book", '{"people": 4, "da', "a")], finish="length"), []),
}


def tool_bot(server: Endpoint, ran: list[tuple[str, int]]) -> Any:
    """A bot that is content when its model says `FINE`."""

    async def bot(running: Call, case: Case) -> CallEnd:
        async def book(params: Any, people: int) -> str:
            """Book a table.

            Args:
                people: How many.
            """
            ran.append(("book", people))
            return "booked"

        async def look(params: Any) -> str:
            """Look for a table."""
            ran.append(("look", 0))
            return "there is one"

        agent = VoiceAgent(
            instructions="Be brief.",
            tools=[book, look],
            reply_timeout_secs=PATIENCE_S,
            error_line="Sorry.",
            call=running,
        )
        case.watch(agent)
        llm = OpenAILLMService(
            api_key="none", base_url=server.url, settings=OpenAILLMService.Settings(model="test")
        )
        await agent.Action(stt=ScriptedSTT([]), llm=llm, tts=ListeningTTS(case))
        ask(agent)

        async def content(turn: Any) -> None:
            if FINE.text in turn.text:
                await agent.hangup()

        agent.on("bot_turn", content)
        return await agent.start()

    return bot


def test_every_whole_tool_call_runs_once_and_the_model_is_told_of_a_broken_one() -> None:
    async def scenario() -> None:
        ran: dict[str, list[tuple[str, int]]] = {name: [] for name in STREAMS}
        async with AsyncExitStack() as stack:
            servers = {
                name: await stack.enter_async_context(endpoint(answer, FINE))
                for name, (answer, _) in STREAMS.items()
            }
            cases = await play({name: tool_bot(server, ran[name]) for name, server in servers.items()})
            for name, (_, wanted) in STREAMS.items():
                assert ran[name] == wanted, name
                assert cases[name].log.reason is EndReason.AGENT_HANGUP, name
                spoken = ["One moment.", FINE.text] if name == "words" else [FINE.text]
                assert cases[name].said == spoken, name
                results = [one for one in servers[name].asked[-1]["messages"] if one["role"] == "tool"]
                assert len({one["tool_call_id"] for one in results}) == max(1, len(wanted)), name
            told = servers["cut"].asked[-1]["messages"][-1]["content"]
            assert "did not run" in told
            assert "people" in told
            assert "book" in cases["cut"].errors[0].message

    asyncio.run(scenario())


def test_a_model_whose_tool_calls_never_can_run_is_a_failing_one() -> None:
    async def scenario() -> None:
        broken = STREAMS["cut"][0]
        async with endpoint(broken) as server:
            cases = await play({"broken": tool_bot(server, [])})
            case = cases["broken"]
            assert case.log.reason is EndReason.ERROR
            assert case.end is not None
            assert "no call of the tool book can run" in case.end.detail
            assert "Sorry." in case.said
            assert len(server.asked) < 10

    asyncio.run(scenario())
