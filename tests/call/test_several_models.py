"""`Action(llm=[a, b])`: who answers when the first model is late, fails or falls silent. In virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import (
    Caller,
    Refused,
    Replies,
    ScriptedLLM,
    SimulatedCall,
    Stalls,
    Tool,
    simulate,
)
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.call.test_rough_calls import RoughModel, Trouble
from tests.support.bots import ask
from tests.support.services import ScriptedSTT, ToneTTS
from tests.support.virtual import YES, info, texts

FIRST = "The first model answers. It has much to say."
SECOND = "The second model answers. It is brief."


class Models:
    """A bot with several models, which is asked `times` times, and hangs up after the last answer."""

    def __init__(self, *scripts: Replies, times: int = 1, **options: Any) -> None:
        self.scripts = scripts
        self.times = times
        self.options = options
        self.context: list[Any] = []

    async def __call__(self, call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", error_line="Sorry.", call=call, **self.options)
        models = [ScriptedLLM(script) for script in self.scripts]
        await agent.Action(stt=ScriptedSTT(["yes"] * 9), llm=models, tts=ToneTTS())
        ask(agent)
        turns = 0

        async def answered(turn: Any) -> None:
            nonlocal turns
            turns += 1
            if turns >= self.times:
                await agent.hangup()
            else:
                await agent.call.respond("Once more.")

        agent.on("bot_turn", answered)
        await agent.start()
        assert agent.context is not None
        self.context = agent.context.get_messages()


def waits(bot: Models) -> SimulatedCall:
    return simulate(bot, Caller().pause(60), info=info())


def records(call: SimulatedCall) -> list[str]:
    return [str(error.data["message"]) for error in call.of("error")]


def test_a_model_in_time_is_the_only_one_that_is_asked() -> None:
    call = waits(Models(Replies(FIRST), Replies()))
    assert texts(call, "bot") == [FIRST]
    assert records(call) == []


def test_a_model_without_a_word_in_time_is_overtaken_and_its_answer_goes_nowhere() -> None:
    bot = Models(Replies(FIRST, latency=1.4, words_per_s=4), Replies(SECOND, latency=0.3))
    call = waits(bot)
    assert texts(call, "bot") == [SECOND]
    assert call.of("bot_audio")[0].at < 1.2 + 0.3 + 0.2
    (record,) = records(call)
    assert record == "ScriptedLLM (2 of 2) answers: ScriptedLLM (1 of 2) was late, and another was asked too"
    answers = [message for message in bot.context if message["role"] == "assistant"]
    assert [answer["content"] for answer in answers] == [SECOND]


def test_a_model_that_fails_is_replaced_at_once_and_nobody_is_apologised_to() -> None:
    call = waits(Models(Replies(FIRST, faults={1: Refused(429, times=9)}), Replies(SECOND)))
    assert texts(call, "bot") == [SECOND]
    assert call.of("bot_audio")[0].at < 0.3
    assert "429" in " ".join(records(call))
    assert "ScriptedLLM (1 of 2): " in records(call)[0]
    call.assert_ended(EndReason.AGENT_HANGUP)


def test_an_answer_without_a_word_is_a_failure_of_one_model_and_not_of_the_call() -> None:
    call = waits(Models(Replies(""), Replies(SECOND)))
    assert texts(call, "bot") == [SECOND]


def test_the_second_model_goes_on_where_the_first_one_fell_silent() -> None:
    told: list[Any] = []

    def goes_on(context: Any) -> str:
        told.extend(context.get_messages())
        return " And this is the rest."

    call = waits(Models(Replies(FIRST, faults={1: Stalls(after=0.6, times=9)}), Replies(goes_on)))
    assert texts(call, "bot") == ["The first model answers. And this is the rest."]
    assert told[-2] == {"role": "assistant", "content": "The first model answers."}


def test_a_call_ends_with_a_reason_when_no_model_is_left() -> None:
    broken = Replies(FIRST, faults={1: Refused(500, times=99)})
    call = waits(Models(broken, broken))
    call.assert_ended(EndReason.ERROR)
    assert call.end_detail.startswith("llm: ")


def test_the_tools_of_one_model_run_and_once() -> None:
    used: list[str] = []

    async def book(params: FunctionCallParams, who: str) -> str:
        """Book a table."""
        used.append(who)
        return "booked"

    calls = [
        Replies((Tool("book", who=who), f"Booked by {who}."), latency=latency)
        for who, latency in (("a", 1.5), ("b", 0.3))
    ]
    call = waits(Models(*calls, tools=[book]))
    assert used == ["a"] or used == ["b"]
    assert len(call.of("tool")) == 1


def test_a_model_that_fails_often_comes_last_until_a_probe_brings_it_back() -> None:
    faults = {turn: Refused(503, times=9) for turn in (1, 2, 3)}
    bot = Models(Replies(*["First."] * 30, faults=faults), Replies(*["Second it is."] * 30), times=20)
    call = waits(bot)
    said = texts(call, "bot")
    assert said[:3] == ["Second it is."] * 3
    assert "First." in said[4:], "the probe"
    assert said[-1] == "First."
    assert len(records(call)) < 9, "an open breaker spares the call the failures"


def test_a_caller_who_cuts_in_ends_the_race_and_is_answered_by_one() -> None:
    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello and welcome " * 8, call=call)
        models = [ScriptedLLM(Replies(FIRST, latency=1.9)), ScriptedLLM(Replies(SECOND, latency=0.4))]
        await agent.Action(stt=ScriptedSTT(["yes", "no"]), llm=models, tts=ToneTTS())
        await agent.start()

    call = simulate(bot, Caller().interrupt(YES, after=1.0).pause(6), info=info())
    assert texts(call, "bot")[1:] == [SECOND]


def test_an_author_chooses_the_model_that_is_asked_first() -> None:
    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call)
        models = [ScriptedLLM(Replies(FIRST)), ScriptedLLM(Replies(SECOND))]
        await agent.Action(stt=ScriptedSTT([]), llm=models, tts=ToneTTS())

        async def chosen(_: object) -> None:
            await agent.switch_service(models[1])
            await asyncio.sleep(0.1)
            await call.respond()

        agent.on("answered", chosen)
        await agent.start()

    call = simulate(bot, Caller().pause(6), info=info())
    assert texts(call, "bot") == [SECOND]


def test_another_model_that_is_chosen_goes_on_with_the_answer_and_the_one_before_has_not_failed() -> None:
    """Its breaker is that of all calls: a choice of this call's says nothing about the provider."""
    asked: list[str] = []

    def answers(name: str) -> Replies:
        def answer(context: Any) -> str:
            asked.append(name)
            return f"{name} answers. It has much to say to you."

        return Replies(otherwise=answer, latency=0.5, words_per_s=4)

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", filler=None, call=call)
        models = [ScriptedLLM(answers(name)) for name in ("Anna", "Berta", "Cora")]
        await agent.Action(stt=ScriptedSTT([]), llm=models, tts=ToneTTS())

        async def chosen(_: object) -> None:
            for _again in range(4):
                await call.respond()
                await asyncio.sleep(0.2)
                await agent.switch_service(models[2])
                await asyncio.sleep(8)
                await agent.switch_service(models[0])
            asked.append("at last")
            await call.respond()
            await asyncio.sleep(8)
            await agent.hangup()

        agent.on("answered", chosen)
        await agent.start()

    simulate(bot, Caller().pause(90), info=info())
    assert asked == [*["Anna", "Cora"] * 4, "at last", "Anna"]


