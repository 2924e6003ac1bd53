"""Flows that are not as they should be: the call goes on, and its record says what happened."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from pipecat.flows import (
    NO_RESPONSE,
    ContextStrategy,
    ContextStrategyConfig,
    FlowManager,
    FlowsFunctionSchema,
    NodeConfig,
    flows_tool_options,
)
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.pipeline import CallPipeline, StageError
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.flow.flow_file import FlowFileError
from piopiy_pipeline.testing import (
    AgentLoss,
    CallerLine,
    Providers,
    Replies,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    SimulatedCall,
    Tool,
    Transcripts,
    simulate,
)
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.flow_calls import PROVIDERS, RECORDING, tools_of, walk, walked


def node(name: str, says: str, *functions: Any, **more: Any) -> NodeConfig:
    made: dict[str, Any] = {
        "name": name,
        "task_messages": [{"role": "developer", "content": says}],
        "functions": list(functions),
        **more,
    }
    return made  # type: ignore[return-value]


async def stay(flow_manager: FlowManager) -> tuple[Any, Any]:
    """Stay here."""
    return {"stayed": True}, None


def led(flow: Any, *, greeting: str | None = "Good day.", **more: Any) -> Any:
    """A bot that is led by this flow, and whose model uses the tool that the caller names."""

    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting=greeting, flow=flow, call=call, **more)
        stt, tts = ScriptedSTT(spoken=lambda start, end: ""), ScriptedTTS()
        await agent.Action(stt=stt, llm=ScriptedLLM(Replies()), tts=tts)
        await agent.start()

    return bot


def told(context: LLMContext) -> list[dict[str, Any]]:
    """What the model was told. To a model that speaks, tasks are the system's, and those of a new session the caller's,
    who says no sentences here.
    """
    messages: list[Any] = [dict(message) for message in context.get_messages() if isinstance(message, dict)]
    for message in messages[1:]:
        if message["role"] in ("system", "user") and str(message.get("content"))[:1].isupper():
            message["role"] = "developer"
    return messages


def model(context: LLMContext) -> str | Tool:
    """Use the tool that the caller names; else say what the last message of the developer says."""
    messages = told(context)
    last = messages[-1]
    if last["role"] == "user" and last["content"] in tools_of(context):
        return Tool(last["content"])
    if last["role"] == "tool" and "error" in str(last["content"]):
        return "That did not work."
    tasks = [str(one["content"]) for one in messages if one["role"] in ("developer", "system")]
    return next(task for task in reversed(tasks) if not task.startswith(("The line", "{")))


def call_with(bot: Any, words: Sequence[str], **more: Any) -> SimulatedCall:
    providers = Providers(stt=PROVIDERS.stt, llm=Replies(otherwise=model, latency=0.3), tts=PROVIDERS.tts)
    return walk(words, bot=bot, providers=providers, **more)


pytestmark = pytest.mark.usefixtures("either_bot")

END: list[dict[str, Any]] = [{"type": "end_conversation", "text": "Goodbye now."}]


def test_nodes_that_python_makes_lead_a_call_and_its_state_goes_over_a_loss() -> None:
    async def order(flow_manager: FlowManager) -> tuple[Any, Any]:
        """Order."""
        flow_manager.state["size"] = "large"
        return None, second

    async def pay(args: dict[str, Any], flow_manager: FlowManager) -> tuple[Any, Any]:
        return {"paid": flow_manager.state["size"]}, third

    first = node("first", "What size?", order)
    second = node("second", "A {{ size }} one.", FlowsFunctionSchema("pay", "Pay.", {}, [], pay))
    third = node("third", "Thanks.", post_actions=END)
    for losses in ([], [AgentLoss("flow", 0.1, 2)], [AgentLoss("bot_turn", 0.0, 3)]):
        call = call_with(led([first, second, third]), ["order", "pay"], losses=losses)
        call.assert_no_error()
        call.assert_said("A large one.")
        call.assert_said("Thanks. Goodbye now.")
        call.assert_ended("agent_hangup")
        assert [step[2] for step in walked(call)] == ["first", "second", "third"]


def test_a_function_that_raises_is_on_the_record_and_the_call_stays_in_its_node() -> None:
    async def breaks(flow_manager: FlowManager) -> tuple[Any, Any]:
        """Break."""
        raise OSError("the database is gone")

    call = call_with(led(node("only", "Ask.", breaks)), ["breaks"])
    errors = call.of("error")
    assert [error.data["stage"] for error in errors] == ["breaks"]
    assert "the database is gone" in errors[0].data["message"]
    call.assert_said("That did not work.")
    assert [step[2] for step in walked(call)] == ["only"]


@pytest.mark.parametrize(
    ("next_node", "message"),
    [
        (node("next", "For {{ who.name }}."), "uses {{ who.name }}, which is not in the flow's state"),
        (node("next", "Next.", 3), "a function of a node is an async function"),
        (node("next", "Next.", pre_actions=[{"type": "wave"}]), "the action 'wave' has no handler"),
    ],
)
def test_a_node_that_cannot_be_entered_is_told_to_the_model(next_node: NodeConfig, message: str) -> None:
    async def go(flow_manager: FlowManager) -> tuple[Any, Any]:
        """Go."""
        return None, next_node

    call = call_with(led(node("only", "Ask.", go)), ["go"])
    assert message in call.of("error")[0].data["message"]
    assert f"test_flow_faults.py:{go.__code__.co_firstlineno}" in call.of("error")[0].data["message"]
    call.assert_said("That did not work.")
    assert [step[2] for step in walked(call)] == ["only"]


def test_an_action_that_raises_costs_nothing_but_itself() -> None:
    async def wave(action: dict[str, Any], flow_manager: FlowManager) -> None:
        raise RuntimeError("no hand")

    async def go(flow_manager: FlowManager) -> tuple[Any, Any]:
        """Go."""
        return None, node(
            "next",
            "Next.",
            pre_actions=[
                {"type": "function", "handler": wave},
                {"type": "tts_say", "text": "One moment."},
                {"type": "wave", "handler": wave},
            ],
        )

    call = call_with(led(node("only", "Ask.", go)), ["go"])
    assert [error.data["stage"] for error in call.of("error")] == ["wave", "wave"]
    call.assert_said("One moment.")
    call.assert_said("Next.")


def test_what_is_no_json_is_left_out_of_the_checkpoint_and_said_once() -> None:
    async def keep(flow_manager: FlowManager) -> tuple[Any, Any]:
        """Keep."""
        flow_manager.state.update(size="large", lock=object())
        return None, node_b

    node_b = node("b", "A {{ size }} one.", stay)
    call = call_with(
        led([node("a", "Ask.", keep), node_b]), ["keep", "stay"], losses=[AgentLoss("tool_result", 0.5, 1)]
    )
    messages = [error.data["message"] for error in call.of("error")]
    assert len(messages) == 1
    assert "['lock'] is of type object" in messages[0]
    call.assert_said("A large one.")


def test_a_node_that_is_not_there_any_more_begins_the_flow_anew() -> None:
    begun: list[int] = []

    async def bot(call: Call) -> None:
        async def go(flow_manager: FlowManager) -> tuple[Any, Any]:
            """Go."""
            return None, node("later", "Later.", stay)

        begun.append(1)
        await led([node("first", "Ask.", go)])(call)

    call = call_with(bot, ["go", "stay"], losses=[AgentLoss("flow", 0.5, 2)])
    assert len(begun) == 2
    assert "there is no node 'later' any more" in call.of("error")[0].data["message"]
    assert [step[2] for step in walked(call)] == ["first", "later", "first"]


def test_who_cuts_into_the_greeting_is_in_the_first_node_already() -> None:
    async def caller(line: CallerLine) -> None:
        await line.pause(0.7)
        await line.say(RECORDING, text="stay")
        await line.my_turn()

    call = simulate(
        led(node("only", "Ask.", stay), greeting="Good day, this is a long greeting of a restaurant."),
        caller,
        providers=Providers(stt=Transcripts(latency=0.2), llm=Replies(otherwise=model), tts=PROVIDERS.tts),
    )
    call.assert_interrupted()
    call.assert_tool("stay")


def test_a_function_may_leave_the_bot_silent() -> None:
    async def quiet(flow_manager: FlowManager) -> tuple[Any, Any]:
        """Say nothing."""
        return {"noted": True}, NO_RESPONSE

    call = call_with(led(node("only", "Ask.", quiet)), ["quiet"])
    assert call.said.count("Ask.") == 1
    call.assert_no_error()


def test_the_role_of_a_node_stays_over_nodes_and_losses() -> None:
    roles: list[str] = []

    async def go(flow_manager: FlowManager) -> tuple[Any, Any]:
        """Go."""
        return None, second

    def noting(context: LLMContext) -> str | Tool:
        messages: list[Any] = context.get_messages()
        roles.append(f"{messages[0]['role']}: {messages[0]['content']}")
        return model(context)

    second = node("second", "Next.", stay)
    first = node("first", "Ask.", go, role_message="You are a pirate.")
    providers = Providers(stt=PROVIDERS.stt, llm=Replies(otherwise=noting, latency=0.3), tts=PROVIDERS.tts)
    walk(["go", "stay"], [AgentLoss("flow", 0.1, 2)], bot=led([first, second]), providers=providers)
    assert set(roles) == {"system: You are a pirate."}


def test_an_end_without_a_text_is_final_when_the_answer_was_heard() -> None:
    last = node("last", "Ask.", post_actions=[{"type": "end_conversation"}])

    async def caller(line: CallerLine) -> None:
        await line.pause(1.2)
        await line.say(RECORDING, text="wait")
        await line.pause(30)

    call = simulate(
        led(last, greeting=None),
        caller,
        providers=Providers(stt=Transcripts(latency=0.2), llm=Replies(otherwise=model), tts=PROVIDERS.tts),
    )
    call.assert_ended("agent_hangup")


def test_a_chain_of_ones_own_is_led_as_well() -> None:
    async def bot(call: Call) -> None:
        context = LLMContext([{"role": "system", "content": "Be brief."}])
        chain = CallPipeline.voice(
            call,
            stt=ScriptedSTT(spoken=lambda start, end: ""),
            llm=ScriptedLLM(Replies()),
            tts=ScriptedTTS(),
            context=context,
        )
        assert call.node == ""
        call.flow(node("only", "Ask.", stay))
        call.on("user_turn", lambda _: nodes.append(call.node))
        await call.run(chain)

    nodes: list[str] = []
    call = call_with(bot, ["stay"])
    call.assert_said("Ask.")
    call.assert_tool("stay")
    assert nodes == ["only"]


def test_wrong_use_is_told_before_the_call() -> None:
    async def without_context(call: Call) -> None:
        transport = call.transport()
        call.flow(node("only", "Ask."))
        with pytest.raises(StageError, match="both sides of a context"):
            await call.run(CallPipeline([("in", transport.input()), ("out", transport.output())]))
        raised.append(1)

    async def without_state(call: Call) -> None:
        with pytest.raises(ValueError, match=r"uses \{\{ who \}\}, which is not in the flow's state"):
            await led(node("only", "For {{ who }}."))(call)
        raised.append(2)

    async def missing(call: Call) -> None:
        with pytest.raises(FlowFileError, match="no file"):
            call.flow("no file")
        raised.append(3)

    raised: list[int] = []
    for bot in (without_context, without_state, missing):
        simulate(bot, lambda line: line.pause(1), limit_s=20)
    assert raised == [1, 2, 3]


def test_state_of_the_beginning_is_in_the_first_node() -> None:
    call = call_with(led(node("only", "Ask {{ who }}."), flow_state={"who": "Ada"}), [])
    call.assert_said("Ask Ada.")


def test_a_node_may_begin_a_new_conversation_and_the_bot_stays_who_it_is() -> None:
    seen: list[list[str]] = []

    async def go(flow_manager: FlowManager) -> tuple[Any, Any]:
        """Go."""
        return None, second

    def noting(context: LLMContext) -> str | Tool:
        seen.append([f"{message['role']}: {message.get('content')}" for message in told(context)])
        return model(context)

    fresh = ContextStrategyConfig(strategy=ContextStrategy.RESET)
    second = node("second", "Next.", stay, context_strategy=fresh)
    providers = Providers(stt=PROVIDERS.stt, llm=Replies(otherwise=noting, latency=0.3), tts=PROVIDERS.tts)
    for losses in ([], [AgentLoss("flow", 0.1, 2)]):
        seen.clear()
        walk(["go", "stay"], losses, bot=led([node("first", "Ask.", go), second]), providers=providers)
        begun = next(messages for messages in seen if messages[-1] == "developer: Next.")
        assert begun == ["system: Be brief.", "developer: Next."]
        assert seen[-1][0] == "system: Be brief."


def test_code_may_set_a_node_and_it_is_a_step_as_any_other() -> None:
    async def wait(flow_manager: FlowManager) -> tuple[Any, Any]:
        """Wait."""
        asyncio.get_running_loop().call_later(
            2, lambda: tasks.append(asyncio.ensure_future(flow_manager.set_node_from_config(later)))
        )
        return {"waits": True}, NO_RESPONSE

    tasks: list[Any] = []
    later = node("later", "Later.", stay)
    for losses in ([], [AgentLoss("flow", 0.3, 2)]):
        call = call_with(led([node("first", "Ask.", wait), later]), ["wait", "stay"], losses=losses)
        call.assert_said("Later.")
        call.assert_tool("stay")
        assert walked(call)[-1] == ("first", "", "later")


def test_each_of_two_nodes_that_are_entered_at_once_has_its_name() -> None:
    async def think(action: Any, flow_manager: FlowManager) -> None:
        await asyncio.sleep(2)

    async def go(flow_manager: FlowManager) -> tuple[Any, Any]:
        """Go."""
        asyncio.get_running_loop().call_later(
            1, lambda: tasks.append(asyncio.ensure_future(flow_manager.set_node_from_config(quick)))
        )
        return None, slow

    tasks: list[Any] = []
    quick = node("quick", "Quick.", stay)
    slow = node("slow", "Slow.", stay, pre_actions=[{"type": "think", "handler": think}])
    for losses in ([], [AgentLoss("flow", 0.3, 3)]):
        call = call_with(led([node("first", "Ask.", go), quick, slow]), ["go", "stay"], losses=losses)
        nodes = [step[2] for step in walked(call)]
        assert nodes == ["first", "quick", "slow"], call.timeline()


def test_a_function_that_does_not_return_is_given_up() -> None:
    async def hangs(flow_manager: FlowManager) -> tuple[Any, Any]:
        """Hang."""
        await asyncio.Event().wait()
        return None, None

    @flows_tool_options(timeout_secs=2)
    async def hangs_shorter(flow_manager: FlowManager) -> tuple[Any, Any]:
        """Hang, too."""
        return await hangs(flow_manager)

    only = node("only", "Ask.", hangs, hangs_shorter)
    call = call_with(led(only, tool_timeout_secs=5, filler=None), ["hangs", "hangs_shorter"])
    messages = [error.data["message"] for error in call.of("error")]
    assert ["did not return within 5 s" in messages[0], "did not return within 2 s" in messages[1]] == [
        True,
        True,
    ]
    call.assert_said("That did not work.")


def test_a_function_with_the_name_of_a_tool_is_one_sentence() -> None:
    async def tool(params: Any) -> str:
        """Stay."""
        return "stayed"

    tool.__name__ = "stay"
    call = simulate(led([node("first", "Ask.", stay)], tools=[tool]), pausing, providers=PROVIDERS)
    assert "the flow's function 'stay' has the name of a tool of the bot" in ended_by(call)


def test_a_state_of_no_flow_is_one_sentence() -> None:
    call = simulate(led(None, flow_state={"people": 4}), pausing, providers=PROVIDERS)
    assert "flow_state is for a flow" in ended_by(call)
    call = simulate(led([node("first", "Ask.", stay)], flow_state=5), pausing, providers=PROVIDERS)
    assert "the flow's state must be a mapping" in ended_by(call)


@pytest.mark.filterwarnings("error::DeprecationWarning")
def test_an_end_of_the_conversation_warns_of_nothing() -> None:
    end = node("first", "Bye.", post_actions=[{"type": "end_conversation"}])
    call = simulate(led([end]), pausing, providers=PROVIDERS)
    call.assert_no_error()
    call.assert_ended("agent_hangup")


def ended_by(call: SimulatedCall) -> str:
    """What has ended a call."""
    return str(call.of("end")[0].data)


async def pausing(line: CallerLine) -> None:
    await line.pause(8)
