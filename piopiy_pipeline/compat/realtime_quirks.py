"""Evens out where pipecat's services of Grok, Inworld and Azure Voice Live differ from its service of OpenAI.

They are of one mould (`compat.realtime`), written at different times. What one of them lacks, and a call needs, is
given to it here.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pipecat.frames.frames import LLMFullResponseEndFrame, LLMFullResponseStartFrame
from pipecat.processors.aggregators import async_tool_messages
from websockets.exceptions import ConnectionClosed

from piopiy_pipeline.compat import check_attributes
from piopiy_pipeline.compat.pipecat import PIPECAT

__all__ = ["even_out"]

Tell = Callable[[Sequence[Any]], Awaitable[None]]
"""Puts messages behind the provider's conversation."""


def even_out(service: Any, tell: Tell) -> None:
    """Have a service, before it runs, behave as OpenAI's does.

    Args:
        service: A service of OpenAI's mould.
        tell: Puts messages behind the provider's conversation.

    Raises:
        CompatError: It lacks something that is used here.
    """
    for mark, used, mend in _MENDS:
        if hasattr(service, mark):
            needed = [(type(service), name) for name in used]
            check_attributes("pipecat-ai", needed, written_for=PIPECAT, used_in=__name__)
            mend(service, tell)


def _follow_items(service: Any, _tell: Tell) -> None:
    """Grok: know whose audio comes when a second item follows before the first was heard to its end."""
    handle = service._handle_evt_audio_delta

    async def handle_delta(evt: Any) -> None:
        current = service._current_audio_response
        if current is not None and current.item_id != evt.item_id:
            service._current_audio_response = None
        await handle(evt)

    service._handle_evt_audio_delta = handle_delta


def _ask_behind_the_end(service: Any, _tell: Tell) -> None:
    """Grok and Inworld: begin the answer to a tool that has returned early behind the end of the one that used it.

    They begin it first, so that this end would be taken for the new answer's.
    """
    handle = service._handle_evt_response_done

    async def handle_done(evt: Any) -> None:
        owed, service._response_create_owed = service._response_create_owed, False
        await handle(evt)
        if owed and service._results_awaiting_response:
            await service._create_response()

    service._handle_evt_response_done = handle_done


def _tell_empty_answers(service: Any, _tell: Tell) -> None:
    """Grok, Inworld and Azure Voice Live: tell the beginning of an answer in which nothing has come, and so its end.

    They tell it with the first item, and there is none.
    """
    handle = service._handle_evt_response_done

    async def handle_done(evt: Any) -> None:
        response = evt.response if isinstance(evt.response, Mapping) else vars(evt.response)
        is_empty = response.get("status") == "completed" and not response.get("output")
        is_empty = is_empty and not service._current_assistant_response
        if is_empty:
            await service.push_frame(LLMFullResponseStartFrame())
        await handle(evt)
        if is_empty and hasattr(service, "_track_item"):  # Azure Voice Live's tells no end without an item
            await service.push_frame(LLMFullResponseEndFrame())

    service._handle_evt_response_done = handle_done


def _take_messages(service: Any, tell: Tell) -> None:
    """Inworld and Azure Voice Live: take messages that are put into the conversation, and answer if that is asked for.

    Both take a user's last message of the context for one that was typed, and send it. The caller's words come late,
    so that it may be one that the provider has heard.
    """
    handle = service._handle_context
    owed = False

    async def append(frame: Any) -> None:
        nonlocal owed
        if service._api_session_ready and not service._llm_needs_conversation_setup:
            await tell(frame.messages)
            owed = owed or bool(frame.run_llm)

    async def handle_context(context: Any, *direction: Any) -> None:
        nonlocal owed
        service._last_context_message_count = len(context.get_messages())
        await handle(context, *direction)
        if owed:
            owed = False
            await service._create_response()

    service._handle_messages_append = append
    service._handle_context = handle_context


def _put_items_in(service: Any, _tell: Tell) -> None:
    """Azure Voice Live: take no item of this side's for the beginning of an answer."""
    track = service._track_item
    service._messages_added_manually = {}

    async def track_theirs(item: Any) -> None:
        if not service._messages_added_manually.pop(item.id, False):
            await track(item)

    service._track_item = track_theirs


