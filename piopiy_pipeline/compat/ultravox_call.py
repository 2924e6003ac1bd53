"""What this project uses of pipecat's service for Ultravox beyond its public interface.

The service creates its call when the pipeline starts, with a prompt and tools that stand in its parameters, and can
neither be told a conversation nor be connected again. So the call is created and joined here, by the published API:
``POST /api/calls`` (or ``/api/agents/{id}/calls``), then the WebSocket of its ``joinUrl``.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.client_proto import ResponseHandler
from pipecat.frames.frames import FunctionCallFromLLM
from pipecat.processors.aggregators.llm_context import LLMContext, standard_message_text
from pipecat.services.llm_service import LLMService
from pipecat.services.ultravox import llm as ultravox
from pipecat.services.ultravox.llm import (
    AgentInputParams,
    JoinUrlInputParams,
    OneShotInputParams,
    UltravoxRealtimeLLMService,
)
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from piopiy_pipeline.compat import check_attributes
from piopiy_pipeline.compat.leave_in_time import leave_in_time
from piopiy_pipeline.compat.pipecat import PIPECAT
from piopiy_pipeline.compat.spoken_lines import lines_of, returned_call
from piopiy_pipeline.compat.wrapped_connection import WrappedConnection

__all__ = [
    "check",
    "close_in_time",
    "create_call",
    "instruct",
    "is_connected",
    "join",
    "leave",
    "prepare",
    "responds",
    "returned_in",
    "send",
    "settles",
    "sound_like",
    "take_in",
    "takes_prompts",
    "unfreeze",
    "write_beside",
]

API = "https://api.ultravox.ai"
RATE = 48_000
"""The sample rate in Hz of pipecat's service, of what is heard and of what is said."""
CLIENT_BUFFER_MS = 30_000
"""Ultravox recommends it for clients that drop what was not played when they are told (``playback_clear_buffer``)."""
MAX_WRITTEN = 8000
"""A text beside the conversation is cut behind so many characters."""
CLOSE_S = 0.5
"""A server that has not taken leave of a call beside the conversation within so many seconds is not waited for."""
REQUEST_S = 5.0
"""So long a call may take to be created, in seconds."""
_USED = (
    "_completed_tool_calls", "_disconnect", "_disconnecting", "_bot_responding", "_handle_context", "_params",
    "_handle_tool_invocation", "_receive_messages", "_receive_task", "_selected_tools", "_send", "_send_tool_result",
    "_handle_function_call_result", "_send_user_text", "_socket", "_started_placeholder_sent", "_to_selected_tools",
)  # fmt: skip

Read = Callable[[str], Awaitable[str | None]]
"""Takes a message of the server's, and returns it as pipecat's service is to have it, or None."""


def prepare(service: Any, send: Callable[[bytes | dict[str, Any]], Any]) -> None:
    """Have a service, before it runs, connect when it is told to, and send by a function of the call's."""

    async def start(frame: Any) -> None:
        await LLMService.start(service, frame)

    async def use(name: str, invocation: str, parameters: dict[str, Any]) -> None:
        call = FunctionCallFromLLM(
            context=service.piopiy_context,  # pipecat's leaves it out
            tool_call_id=invocation,
            function_name=name,
            arguments=parameters,
        )
        await service.run_function_calls([call])

    push_error = service.push_error

    async def push(*args: Any, **options: Any) -> None:
        options.pop("force_treat_as_permanent", None)  # the call is created again
        await push_error(*args, **options)

    service.start = start
    service._send = send
    service._handle_tool_invocation = use
    service.push_error = push


async def unfreeze(service: Any, invocation: str) -> None:
    """Have the conversation go on while a tool runs. Its result is told in words when it comes."""
    service._started_placeholder_sent.add(invocation)
    await service._send_tool_result(invocation, ultravox._ASYNC_TOOL_STARTED_RESULT)


async def take_in(service: Any, invocation: str, result: str) -> None:
    """Tell what a tool has returned, and have nothing said to it."""
    if invocation in service._started_placeholder_sent:
        text = ultravox._ASYNC_TOOL_FINAL_RESULT_TEMPLATE.format(tool_call_id=invocation, result=result)
        await service._send_user_text(text, urgency="later")
        return
    message = {"type": "client_tool_result", "invocationId": invocation, "result": result}
    await service._send({**message, "agentReaction": "listens"})


