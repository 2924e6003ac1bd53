"""What this project uses of pipecat's service for Amazon Nova Sonic beyond its public interface.

The service has no public way to begin a conversation without an answer, to be told something beside it, or to be opened
again by somebody else; it tells a sentence's words behind its audio, and a lost stream as an error.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from loguru import logger
from pipecat.adapters.llm.services.aws_nova_sonic_adapter import Role
from pipecat.frames.frames import LLMTextFrame, TTSTextFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.aws.nova_sonic.llm import AWSNovaSonicLLMService
from pipecat.services.aws.nova_sonic.session_continuation import SessionContinuationHelper
from pipecat.utils.text.base_text_aggregator import TextType

from piopiy_pipeline.compat import check_attributes
from piopiy_pipeline.compat.nova_history import MAX_HISTORY, history_of, pieces_of
from piopiy_pipeline.compat.pipecat import PIPECAT

__all__ = [
    "begin",
    "check",
    "continue_with",
    "is_awaited",
    "is_connected",
    "is_ready",
    "open_again",
    "prepare",
    "responds",
    "say_text",
    "send_audio",
    "send_result",
    "set_up_with",
    "tell_words",
    "words_so_far",
    "write_beside",
]

RATES = (8000, 16000, 24000)
"""The sample rates of the caller's audio that Nova Sonic takes, in Hz."""
MAX_WRITTEN = 8000
"""A text beside the conversation is cut behind so many characters."""
ASKED = 600
"""So many characters of what is asked for are told in any case, before what it is about."""
WRITES = "You write what you are asked for, and nothing else."
LEAVE_S = 1.0
"""So long may a session take to end, in seconds: as long as pipecat's service waits in any case."""
NOT_OPENED = "Initialization error"
LOST = ("Error processing responses", NOT_OPENED)
"""How the service's errors begin that say that there is no session. It is opened again."""
_USED = (
    "_assistant_is_responding", "_audio_config", "_audio_input_started", "_client", "_completed_tool_calls",
    "_connected_time", "_content_being_received", "_context", "_disconnect", "_disconnecting",
    "_finish_connecting_if_context_available", "_handle_completion_end_event", "_handle_function_call_result",
    "_handle_tool_use_event",
    "_input_audio_content_name", "_pending_speculative_text", "_prompt_name", "_ready_to_send_context",
    "_receive_task", "_report_assistant_response_ended", "_report_assistant_response_started", "_report_llm_text",
    "_report_user_transcription_ended",
    "_run_sc_handoff", "_sc", "_send_session_end_events", "_send_text_event", "_send_tool_result",
    "_send_user_audio_event", "_start_connecting", "_stream", "_user_text_buffer", "_wants_connection",
    "build_session_start_json", "open_stream", "send_audio_input_start", "send_event", "send_prompt_start", "send_text",
)  # fmt: skip


_USED_TO_CONTINUE = (
    "close_old_session",
    "cleanup_next_session",
    "execute_handoff",
    "set_disconnected",
    "stop_monitor",
)


