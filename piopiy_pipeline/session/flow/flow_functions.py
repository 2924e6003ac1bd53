"""The functions and actions of a node as a call runs them: what they raise is on the call's record.

pipecat's flow manager calls an author's function, tells the model of what it raises, and logs it; of an action's error
it makes a node that is never entered. Here each is wrapped before the manager gets the node.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from pipecat.flows import TRANSITION_IN_YAML, FlowManager, FlowsFunctionSchema, NodeConfig
from pipecat.flows.types import FlowsDirectFunctionWrapper

from piopiy_pipeline.compat.tool_permits import is_idempotent
from piopiy_pipeline.session.flow.flow_file import FlowFileError

__all__ = ["FunctionCall", "failing_safely", "missing_keys", "wrapped_function"]

_PLACEHOLDER = re.compile(r"(\\?)\{\{\s*([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)\s*\}\}")
"""As `FlowManager` documents it: ``{{ order.size }}``, and a backslash before it leaves it as it is."""

FunctionCall = Callable[
    [str, Mapping[str, Any], Callable[..., Any], Callable[[], Awaitable[Any]]], Awaitable[Any]
]
"""Runs a call of a function with this name and these arguments, and returns what the flow manager is to get. Takes the
function, too.
"""


def wrapped_function(function: Any, run: FunctionCall) -> tuple[FlowsFunctionSchema, bool]:
    """Return a function of a node whose calls go through `run`, and whether it may be run again after a loss.

    Args:
        function: A direct function, or a schema with its handler.
        run: Runs each call.

    Raises:
        FlowFileError: It is neither.
    """
    if isinstance(function, FlowsFunctionSchema):
        schema, handler = function, function.handler
        taken = len(inspect.signature(handler).parameters)

        async def call(args: dict[str, Any], manager: FlowManager) -> Any:
            given = (args, manager)[: min(taken, 2)]
            return await run(schema.name, args, cast(Any, handler), lambda: cast(Any, handler)(*given))

        repeatable = is_idempotent(handler)
        return _schema_like(schema, call), repeatable
    if not callable(function):
        raise FlowFileError(
            f"a function of a node is an async function or a FlowsFunctionSchema, not a {type(function).__name__}"
        )
    try:
        wrapper = FlowsDirectFunctionWrapper(function)
    except Exception as error:  # noqa: BLE001  pipecat raises its own kinds, and each is a sentence about it
        raise FlowFileError(f"the function {getattr(function, '__name__', function)!r}: {error}") from None

    async def call_direct(args: dict[str, Any], manager: FlowManager) -> Any:
        return await run(wrapper.name, args, function, lambda: wrapper.invoke(args, manager))

    described = wrapper.to_function_schema()
    schema = FlowsFunctionSchema(
        wrapper.name,
        described.description,
        described.properties,
        described.required,
        call_direct,
        wrapper.cancel_on_interruption,
        wrapper.timeout_secs,
    )
    return schema, is_idempotent(function)


def _schema_like(schema: FlowsFunctionSchema, handler: Any) -> FlowsFunctionSchema:
    return FlowsFunctionSchema(
        schema.name,
        schema.description,
        schema.properties,
        schema.required,
        handler,
        schema.cancel_on_interruption,
        schema.timeout_secs,
    )


def next_of(name: str, response: Any) -> tuple[Any, Any]:
    """Return the result of a function, and the node that it leads to, or what it says in its place.

    Raises:
        FlowFileError: It leaves the node to a file that there is not.
    """
    result, node = response if isinstance(response, tuple) and len(response) == 2 else (response, None)
    if node is TRANSITION_IN_YAML:
        raise FlowFileError(
            f"{name} leaves its next node to a file, and its node is of no file: return a node or None"
        )
    return result, node


def missing_keys(node: NodeConfig, state: Mapping[str, Any]) -> list[str]:
    """Return the keys in the texts of a node, as ``{{ key }}``, that the flow's state does not have."""
    texts = [node.get("role_message") or "", *(message.get("content") for message in node["task_messages"])]
    for actions in (node.get("pre_actions"), node.get("post_actions")):
        texts += [action.get("text") for action in actions or () if action.get("type") == "tts_say"]
    found = (match for text in texts if isinstance(text, str) for match in _PLACEHOLDER.finditer(text))
    return [match[2] for match in found if not match[1] and not _has(state, match[2])]


def _has(state: Any, path: str) -> bool:
    for part in path.split("."):
        if not isinstance(state, Mapping) or part not in state:
            return False
        state = state[part]
    return True


def failing_safely(
    action: Mapping[str, Any], failed: Callable[[str, Callable[..., Any], BaseException], None]
) -> dict[str, Any]:
    """Return an action whose handler, if it has one, reports what it raises, and never raises it.

    Args:
        action: The action of a node.
        failed: Is told the action's type, its handler, and the error.
    """
    handler = action.get("handler")
    if handler is None:
        return dict(action)
    takes_manager = len(inspect.signature(handler).parameters) > 1

    async def act(given: dict[str, Any], manager: FlowManager) -> None:
        try:
            done = handler(given, manager) if takes_manager else handler(given)
            if inspect.isawaitable(done):
                await done
        except Exception as error:  # noqa: BLE001  an author's code: the call goes on without it
            failed(getattr(handler, "__name__", str(action.get("type"))), handler, error)

    return {**action, "handler": act}
