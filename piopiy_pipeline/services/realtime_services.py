"""Speech-to-speech services: which are, what their sessions can do, and how they are told who decides on turns."""

from __future__ import annotations

import sys
from typing import Any, get_args

from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.compat.turn_advice import leave_out_turn_advice
from piopiy_pipeline.services.realtime_dialects import dialect_of

__all__ = [
    "detects_turns",
    "has_known_protocol",
    "is_gemini_live",
    "is_nova_sonic",
    "is_realtime",
    "is_ultravox",
    "leave_turns_to_us",
    "may_leave_answers",
]


def is_realtime(stage: object) -> bool:
    """Return whether a stage is a model that hears and speaks itself."""
    if not isinstance(stage, LLMService):
        return False
    leave_out_turn_advice(stage)
    return stage.service_metadata_frame().is_realtime_service


def detects_turns(service: FrameProcessor) -> bool:
    """Return whether the provider decides when the caller's turn is over."""
    assert isinstance(service, LLMService)
    return (
        is_ultravox(service)
        or is_nova_sonic(service)
        or service.service_metadata_frame().user_turn_strategies is not None
    )


def may_leave_answers(service: FrameProcessor) -> bool:
    """Return whether a session can detect turns, and leave it to this side to cut answers off and ask for them.

    OpenAI, Inworld and Azure Voice Live publish `create_response` and `interrupt_response` for it. Of others it is not
    known.
    """
    dialect = dialect_of(service)
    return dialect is not None and dialect.leaves_answers


def is_gemini_live(service: FrameProcessor) -> bool:
    """Return whether this is pipecat's service for Google's Gemini Live, or for the same at Vertex AI."""
    return _is_a(service, "GeminiLiveLLMService")


def is_ultravox(service: FrameProcessor) -> bool:
    """Return whether this is pipecat's service for Ultravox."""
    return _is_a(service, "UltravoxRealtimeLLMService")


def is_nova_sonic(service: FrameProcessor) -> bool:
    """Return whether this is pipecat's service for Amazon Nova Sonic, with a model that takes texts beside speech: the
    first generation does not.
    """
    model = getattr(getattr(service, "settings", None), "model", None)
    return _is_a(service, "AWSNovaSonicLLMService") and model != "amazon.nova-sonic-v1:0"


def _is_a(service: FrameProcessor, name: str) -> bool:
    """Return whether a service is of a class, which is not imported for it: that takes a provider's package."""
    return any(kind.__name__ == name for kind in type(service).__mro__)


def has_known_protocol(service: FrameProcessor) -> bool:
    """Return whether it is known how to tell the service's provider what to say, and what was heard."""
    return (
        dialect_of(service) is not None
        or is_gemini_live(service)
        or is_ultravox(service)
        or is_nova_sonic(service)
    )


def leave_turns_to_us(service: FrameProcessor) -> None:
    """Switch the provider's turn detection off, in the settings of a service that does not run yet.

    Raises:
        ValueError: It is not known how, for this service.
    """
    if is_gemini_live(service):
        from piopiy_pipeline.compat.gemini_session import leave_turns

        leave_turns(service)  # type: ignore[arg-type]
        return
    properties: Any = getattr(getattr(service, "settings", None), "session_properties", None)
    if dialect_of(service) is not None and properties is not None:
        if "turn_detection" in type(properties).model_fields:
            properties.turn_detection = None
        else:
            events = sys.modules[type(properties).__module__]
            audio = properties.audio or events.AudioConfiguration()
            audio.input = audio.input or events.AudioInput()
            off = bool in _types_of(type(audio.input), "turn_detection")
            audio.input.turn_detection = False if off else None  # OpenAI's None is its default, which is on
            properties.audio = audio
    if detects_turns(service):
        raise ValueError(
            f"the turns of {type(service).__name__} are the provider's: leave turns= out, or switch its turn detection "
            "off where you make it"
        )


def _types_of(model: Any, field: str) -> tuple[Any, ...]:
    """Return the types that a field of a pydantic model may have."""
    return get_args(model.model_fields[field].annotation)
