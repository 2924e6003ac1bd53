"""What is taken as a tool when the agent is made, and what is refused in one sentence."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.tool_set import ToolSet
from piopiy_pipeline.tools import Persona


def schema(handler: Any = None) -> FunctionSchema:
    return FunctionSchema("look_up", "Look a name up.", {}, [], handler)


def at_once(params: FunctionCallParams) -> None:
    """Cannot give its result: `result_callback` has to be awaited."""


async def look_up(params: FunctionCallParams) -> None:
    """Look a name up."""
    await params.result_callback("found")


async def look_up_in(table: str, params: FunctionCallParams) -> None:
    await params.result_callback(table)


@functools.wraps(look_up)
def decorated(params: FunctionCallParams) -> Any:
    return look_up(params)


class Table:
    async def __call__(self, params: FunctionCallParams) -> None:
        await params.result_callback("found")

    async def look_up(self, params: FunctionCallParams) -> None:
        await params.result_callback("found")

    def at_once(self, params: FunctionCallParams) -> None: ...


WAYS: dict[str, Callable[[Any], object]] = {
    "a schema": lambda handler: ToolSet().add([schema(handler)]),
    "a ToolsSchema": lambda handler: ToolSet().add(ToolsSchema(standard_tools=[schema(handler)])),
    "add_tool with a schema": lambda handler: ToolSet().add_one(schema(handler), None),
    "add_tool with a handler": lambda handler: ToolSet().add_one(schema(), handler),
    "a persona": lambda handler: Persona(name="a", instructions="x", tools=[schema(handler)]),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("handler", [at_once, Table().at_once, functools.partial(at_once), len, "look_up"])
def test_a_handler_that_cannot_be_awaited_is_refused_when_the_agent_is_made(way: str, handler: Any) -> None:
    with pytest.raises(TypeError, match="the handler of 'look_up' must be 'async def', not "):
        WAYS[way](handler)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "handler",
    [
        look_up,
        Table(),
        Table().look_up,
        functools.partial(look_up_in, "names"),
        decorated,
        lambda params: look_up(params),
    ],
)
def test_whatever_can_be_awaited_is_taken(way: str, handler: Any) -> None:
    WAYS[way](handler)
