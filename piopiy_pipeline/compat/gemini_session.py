"""What this project uses of pipecat's service for Google's Gemini Live beyond its public interface.

The service has no public way to begin a conversation without an answer, to be asked for one, to be told something
beside the conversation, to be opened again, or to change what a session is set up with. What the caller says passes
through a function that is given here, because a session that is being opened does not hear it. Tools are in
`gemini_calls`.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from google.genai.types import AudioTranscriptionConfig, LiveConnectConfig, Modality
from pipecat.frames.frames import Frame, LLMFullResponseEndFrame, LLMFullResponseStartFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.google.gemini_live.llm import GeminiLiveLLMService, GeminiVADParams

from piopiy_pipeline.compat import check_attributes
from piopiy_pipeline.compat.gemini_connection import takes_nothing
from piopiy_pipeline.compat.pipecat import PIPECAT

__all__ = [
    "answer_given_up",
    "answers",
    "ask",
    "before_another",
    "begin_anew",
    "can_resume",
    "check",
    "forget_words",
    "hears",
    "is_connected",
    "is_ready",
    "lead_caller",
    "leave_turns",
    "note",
    "open_again",
    "preroll",
    "put_preroll",
    "seed",
    "session_of",
    "set_up_with",
    "tell_empty_answers",
    "tell_words",
    "turns_are_told",
    "user_speaks",
    "voice_of",
    "when_asked",
    "when_going_away",
    "when_ready",
    "words_so_far",
    "write_beside",
]

_USED = (
    "_bot_is_responding",
    "_complete_turn",
    "_connect",
    "_connection_task",
    "_context",
    "_create_single_response",
    "_disconnect",
    "_disconnecting",
    "_handle_context",
    "_handle_send_error",
    "_handle_server_message",
    "_handle_session_ready",
    "_handle_user_started_speaking",
    "_handle_user_stopped_speaking",
    "_is_gemini_3",
    "_inference_on_context_initialization",
    "_needs_initial_turn_complete_message",
    "_process_completed_function_calls",
    "_ready_for_realtime_input",
    "_reconnect",
    "_run_llm_when_session_ready",
    "_send_user_audio",
    "_session",
    "_session_resumption_handle",
    "create_client",
    "_system_instruction_from_init",
    "_user_audio_preroll_buffer",
    "_user_audio_preroll_buffer_sample_rate",
    "_user_is_speaking",
    "_user_transcription_buffer",
    "_push_user_transcription",
    "_vad_disabled",
)

MAX_WRITTEN = 8000
"""A text beside the conversation is cut behind so many characters."""


def leave_turns(service: GeminiLiveLLMService) -> None:
    """Switch the provider's turn detection off, before the service runs: turns are told it."""
    settings: Any = service.settings
    settings.vad = (settings.vad or GeminiVADParams()).model_copy(update={"disabled": True})
    service._vad_disabled = True


def answers(service: Any) -> bool:
    """Return whether something of an answer has come, and the answer is not over."""
    return bool(service._bot_is_responding)


def answer_given_up(service: Any) -> None:
    """Take note that nothing more comes of an answer."""
    service._bot_is_responding = False


def is_ready(service: Any) -> bool:
    """Return whether the provider knows the conversation, and hears."""
    return bool(service._ready_for_realtime_input)


def is_connected(service: Any) -> bool:
    """Return whether the connection stands, or is being made."""
    task = service._connection_task
    return task is not None and not task.done()


def session_of(service: Any) -> object:
    """Return the session of Google's client; None while there is none."""
    return service._session


def turns_are_told(service: Any) -> bool:
    """Return whether the provider is told when the caller speaks, and does not find out itself."""
    return bool(service._vad_disabled)


def user_speaks(service: Any) -> bool:
    """Return whether the provider was told that the caller speaks, and not yet that they have stopped."""
    return bool(service._user_is_speaking)


