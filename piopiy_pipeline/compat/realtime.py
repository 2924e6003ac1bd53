"""What this project uses of pipecat's speech-to-speech services beyond their public interface.

The services of OpenAI and of providers with a like protocol (Azure, xAI, Inworld, Azure Voice Live) are of one mould.
Events go to the provider by `send_client_event`, which is public; what is missing is which item of the conversation a
piece of audio belongs to, whether an answer is under way, whether the connection still stands, and a way to ask for an
answer without a frame for it. Where one of them differs from OpenAI's, `realtime_quirks` evens it out.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from loguru import logger
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services import openai
from pipecat.services.openai import _constants
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from piopiy_pipeline.compat import check_attributes
from piopiy_pipeline.compat.leave_in_time import leave_in_time
from piopiy_pipeline.compat.pipecat import PIPECAT
from piopiy_pipeline.error_text import own_text

__all__ = [
    "answer_asked",
    "answer_given_up",
    "answers",
    "ask",
    "audio_item",
    "check",
    "close_in_time",
    "connect_by",
    "end_when_closed",
    "is_connected",
    "is_ready",
    "keep_results",
    "open_again",
    "output_rate",
    "put_in_by",
    "put_in_by_us",
    "spare",
    "takes_client_events",
    "turn_withheld",
    "update_session",
    "when_broken_off",
    "wrap_connections",
]

_USED = (
    "send_client_event",
    "reset_conversation",
    "_connect",
    "_context",
    "_create_response",
    "_disconnect",
    "_current_audio_response",
    "_handle_evt_response_done",
    "_handle_interruption",
    "_api_session_ready",
    "_llm_needs_conversation_setup",
    "_process_completed_function_calls",
    "_websocket",
    "_receive_task",
    "_send_session_update",
    "_receive_task_handler",
)


_OPENAIS = (
    "_handle_evt_response_created",
    "_handle_messages_append",
    "_messages_added_manually",
    "_response_active",
    "_results_awaiting_response",
)


def takes_client_events(service: Any) -> bool:
    """Return whether a service is of the mould of OpenAI's.

    Raises:
        CompatError: It is, and lacks something that is used here.
    """
    kind = type(service)
    if not hasattr(kind, "send_client_event"):
        return False
    check_attributes("pipecat-ai", [(kind, name) for name in _USED], written_for=PIPECAT, used_in=__name__)
    return True


def audio_item(service: Any) -> tuple[str, int] | None:
    """Return the item of the conversation, and the part of it, to which the audio belongs that comes now."""
    current = service._current_audio_response
    return None if current is None else (current.item_id, current.content_index)


_ACTIVE = ("_response_active", "_response_in_flight")
"""Whether an answer is under way; the second is Azure Voice Live's."""


def answers(service: Any) -> bool:
    """Return whether the provider is asked for an answer that is not over."""
    return any(getattr(service, name, None) for name in (*_ACTIVE, "_current_response_id"))


def answer_asked(service: Any) -> None:
    """Take note that an answer is asked for, which the provider has not begun yet."""
    _set_active(service, True)


def answer_given_up(service: Any) -> None:
    """Take note that no answer is under way, although one was asked for."""
    _set_active(service, False)
    if hasattr(service, "_current_response_id"):
        service._current_response_id = None


def _set_active(service: Any, active: bool) -> None:
    for name in _ACTIVE:
        if hasattr(service, name):
            setattr(service, name, active)


def turn_withheld(service: Any) -> None:
    """Take note that the answer which a service asks for at the end of a turn was not asked for."""
    if hasattr(service, "_response_in_flight"):  # Azure Voice Live's takes note of it before it asks
        service._response_in_flight = False


def answer_all_results_at_once(service: Any, by_us: Callable[[], bool]) -> None:
    """Have a service ask for the answer to the results of several tools when it has all of them.

    pipecat's asks when the response is done in which the first of them has returned, and once more for each other one.

    Args:
        service: The service, before it runs.
        by_us: Whether it is this side that asks: the caller has said something since, and what has come is answered.
    """
    run, create = service.run_function_calls, service._create_response
    begun: set[str] = set()

    async def run_noted(calls: Any) -> None:
        begun.update(call.tool_call_id for call in calls)
        await run(calls)

    async def create_when_complete() -> None:
        if by_us():
            begun.clear()
        if begun <= service._completed_tool_calls:  # else the last one asks
            await create()

    service.run_function_calls, service._create_response = run_noted, create_when_complete


def put_in_by_us(service: Any, item: str) -> None:
    """Take note that an item which the provider will tell of is this side's, and no beginning of an answer."""
    service._messages_added_manually[item] = True


def put_in_by(service: Any, tell: Callable[[Sequence[Any]], Awaitable[None]]) -> None:
    """Have messages put into the conversation by a function: pipecat's service of OpenAI tells the caller's words as
    the system's.

    Args:
        service: The service, before it runs.
        tell: Puts messages behind the provider's conversation.
    """
    if not hasattr(service, "_results_awaiting_response"):
        return

    async def append(frame: Any) -> None:
        if service._api_session_ready and not service._llm_needs_conversation_setup:
            await tell(frame.messages)
            service._results_awaiting_response = True

    service._handle_messages_append = append


