"""Voice agents for phone and browser: one linear pipecat pipeline a call.

Names are loaded when they are first used, so that a command which needs neither pipecat nor
onnxruntime (the gateway, ``piopiy call``) never pays for them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from piopiy_pipeline._version import __version__

_HOMES = {
    "Agent": "agent",
    "AuthenticationError": "agent",
    "Call": "session",
    "CallEnd": "call",
    "CallInfo": "call",
    "CallPipeline": "pipeline",
    "ClientMessage": "session",
    "ContextSummary": "call",
    "EndReason": "call",
    "Filler": "session",
    "FlowStep": "call",
    "HandOff": "call",
    "LanguageChange": "call",
    "Persona": "session",
    "SpokenLanguage": "session",
    "SpokenText": "spoken_text",
    "StageError": "pipeline",
    "StreamLimits": "session",
    "Summaries": "session",
    "TransferOutcome": "session",
    "Turn": "call",
    "VoiceAgent": "voice_agent",
}

__all__ = [
    "Agent",
    "AuthenticationError",
    "Call",
    "CallEnd",
    "CallInfo",
    "CallPipeline",
    "ClientMessage",
    "ContextSummary",
    "EndReason",
    "Filler",
    "FlowStep",
    "HandOff",
    "LanguageChange",
    "Persona",
    "SpokenLanguage",
    "SpokenText",
    "StageError",
    "StreamLimits",
    "Summaries",
    "TransferOutcome",
    "Turn",
    "VoiceAgent",
    "__version__",
]

if TYPE_CHECKING:
    from piopiy_pipeline.agent.agent import Agent, AuthenticationError
    from piopiy_pipeline.call import (
        CallEnd,
        CallInfo,
        ContextSummary,
        EndReason,
        FlowStep,
        HandOff,
        LanguageChange,
        Turn,
    )
    from piopiy_pipeline.pipeline import CallPipeline, StageError
    from piopiy_pipeline.session import (
        Call,
        ClientMessage,
        Filler,
        Persona,
        StreamLimits,
        Summaries,
        TransferOutcome,
    )
    from piopiy_pipeline.spoken_text import SpokenText
    from piopiy_pipeline.voice_agent import VoiceAgent


def __getattr__(name: str) -> object:
    if name in _HOMES:
        if _HOMES[name] != "call":  # which needs no pipecat
            from piopiy_pipeline.log import import_pipecat

            import_pipecat()
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