def takes_prompts(service: Any) -> bool:
    """Return whether calls are created with a prompt and tools of ours: an agent's, and one that is joined, have
    theirs.
    """
    return isinstance(service._params, OneShotInputParams)


def sound_like(service: Any, voice: str | None) -> None:
    """Have the next call begin with a voice of Ultravox's. None: that of the service's parameters."""
    service.piopiy_voice = voice


def settles(content: Mapping[str, Any]) -> bool:
    """Return whether a message is what a tool has returned, for the model to answer, and not what stands for it while
    the tool runs.
    """
    returned = content["type"] == "client_tool_result" and "agentReaction" not in content
    return returned and content["result"] != ultravox._ASYNC_TOOL_STARTED_RESULT


def responds(service: Any) -> bool:
    """Return whether an answer is coming."""
    return bool(service._bot_responding)


def is_connected(service: Any) -> bool:
    """Return whether the connection stands, and what comes over it is read."""
    socket, reader = service._socket, service._receive_task
    return socket is not None and socket.state is State.OPEN and reader is not None and not reader.done()


async def send(service: Any, content: bytes | dict[str, Any]) -> None:
    """Send audio or a message.

    Raises:
        ConnectionClosed: The connection is gone.
    """
    await service._socket.send(content if isinstance(content, bytes) else json.dumps(content))


def instruct(text: str) -> str:
    """Return a text in the form in which Ultravox's models take it for an instruction, and not for the caller's."""
    return f"<instruction>{text}</instruction>"