def spare(service: Any, spared: Callable[[], bool]) -> None:
    """Have a service take no note of interruptions while the answer under way is one that must not be cut off.

    It would end the answer on this side, and Azure Voice Live's drops what still comes of it.
    """
    handle = service._handle_interruption

    async def handle_unless_spared() -> None:
        if not spared():
            await handle()

    service._handle_interruption = handle_unless_spared


def output_rate(service: Any) -> int:
    """Return the sample rate of the model's audio in Hz, of a service that runs."""
    rate = getattr(service, "_get_output_sample_rate", None)
    return _constants.OPENAI_SAMPLE_RATE if rate is None else int(rate())


def keep_results(service: Any, is_told: Callable[[], bool]) -> None:
    """Have what tools have returned answered behind an answer that is no answer to it, and that pipecat takes for one.

    Args:
        service: The service, before it runs.
        is_told: Returns whether the answer that begins now says what the model was told to say, and nothing else.
    """
    if not hasattr(service, "_results_awaiting_response"):
        return
    created = service._handle_evt_response_created

    async def response_created(event: Any) -> None:
        waits = service._results_awaiting_response
        await created(event)
        if is_told():
            service._results_awaiting_response = waits

    service._handle_evt_response_created = response_created


def when_broken_off(service: Any, note: Callable[[bool], None]) -> None:
    """Have a function called with True before a service tells the end of an answer that the provider has not
    completed, such as one that it has cancelled, and with False behind it.
    """
    handle = service._handle_evt_response_done

    async def handle_done(evt: Any) -> None:
        response = evt.response if isinstance(evt.response, Mapping) else vars(evt.response)
        note(response.get("status") in ("cancelled", "failed", "incomplete"))
        try:
            await handle(evt)
        finally:
            note(False)

    service._handle_evt_response_done = handle_done


def is_ready(service: Any) -> bool:
    """Return whether the provider has taken the session's settings."""
    return bool(service._api_session_ready)


def is_connected(service: Any) -> bool:
    """Return whether the connection stands, and what comes over it is read."""
    socket, reader = service._websocket, service._receive_task
    return socket is not None and socket.state is State.OPEN and reader is not None and not reader.done()


async def ask(service: Any, context: LLMContext) -> None:
    """Ask for an answer to the conversation. In a new session, the provider is told the conversation first."""
    if service._context is None:
        service._context = context
        await service._process_completed_function_calls(send_new_results=False)
    await service._create_response()


async def open_again(service: Any, context: LLMContext) -> None:
    """Open another session; it is told the conversation when it is first asked for an answer to it.

    A service whose first connection has failed knows no conversation yet, and pipecat takes it for given here.
    """
    if service._context is None:
        service._context = context
    answer_given_up(service)  # Grok's keeps the number of one that was under way
    await service.reset_conversation()


async def update_session(service: Any) -> None:
    """Tell the provider the settings of the session once more: instructions and tools of the conversation."""
    await service._send_session_update()


def wrap_connections(service: Any, wrap: Callable[[Any], Any]) -> None:
    """Have a service use what `wrap` makes of each of its connections, from the first message on."""
    connect = service._connect

    async def connect_and_wrap() -> None:
        before = service._websocket
        await connect()
        if service._websocket is not None and service._websocket is not before:
            service._websocket = wrap(service._websocket)  # its reader has not run yet

    service._connect = connect_and_wrap


def close_in_time(service: Any, wait_s: float) -> None:
    """Have a service drop a connection whose provider has not taken leave within so many seconds."""
    leave_in_time(service, wait_s, lambda: service._websocket)


def end_when_closed(service: Any) -> None:
    """Have a connection that was closed be the end of what is read, and no failure of a task, with a traceback in the
    log: the call notices the loss, and tells it.
    """
    read = service._receive_task_handler

    async def read_to_the_end() -> None:
        try:
            await read()
        except ConnectionClosed as error:
            logger.info("{}: the connection was closed: {}", service, own_text(error))

    service._receive_task_handler = read_to_the_end


def connect_by(service: Any, make: Callable[[], Any]) -> None:
    """Have a service use the connections that `make` returns, and open none itself."""

    async def connect() -> None:
        if service._websocket is None:
            service._websocket = make()
            service._receive_task = service.create_task(service._receive_task_handler())

    service._connect = connect


def check() -> None:
    """Check that everything this module uses is there.

    Raises:
        CompatError: Something is missing.
    """
    check_attributes(
        "pipecat-ai",
        [
            (openai, "_constants"),
            (_constants, "OPENAI_SAMPLE_RATE"),
            *((OpenAIRealtimeLLMService, name) for name in (*_USED, *_OPENAIS)),
        ],
        written_for=PIPECAT,
        used_in=__name__,
    )


check()
