"""What is Ultravox's own, by pipecat's service, at the server for tests: its HTTP API and its WebSocket."""

from __future__ import annotations

import asyncio

import pytest
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.testing import Caller, Refused, Tool, Voice
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.difficult_callers import NO_WAIT
from tests.support.realtime_calls import GREETING, LONG
from tests.support.realtime_providers import UltravoxCase
from tests.support.virtual import PEOPLE, YES, texts

THANKS = "Goodbye, and thank you for your call."
TWO = ["a table please", "yes"]


def test_its_call_is_created_and_told_what_to_say_word_for_word() -> None:
    case = UltravoxCase("A table for two.", THANKS, texts=TWO)
    call = case.call(Caller().say(PEOPLE).say(YES), service={"extra": {"languageHint": "en"}})
    call.assert_no_error()
    session = case.server.session
    assert [one["content"] for one in session.conversation()] == ["Be brief.", *case.said]
    assert session.body["languageHint"] == "en", "what is the author's own stays"
    assert [message.body["content"] for message in session.received] == [GREETING], "word for word"


@pytest.mark.parametrize("speed", [None, 1.0])
def test_the_bot_is_silent_as_soon_as_the_server_has_cut_it_off(speed: float | None) -> None:
    case = UltravoxCase(LONG, "Bye.", texts=["a table please", "no wait"], voice=Voice(speed=speed))
    call = case.call(Caller().say(PEOPLE).interrupt(NO_WAIT, after=1.5))
    cut = next(m for m in case.server.session.sent if m.kind == "playback_clear_buffer")
    assert call.of("interruption")[0].at - (cut.at - 1000) < 0.05


def test_what_must_not_be_interrupted_is_heard_to_its_end() -> None:
    heard: list[bool] = []

    def watch(agent: VoiceAgent) -> None:
        async def say(_: object) -> None:
            heard.append(await agent.say(LONG, interruptible=False))

        agent.on("answered", say)

    case = UltravoxCase("Bye.", "Bye.", texts=["no wait"], voice=Voice(speed=1.0))
    call = case.call(Caller().interrupt(NO_WAIT, after=1.0), agent={"greeting": None}, watch=watch)
    assert heard == [True]
    assert texts(call, "bot")[0] == LONG
    assert not [message for message in case.server.session.sent if message.kind == "playback_clear_buffer"]


def test_a_tool_that_takes_long_does_not_freeze_the_conversation() -> None:
    async def book(params: FunctionCallParams) -> None:
        """Book a table."""
        await asyncio.sleep(6)
        await params.result_callback({"booked": True})

    case = UltravoxCase([Tool("book"), "One moment."], "It is booked.", texts=TWO)
    call = case.call(Caller().say(PEOPLE).pause(14), agent={"tools": [book]})
    received = case.server.session.received
    (placeholder,) = [one for one in received if one.kind == "client_tool_result"]
    assert "not yet ready" in placeholder.body["result"]
    asked = next(m for m in case.server.session.sent if m.kind == "client_tool_invocation")
    assert 1.9 < placeholder.at - asked.at < 2.1
    (told,) = [one.body["text"] for one in received if one.kind == "user_text_message"]
    assert told.endswith('{"booked": true}')
    assert texts(call, "bot") == [GREETING, "One moment.", "It is booked."]


@pytest.mark.parametrize(
    ("lost_at", "returns_at"),
    [
        pytest.param(0.5, 3.0, id="while the call waits for it"),
        pytest.param(4.0, 6.0, id="when the conversation goes on without it"),
    ],
)
def test_a_tool_that_runs_while_its_call_is_lost_runs_once(lost_at: float, returns_at: float) -> None:
    ran = 0

    async def book(params: FunctionCallParams) -> None:
        """Book a table."""
        nonlocal ran
        ran += 1
        asyncio.get_running_loop().call_later(lost_at, case.server.session.drop)
        await asyncio.sleep(returns_at)
        await params.result_callback({"booked": True})

    case = UltravoxCase([Tool("book"), "One moment."], "It is booked.", texts=TWO)
    call = case.call(Caller().say(PEOPLE).pause(14), agent={"tools": [book]})
    assert ran == 1, call.timeline()
    assert len(case.server.sessions) == 2
    assert "It is booked." in texts(call, "bot"), call.timeline()
    told = [one.body["text"] for one in case.server.session.received if one.kind == "user_text_message"]
    assert len([one for one in told if '{"booked": true}' in one]) == 1


def test_what_a_tool_returns_while_there_is_no_call_is_answered() -> None:
    async def book(params: FunctionCallParams) -> None:
        """Book a table."""
        if len(case.server.sessions) == 1:
            case.server.session.drop()
            await asyncio.sleep(2)
        await params.result_callback({"booked": True})

    case = UltravoxCase(
        [Tool("book"), "It is booked."], texts=TWO, faults={2 + n: Refused(503) for n in range(3)}
    )
    call = case.call(Caller().say(PEOPLE).pause(14), agent={"tools": [book]})
    assert len(case.server.sessions) == 2
    assert case.server.session.body["initialMessages"][-1]["text"].endswith('{"booked": true}</instruction>')
    assert texts(call, "bot")[-1] == "It is booked.", call.timeline()
