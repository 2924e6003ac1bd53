"""What each parameter of the published signatures changes, and the last words of a call. In virtual time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.frames.frames import ErrorFrame, Frame, MetricsFrame, TTSSpeakFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor, FrameProcessorSetup
from pipecat.transports.base_transport import TransportParams
from pipecat.turns.user_start import MinWordsUserTurnStartStrategy

from piopiy_pipeline.call import CallEnd, EndReason
from piopiy_pipeline.pipeline import CallPipeline, StageError
from piopiy_pipeline.services.failover.switch import ServiceSwitch
from piopiy_pipeline.session import Call, ResumableState, pending_hangup
from piopiy_pipeline.testing import Caller, simulate
from piopiy_pipeline.turns.turn_end_policy import TurnWaits
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.bots import ask, voice
from tests.support.call_state import state_of
from tests.support.calls import house
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import YES, spoken_s, texts

pytestmark = pytest.mark.usefixtures("either_bot")

LINE = "Certainly, we have a table by the window and another one out on the terrace."


# ------------------------------------------------------------------ Action()


async def made(call: Call, options: dict[str, Any], **init: Any) -> VoiceAgent:
    agent = VoiceAgent(**{"instructions": "Be brief.", "call": call, **init})
    services = {"stt": ScriptedSTT(["a table"]), "llm": ScriptedLLM(["It is free."]), "tts": ToneTTS()}
    await agent.Action(**{**services, **options})
    return agent


@pytest.mark.parametrize(
    ("options", "whole"),
    [
        ({}, False),
        ({"allow_interruptions": False}, True),
        ({"interruption_strategy": MinWordsUserTurnStartStrategy(min_words=9)}, True),
    ],
    ids=["as it is", "without interruptions", "not for two words"],
)
def test_who_may_cut_in(options: dict[str, Any], whole: bool) -> None:
    heard: list[bool] = []

    async def bot(call: Call) -> None:
        agent = await made(call, options)

        async def speak(_: object) -> None:
            heard.append(await agent.say(LINE))
            await agent.hangup()

        agent.on("answered", speak)
        await agent.start()

    simulate(bot, Caller().interrupt(YES, after=1.0))
    assert heard == [whole]


class SeesMetrics(FrameProcessor):
    """Remembers which kinds of metrics come by."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: set[str] = set()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, MetricsFrame):
            self.kinds |= {type(data).__name__ for data in frame.data}
        await self.push_frame(frame, direction)


class MeteredTTS(ToneTTS):
    def can_generate_metrics(self) -> bool:
        return True

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        await self.start_tts_usage_metrics(text)
        async for frame in super().run_tts(text, context_id):
            yield frame


@pytest.mark.parametrize(("metrics", "usage"), [(False, False), (True, False), (True, True)])
@pytest.mark.three_services("the stage that counts stands behind the TTS")
def test_metrics_come_when_they_are_asked_for(metrics: bool, usage: bool) -> None:
    stage = SeesMetrics()

    async def bot(call: Call) -> None:
        options = {"tts": MeteredTTS(), "enable_metrics": metrics, "enable_usage_metrics": usage}
        agent = await made(call, options, greeting="Hello.")
        agent.pipeline.insert("meter", stage, after="tts", wants_audio=False)
        agent.on("bot_turn", lambda _: agent.hangup())
        await agent.start()

    simulate(bot, Caller())
    assert ("TTFBMetricsData" in stage.kinds) is metrics
    assert ("TTSUsageMetricsData" in stage.kinds) is usage


@pytest.mark.three_services("its stages are STT and TTS")
def test_what_action_is_given_is_what_the_chain_has() -> None:
    seen: dict[str, Any] = {}

    async def book(params: Any) -> None:
        """Book a table."""

    def schema(name: str) -> FunctionSchema:
        return FunctionSchema(name=name, description="", properties={}, required=[])

    class Mcp:
        async def tools(self) -> list[FunctionSchema]:
            return [schema("from_mcp")]

    async def bot(call: Call) -> None:
        params = TransportParams(audio_in_passthrough=False)
        options = {"telecmi_params": params, "stt_switcher": True, "tts_switcher": True, "mcp_tools": Mcp()}
        agent = await made(call, options, tools=[book])
        seen["stt"], seen["tts"] = agent.pipeline["stt"], agent.pipeline["tts"]
        seen["passthrough"] = call.transport().input()._params.audio_in_passthrough
        context = agent.context
        assert context is not None
        seen["tools"] = [tool.name for tool in context.tools.standard_tools]  # type: ignore[union-attr]

    simulate(bot, Caller())
    assert isinstance(seen["stt"], ServiceSwitch)
    assert isinstance(seen["tts"], ServiceSwitch)
    assert seen["passthrough"] is False
    assert seen["tools"] == ["book", "from_mcp"], "they add to the others"


