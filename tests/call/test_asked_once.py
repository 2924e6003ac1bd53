"""Whoever asks the model, a conversation is answered once, and news waits for the next pause. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pipecat.frames.frames import FunctionCallResultProperties
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Caller, CallerLine, Replies, ScriptedLLM, SimulatedCall, Tool, simulate
from piopiy_pipeline.tools import end_call, tool
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.call import test_provider_faults as faults
from tests.support.bots import LONG
from tests.support.services import ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE, info, texts

pytestmark = pytest.mark.usefixtures("either_bot")

GOODBYE = "Goodbye then."
BOOKED = "The table is booked."
SILENTLY = FunctionCallResultProperties(run_llm=False)
Script = Callable[[CallerLine], Any]


class Bot:
    """A bot with a book tool that takes `tool_s`; `breaks_at_s` into it, the voice fails."""

    def __init__(
        self,
        *replies: Any,
        tool_s: float = 0.0,
        breaks_at_s: float | None = None,
        silently: bool = False,
        tools: tuple[Any, ...] = (),
        **script: Any,
    ) -> None:
        self.llm = ScriptedLLM(Replies(*replies, **script))
        self.call: Call | None = None
        self.tts = ToneTTS()
        self.context: list[Any] = []
        self._tool_s = tool_s
        self._breaks_at_s = breaks_at_s
        self._silently = silently
        self._tools = tools

    async def __call__(self, call: Call) -> None:
        @tool()
        async def book(params: FunctionCallParams) -> str | None:
            """Book a table."""
            if self._breaks_at_s is not None:
                await asyncio.sleep(self._breaks_at_s)
                await self.tts.push_error("the voice broke")
            await asyncio.sleep(self._tool_s - (self._breaks_at_s or 0.0))
            if not self._silently:
                return "booked"
            await params.result_callback("booked", properties=SILENTLY)
            return None

        self.call = call
        agent = VoiceAgent(
            instructions="Be brief.", call=call, tools=[book, *self._tools], idle=False, filler=None
        )
        await agent.Action(stt=ScriptedSTT(["a table", "and tea", "bye"]), llm=self.llm, tts=self.tts)
        try:
            await agent.start()
        finally:
            assert agent.context is not None
            self.context = list(agent.context.get_messages())

    def called(self, caller: Caller | Script) -> SimulatedCall:
        return simulate(self, caller, info=info())


ASKS = Caller().say(PEOPLE).pause(20)


# ------------------------------------------------------------------ once


@pytest.mark.parametrize("silently", [False, True])
@pytest.mark.parametrize(("tool_s", "breaks_at_s"), [(0.0, 0.0), (1.0, 1.0), (3.0, 0.5), (3.0, 2.99)])
@pytest.mark.three_services("the voice fails")
def test_a_voice_that_fails_while_a_tool_runs_has_the_model_asked_once(
    tool_s: float, breaks_at_s: float, silently: bool
) -> None:
    bot = Bot(
        (Tool("book"), BOOKED), otherwise=BOOKED, tool_s=tool_s, breaks_at_s=breaks_at_s, silently=silently
    )
    call = bot.called(ASKS)
    assert texts(call, "bot") == [BOOKED], call.timeline()


def test_the_author_and_the_turn_ask_for_one_answer() -> None:
    bot = Bot(BOOKED, otherwise="Again.", latency=1.0)

    async def caller(line: CallerLine) -> None:
        await line.say(PEOPLE)
        await line.pause(1.5)
        assert bot.call is not None
        for _ in range(2):
            await bot.call.respond()
        await line.pause(10)

    call = bot.called(caller)
    assert texts(call, "bot") == [BOOKED], call.timeline()


def test_a_bot_that_has_said_its_answer_can_be_asked_to_go_on() -> None:
    numbers = iter(("First.", "Second.", "Third."))
    bot = Bot(otherwise=lambda _: next(numbers))

    async def caller(line: CallerLine) -> None:
        await line.say(PEOPLE)
        for _ in range(2):
            await line.pause(5)
            assert bot.call is not None
            await bot.call.respond()
        await line.pause(5)

    assert texts(bot.called(caller), "bot") == ["First.", "Second.", "Third."]


@pytest.mark.parametrize("seed", [1276])
@pytest.mark.three_services("its services fail in ways of their own")
def test_calls_in_which_an_answer_was_given_twice(seed: int) -> None:
    faults.check(*faults.run(seed))


# ------------------------------------------------------------------ news: a tool of an earlier turn


def answers(context: Any) -> Any:
    """Answer as a good model does: what the caller said last, and then the news that was not told yet."""
    messages = context.get_messages()
    asked = sum(one["role"] == "user" for one in messages)
    news = any(
        "booked" in str(one.get("content")) for one in messages if one["role"] in ("tool", "developer")
    )
    told = any(BOOKED in str(one.get("content")) for one in messages if one["role"] == "assistant")
    if asked == 1 and not any(one.get("tool_calls") for one in messages):
        return Tool("book")
    since = max((i for i, one in enumerate(messages) if one["role"] == "user"), default=0)
    answered = any(one["role"] == "assistant" and one.get("content") for one in messages[since:])
    parts = [LONG + "."] if asked > 1 and not answered else []
    parts += [BOOKED] if news and not told else []
    return " ".join(parts) or "It is under way."


def begins_over_the_caller(call: SimulatedCall) -> bool:
    """Whether the bot begins to speak while the caller does."""
    spans = [(event.data["start"], event.data["end"]) for event in call.of("user_speech")]
    loud = np.flatnonzero(np.abs(call.bot_audio.astype(np.int32)) > 500) / call.rate
    begins = loud[np.diff(loud, prepend=-1.0) > 0.2]
    return any(((begins > start) & (begins < end)).any() for start, end in spans)


@pytest.mark.parametrize("latency", [0.0, 1.0])
@pytest.mark.parametrize("tool_s", [1.0, 3.0, 4.0, 4.6, 5.0, 5.2, 5.4, 6.0, 8.0, 11.0, 14.0, 20.0])
@pytest.mark.three_services("test_realtime_calls.py has the case that speaks over the caller")
def test_a_late_result_is_told_once_at_the_next_pause(tool_s: float, latency: float) -> None:
    """It comes while the caller speaks, while it is decided whose turn it is, while the model writes, and later."""
    bot = Bot(otherwise=answers, tool_s=tool_s, latency=latency)

    async def caller(line: CallerLine) -> None:
        for at in (0.5, 6.0):
            await line.at(at)
            await line.say(PEOPLE)
        await line.at(40)

    call = bot.called(caller)
    said = " ".join(texts(call, "bot"))
    assert said.count(BOOKED) == 1, call.timeline()
    assert said.count(LONG) == 1, call.timeline()
    assert not begins_over_the_caller(call), call.timeline()


@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("tool_s", [5.6, 6.2, 7.0, 9.0])
def test_the_end_waits_for_a_result_that_is_told_once(final: bool, tool_s: float) -> None:
    """It comes before the goodbye, in the middle of it, and behind it."""

    def closes(context: Any) -> Any:
        messages = context.get_messages()
        asked = sum(one["role"] == "user" for one in messages)
        return Tool("end_call") if asked == 2 and "end_call" not in str(messages) else answers(context)

    bot = Bot(otherwise=closes, tool_s=tool_s, tools=(end_call(goodbye=GOODBYE, final=final),))

    async def caller(line: CallerLine) -> None:
        for at in (0.5, 6.0):
            await line.at(at)
            await line.say(PEOPLE)
        await line.at(40)

    call = bot.called(caller)
    call.assert_ended(EndReason.AGENT_HANGUP)
    said = " ".join(texts(call, "bot"))
    assert said.count(GOODBYE) == said.count(BOOKED) == 1, call.timeline()