def hears(service: Any) -> bool:
    """Return whether what the caller says reaches the provider now."""
    stands = service._session is not None and not service._disconnecting
    return is_ready(service) and stands and not takes_nothing(service)


def can_resume(service: Any) -> bool:
    """Return whether the provider keeps the conversation for a session that is opened again."""
    return bool(service._session_resumption_handle)


def voice_of(service: Any) -> str | None:
    """Return the provider's name of the voice of the next session."""
    voice: str | None = service.settings.voice
    return voice


def set_up_with(service: Any, voice: str | None, *, instructed: bool) -> None:
    """Have the next session begin with a voice, and without what the provider has kept.

    Args:
        service: The service.
        voice: The provider's name of it.
        instructed: Whether the conversation has instructions, which then are the session's.
    """
    service._session_resumption_handle = None
    service.settings.voice = voice
    if instructed:
        service._system_instruction_from_init = None


async def begin_anew(service: Any, context: LLMContext) -> None:
    """Open a session that knows nothing but this conversation, of which it answers nothing."""
    service._session_resumption_handle = None
    service._context = context
    service._inference_on_context_initialization = False
    await service._disconnect()
    service._run_llm_when_session_ready = True
    await service._process_completed_function_calls(send_new_results=False)
    await service._connect()


def when_ready(service: Any, done: Callable[[], Awaitable[None]]) -> None:
    """Have a function called whenever a session stands, before anything of the provider's is read."""
    handle = service._handle_session_ready

    async def handled(session: Any) -> None:
        await handle(session)
        await done()

    service._handle_session_ready = handled


def before_another(service: Any, follows: Callable[[], Awaitable[None]]) -> None:
    """Have a function called before the service itself opens another session in the place of one that was lost."""
    reconnect = service._reconnect

    async def reconnected() -> None:
        await follows()
        await reconnect()

    service._reconnect = reconnected


def when_asked(service: Any, asks: Callable[[], None]) -> None:
    """Have a function called before the provider is asked to answer the conversation, whoever asks."""
    complete = service._complete_turn

    async def completed() -> None:
        asks()
        await complete()

    service._complete_turn = completed


def when_going_away(service: Any, goes: Callable[[], None]) -> None:
    """Have a function called when Google says that it ends the session soon (`goAway`): the service does nothing."""
    handle = service._handle_server_message

    async def handled(message: Any) -> None:
        if message.go_away:
            goes()
        await handle(message)

    service._handle_server_message = handled


def tell_empty_answers(
    service: Any, is_due: Callable[[], bool], *, in_doubt: Callable[[], None], goes_on: Callable[[], None]
) -> None:
    """Have an answer begin and end of which nothing has come: the end of a turn is all that the provider tells.

    The end of a turn that was interrupted is none of an empty answer. Some models end the turn that has used tools,
    some only the one that answers what these have returned. A model that is allowed to choose silence (`proactivity`)
    has chosen it.

    Args:
        service: The service, before it runs.
        is_due: Returns whether an answer was asked for, and nothing of it has come.
        in_doubt: Called at an end that is that of an empty answer if nothing else comes.
        goes_on: Called when something comes.
    """
    handle = service._handle_server_message
    ends_other = uses_tools = False  # the next end of a turn is that of something else, or may be

    async def handled(message: Any) -> None:
        nonlocal ends_other, uses_tools
        content, due = message.server_content, is_due()
        if message.tool_call:
            uses_tools = True
            goes_on()
        elif content and content.interrupted:
            ends_other = True
        elif content and (content.model_turn or content.output_transcription):
            ends_other = uses_tools = due = False
            goes_on()
        await handle(message)
        if content and content.turn_complete:
            was_other, used_tools = ends_other, uses_tools
            ends_other = uses_tools = False
            if not due or was_other or service.settings.proactivity:
                return
            if used_tools:
                in_doubt()
            else:
                await service.push_frame(LLMFullResponseStartFrame())
                await service.push_frame(LLMFullResponseEndFrame())

    service._handle_server_message = handled