class UltravoxRefusalError(RuntimeError):
    """Ultravox refuses a call.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"Ultravox API error {status}: {text.strip()}")
        self.status = status


async def create_call(service: Any, context: LLMContext) -> str:
    """Create a call with a conversation. Returns the address at which it is joined.

    Raises:
        OSError: The server cannot be reached, or the one call that the service is for was joined already.
        RuntimeError: The server refuses.
        TimeoutError: It takes longer than `REQUEST_S`.
    """
    params, service.piopiy_context = service._params, context
    if isinstance(params, JoinUrlInputParams):
        if getattr(service, "piopiy_joined", False):
            raise OSError(
                "the call of join_url was joined before, and only who has created it can create another"
            )
        service.piopiy_joined = True
        return params.join_url
    return await _created(service, *_request(service, context))


async def _created(service: Any, path: str, body: dict[str, Any]) -> str:
    url = f"{getattr(service, 'api_url', API)}{path}"
    timeout = aiohttp.ClientTimeout(total=REQUEST_S)
    async with (
        aiohttp.ClientSession(connector=_LoopConnector(), timeout=timeout) as session,
        session.post(url, headers={"X-Api-Key": service._params.api_key}, json=body) as response,
    ):
        if response.status != 201:
            raise UltravoxRefusalError(response.status, (await response.text())[:500])
        return str((await response.json())["joinUrl"])


async def join(service: Any, url: str, read: Read, early: deque[str], late: set[str]) -> None:
    """Join a call.

    Args:
        service: The service.
        url: Where it is joined.
        read: Sees the server's messages before pipecat's service does.
        early: Messages that pipecat's service is to have behind the next audio.
        late: Tools' uses of a former call, of which the results are told in words.
    """
    socket = await connect(url, max_size=None)
    service._disconnecting = False
    service._bot_responding = None
    service._started_placeholder_sent |= late
    service._completed_tool_calls |= returned_in(service.piopiy_context)  # this call has them in words
    service._socket = _ReadSocket(socket, read, early)
    service._receive_task = service.create_task(service._receive_messages())


async def write_beside(service: Any, text: str) -> str:
    """Have the model write something that is no part of the conversation: in a call of its own, which nobody hears.

    Raises:
        OSError: The server cannot be reached.
        RuntimeError: It refuses.
        TimeoutError: The call takes longer than `REQUEST_S` to be created.
    """
    params = service._params
    body = {
        "temperature": params.temperature,
        "model": params.model,
        "medium": {"serverWebSocket": {"inputSampleRate": RATE}},
        "initialOutputMedium": "MESSAGE_MEDIUM_TEXT",
        "firstSpeakerSettings": {"agent": {}},
        "initialMessages": [{"role": "MESSAGE_ROLE_USER", "text": text}],
        "maxDuration": "60s",
    }
    url = await _created(
        service, "/api/calls", {name: value for name, value in body.items() if value is not None}
    )
    written = ""
    async with connect(url, max_size=None, close_timeout=CLOSE_S) as socket:
        async for message in socket:
            heard = {} if isinstance(message, bytes) else json.loads(message)
            if heard.get("type") != "transcript" or heard.get("role") != "agent":
                continue
            written = heard.get("text") or written + (heard.get("delta") or "")
            if heard.get("final") or len(written) > MAX_WRITTEN:
                break
    return written


def returned_in(context: LLMContext) -> set[str]:
    """Return the uses of tools whose results a conversation has."""
    return {call for message in context.get_messages() if (call := returned_call(message)) is not None}


def close_in_time(service: Any, wait_s: float) -> None:
    """Have a service drop a connection whose server has not taken leave within so many seconds."""
    leave_in_time(service, wait_s, lambda: service._socket)


async def leave(service: Any) -> None:
    """Leave the call, if there is one."""
    await service._disconnect()
    service._disconnecting = False


class _ReadSocket(WrappedConnection):
    """A connection whose messages are seen first by a function."""

    def __init__(self, socket: Any, read: Read, early: deque[str]) -> None:
        super().__init__(socket)
        self._read = read
        self._early = early

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        try:
            async for message in self._connection:
                if isinstance(message, bytes):
                    yield message
                    while self._early:
                        yield self._early.popleft()
                elif (read := await self._read(message)) is not None:
                    yield read
        except ConnectionClosed:
            return  # the call is created again


def _request(service: Any, context: LLMContext) -> tuple[str, dict[str, Any]]:
    params = service._params
    system, messages = _conversation(context)
    body: dict[str, Any] = {
        "metadata": params.metadata,
        "medium": {"serverWebSocket": {"inputSampleRate": RATE, "clientBufferSizeMs": CLIENT_BUFFER_MS}},
        "firstSpeakerSettings": {"user": {}},
        "initialMessages": messages,
    }
    if params.max_duration:
        body["maxDuration"] = f"{params.max_duration.total_seconds():3f}s"
    if isinstance(params, AgentInputParams):
        body["templateContext"] = params.template_context
        path = f"/api/agents/{params.agent_id}/calls"
    else:
        assert isinstance(params, OneShotInputParams)
        tools = context.tools or service._selected_tools
        body |= {
            "systemPrompt": system or params.system_prompt,
            "temperature": params.temperature,
            "model": params.model,
            "voice": getattr(service, "piopiy_voice", None) or (str(params.voice) if params.voice else None),
            "selectedTools": service._to_selected_tools(tools) if tools else [],
        }
        path = "/api/calls"
    return path, {name: value for name, value in body.items() if value is not None} | params.extra


def _conversation(context: LLMContext) -> tuple[str, list[dict[str, str]]]:
    """Return the instructions, and what was said so far in the form in which a call is created with it."""
    messages = context.get_messages()
    first = messages[0] if messages else None
    is_system = isinstance(first, Mapping) and first.get("role") == "system"
    system = standard_message_text(first) if is_system and first is not None else ""
    said = [
        {
            "role": "MESSAGE_ROLE_AGENT" if line.by_bot else "MESSAGE_ROLE_USER",
            "text": instruct(line.text) if line.is_note else line.text,
        }
        for line in lines_of(messages)
    ]
    return system or "", said


class _LoopConnector(aiohttp.BaseConnector):
    """Connects by the loop's own `create_connection`, which reaches servers of a virtual loop, too."""

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> ResponseHandler:
        parts = urlsplit(str(req.url))
        secure = parts.scheme == "https"
        _, protocol = await self._loop.create_connection(
            self._factory,
            str(parts.hostname),
            parts.port or (443 if secure else 80),
            ssl=ssl.create_default_context() if secure else None,
        )
        assert isinstance(protocol, ResponseHandler)
        return protocol


def check() -> None:
    """Check that everything this module uses is there.

    Raises:
        CompatError: Something is missing.
    """
    needed: list[tuple[object, str]] = [(UltravoxRealtimeLLMService, name) for name in _USED]
    needed += [
        (ultravox, name) for name in ("_ASYNC_TOOL_STARTED_RESULT", "_ASYNC_TOOL_FINAL_RESULT_TEMPLATE")
    ]
    check_attributes("pipecat-ai", needed, written_for=PIPECAT, used_in=__name__)
    connector = [(aiohttp.BaseConnector, name) for name in ("_create_connection", "_factory", "_loop")]
    check_attributes("aiohttp", connector, written_for=">=3.14,<4", used_in=__name__)


check()