def answers_at(**options: Any) -> float:
    """Return when the bot is heard that waits so long for its first model, which is late; the second is not."""

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", filler=None, call=call)
        models = [ScriptedLLM(Replies(FIRST, latency=2.6)), ScriptedLLM(Replies(SECOND))]
        await agent.Action(stt=ScriptedSTT(["yes"]), llm=models, tts=ToneTTS(), **options)
        ask(agent)
        agent.on("bot_turn", lambda _: agent.hangup())
        await agent.start()

    call = simulate(bot, Caller().pause(60), info=info())
    assert texts(call, "bot") == [SECOND]
    return call.of("bot_audio")[0].at


def test_an_author_says_how_long_the_first_word_may_take() -> None:
    assert answers_at(llm_first_token_secs=0.4) == pytest.approx(answers_at() - 0.8, abs=0.05)
    assert answers_at(llm_first_token_secs=2.0) == pytest.approx(answers_at() + 0.8, abs=0.05)


def test_an_author_says_how_long_a_model_may_fall_silent() -> None:
    def rest_at(seconds: float) -> float:
        async def bot(call: Call) -> None:
            agent = VoiceAgent(instructions="Be brief.", filler=None, call=call)
            models = [
                ScriptedLLM(Replies(FIRST, faults={1: Stalls(after=0.6, times=9)})),
                ScriptedLLM(Replies(" And this is the rest.")),
            ]
            await agent.Action(
                stt=ScriptedSTT(["yes"]), llm=models, tts=ToneTTS(), llm_between_tokens_secs=seconds
            )
            ask(agent)
            agent.on("bot_turn", lambda _: agent.hangup())
            await agent.start()

        call = simulate(bot, Caller().pause(60), info=info())
        assert texts(call, "bot") == ["The first model answers. And this is the rest."]
        return call.duration_s

    assert rest_at(6.0) > rest_at(3.0) + 2.5


def test_a_model_whose_tool_calls_cannot_run_gives_its_place_to_the_next_one() -> None:
    """Its answer is complete, so nobody else is at it: that is a failure, and the next try is the next model's."""
    always = dict.fromkeys(range(99), Trouble("unknown tool", text="{}"))
    broken = RoughModel(lambda _: "", troubles=always, latency_s=0.1, words_per_s=9)

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", error_line="Sorry.", call=call)
        await agent.Action(
            stt=ScriptedSTT([]), llm=[broken, ScriptedLLM(Replies(otherwise=SECOND))], tts=ToneTTS()
        )
        ask(agent)
        await agent.start()

    call = simulate(bot, Caller().pause(20), info=info())
    assert texts(call, "bot") == [SECOND]
    assert "no call of the tool no_such_tool can run, 3 times in a row" in records(call)[2]
    assert "There is no tool no_such_tool" in records(call)[2]
