"""Names and arguments of Piopiy's `Action` that have another form here."""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import ManuallySwitchServiceFrame
from pipecat.pipeline.llm_switcher import LLMSwitcher
from pipecat.pipeline.service_switcher import ServiceSwitcher
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService

from piopiy.audio.interruptions.base_interruption_strategy import BaseInterruptionStrategy
from piopiy.audio.interruptions.min_words_interruption_strategy import MinWordsInterruptionStrategy
from piopiy_pipeline.pipeline import StageError
from piopiy_pipeline.service_stages import one_stage
from piopiy_pipeline.services.failover.switch import ServiceSwitch
from piopiy_pipeline.session.call import Call
from piopiy_pipeline.testing import Caller, simulate
from piopiy_pipeline.turns.strategies import interruption_of
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS


def test_a_switcher_is_the_list_of_its_services_with_the_active_one_first() -> None:
    switches: list[ServiceSwitch] = []
    seen: list[Any] = []

    async def bot(call: Call) -> None:
        one, two = ToneTTS(), ToneTTS()
        switcher: ServiceSwitcher[Any] = ServiceSwitcher([one, two])
        for stage in (
            one_stage("tts", switcher, TTSService),
            one_stage("tts", None, TTSService, switcher=switcher),
            one_stage("tts", one, TTSService, switcher=switcher),
        ):
            assert isinstance(stage, ServiceSwitch)
            switches.append(stage)
            seen.append(stage.services == (one, two))
        with pytest.raises(StageError, match="tts and tts_switcher are two services"):
            one_stage("tts", ToneTTS(), TTSService, switcher=switcher)
        with pytest.raises(StageError, match="stt must be a pipecat STTService, not a ToneTTS"):
            one_stage("stt", switcher, STTService)
        await call.hangup()

    simulate(bot, Caller())
    assert seen == [True, True, True]


def test_a_switch_by_pipecats_frame_and_a_switcher_of_models() -> None:
    active: list[bool] = []

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Good day!", call=call)
        first, second = ToneTTS(), ToneTTS()
        models: LLMSwitcher[Any] = LLMSwitcher([ScriptedLLM(["It is noon."]), ScriptedLLM(["It is late."])])
        await agent.Action(
            stt=ScriptedSTT(["what time is it"]), llm=models, tts=ServiceSwitcher([first, second])
        )

        async def switch(_: object) -> None:
            await agent.pipeline["transport_in"].queue_frame(ManuallySwitchServiceFrame(service=second))

        agent.on("user_turn", switch)
        await agent.start()
        stage = agent.pipeline["tts"]
        assert isinstance(stage, ServiceSwitch)
        active.append(stage.active is second)

    call = simulate(bot, Caller().say("What time is it?").pause(8).hangup())
    call.assert_said("It is noon.")
    assert active == [True]


class StandIn:
    """A client of the kind of pipecat's `MCPClient`."""

    def __init__(self, *, started: bool) -> None:
        self._session_requested = started
        self.closed = False

    async def tools(self) -> ToolsSchema:
        self._session_requested = True

        async def look_up(params: FunctionCallParams) -> None:
            await params.result_callback("found")

        return ToolsSchema(standard_tools=[FunctionSchema("look_up", "Look up.", {}, [], handler=look_up)])

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("started", [False, True], ids=["nobody", "the author"])
def test_who_has_started_an_mcp_client_closes_it(started: bool) -> None:
    client = StandIn(started=started)

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Good day!", call=call)
        services: dict[str, Any] = {"stt": ScriptedSTT([]), "llm": ScriptedLLM([]), "tts": ToneTTS()}
        await agent.Action(**services, mcp_tools=client)
        assert not client.closed
        await agent.start()

    simulate(bot, Caller().pause(2).hangup())
    assert client.closed is not started


def test_what_a_handler_returns_is_the_tools_result() -> None:
    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Good day!", call=call)

        async def stock(params: FunctionCallParams) -> dict[str, int]:
            return {"roses": 7}

        agent.add_tool(FunctionSchema("stock", "What there is.", {}, []), stock)
        model = ScriptedLLM([("stock", {}), "Seven roses."])
        await agent.AgentAction(stt=ScriptedSTT(["roses"]), llm=model, tts=ToneTTS())
        await agent.start()

    call = simulate(bot, Caller().say("Have you roses?").pause(8).hangup())
    call.assert_said("Seven roses.")
    assert [use.result for use in call.tools if use.result is not None] == [{"roses": 7}]


def test_words_that_it_takes_to_cut_in() -> None:
    assert interruption_of(None, True, MinWordsInterruptionStrategy(min_words=3)) == 3
    with pytest.raises(ValueError, match="it takes one word at least"):
        MinWordsInterruptionStrategy(min_words=0)

    class OfTheAuthor(BaseInterruptionStrategy):
        """One that is asked for its opinion, which nobody here does."""

    with pytest.raises(TypeError, match="user-turn start strategy, or have min_words"):
        interruption_of(None, True, OfTheAuthor())


def test_a_context_of_the_older_name_takes_tools_in_any_form() -> None:
    from pipecat.processors.aggregators.llm_context import LLMContext

    from piopiy.processors.aggregators.openai_llm_context import OpenAILLMContext

    table = {"type": "function", "function": {"name": "stock", "parameters": {"required": ["flower"]}}}
    for tools in ([table], [table["function"]], [FunctionSchema("stock", "", {}, ["flower"])]):
        context = OpenAILLMContext([{"role": "user", "content": "roses?"}], tools)
        assert isinstance(context, LLMContext)
        assert isinstance(context.tools, ToolsSchema)
        [schema] = context.tools.standard_tools
        assert isinstance(schema, FunctionSchema)
        assert (schema.name, schema.required) == ("stock", ["flower"])
    assert OpenAILLMContext.from_messages(
        [{"role": "user", "content": "a"}]
    ).get_messages_for_persistent_storage()
    with pytest.raises(TypeError, match="is no tool of OpenAI's form: its 'function' has no 'name'"):
        OpenAILLMContext([], [{"type": "function", "function": {}}])
