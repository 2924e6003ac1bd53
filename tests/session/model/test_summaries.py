"""Long conversations are summarised: when, what of them, and what a summary must not do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from loguru import logger
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.call import ContextSummary
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.model.summaries import Summaries
from piopiy_pipeline.testing import AgentLoss, Caller, Replies, ScriptedLLM, Tool, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedSTT, ToneTTS

LONG = "So many words that a conversation grows with each of them, and grows on. " * 8


class Writer(ScriptedLLM):
    """Writes summaries, too. It counts what it was asked, and may fail or take its time."""

    def __init__(self, *replies: Any, summary: Any = "They talked.", takes_s: float = 0.0) -> None:
        super().__init__(Replies(*replies, otherwise=LONG))
        self.asked: list[str] = []
        self.summary = summary
        self.takes_s = takes_s

    async def run_inference(self, context: LLMContext, *_: Any, **__: Any) -> str | None:
        self.asked.append(str(context.get_messages()[0]["content"]))  # type: ignore[index]
        await asyncio.sleep(self.takes_s)
        if isinstance(self.summary, Exception):
            raise self.summary
        return str(self.summary) if self.summary is not None else None


class Desk:
    """A bot, what it knew at the end, and the summaries that it was told of."""

    def __init__(self, make: Any, **options: Any) -> None:
        self.make = make
        self.options = {"summarise_after": Summaries(after_tokens=300, keep_messages=2)} | options
        self.messages: list[Any] = []
        self.told: list[ContextSummary] = []
        self.models: list[Any] = []

    async def __call__(self, call: Call) -> None:
        agent = VoiceAgent(instructions="Be long.", **self.options)
        agent.on("summary", self.told.append)
        self.models.append(self.make())
        await agent.Action(stt=ScriptedSTT([]), llm=self.models[-1], tts=ToneTTS())
        try:
            await agent.start()
        finally:
            assert agent.context is not None
            self.messages = list(agent.context.get_messages())

    @property
    def said(self) -> list[str]:
        return [str(message["content"])[:30] for message in self.messages]


def talk(*words: str) -> Caller:
    caller = Caller()
    for each in words:
        caller = caller.say(each).pause(1)
    return caller


def test_the_older_part_becomes_one_message_and_the_latest_stay() -> None:
    desk = Desk(Writer)
    call = simulate(desk, talk("one", "two", "three", "four"), by="text")
    (first, *_) = desk.told
    assert first.tokens_after < first.tokens_before
    assert first.text == "They talked."
    assert desk.said[:2] == ["Be long.", "Conversation summary: They ta"[:30] + "l"]
    assert desk.messages[-1]["content"].startswith("So many words")
    assert call.of("summary")[0].data["messages"] == first.messages
    assert "USER: one" in desk.models[0].asked[0]
    assert [turn.user for turn in call.turns if turn.user] == ["one", "two", "three", "four"]


def test_a_short_conversation_and_a_bot_that_does_not_want_it_keep_every_word() -> None:
    for options in ({"summarise_after": None}, {"summarise_after": 100_000}):
        desk = Desk(Writer, **options)
        simulate(desk, talk("one", "two", "three"), by="text")
        assert not desk.told
        assert not desk.models[0].asked
        assert len(desk.messages) == 7


@pytest.mark.parametrize("summary", [OSError("no answer"), None, "  "])
def test_a_summary_that_fails_changes_nothing_and_is_not_tried_at_each_turn(summary: Any) -> None:
    lines: list[str] = []
    handler = logger.add(lines.append, level="WARNING", format="{message}")
    try:
        desk = Desk(lambda: Writer(summary=summary))
        call = simulate(desk, talk("one", "two", "three", "four", "five"), by="text")
    finally:
        logger.remove(handler)
    assert [(event.data["stage"], event.data["message"][:40]) for event in call.of("error")] == [
        ("summary", "the conversation could not be summarised")
    ]
    assert len(desk.messages) == 11
    assert len(desk.models[0].asked) == 1
    assert any("could not be summarised" in line for line in lines)


def test_a_summary_that_is_late_says_so_and_changes_nothing() -> None:
    desk = Desk(lambda: Writer(takes_s=40.0))
    call = simulate(desk, talk("one", "two", "three").pause(60), by="text")
    (error,) = call.of("error")
    assert error.data["message"].endswith("the model has written no summary in 30 s")
    assert not call.of("summary")
    assert len(desk.messages) == 7


def test_an_agent_that_is_lost_while_a_summary_is_written_leaves_it_to_the_next() -> None:
    desk = Desk(lambda: Writer(takes_s=20.0))
    losses = [AgentLoss("bot_turn", number=3, after_s=5)]
    call = simulate(
        desk, talk("one", "two", "three").pause(10).say("four").pause(60), by="text", losses=losses
    )
    assert len(call.of("summary")) == 1
    assert len(desk.models) == 2
    assert sum("Conversation summary" in text for text in desk.said) == 1


def test_it_takes_its_place_between_two_turns_and_not_while_a_tool_runs() -> None:
    async def look(params: Any) -> None:
        """Look something up."""
        await asyncio.sleep(20)
        await params.result_callback("found")

    desk = Desk(lambda: Writer(LONG, LONG, (Tool("look"), "Found."), takes_s=3.0), tools=[look])
    call = simulate(desk, talk("one", "two", "three").pause(30), by="text")
    (result,) = call.of("tool_result")
    (summary,) = call.of("summary")
    assert summary.at > result.at
    called = [at for at, message in enumerate(desk.messages) if message.get("tool_calls")]
    answered = [at for at, message in enumerate(desk.messages) if message["role"] == "tool"]
    assert len(called) == len(answered)


def test_a_conversation_that_has_changed_meanwhile_is_left_as_it_is() -> None:
    desk = Desk(lambda: Writer(takes_s=5.0))

    async def create_session(call: Call) -> None:
        call.on("dtmf", lambda _: desk_context[0].set_messages([{"role": "system", "content": "New."}]))
        agent = VoiceAgent(
            instructions="Be long.", summarise_after=Summaries(after_tokens=300, keep_messages=2)
        )
        agent.on("summary", desk.told.append)
        await agent.Action(stt=ScriptedSTT([]), llm=Writer(takes_s=5.0), tts=ToneTTS())
        assert agent.context is not None
        desk_context.append(agent.context)
        await agent.start()
        desk.messages = list(agent.context.get_messages())

    desk_context: list[LLMContext] = []
    simulate(create_session, talk("one", "two", "three").press("1").pause(20), by="text")
    assert not desk.told
    left: list[Any] = list(desk_context[0].get_messages())
    assert [message["content"] for message in left] == ["New."]


def test_the_next_agent_goes_on_with_the_summary() -> None:
    desk = Desk(Writer)
    simulate(desk, talk("one", "two", "three", "four"), by="text", losses=[AgentLoss("summary", after_s=0.1)])
    assert len(desk.models) == 2
    assert sum("Conversation summary" in text for text in desk.said) == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [(5, "after_tokens=5"), ("soon", "summarise_after must be"), (1.5, "summarise_after must be")],
)
def test_what_cannot_work_is_one_sentence(given: Any, says: str) -> None:
    with pytest.raises((ValueError, TypeError), match=says):
        Summaries.of(given)


def test_a_summary_that_is_no_shorter_is_not_asked_for_again_at_each_turn() -> None:
    desk = Desk(lambda: Writer(summary="and so on " * 200))
    simulate(desk, talk("one", "two", "three", "four", "five", "six"), by="text")
    assert len(desk.models[0].asked) == 1


def test_a_summary_may_not_be_as_long_as_what_it_is_of() -> None:
    with pytest.raises(ValueError, match="max_tokens=5000: less than after_tokens=200"):
        Summaries(after_tokens=200, max_tokens=5000)
    assert Summaries(after_tokens=200).most_tokens == 100
    assert Summaries().most_tokens == 800


def test_a_scripted_model_writes_summaries_as_its_script_says_or_says_what_to_write() -> None:
    asked: list[str] = []

    def beside(context: LLMContext) -> str:
        asked.append(str(context.get_messages()[0]))
        return "They talked a lot."

    for replies, told in (
        (Replies(otherwise=LONG, beside=beside), ["They talked a lot."]),
        (Replies(otherwise=LONG, beside="They talked."), ["They talked."]),
        (Replies(otherwise=LONG), []),
    ):
        desk = Desk(lambda replies=replies: ScriptedLLM(replies))
        call = simulate(desk, talk("one", "two", "three", "four"), by="text")
        assert [each.text for each in desk.told][:1] == told
        assert bool(call.of("error")) is not bool(told)
    assert "USER: one" in asked[0]
    with pytest.raises(TypeError, match="beside must be text or a function"):
        Replies("Hello.", beside=5)  # type: ignore[arg-type]