def prepare(
    service: Any,
    *,
    interrupted: Callable[[], Awaitable[None]],
    answers: Callable[[], Awaitable[None]],
    keep: Callable[[bytes], bool],
    lost: Callable[[Exception | None], None],
    returned: Callable[[], None],
    late: Callable[[str], Awaitable[None]],
    said: Callable[[str], None],
    ended: Callable[[Callable[[], Awaitable[None]]], None],
) -> None:
    """Change a service before it runs.

    Args:
        service: The service.
        interrupted: Called when the provider has cut its answer off, in the place of an interruption.
        answers: Called when an answer, or the use of a tool, begins.
        keep: Takes the caller's audio, and returns whether it is kept and not sent.
        lost: Called when there is no session any more; with the error, if one could not be opened.
        returned: Called when the provider has the result of a tool, which it answers.
        late: Takes the result of a tool that another session has used.
        said: Takes the words of an answer, as they come.
        ended: Called at the end of a completion; takes what tells an empty answer, which this may be.
    """
    setup, push_error = service.setup, service.push_error
    use, send_result = service._handle_tool_use_event, service._send_tool_result
    send_audio, started = service._send_user_audio_event, service._report_assistant_response_started
    completed = service._handle_completion_end_event
    calls: dict[str, Any] = {}  # and the stream over which each was made
    service.piopiy_calls = calls
    adapter, send_text = service.get_llm_adapter(), service.send_text
    params = adapter.get_llm_invocation_params

    async def params_with_history(context: LLMContext, **options: Any) -> Any:
        return {**await params(context, **options), "messages": history_of(context.get_messages())}

    async def send_in_pieces(text: str, role: str, prompt: str, stream: Any, interactive: bool) -> None:
        pieces = pieces_of(text)
        if role == Role.SYSTEM.value or len(pieces) < 2:
            await send_text(text, role, prompt, stream, interactive)
            return
        place = {"promptName": prompt, "contentName": str(uuid.uuid4())}
        kind = {"type": "TEXT", "interactive": interactive, "role": role}
        begun = {**place, **kind, "textInputConfiguration": {"mediaType": "text/plain"}}
        texts = [{**place, "content": piece} for piece in pieces]
        events = [("contentStart", begun), *(("textInput", text) for text in texts), ("contentEnd", place)]
        for name, body in events:
            await service.send_event(json.dumps({"event": {name: body}}), stream)

    async def set_up(given: Any) -> None:
        if given.audio_in_sample_rate in RATES:
            service._audio_config.input_sample_rate = given.audio_in_sample_rate
        await setup(given)
        service._wants_connection = False  # it is opened again by the call

    async def push(error_msg: str, *args: Any, **options: Any) -> None:
        if error_msg.startswith(LOST):
            lost(options.get("exception") if error_msg.startswith(NOT_OPENED) else None)
        else:
            await push_error(error_msg, *args, **options)

    async def disconnect() -> None:
        await _leave(service)

    async def begin_answer() -> None:
        await answers()
        await started()

    async def use_tool(event: dict[str, Any]) -> None:
        calls[event["toolUse"]["toolUseId"]] = service._stream
        await answers()
        await use(event)

    async def send_tool_result(call: str, result: Any) -> None:
        if calls.pop(call, None) is service._stream:
            await send_result(call, result)
            returned()
        else:
            await late(str(result))

    async def send_user_audio(audio: bytes) -> None:
        if not keep(audio):
            await send_audio(audio)

    async def report_text(text: str) -> None:
        said(text)
        shown, spoken = LLMTextFrame(text), TTSTextFrame(f"{text} ", TextType.SENTENCE)
        shown.append_to_context = False
        spoken.includes_inter_frame_spaces = True
        await service.push_frame(shown)
        await service.push_frame(spoken)

    async def tell_empty() -> None:
        await service._report_user_transcription_ended()
        await begin_answer()
        await service._report_assistant_response_ended()

    async def complete(event: dict[str, Any]) -> None:
        await completed(event)
        if event["completionEnd"].get("stopReason") != "INTERRUPTED":
            ended(tell_empty)

    adapter.get_llm_invocation_params = params_with_history
    service.send_text = send_in_pieces
    service.setup = set_up
    service.push_error = push
    service._disconnect = disconnect
    service.broadcast_interruption = interrupted
    service._report_assistant_response_started = begin_answer
    service._report_llm_text = report_text
    service._handle_tool_use_event = use_tool
    service._handle_completion_end_event = complete
    service._send_tool_result = send_tool_result
    service._send_user_audio_event = send_user_audio


def responds(service: Any) -> bool:
    """Return whether an answer is coming."""
    return bool(service._assistant_is_responding)


def is_connected(service: Any) -> bool:
    """Return whether the stream stands, and what comes over it is read."""
    reader = service._receive_task
    return (
        service._stream is not None and not service._disconnecting and (reader is None or not reader.done())
    )


def is_ready(service: Any) -> bool:
    """Return whether the session can be told the conversation."""
    return bool(service._ready_to_send_context)


async def begin(service: Any, context: LLMContext) -> None:
    """Tell the provider the conversation, and ask for no answer: the caller's last words are told as the others are."""
    send = service._send_text_event

    async def send_quietly(text: str, role: Role, interactive: bool = False) -> None:
        await send(text, role)

    service._context = context
    service._send_text_event = send_quietly
    try:
        await service._finish_connecting_if_context_available()
    finally:
        service._send_text_event = send


async def say_text(service: Any, text: str, *, answer: bool) -> None:
    """Put a text behind the conversation as the caller's, and have it answered or not."""
    await service._send_text_event(text, Role.USER, interactive=answer)


async def send_audio(service: Any, audio: bytes) -> None:
    """Send the caller's audio, or have it kept."""
    await service._send_user_audio_event(audio)


def set_up_with(service: Any, voice: str, *, instructed: bool) -> None:
    """Have the next session begin with a voice.

    Args:
        service: The service.
        voice: Amazon's name of it.
        instructed: Whether the conversation has instructions, which then are the session's.
    """
    service.settings.voice = voice
    if instructed:
        service.settings.system_instruction = None


def is_awaited(service: Any, call: str) -> bool:
    """Return whether the session that stands has used a tool, and waits for its result."""
    return service.piopiy_calls.get(call, service) is service._stream


async def send_result(service: Any, call: str, result: str) -> None:
    """Send what a tool has returned. The model answers it."""
    await service._send_tool_result(call, result)


def words_so_far(service: Any) -> str:
    """Return the caller's words that were written down, and not told yet."""
    words: str = service._user_text_buffer
    return words


async def tell_words(service: Any) -> None:
    """Tell them, although more might come."""
    await service._report_user_transcription_ended()


