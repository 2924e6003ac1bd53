"""What this project uses of pipecat's service for Google's Gemini Live, of its tools, beyond its public interface.

What tools return passes through functions that are given here, because a session that is being opened hears nothing.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipecat.frames.frames import LLMFullResponseEndFrame
from pipecat.services.google.gemini_live.llm import GeminiLiveLLMService

from piopiy_pipeline.compat import check_attributes
from piopiy_pipeline.compat.gemini_session import answers
from piopiy_pipeline.compat.pipecat import PIPECAT

__all__ = [
    "CALLS",
    "ToolResult",
    "check",
    "keep_tools_quietly",
    "lead_tools",
    "name_calls",
    "tell_results_once",
    "waits_for",
]

_USED = (
    "_async_tool_warning_logged",
    "_completed_tool_calls",
    "_disconnect",
    "_function_is_async",
    "_handle_msg_tool_call",
    "_process_completed_function_calls",
    "_set_bot_is_responding",
    "_supports_non_blocking_tools",
    "_tool_call_id_to_name",
    "_tool_result",
)

CALLS = 64
"""The names of so many calls of tools are remembered."""
Send = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool has returned.

    Attributes:
        call: The id of the call.
        name: The tool.
        content: What it has returned.
        known: Whether the session that stands has asked for it.
        wanted: Whether the model is to answer it.
        awaited: Whether the model waits for it, and answers it whenever it is sent.
        send: Sends it.
    """

    call: str
    name: str
    content: dict[str, Any]
    known: bool
    wanted: bool
    awaited: bool
    send: Send


def lead_tools(
    service: Any, *, begins: Callable[[], None], take: Callable[[ToolResult], Awaitable[None]]
) -> None:
    """Have functions called when the model uses tools, and with what these return, in the place of sending it.

    An answer ends where the model uses a tool: what it says to the result is another one. A call that comes once more,
    under its id, is no other call: nothing runs, and its result is given again as soon as there is one.

    Args:
        service: The service, before it runs.
        begins: Called before the tools run.
        take: Takes each result.
    """
    run, send = service.run_function_calls, service._tool_result
    names: dict[str, str] = {}  # of sessions before this one, too
    returned: dict[str, tuple[dict[str, Any], bool]] = {}

    async def run_function_calls(calls: Any) -> None:
        new: list[Any] = []
        again: list[Any] = []
        for call in calls:
            (new if names.get(call.tool_call_id) != call.function_name else again).append(call)
        names.update({call.tool_call_id: call.function_name for call in new})
        for old in list(names)[:-CALLS]:
            del names[old]
            returned.pop(old, None)
        if answers(service):
            await service._set_bot_is_responding(False)
            await service.push_frame(LLMFullResponseEndFrame())
        begins()
        if new:
            await run(new)
        for call in again:
            if call.tool_call_id in returned:
                content, spoken = returned[call.tool_call_id]
                await tool_result(call.tool_call_id, call.function_name, content, spoken=spoken)

    async def tool_result(
        call_id: str, name: str, content: dict[str, Any], *, is_final: bool = True, spoken: bool = True
    ) -> None:
        async def sent() -> None:
            await send(call_id, name, content, is_final=is_final, spoken=spoken)

        known, name = call_id in service._tool_call_id_to_name, names.get(call_id, name)
        if not is_final:
            if known:
                await sent()
            return
        if call_id in names:
            returned[call_id] = content, spoken
        awaited = waits_for(service, name)
        await take(ToolResult(call_id, name, content, known=known, wanted=spoken, awaited=awaited, send=sent))

    service.run_function_calls, service._tool_result = run_function_calls, tool_result


def waits_for(service: Any, name: str) -> bool:
    """Return whether the model says nothing and asks for nothing while this tool runs."""
    return not (service._supports_non_blocking_tools and service._function_is_async(name))


def name_calls(service: Any, ids: Callable[[Sequence[tuple[str, Any]]], Sequence[str]]) -> None:
    """Have a function name the calls of tools that come without an id, as those of Vertex AI do.

    Args:
        service: The service, before it runs.
        ids: Takes tool and arguments of each such call of one message, and returns their ids.
    """
    handle = service._handle_msg_tool_call

    async def handled(message: Any) -> None:
        unnamed = [call for call in message.tool_call.function_calls or () if not call.id]
        asked = [(call.name or "", call.args or {}) for call in unnamed]
        for call, name in zip(unnamed, ids(asked), strict=True):
            call.id = name
        await handle(message)

    service._handle_msg_tool_call = handled


def keep_tools_quietly(service: Any) -> None:
    """Have it be no error that tools outlive interruptions, with a model that says nothing while they run."""
    process = service._process_completed_function_calls

    async def processed(send_new_results: bool) -> None:
        service._async_tool_warning_logged = True  # each new session says it again
        await process(send_new_results)

    service._process_completed_function_calls = processed


def tell_results_once(service: Any) -> None:
    """Have each result told once: a session that follows another one knows what that one was told.

    pipecat's service forgets with a session what it has told, and tells all results of the conversation again behind
    the next one.
    """
    disconnect = service._disconnect

    async def disconnected() -> None:
        known = service._completed_tool_calls
        try:
            await disconnect()
        finally:
            service._completed_tool_calls |= known

    service._disconnect = disconnected


def check() -> None:
    """Check that everything this module uses is there.

    Raises:
        CompatError: Something is missing.
    """
    check_attributes(
        "pipecat-ai",
        [(GeminiLiveLLMService, name) for name in _USED],
        written_for=PIPECAT,
        used_in=__name__,
    )


check()
