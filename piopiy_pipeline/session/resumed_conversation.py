"""The conversation that another instance goes on with: the messages of a checkpoint, with what they do not know yet.

Between a tool's end and the end of the bot's turn about it, the messages lag behind: the result may not be among them,
and what the caller has heard is not. Here it is put where it would have come.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from pipecat.processors.aggregators import async_tool_messages

from piopiy_pipeline.session.resumable_state import ResumableState
from piopiy_pipeline.session.tool_journal import ToolRun, unknown_result

__all__ = ["CUT_SHORT", "conversation_of", "is_about", "tool_calls_with_results"]

CUT_SHORT = (
    "The line was interrupted for a moment. Your last words were cut off where they end above. "
    "Go on from there, and do not begin again."
)
"""What the model is told when the bot was cut off by a loss."""


def conversation_of(resumed: ResumableState, *, goes_on: bool = False) -> list[dict[str, Any]]:
    """Return the messages to go on with.

    Each tool call in them has a result, an unknown one perhaps; those that are to be run again are left out. The part
    of the bot's turn that was heard comes last, with a note that it was cut off, unless the bot `goes_on` by itself.
    """
    repeated = {run.tool_call_id for run in resumed.tools if run.is_repeated}
    messages = [message for message in resumed.messages if not is_about(message, repeated)]
    done = tool_calls_with_results(messages)
    names = _names(messages)
    for run in resumed.tools:
        if run.tool_call_id not in repeated and run.tool_call_id not in done:
            names[run.tool_call_id] = run.name
            result = run.result if run.state == "returned" else unknown_result(run.name)
            messages = _with_result(messages, run, json.dumps(result, ensure_ascii=False))
            done.add(run.tool_call_id)
    for number, message in enumerate(messages):  # of a version without a journal, or one that was full
        call = message.get("tool_call_id") if message.get("role") == "tool" else None
        if call is not None and call not in done:
            content = json.dumps(unknown_result(names.get(call, "the tool")), ensure_ascii=False)
            messages[number] = {**message, "content": content}
    if resumed.heard:
        messages.append({"role": "assistant", "content": resumed.heard})
        if not goes_on:
            messages.append({"role": "developer", "content": CUT_SHORT})
    return messages


def tool_calls_with_results(messages: Sequence[Any]) -> set[str]:
    """Return the ids of the tool calls whose final results are among the messages."""
    done: set[str] = set()
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ("tool", "developer"):
            continue
        payload = async_tool_messages.parse_message(cast(Any, message))
        if payload is not None:
            if payload.kind == "final":
                done.add(payload.tool_call_id)
        elif message.get("role") == "tool" and message.get("content") != "IN_PROGRESS":
            done.add(str(message.get("tool_call_id")))
    return done


def _with_result(messages: list[dict[str, Any]], run: ToolRun, content: str) -> list[dict[str, Any]]:
    result = {"role": "tool", "content": content, "tool_call_id": run.tool_call_id}
    places = [
        number
        for number, message in enumerate(messages)
        if message.get("role") == "tool" and message.get("tool_call_id") == run.tool_call_id
    ]
    if places:
        return [*messages[: places[0]], result, *messages[places[0] + 1 :]]
    arguments = json.dumps(run.arguments, ensure_ascii=False)
    function = {"name": run.name, "arguments": arguments}
    call = {"id": run.tool_call_id, "function": function, "type": "function"}
    return [*messages, {"role": "assistant", "tool_calls": [call]}, result]


def is_about(message: dict[str, Any], calls: set[str]) -> bool:
    """Whether this is one of these tool calls, or what came of it. pipecat writes each call as a message of its own."""
    ids = {str(call.get("id")) for call in message.get("tool_calls") or () if isinstance(call, dict)}
    if message.get("role") in ("tool", "developer"):
        payload = async_tool_messages.parse_message(cast(Any, message))
        ids.add(str(message.get("tool_call_id") if payload is None else payload.tool_call_id))
    return bool(calls) and bool(ids & calls)


def _names(messages: Sequence[dict[str, Any]]) -> dict[str, str]:
    return {
        str(call.get("id")): str((call.get("function") or {}).get("name"))
        for message in messages
        for call in message.get("tool_calls") or ()
        if isinstance(call, dict)
    }