def continue_with(service: Any, conversation: Callable[[], Sequence[Any]]) -> None:
    """Have a session that follows another one before AWS's limit of 8 minutes be told this conversation: pipecat's
    service tells it what the model has said, whatever was heard of it.

    The service also promotes a session that nobody uses, if the bot has said nothing for long: here that is used, too.

    Args:
        service: The service, before it runs.
        conversation: Returns the messages.
    """
    helper = service._sc
    execute, run = helper.execute_handoff, service._run_sc_handoff
    runs = False

    async def run_hand_off() -> None:
        nonlocal runs
        runs = True
        try:
            await run()
        finally:
            runs = False

    async def execute_hand_off() -> Any:
        if not runs:  # by the clock: pipecat leaves out the rest
            await run_hand_off()
            return None
        helper._conversation_history = [
            {"role": one.role.value, "text": one.text} for one in history_of(conversation())
        ]
        return await execute()

    helper.execute_handoff = execute_hand_off
    service._run_sc_handoff = run_hand_off


async def open_again(service: Any) -> None:
    """Open another session. It is told the conversation by `begin`, and the one before is closed meanwhile."""
    await _end_continuation(service)
    old = (service._client, service._stream, service._receive_task)
    names = (service._prompt_name, service._input_audio_content_name)
    _forget_session(service)
    if old[1] is not None:
        service.create_task(service._sc.close_old_session(*old, *names), "the session before")
    await service._start_connecting()


async def _leave(service: Any) -> None:
    """End the session, if there is one. pipecat's service does the same, but waits a second before it ends what reads
    the stream, because AWS's client fails where that is cancelled too early. Here that may end by itself, which it does
    as soon as AWS has closed the stream.
    """
    client, stream, reader = service._client, service._stream, service._receive_task
    if client is None and stream is None and reader is None:
        return
    service._disconnecting = True
    try:
        async with asyncio.timeout(LEAVE_S):
            await _end_continuation(service)
            await service._send_session_end_events()
            if stream is not None:
                await stream.close()
            if reader is not None:
                await asyncio.wait((reader,))
    except Exception as error:  # noqa: BLE001  whatever AWS's client raises: nobody needs the stream any more
        logger.debug("{}: the session was not closed: {!r}", service, error)
    if reader is not None:
        await service.cancel_task(reader, timeout=LEAVE_S)
    _forget_session(service)
    service._disconnecting = False


async def _end_continuation(service: Any) -> None:
    """Have no session follow the one that stands."""
    helper = service._sc
    await helper.stop_monitor()
    await helper.cleanup_next_session()
    helper.set_disconnected()
    helper._conversation_history = []


def _forget_session(service: Any) -> None:
    """Have the service be as it was before its session."""
    service._client = service._stream = service._receive_task = None
    service._context = service._prompt_name = service._input_audio_content_name = None
    service._content_being_received = service._connected_time = service._pending_speculative_text = None
    service._assistant_is_responding = service._ready_to_send_context = service._audio_input_started = False
    service._user_text_buffer, service._completed_tool_calls = "", set()


async def write_beside(service: Any, text: str) -> str:
    """Have the model write something that is no part of the conversation: in a session of its own, which nobody hears.

    Raises:
        Exception: What AWS's client raises.
    """
    if len(text.encode()) > MAX_HISTORY:
        text = f"{text[:ASKED]} [...] {text.encode()[4 * ASKED - MAX_HISTORY :].decode(errors='ignore')}"
    client = service.create_client()
    stream = await service.open_stream(client)
    prompt, content, written, stage = str(uuid.uuid4()), str(uuid.uuid4()), "", ""
    try:
        await service.send_event(service.build_session_start_json(), stream)
        await service.send_prompt_start([], prompt, stream)
        await service.send_text(WRITES, Role.SYSTEM.value, prompt, stream, False)
        await service.send_audio_input_start(prompt, content, stream)
        await service.send_text(text, Role.USER.value, prompt, stream, True)
        while len(written) < MAX_WRITTEN:
            result = await (await stream.await_output())[1].receive()
            if result is None:
                break
            ((kind, body),) = json.loads(result.value.bytes_.decode())["event"].items()
            if kind == "contentStart":
                stage = json.loads(body.get("additionalModelFields") or "{}").get("generationStage", "")
            elif kind == "textOutput" and body.get("role") == Role.ASSISTANT.value and stage == "SPECULATIVE":
                written += f"{body['content']} "
            elif kind == "completionEnd":
                break
    finally:
        service.create_task(
            service._sc.close_old_session(client, stream, None, prompt, content), "a session beside"
        )
    return written.strip()


def check() -> None:
    """Check that everything this module uses is there.

    Raises:
        CompatError: Something is missing.
    """
    needed: list[tuple[object, str]] = [(AWSNovaSonicLLMService, name) for name in _USED]
    needed += [(SessionContinuationHelper, name) for name in (*_USED_TO_CONTINUE, "_conversation_history")]
    check_attributes("pipecat-ai", needed, written_for=PIPECAT, used_in=__name__)


check()
