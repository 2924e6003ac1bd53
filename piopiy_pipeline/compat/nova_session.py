"""What this project uses of pipecat's service for Amazon Nova Sonic beyond its public interface.

The service has no public way to begin a conversation without an answer, to be told something beside it, or to be opened
again by somebody else; it tells a sentence's words behind its audio, and a lost stream as an error.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pipecat.adapters.llm.services.aws_nova_sonic_adapter import Role
from pipecat.frames.frames import LLMTextFrame, TTSTextFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.aws.nova_sonic.llm import AWSNovaSonicLLMService
from pipecat.utils.text.base_text_aggregator import TextType

from piopiy_pipeline.compat import check_attributes
from piopiy_pipeline.compat.pipecat import PIPECAT

__all__ = [
    "begin",
    "check",
    "is_connected",
    "is_ready",
    "open_again",
    "prepare",
    "responds",
    "say_text",
    "send_audio",
]

RATES = (8000, 16000, 24000)
"""The sample rates of the caller's audio that Nova Sonic takes, in Hz."""
LOST = ("Error processing responses", "Initialization error")
"""How the service's errors begin that say that there is no session. It is opened again."""
_USED = (
    "_assistant_is_responding", "_audio_config", "_client", "_context", "_disconnect", "_disconnecting",
    "_finish_connecting_if_context_available", "_handle_tool_use_event", "_pending_speculative_text",
    "_ready_to_send_context", "_receive_task", "_report_assistant_response_started", "_report_llm_text",
    "_send_text_event", "_send_tool_result", "_send_user_audio_event", "_start_connecting", "_stream",
    "_wants_connection",
)  # fmt: skip


def prepare(
    service: Any,
    *,
    interrupted: Callable[[], Awaitable[None]],
    answers: Callable[[], Awaitable[None]],
    keep: Callable[[bytes], bool],
    lost: Callable[[], None],
    returned: Callable[[], None],
    late: Callable[[str], Awaitable[None]],
) -> None:
    """Change a service before it runs.

    Args:
        service: The service.
        interrupted: Called when the provider has cut its answer off, in the place of an interruption.
        answers: Called when an answer, or the use of a tool, begins.
        keep: Takes the caller's audio, and returns whether it is kept and not sent.
        lost: Called when there is no session any more.
        returned: Called when the provider has the result of a tool, which it answers.
        late: Takes the result of a tool that another session has used.
    """
    setup, push_error, disconnect = service.setup, service.push_error, service._disconnect
    use, send_result = service._handle_tool_use_event, service._send_tool_result
    send_audio, started = service._send_user_audio_event, service._report_assistant_response_started
    calls: dict[str, Any] = {}  # and the stream over which each was made

    async def set_up(given: Any) -> None:
        if given.audio_in_sample_rate in RATES:
            service._audio_config.input_sample_rate = given.audio_in_sample_rate
        await setup(given)
        service._wants_connection = False  # it is opened again by the call

    async def push(error_msg: str, *args: Any, **options: Any) -> None:
        if error_msg.startswith(LOST):
            lost()
        else:
            await push_error(error_msg, *args, **options)

    async def disconnect_once() -> None:
        if any(part is not None for part in (service._client, service._stream, service._receive_task)):
            await disconnect()  # takes a second, whatever there is to do

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
        shown, said = LLMTextFrame(text), TTSTextFrame(f"{text} ", TextType.SENTENCE)
        shown.append_to_context = False
        said.includes_inter_frame_spaces = True
        await service.push_frame(shown)
        await service.push_frame(said)

    service.setup = set_up
    service.push_error = push
    service._disconnect = disconnect_once
    service.broadcast_interruption = interrupted
    service._report_assistant_response_started = begin_answer
    service._report_llm_text = report_text
    service._handle_tool_use_event = use_tool
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


async def open_again(service: Any) -> None:
    """Open another session. It is told the conversation by `begin`."""
    await service._disconnect()
    await service._start_connecting()


def check() -> None:
    """Check that everything this module uses is there.

    Raises:
        CompatError: Something is missing.
    """
    needed = [(AWSNovaSonicLLMService, name) for name in _USED]
    check_attributes("pipecat-ai", needed, written_for=PIPECAT, used_in=__name__)


check()