@pytest.mark.three_services("its services are wrong on purpose")
def test_what_cannot_work_is_said_before_the_call_is_answered() -> None:
    said: list[str] = []

    async def bot(call: Call) -> None:
        with pytest.raises(StageError, match="llm must be a pipecat LLMService"):
            await made(call, {"llm": [ScriptedLLM([]), ToneTTS()]})
        said.append("llm")

    assert simulate(bot, Caller()).end_reason is EndReason.ERROR
    assert said == ["llm"]


@pytest.mark.parametrize(
    ("init", "options", "message"),
    [
        ({"idle_timeout_secs": 0}, {}, "idle_timeout_secs must be 1 second or more (None: never), not 0"),
        (
            {"idle_timeout_secs": 0.001},
            {},
            "idle_timeout_secs must be 1 second or more (None: never), not 0.001",
        ),
        ({"reply_timeout_secs": -1}, {}, "reply_timeout_secs must be more than 0 seconds, not -1"),
        ({"tool_timeout_secs": "5"}, {}, "tool_timeout_secs must be a number of seconds, not '5'"),
        ({"instructions": 5}, {}, "instructions must be a text, not 5"),
        ({"greeting": 5}, {}, "greeting must be a text, or None for nothing, not 5"),
        ({"filler": "wait.wav"}, {}, "filler='wait.wav' would be read out: write Path('wait.wav')"),
        ({"filler": 5}, {}, "filler must be a sentence, the Path of a WAV file or None, not 5"),
        ({"idle": 5}, {}, "idle must be True, False or a list of sentences, not 5"),
        ({"idle": "Hello?"}, {}, "idle must be True, False or a list of sentences, not 'Hello?'"),
        ({"idle": ["Hello?", 5]}, {}, "idle must be True, False or a list of sentences: 5 is no sentence"),
        ({}, {"llm_first_token_secs": -1}, "llm_first_token_secs must be more than 0 seconds, not -1"),
        ({}, {"llm_first_token_secs": "x"}, "llm_first_token_secs must be a number of seconds, not 'x'"),
        ({}, {"llm_between_tokens_secs": 0}, "llm_between_tokens_secs must be more than 0 seconds, not 0"),
        ({}, {"allow_interruptions": "no"}, "allow_interruptions must be True or False, not 'no'"),
        ({}, {"turns": TurnWaits}, "it is 'smart', 'fast', seconds from 0 to 5, a TurnWaits(...)"),
    ],
    ids=str,
)
def test_an_argument_that_cannot_work_is_named_as_it_was_written(
    init: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    said: list[str] = []

    async def bot(call: Call) -> None:
        with pytest.raises((TypeError, ValueError)) as caught:
            await made(call, options, **init)
        said.append(str(caught.value))

    simulate(bot, Caller())
    assert message in said[0]


# ------------------------------------------------------------------ the last words


class SlowTTS(ToneTTS):
    """Its first sound takes longer than the pause after which a bot counts as silent."""

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        await asyncio.sleep(0.6)
        async for frame in super().run_tts(text, context_id):
            yield frame


@pytest.mark.parametrize("by", ["say", "a frame"])
@pytest.mark.three_services("the TTS is slow")
def test_a_goodbye_that_is_slow_to_begin_is_heard_whole(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_hangup, "END_S", 1.0)  # less than the goodbye lasts
    goodbye = "x" * 40  # 2.4 s

    async def bot(call: Call) -> None:
        agent = await voice(call, tts=SlowTTS())

        async def leave(_: object) -> None:
            if by == "say":
                saying = asyncio.create_task(agent.say(goodbye))
                await asyncio.sleep(0)
                await agent.hangup()
                assert await saying
            else:
                await agent.pipeline["tts"].queue_frame(TTSSpeakFrame(goodbye))
                await agent.hangup()

        agent.on("answered", leave)
        await agent.start()

    call = simulate(bot, Caller())
    assert call.end_reason is EndReason.AGENT_HANGUP
    assert spoken_s(call) > 2.2


def test_an_answer_that_does_not_begin_is_not_waited_for_longer_than_was_said() -> None:
    async def bot(call: Call) -> None:
        agent = await voice(call, replies=[None])
        ask(agent)

        async def leave(_: object) -> None:
            await asyncio.sleep(0.2)  # the model has been asked
            await agent.hangup(drain_s=0.5)

        agent.on("answered", leave)
        await agent.start()

    call = simulate(bot, Caller())
    assert call.end_reason is EndReason.AGENT_HANGUP
    assert 0.6 < call.duration_s < 4


@pytest.mark.three_services("there is one service")
def test_what_a_tts_had_yet_to_say_when_another_took_over_was_not_heard() -> None:
    heard: list[bool] = []

    class Paced(ToneTTS):
        async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
            async for frame in super().run_tts(text, context_id):
                yield frame
                await asyncio.sleep(0.1)

    async def bot(call: Call) -> None:
        first, second = Paced(), ToneTTS()
        agent = await made(call, {"tts": [first, second]})

        async def speak(_: object) -> None:
            saying = asyncio.create_task(agent.say(LINE))
            await asyncio.sleep(0.5)
            await agent.switch_service(second)
            heard.append(await asyncio.wait_for(saying, 3))
            heard.append(await agent.say("Hello."))
            await agent.hangup()

        agent.on("answered", speak)
        await agent.start()

    simulate(bot, Caller())
    assert heard == [False, True]


class Fatal(ScriptedLLM):
    async def _respond(self, context: LLMContext) -> None:
        error = ErrorFrame("the account is closed")
        error.fatal = True
        await self.push_error_frame(error)


@pytest.mark.three_services(
    "the LLM is one of the test's own; a model that speaks is in test_speech_to_speech.py"
)
def test_a_fatal_error_is_heard_and_is_the_reason_of_the_end() -> None:
    ends: list[CallEnd] = []

    async def bot(call: Call) -> None:
        agent = await made(call, {"llm": Fatal([])})
        agent.on("answered", lambda _: call.respond())
        ends.append(await agent.start())

    call = simulate(bot, Caller())
    assert call.end_reason is EndReason.ERROR
    assert [end.detail for end in ends] == ["llm: the account is closed"]
    assert spoken_s(call) > 1


def test_a_tool_s_arguments_that_are_no_object_do_not_end_the_answer() -> None:
    used: list[Any] = []

    async def bot(call: Call) -> None:
        async def look_up(params: Any) -> None:
            """Look something up."""
            await params.result_callback({"free": True})

        agent = await made(
            call,
            {"llm": ScriptedLLM([("look_up", ["Friday"]), "It is free."])},  # type: ignore[list-item]
            tools=[FunctionSchema(name="look_up", description="", properties={}, required=[])],
        )
        agent.register_tool("look_up", look_up)
        agent.on("answered", lambda _: call.respond())
        agent.on("tool", lambda use: used.append((use.arguments, use.result)))
        agent.on("bot_turn", lambda _: agent.hangup())
        await agent.start()

    call = simulate(bot, Caller())
    assert used == [({"value": ["Friday"]}, None), ({"value": ["Friday"]}, {"free": True})]
    assert texts(call, "bot") == ["It is free."]


# ------------------------------------------------------------------ callbacks and chains of one's own


@pytest.mark.realtime
def test_a_callback_that_calls_exit_ends_its_call_and_not_the_agent() -> None:
    """In real time: it takes an agent at a gateway to show that it lives on."""

    async def bot(call: Call, metadata: dict[str, Any]) -> None:
        if metadata.get("exit"):
            sys.exit("no more")
        await (await voice(call, greeting="Hello.")).start()

    async def scenario() -> None:
        async with house(bot) as place:
            assert (await place.call(metadata={"exit": True})).reason is EndReason.ERROR
            assert (await place.call(metadata={}, hangup_after_s=0.3)).texts("bot") == ["Hello."]

    asyncio.run(scenario())


def test_a_callback_that_does_not_wait_for_its_pipeline_is_told_so() -> None:
    starting: list[asyncio.Task[CallEnd]] = []

    async def bot(call: Call) -> None:
        agent = await voice(call, greeting="Hello.")
        starting.append(asyncio.create_task(agent.start()))
        await asyncio.sleep(0)

    call = simulate(bot, Caller())
    assert call.end_reason is EndReason.ERROR
    assert "await start()" in call.end_detail


def test_a_context_of_one_s_own_goes_on_with_what_another_instance_was_told() -> None:
    llm = ScriptedLLM(["I go on."])

    async def bot(call: Call) -> None:
        said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "book it"}]
        state_of(call).resume(ResumableState(messages=said, state={}))
        context = LLMContext([{"role": "system", "content": "Be long."}])
        agent = await made(call, {"llm": llm}, context=context)
        agent.on("bot_turn", lambda _: agent.hangup())
        await agent.start()

    simulate(bot, Caller())
    assert [message["content"] for message in llm.asked[0]] == ["Be brief.", "book it"]


