"""Calls that are led by the booking flow of the examples, for tests: its bot, its model, and callers for each way."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.processors.aggregators.llm_context import LLMContext

from examples import booking_flow
from examples.booking_flow import book, find_booking, set_people, set_time
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.flow.flow_file import read_flow
from piopiy_pipeline.session.flow.flow_graph import FlowGraph
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
    Voice,
    simulate,
)
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.scripted_bot import BOOKING

__all__ = [
    "FLOW",
    "PROVIDERS",
    "WAYS",
    "assert_every_edge_is_walked",
    "assert_it_goes_on_where_it_was",
    "assert_its_nodes_speak",
    "book",
    "booking_bot",
    "find_booking",
    "model",
    "moments",
    "moments_in_turn",
    "set_people",
    "set_time",
    "tools_of",
    "walk",
    "walked",
]

FLOW = Path(str(booking_flow.__file__)).with_suffix(".yaml")
RECORDING = BOOKING[2]  # somebody says yes; what is understood is up to the script

WAYS: dict[str, list[str]] = {
    "changes their mind": [
        "a table please",
        "we are 4",
        "on Monday",
        "on Friday",
        "change it",
        "we are 3",
        "on Friday",
        "yes",
    ],
    "knows a number": ["number 4711", "yes"],
    "comes with many": ["number 9", "we are 12", "no"],
}
"""What callers say: together they walk every edge."""


def tools_of(context: LLMContext) -> set[str]:
    """The names of the tools that the model may use now."""
    tools = context.tools
    return {tool.name for tool in tools.standard_tools} if isinstance(tools, ToolsSchema) else set()


def model(context: LLMContext) -> str | Tool:
    """What the model does: it uses the tool that the caller's words want, and says what the node's task is."""
    messages: list[Any] = [message for message in context.get_messages() if isinstance(message, dict)]
    last = messages[-1] if messages else {}
    if last.get("role") == "user" and (wanted := _wanted(str(last.get("content")))).name in tools_of(context):
        return wanted
    tasks = [str(message["content"]) for message in messages if message.get("role") == "developer"]
    tasks = [task for task in tasks if not task.startswith(("The line", "{"))]
    return tasks[-1] if tasks else "How can I help you?"


def _wanted(said: str) -> Tool:
    words = said.split()
    match words:
        case ["number", number]:
            return Tool("find_booking", number=number)
        case ["we", "are", people]:
            return Tool("set_people", people=int(people))
        case ["on", day]:
            return Tool("set_time", day=day, time="seven")
        case ["yes"]:
            return Tool("book")
        case ["no"]:
            return Tool("nothing_else")
        case ["change", "it"]:
            return Tool("change_booking")
    return Tool("wants_to_book")


PROVIDERS = Providers(
    stt=Transcripts(latency=0.2), llm=Replies(otherwise=model, latency=0.3), tts=Voice(latency=0.1)
)


async def booking_bot(call: Call) -> None:
    """The bot of the example, with providers that are there to be replaced."""
    agent = VoiceAgent(
        instructions="Be brief.", greeting="Good day.", flow=FLOW, call=call, tools=[opening_hours]
    )
    call.on("flow", lambda step: None)
    await agent.Action(
        stt=ScriptedSTT(spoken=lambda start, end: ""), llm=ScriptedLLM(Replies()), tts=ScriptedTTS()
    )
    await agent.start()


async def opening_hours(params: Any) -> str:
    """When the restaurant is open."""
    return "from noon to ten"


def walk(
    words: Sequence[str], losses: Sequence[AgentLoss] = (), bot: Any = booking_bot, **more: Any
) -> SimulatedCall:
    """Have somebody call who says these words, one a turn, each when the bot waits for them."""

    async def caller(line: CallerLine) -> None:
        for text in words:
            await line.my_turn()
            await line.say(RECORDING, text=text)
        await line.my_turn()
        await line.pause(20)

    return simulate(
        bot, caller, providers=more.pop("providers", PROVIDERS), losses=losses, limit_s=200, **more
    )


def walked(call: SimulatedCall) -> list[tuple[str, str, str]]:
    """The steps of the call: from which node, by which function, to which node."""
    return [(e.data["before"], e.data["function"], e.data["node"]) for e in call.of("flow")]


# ---------------------------------------------------------------------- what is so whatever the model is

Walk = Callable[..., SimulatedCall]


def assert_every_edge_is_walked(walk: Walk) -> None:
    """The callers of `WAYS` walk each edge of the flow's six nodes, and every call ends well."""
    graph = FlowGraph.of_config(read_flow(FLOW), "booking_flow")
    assert len(graph.nodes) == 6
    seen = set()
    for words in WAYS.values():
        call = walk(words)
        call.assert_no_error()
        call.assert_ended("agent_hangup")
        assert walked(call)[0] == ("", "", "welcome")
        for before, function, node in walked(call)[1:]:
            edge = graph.edge_of(before, function, node)
            assert edge is not None, call.timeline()
            seen.add(edge)
    assert seen == set(graph.edges)


def assert_its_nodes_speak(walk: Walk) -> None:
    """Each node is heard, and the call ends within a second when the goodbye was."""
    call = walk(WAYS["knows a number"])
    call.assert_no_error()
    call.assert_ended("agent_hangup")
    call.assert_said("Good day")
    call.assert_said("Ask whether the caller wants to book")
    call.assert_said("Repeat the booking for 2 on Friday at seven")
    assert call.turns[-1].bot.endswith("say goodbye.")
    assert not call.turns[-1].interrupted
    assert call.duration_s - max(e.at for e in call.of("bot_stopped")) < 1.0


def moments(*events: tuple[str, float]) -> list[Any]:
    """Parameters of a test: each way, and each of these events with how long after it the agent is lost, every time."""
    return [
        pytest.param(way, event, number, after_s, id=f"{way}-{event}-{number}-{after_s}")
        for way in WAYS
        for event, after_s in events
        for number in range(1, len(WAYS[way]) + 1)
    ]


def moments_in_turn(*events: tuple[str, float]) -> list[Any]:
    """The same with one event for each turn, in turn: for a model whose calls go the ways of another one, of which all
    `moments` are tried (tests/session/flow/test_flow_over_losses.py). ``FLOW_MOMENTS=all`` tries all of them here, too.
    """
    every = moments(*events)
    if os.environ.get("FLOW_MOMENTS") == "all":
        return every
    turns = list(dict.fromkeys((way, number) for way, _, number, _ in (each.values for each in every)))
    wanted = {(*turn, *events[place % len(events)]) for place, turn in enumerate(turns)}
    return [
        each for each in every if (each.values[0], each.values[2], each.values[1], each.values[3]) in wanted
    ]


@cache
def _nodes_of(walk: Walk, way: str) -> list[str]:
    """The nodes of a whole call, one after the other: some sixty tests compare with the same three."""
    whole = walked(walk(WAYS[way]))
    return [node for node, _ in itertools.groupby(step[2] for step in whole if step[2])]


def assert_it_goes_on_where_it_was(walk: Walk, way: str, loss: AgentLoss) -> None:
    """A call that loses its agent then walks the same nodes as without the loss."""
    call = walk(WAYS[way], [loss])
    assert len(call.of("agent_lost")) == 1
    call.assert_ended("agent_hangup")
    call.assert_no_error()
    nodes = [node for node, _ in itertools.groupby(step[2] for step in walked(call))]
    assert nodes == _nodes_of(walk, way), call.timeline()
    if way == "changes their mind":
        call.assert_said("The table is for 3")
        call.assert_said("Repeat the booking for 3 on Friday at seven")
