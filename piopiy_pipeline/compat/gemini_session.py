"""What this project uses of pipecat's service for Google's Gemini Live beyond its public interface.

The service has no public way to begin a conversation without an answer, to be asked for one, to be told something
beside the conversation, or to be opened again.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.google.gemini_live.llm import GeminiLiveLLMService, GeminiVADParams

from piopiy_pipeline.compat import check_attributes
from piopiy_pipeline.compat.pipecat import PIPECAT

__all__ = [
    "answer_given_up",
    "answers",
    "ask",
    "check",
    "is_connected",
    "is_ready",
    "leave_turns",
    "note",
    "open_again",
    "seed",
    "session_of",
]

_USED = (
    "_bot_is_responding",
    "_complete_turn",
    "_connection_task",
    "_context",
    "_create_single_response",
    "_handle_context",
    "_inference_on_context_initialization",
    "_ready_for_realtime_input",
    "_reconnect",
    "_session",
    "_vad_disabled",
)


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


async def seed(service: Any, context: LLMContext) -> None:
    """Tell the provider the conversation, and ask for no answer."""
    service._inference_on_context_initialization = False
    await service._handle_context(context, FrameDirection.DOWNSTREAM)


async def ask(service: Any, text: str | None) -> None:
    """Ask for an answer to the conversation, or to a text that is put behind it."""
    if text is None:
        await service._complete_turn()
    else:
        await service._create_single_response([{"role": "user", "content": text}])


async def note(service: Any, text: str) -> None:
    """Put a text behind the conversation, and ask for nothing."""
    if service._session is not None:
        turns = [{"role": "user", "parts": [{"text": text}]}]
        await service._session.send_client_content(turns=turns, turn_complete=False)


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