HISTORY = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]


def test_the_model_knows_the_initial_messages_from_its_first_answer_on() -> None:
    llm = ScriptedLLM(["I go on."])

    async def bot(call: Call) -> None:
        agent = await made(call, {"llm": llm}, initial_messages=HISTORY)
        agent.on("bot_turn", lambda _: agent.hangup())
        await agent.start()

    simulate(bot, Caller().say(YES))
    said = [(message["role"], message["content"]) for message in llm.asked[0]]
    assert said == [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello!"), ("user", "a table")]
    assert len(HISTORY) == 2, "the author's list is not written to"


def test_a_resumed_call_goes_on_without_the_initial_messages_again() -> None:
    said = [{"role": "system", "content": "Be brief."}, *HISTORY, {"role": "user", "content": "book it"}]
    llm = ScriptedLLM(["I go on."])

    async def bot(call: Call) -> None:
        state_of(call).resume(ResumableState(messages=said, state={}))
        agent = await made(call, {"llm": llm}, initial_messages=HISTORY)
        agent.on("bot_turn", lambda _: agent.hangup())
        await agent.start()

    simulate(bot, Caller())
    assert [message["content"] for message in llm.asked[0]] == ["Be brief.", "Hi", "Hello!", "book it"]


def test_a_resumed_call_goes_on_with_the_instructions_of_today() -> None:
    """The other instance may have run an older version of the bot, with other tools."""
    said = [{"role": "system", "content": "Be long."}, *HISTORY, {"role": "user", "content": "book it"}]
    llm = ScriptedLLM(["I go on."])

    async def bot(call: Call) -> None:
        state_of(call).resume(ResumableState(messages=said, state={}))
        agent = await made(call, {"llm": llm})
        agent.on("bot_turn", lambda _: agent.hangup())
        await agent.start()

    simulate(bot, Caller())
    assert [message["content"] for message in llm.asked[0]] == ["Be brief.", "Hi", "Hello!", "book it"]


@pytest.mark.parametrize(
    ("messages", "error", "says"),
    [
        ("Hi", TypeError, "a list of messages"),
        ({"role": "user", "content": "Hi"}, TypeError, "a list of messages"),
        (["Hi"], TypeError, "initial_messages, 1: a message is a dict, not a str"),
        ([*HISTORY, {"role": "bot", "content": "Hi"}], ValueError, "3: its role is 'bot', not one of"),
        ([{"role": "user"}], ValueError, "it has no content"),
    ],
)
def test_initial_messages_that_are_none_are_an_error_at_once(
    messages: Any, error: type[Exception], says: str
) -> None:
    call: Any = object()
    with pytest.raises(error, match=says):
        VoiceAgent(instructions="Be brief.", call=call, initial_messages=messages)


def test_either_a_context_or_initial_messages() -> None:
    call: Any = object()
    with pytest.raises(ValueError, match="either context or initial_messages"):
        VoiceAgent(instructions="", call=call, context=LLMContext(), initial_messages=HISTORY)


def test_a_switch_of_voices_can_say_text_under_any_name() -> None:
    heard: list[bool] = []

    async def bot(call: Call) -> None:
        transport = call.transport()
        voices = ServiceSwitch([ToneTTS(), ToneTTS()])
        chain = CallPipeline([("in", transport.input()), ("voices", voices), ("out", transport.output())])

        async def speak(_: object) -> None:
            heard.append(await call.say("Hello."))
            await call.hangup()

        call.on("answered", speak)
        await call.run(chain)

    simulate(bot, Caller())
    assert heard == [True]


@pytest.mark.three_services("there is one service")
def test_what_is_said_while_the_next_voice_starts_waits_for_it() -> None:
    heard: list[bool] = []

    class Broken(ToneTTS):
        async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
            await self.push_error("invalid key", force_treat_as_permanent=True)
            return
            yield None

    class SlowToStart(ToneTTS):
        async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]  # as pipecat's own
            await asyncio.sleep(1.5)
            await super().setup(setup)

    async def bot(call: Call) -> None:
        agent = await made(call, {"tts": [Broken(), SlowToStart()]})

        async def speak(_: object) -> None:
            heard.append(await asyncio.wait_for(agent.say("Hello there."), 8))
            await agent.hangup()

        agent.on("answered", speak)
        await agent.start()

    assert simulate(bot, Caller()).end_reason is EndReason.AGENT_HANGUP
    assert heard == [True]