Hear = Callable[[Any], Awaitable[None]]


def lead_caller(service: Any, take: Callable[[Hear, Frame], Awaitable[None]]) -> None:
    """Have a function called with all that the caller says, and with the beginning and the end of their turns.

    Args:
        service: The service, before it runs.
        take: Takes what tells it the provider, and the frame.
    """

    def led(hear: Hear) -> Hear:
        async def taken(frame: Any) -> None:
            await take(hear, frame)

        return taken

    for name in ("_send_user_audio", "_handle_user_started_speaking", "_handle_user_stopped_speaking"):
        setattr(service, name, led(getattr(service, name)))


def preroll(service: Any) -> tuple[bytes, int | None]:
    """Return the caller's audio from before a turn, which belongs to it, and its rate in Hz."""
    return bytes(service._user_audio_preroll_buffer), service._user_audio_preroll_buffer_sample_rate


def put_preroll(service: Any, audio: tuple[bytes, int | None]) -> None:
    """Put audio before the turn that is about to begin."""
    service._user_audio_preroll_buffer = bytearray(audio[0])
    service._user_audio_preroll_buffer_sample_rate = audio[1]


def words_so_far(service: Any) -> int:
    """Return how many characters of the caller's words have come that were not told yet."""
    return len(service._user_transcription_buffer)


def forget_words(service: Any) -> None:
    """Forget what was written down of the turn under way: another session writes it down from its beginning."""
    service._user_transcription_buffer = ""


async def tell_words(service: Any) -> None:
    """Tell them, although more might come."""
    words, service._user_transcription_buffer = service._user_transcription_buffer, ""
    if words.strip():
        await service._push_user_transcription(words)


async def seed(service: Any, context: LLMContext) -> None:
    """Tell the provider the conversation, and ask for no answer."""
    service._inference_on_context_initialization = False
    await service._handle_context(context, FrameDirection.DOWNSTREAM)


async def ask(service: Any, text: str | None) -> None:
    """Ask for an answer to the conversation, or to a text that is put behind it."""
    service._needs_initial_turn_complete_message = False  # this is one
    if text is None:
        await service._complete_turn()
    else:
        await service._create_single_response([{"role": "user", "content": text}])


async def note(service: Any, text: str) -> bool:
    """Put a text behind the conversation, and ask for nothing. Returns whether the session that stands has it."""
    if service._session is None:
        return False
    try:
        await service._session.send_client_content(turns=[_said(text)], turn_complete=False)
    except Exception as error:  # noqa: BLE001  whatever Google's client raises, as pipecat's own sends
        await service._handle_send_error(error)
        return False
    return True


async def write_beside(service: Any, text: str) -> str:
    """Have the model write something that is no part of the conversation: in a session of its own, which nobody hears.

    Raises:
        Exception: What Google's client raises.
    """
    modality = Modality(service.settings.modalities.value)
    config = LiveConnectConfig(
        response_modalities=[modality], output_audio_transcription=AudioTranscriptionConfig()
    )
    written = ""
    async with service._client.aio.live.connect(model=service.settings.model, config=config) as session:
        await session.send_client_content(turns=[_said(text)], turn_complete=True)
        if service._is_gemini_3:
            await session.send_realtime_input(text=" ")  # as pipecat does: else it waits for one
        async for message in session.receive():
            content = message.server_content
            if content is None:
                continue
            if content.output_transcription is not None:
                written += content.output_transcription.text or ""
            for part in (content.model_turn.parts or ()) if content.model_turn is not None else ():
                written += part.text or ""
            if len(written) > MAX_WRITTEN:
                break
    return written


def _said(text: str) -> Any:
    return {"role": "user", "parts": [{"text": text}]}


async def open_again(service: Any) -> None:
    """Open the session again; the provider is told the conversation, or has kept it."""
    await service._reconnect()


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
