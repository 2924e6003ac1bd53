"""One call from offer to end: the author's handle (`Call`), its owner (`Session`), and what they are made of."""

from __future__ import annotations

import warnings

from piopiy_pipeline.session.call import DEFAULT_ERROR_LINE, Call, PipelineHook, current_call
from piopiy_pipeline.session.call_control import TransferOutcome
from piopiy_pipeline.session.call_state import CallState, Post
from piopiy_pipeline.session.events import CallError, ClientMessage, CollectionEvent
from piopiy_pipeline.session.hand_off.persona import Persona
from piopiy_pipeline.session.languages.spoken_language import SpokenLanguage
from piopiy_pipeline.session.limits.stream_limits import StreamLimits
from piopiy_pipeline.session.model.summaries import Summaries
from piopiy_pipeline.session.resumable_state import ResumableState, resumable_from
from piopiy_pipeline.session.session import Callback, Session
from piopiy_pipeline.session.silence_filler import Filler

__all__ = [
    "DEFAULT_ERROR_LINE",
    "Call",
    "CallError",
    "CallState",
    "Callback",
    "ClientMessage",
    "CollectionEvent",
    "Filler",
    "Persona",
    "PipelineHook",
    "Post",
    "ResumableState",
    "Session",
    "SpokenLanguage",
    "StreamLimits",
    "Summaries",
    "TransferOutcome",
    "current_call",
    "resumable_from",
]


def __getattr__(name: str) -> object:
    if name == "Adapt":  # until the next release
        warnings.warn("session.Adapt is now session.PipelineHook", DeprecationWarning, stacklevel=2)
        return PipelineHook
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