def _end_cut_answers(service: Any, _tell: Tell) -> None:
    """Azure Voice Live: tell when an answer that was cut off is over for the provider, too: what follows is another."""
    handle = service._handle_evt_response_done

    async def handle_done(evt: Any) -> None:
        was_cut = service._is_from_interrupted_response(evt.response.get("id"))
        await handle(evt)
        if was_cut:
            await service.push_frame(LLMFullResponseEndFrame())

    service._handle_evt_response_done = handle_done


def _answer_open_calls(service: Any, tell: Tell) -> None:
    """Azure Voice Live: give a tool's result to the call of this session. One that another session has made is told in
    words, because this session knows no such call.
    """
    handle, process = (
        service._handle_evt_function_call_arguments_done,
        service._process_completed_function_calls,
    )
    calls: dict[str, Any] = {}  # and the connection over which each was made

    async def handle_done(evt: Any) -> None:
        calls[evt.call_id] = service._websocket
        await handle(evt)

    async def process_completed(send_new_results: bool) -> None:
        late = [] if not send_new_results else _late_results(service, calls)
        for call, result in late:
            service._completed_tool_calls.add(call)
            await tell([async_tool_messages.build_final_result_message(call, result)])
        await process(send_new_results)
        if late and not service._response_in_flight:
            await service._create_response()

    service._handle_evt_function_call_arguments_done = handle_done
    service._process_completed_function_calls = process_completed


def _late_results(service: Any, calls: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the results of tools that the session has not called, and has not been told."""
    messages = [message for message in service._context.get_messages() if isinstance(message, dict)]
    return [
        (message["tool_call_id"], str(message.get("content")))
        for message in messages
        if message.get("role") == "tool"
        and message.get("content") != "IN_PROGRESS"
        and message.get("tool_call_id") not in service._completed_tool_calls
        and calls.get(message["tool_call_id"]) is not service._websocket
    ]


def _lose_quietly(service: Any, _tell: Tell) -> None:
    """Azure Voice Live: a lost connection, or one that fails, is no error for good. It is opened again, and nothing is
    asked for on that occasion.
    """
    push_error = service.push_error

    async def run() -> None:
        with suppress(ConnectionClosed):
            await service._receive_task_handler()

    async def push(*args: Any, **options: Any) -> None:
        options.pop("force_treat_as_permanent", None)
        await push_error(*args, **options)

    async def reset() -> None:
        await service._disconnect()
        service._llm_needs_conversation_setup = True
        await service._process_completed_function_calls(send_new_results=False)
        await service._connect()

    service._run_receive_loop = run
    service.push_error = push
    service.reset_conversation = reset


_MENDS: tuple[tuple[str, tuple[str, ...], Callable[[Any, Tell], None]], ...] = (
    (
        "_response_create_owed",
        ("_create_response", "_handle_evt_response_done"),
        _ask_behind_the_end,
    ),
    ("force_message", ("_handle_evt_response_done", "_current_assistant_response"), _tell_empty_answers),
    (
        "_last_context_message_count",
        ("_handle_evt_response_done", "_current_assistant_response"),
        _tell_empty_answers,
    ),
    ("force_message", ("_handle_evt_audio_delta", "_current_audio_response"), _follow_items),
    (
        "_last_context_message_count",
        ("_handle_context", "_handle_messages_append", "_create_response", "_api_session_ready"),
        _take_messages,
    ),
    ("_track_item", ("_track_item",), _put_items_in),
    (
        "_interrupted_response_id",
        ("_handle_evt_response_done", "_is_from_interrupted_response"),
        _end_cut_answers,
    ),
    (
        "_track_item",
        ("_handle_evt_function_call_arguments_done", "_completed_tool_calls", "_response_in_flight"),
        _answer_open_calls,
    ),
    (
        "_run_receive_loop",
        ("_run_receive_loop", "_receive_task_handler", "_disconnect", "_connect", "reset_conversation"),
        _lose_quietly,
    ),
)
"""What a service has that needs mending, what is used of it, and what mends it."""
