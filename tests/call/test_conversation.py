"""What is said and what is remembered: barge-in, tools, goodbyes. In virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.call import CallEnd, EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.bots import ask, voice
from tests.support.services import SECONDS_A_CHARACTER, Reply, ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE, YES, info, spoken_with_pauses_s, texts

pytestmark = pytest.mark.usefixtures("either_bot")

GREETING = "Good evening, how can I help you today?"
LONG = "Certainly, we have a table by the window and another one out on the terrace under the trees."


def test_after_a_barge_in_the_context_holds_what_was_heard() -> None:
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

    call = simulate(bot, Caller().interrupt(PEOPLE, after=1.0).interrupt(YES, after=1.0))
    call.assert_ended(EndReason.CALLER_HANGUP)
    said = texts(call, "bot")
    assert said[2:] == ["Bye."]
    for heard, meant in zip(said, (GREETING, LONG), strict=False):
        assert meant.startswith(heard)
        assert 2 <= len(heard.split()) <= 6, "about 1.2 s of it were heard, at 60 ms a letter"
    assert [m["content"] for m in contexts[0] if m["role"] == "assistant"] == said
    assert [turn.interrupted for turn in call.turns] == [True, True, False]
    holds, cuts, speeches = call.of("hold"), call.of("interruption"), call.of("user_speech")
    for held, cut, speech in zip(holds, cuts, speeches, strict=True):
        assert 0 < held.at - speech.at < 0.25, "the bot is silent soon after the caller's first sample"
        assert 0.2 < cut.at - held.at < 2.3, "of a sound without words so far 1.8 s are speech"
    assert not call.of("resume"), "and the bot is silent meanwhile"


def test_the_callback_learns_who_calls_and_why() -> None:
    seen: dict[str, Any] = {}
    ends: list[CallEnd] = []

    async def bot(
        agent_id: str, call_id: str, from_number: str, to_number: str, metadata: Any, call: Any
    ) -> None:
        seen.update(agent_id=agent_id, from_number=from_number, to_number=to_number, metadata=metadata)
        seen["kind"] = call.info.kind
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello.")
        agent.on("answered", lambda _: agent.hangup())
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS())
        ends.append(await agent.start())

    call = simulate(bot, Caller(), info=info(customer=7))
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert seen == {
        "agent_id": "test-agent",
        "from_number": "+15550100",
        "to_number": "+15550199",
        "metadata": {"customer": 7},
        "kind": "recorded",
    }
    assert [end.reason for end in ends] == [EndReason.AGENT_HANGUP]


def test_a_tool_is_used_with_its_arguments_and_what_follows_it_is_said() -> None:
    booked: list[tuple[int, str]] = []

    async def bot(call: Call) -> None:
        async def book(params: FunctionCallParams, people: int, day: str) -> None:
            """Book a table.

            Args:
                people: How many will come.
                day: The day of the week.
            """
            booked.append((people, day))
            await params.result_callback({"booked": True})

        replies: list[Reply] = [("book", {"people": 4, "day": "Friday"}), "It is booked."]
        await (await voice(call, texts=["a table"], replies=replies, tools=[book])).start()

    call = simulate(bot, Caller().say(PEOPLE))
    call.assert_tool("book", people=4, day="Friday")
    assert booked == [(4, "Friday")]
    assert texts(call, "bot") == ["It is booked."]
    assert call.of("tool_result")[0].data["result"] == {"booked": True}


def test_a_tool_that_raises_is_an_error_of_the_call_which_goes_on() -> None:
    async def bot(call: Call) -> None:
        async def book(params: FunctionCallParams) -> None:
            """Book a table."""
            raise LookupError("the book is lost")

        replies: list[Reply] = [("book", {}), "I cannot find the book."]
        await (await voice(call, texts=["a table"], replies=replies, tools=[book])).start()

    call = simulate(bot, Caller().say(PEOPLE))
    call.assert_ended(EndReason.CALLER_HANGUP)
    call.assert_said("I cannot find the book.")
    assert ["the book is lost" in error.data["message"] for error in call.of("error")] == [True]


def test_a_goodbye_said_after_a_tool_hung_up_is_heard_in_full() -> None:
    goodbye = "Thank you for calling, and have a very nice evening."
    ends: list[CallEnd] = []

    async def bot(call: Call) -> None:
        async def end_call(params: FunctionCallParams) -> None:
            """End the call."""
            await agent.hangup()
            await params.result_callback({"done": True})

        agent = await voice(call, replies=[("end_call", {}), goodbye], tools=[end_call])
        ask(agent)
        ends.append(await agent.start())

    call = simulate(bot, Caller())
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert texts(call, "bot") == [goodbye]
    assert spoken_with_pauses_s(call) == pytest.approx(SECONDS_A_CHARACTER * len(goodbye), rel=0.1)
    assert [end.reason for end in ends] == [EndReason.AGENT_HANGUP]


def test_a_goodbye_that_the_model_says_and_hangs_up_with_is_heard_in_full() -> None:
    goodbye = "Good night, and drive carefully on your way home."

    async def bot(call: Call) -> None:
        agent = await voice(call, texts=["bye"], replies=[goodbye], greeting="Hello.")
        agent.on("user_turn", lambda _: agent.hangup())
        await agent.start()

    call = simulate(bot, Caller().say(YES))
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert texts(call, "bot") == ["Hello.", goodbye]
