"""Answers that end without a word, or with words that are not for the caller: nobody meets silence."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loguru import logger

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.services.playbook.loading import parse_playbook
from piopiy_pipeline.services.playbook.service import PlaybookLLMService
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.providers.provider_failures import CLOSING_LINE
from piopiy_pipeline.testing import (
    Caller,
    Providers,
    Replies,
    SimulatedCall,
    Tool,
    Transcripts,
    Voice,
    simulate,
)
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.call.test_openai import FINE, PATIENCE_S, openai_bot, play
from tests.support.openai_server import Answer, endpoint
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE, longest_silence_s, texts

CASES = int(os.environ.get("PROPERTY_CASES", "30"))
NOTHING: dict[str, Answer] = {
    "empty": Answer("deltas"),
    "role_only": Answer("deltas", deltas=[{"role": "assistant", "content": ""}]),
    "null": Answer("deltas", deltas=[{"role": "assistant", "content": None}]),
    "blank": Answer("deltas", deltas=[{"content": " "}, {"content": "\n\n"}]),
    "marks": Answer("deltas", deltas=[{"content": "..."}, {"content": " 👍"}]),
    "refusal": Answer("deltas", deltas=[{"refusal": "I cannot"}, {"refusal": " help with that."}]),
    "filtered": Answer("deltas", deltas=[{"content": ""}], finish="content_filter"),
    "reasoning": Answer(
        "deltas", deltas=[{"reasoning_content": "The caller"}, {"reasoning": "wants"}], finish="length"
    ),
    "thoughts": Answer("deltas", deltas=[{"content": "<think>The"}, {"content": " caller</think>\n"}]),
    "unclosed": Answer("deltas", deltas=[{"content": "<think>The caller wants a table."}], finish="length"),
    "null_tools": Answer("deltas", deltas=[{"content": None, "tool_calls": []}], finish="tool_calls"),
    "no_deltas": Answer("deltas", deltas=[{}]),
}
NAMED = {"refusal": "refused: I cannot help", "filtered": "content_filter", "reasoning": "length"}


@pytest.mark.realtime
def test_a_model_that_answers_nothing_is_apologised_for_and_asked_again() -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as servers:
            bots = {
                name: openai_bot(await servers.enter_async_context(endpoint(answer, FINE)))
                for name, answer in NOTHING.items()
            }
            for name, case in (await play(bots)).items():
                assert case.log.reason is EndReason.AGENT_HANGUP, name
                assert [error.stage for error in case.errors] == ["llm"], name
                assert "it answered nothing" in case.errors[0].message, name
                assert NAMED.get(name, "") in case.errors[0].message, name
                assert case.said == ["Sorry.", FINE.text], name
                assert case.longest_silence_s < PATIENCE_S, name

    asyncio.run(scenario())


@pytest.mark.realtime
def test_a_model_that_always_answers_nothing_ends_the_call_with_a_reason() -> None:
    async def scenario() -> None:
        async with AsyncExitStack() as servers:
            bots = {
                name: openai_bot(await servers.enter_async_context(endpoint(NOTHING[name])))
                for name in ("empty", "refusal", "filtered", "thoughts")
            }
            for name, case in (await play(bots)).items():
                assert case.log.reason is EndReason.ERROR, name
                assert case.end is not None
                assert case.end.detail.startswith("llm: it answered nothing"), name
                assert NAMED.get(name, "") in case.end.detail, name
                assert case.said == ["Sorry.", CLOSING_LINE], name

    asyncio.run(scenario())


# ------------------------------------------------------------------ in virtual time


class ScriptedBot:
    """A bot whose model gives these replies, one for each request. `messages` is what the model sees."""

    def __init__(self, *replies: Any, tools: Sequence[Any] = ()) -> None:
        self._replies = replies
        self._tools = tools
        self.messages: list[Any] = []

    async def __call__(self, call_id: str) -> None:
        agent = VoiceAgent(instructions="Be brief.", tools=[*self._tools], error_line="Sorry.")
        await agent.Action(
            stt=ScriptedSTT(["a table please"]), llm=ScriptedLLM(self._replies), tts=ToneTTS(words=True)
        )
        assert agent.context is not None
        self.messages = agent.context.get_messages()
        await agent.start()

    def called(self) -> SimulatedCall:
        return simulate(self, Caller().say(PEOPLE))


def test_an_answer_without_a_word_after_a_tool_is_a_failed_answer() -> None:
    async def look(params: Any) -> str:
        """Look."""
        return "a table is free"

    call = ScriptedBot(("look", {}), "", "There is a table.", tools=[look]).called()
    assert texts(call, "bot") == ["There is a table."]
    assert [error.data["stage"] for error in call.of("error")] == ["llm"]


def test_a_model_that_says_nothing_when_it_has_hung_up_has_not_failed() -> None:
    bot: list[VoiceAgent] = []

    async def end(params: Any) -> str:
        """Hang up."""
        await bot[0].hangup()
        return "ending"

    async def create_session(call_id: str) -> None:
        agent = VoiceAgent(instructions="Be brief.", tools=[end])
        bot.append(agent)
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS())
        await agent.start()

    providers = Providers(stt=Transcripts(), llm=Replies((Tool("end"), "")), tts=Voice())
    call = simulate(create_session, Caller().say(PEOPLE, text="goodbye"), providers=providers)
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert not call.of("error")


def test_an_answer_that_the_caller_cuts_off_before_its_first_word_has_not_failed() -> None:
    slow = Providers(
        stt=Transcripts(), llm=Replies("Never heard.", "Here you are.", latency=3.0), tts=Voice()
    )
    caller = Caller().say(PEOPLE, text="one").pause(1.5).say(PEOPLE, text="two")
    call = simulate(ScriptedBot(), caller, providers=slow)
    assert not call.of("error")


@pytest.mark.parametrize(
    ("answer", "heard"),
    [
        ("<think>They want four.</think>For how many?", "For how many?"),
        ("For how many?<|im_end|>", "For how many?"),
        ("[THINK]a b c.[/THINK]For how many?", "For how many?"),
        ("<|channel|>analysis<|message|>Well.<|end|><|start|>assistant<|channel|>final<|message|>Hello.", "Hello."),
        ("It is \ud83d\ude00 fine \ud83d here.", "It is 😀 fine \ufffd here."),
    ],
)  # fmt: skip
def test_what_is_not_for_the_caller_is_neither_said_nor_in_transcript_nor_context(
    answer: str, heard: str
) -> None:
    bot = ScriptedBot(answer)
    call = bot.called()
    assert texts(call, "bot") == [heard]
    assert [one["content"] for one in bot.messages if one["role"] == "assistant"] == [heard]
    assert not call.of("error")


@pytest.mark.parametrize("marks", ["...", "?!", "**", "- ", "\u200b", "😀"])
def test_an_answer_of_marks_alone_leaves_nothing(marks: str) -> None:
    bot = ScriptedBot(marks, "For how many?")
    call = bot.called()
    assert texts(call, "bot") == ["For how many?"]
    assert [one["content"] for one in bot.messages if one["role"] == "assistant"] == ["For how many?"]


def test_thoughts_that_a_template_began_are_cut_off_and_then_known() -> None:
    thoughts = "The caller wants a table. I ask for the day and then for the time. " * 4
    call = ScriptedBot(f"{thoughts}</think>Unheard.", f"{thoughts}</think>For how many?").called()
    assert texts(call, "bot")[-1] == "For how many?"
    assert "Unheard" not in "".join(texts(call, "bot"))
    (error,) = call.of("error")
    assert error.data["stage"] == "llm"


@settings(max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.sampled_from(
            [
                "",
                " ",
                "...",
                "<think>a</think>",
                "<think>b",
                "</think>",
                "<|im_end|>",
                "\ud83d",
                "Yes. ",
                "No",
                "<",
                "👍",
            ]
        ),
        max_size=5,
    )
)
def test_whatever_a_model_answers_the_caller_hears_something(pieces: list[str]) -> None:
    call = ScriptedBot("".join(pieces), "All is well.").called()
    assert texts(call, "bot") or any(call.of("error"))
    assert longest_silence_s(call) < 12
    assert not any(mark in text for text in texts(call, "bot") for mark in ("think>", "im_end", "\ud83d"))


def test_of_a_tool_that_the_bot_does_not_have_the_log_tells_before_the_call_and_no_goodbye_is_said() -> None:
    playbook = parse_playbook('intents: {bye: {examples: [note that], say: "Goodbye!", tool: hang_up}}')
    logged: list[str] = []
    answered: list[int] = []

    async def bot(call: Call) -> None:
        call.on("answered", lambda _: answered.append(len(logged)))
        agent = VoiceAgent(instructions="")
        await agent.Action(stt=ScriptedSTT(["note that"]), llm=PlaybookLLMService(playbook), tts=ToneTTS())
        await agent.start()

    handler = logger.add(
        logged.append, level="WARNING", filter="piopiy_pipeline.services.playbook", format="{message}"
    )
    try:
        call = simulate(bot, Caller().say(PEOPLE))
    finally:
        logger.remove(handler)
    assert answered == [1], "it is told before the answer"
    (told,) = logged
    assert "the bot does not have: hang_up." in told
    assert not any("Goodbye" in text for text in texts(call, "bot"))
    assert any("did not work" in text for text in texts(call, "bot"))


def test_a_playbook_without_a_reply_to_a_tool_is_silent_on_purpose() -> None:
    playbook = parse_playbook('intents: {note: {examples: [note that], say: "I note it.", tool: take_note}}')

    async def bot(call_id: str) -> None:
        async def take_note(params: Any) -> str:
            """Take a note."""
            return "noted"

        agent = VoiceAgent(instructions="", tools=[take_note])
        await agent.Action(stt=ScriptedSTT(["note that"]), llm=PlaybookLLMService(playbook), tts=ToneTTS())
        await agent.start()

    call = simulate(bot, Caller().say(PEOPLE))
    assert texts(call, "bot") == ["I note it."]
    assert not call.of("error")
