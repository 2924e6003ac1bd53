"""`check_capture`: what a replay reads of a capture is there, before anything is replayed.

The lines of a capture are checked when they are read; what is in their data is the business of whoever needs it. So a
capture that was damaged, or made by something else, is refused here with one sentence that names file and line. What a
replay does not read may be as it likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from piopiy_pipeline.capture import CapturedCall, CaptureError
from piopiy_pipeline.capture.format import EVENTS, EXCHANGES
from piopiy_pipeline.fault_text import fault_text

__all__ = ["check_capture"]

_Count = Annotated[int, Field(ge=0)]
_Seconds = Annotated[float, Field(ge=-1e6, le=1e6)]


class _Place(BaseModel):
    rate: Annotated[int, Field(ge=8000, le=48_000)]
    position: _Count
    samples: _Count


# ---------------------------------------------------------------------- requests and answers


class _Text(BaseModel):
    text: str


class _Problem(BaseModel):
    message: str


class _Asked(BaseModel):
    messages: list[Any]


class _ModelRequest(BaseModel):
    content: _Asked


class _NamedCall(BaseModel):
    name: str
    arguments: dict[str, Any]


class _ToolCalls(BaseModel):
    calls: list[_NamedCall]


class _VoiceRequest(BaseModel):
    content: _Text
    with_: _Count = Field(alias="with")


class _TimedText(BaseModel):
    word: str
    seconds: _Seconds


class _Transcript(BaseModel):
    text: str
    final: bool
    finalized: bool
    language: str | None


# ---------------------------------------------------------------------- OpenAI's messages


class _Item(BaseModel):
    item: dict[str, Any]


class _Session(BaseModel):
    session: dict[str, Any]


class _Identified(BaseModel):
    id: str


class _Response(BaseModel):
    response: _Identified


class _Requested(BaseModel):
    response: dict[str, Any] | None = None


class _Truncated(BaseModel):
    audio_end_ms: _Seconds


class _Audio(BaseModel):
    audio: _Place


# ---------------------------------------------------------------------- Google's messages


class _Sound(BaseModel):
    audio: _Place | None = None


class _Piece(BaseModel):
    inlineData: _Sound | None = None


class _Turn(BaseModel):
    parts: list[_Piece] | None = None


class _Content(BaseModel):
    modelTurn: _Turn | None = None


class _OfGoogle(BaseModel):
    serverContent: _Content | None = None
    toolCall: dict[str, Any] | None = None


class _Turns(BaseModel):
    turns: list[Any] | None = None


class _ToGoogle(BaseModel):
    setup: dict[str, Any] | None = None
    client_content: _Turns | None = None
    realtime_input: dict[str, Any] | None = None
    tool_response: dict[str, Any] | None = None


# ---------------------------------------------------------------------- events


class _EndReason(BaseModel):
    reason: str


class _Keys(BaseModel):
    digits: str


class _Message(BaseModel):
    data: dict[str, Any]


_EXCHANGES: Mapping[tuple[str, str], type[BaseModel]] = {
    ("llm", "request"): _ModelRequest,
    ("llm", "text"): _Text,
    ("llm", "tool_calls"): _ToolCalls,
    ("llm", "error"): _Problem,
    ("tts", "request"): _VoiceRequest,
    ("tts", "audio"): _Place,
    ("tts", "word"): _TimedText,
    ("tts", "error"): _Problem,
    ("stt", "transcript"): _Transcript,
    ("stt", "error"): _Problem,
}
_SENT: Mapping[str, type[BaseModel]] = {
    "session.update": _Session,
    "conversation.item.create": _Item,
    "conversation.item.truncate": _Truncated,
    "response.create": _Requested,
}
_RECEIVED: Mapping[str, type[BaseModel]] = {
    "session.created": _Session,
    "response.created": _Response,
    "response.done": _Response,
}
_EVENTS: Mapping[str, type[BaseModel]] = {
    "user_turn": _Text,
    "bot_turn": _Text,
    "tool": _NamedCall,
    "end": _EndReason,
    "dtmf": _Keys,
    "message": _Message,
}


def check_capture(capture: CapturedCall) -> None:
    """Check what a replay reads of a capture.

    Raises:
        CaptureError: Something is missing, or is not what it has to be. The message names the file and the line.
    """
    for number, line in enumerate(capture.exchanges, 1):
        for model in _models_of(line.stage, line.kind, line.data):
            _check(capture, f"{EXCHANGES}, line {number}: {line.stage} {line.kind}", model, line.data)
    for event in capture.events:
        if (model_of := _EVENTS.get(event.kind)) is not None:
            _check(capture, f"{EVENTS}: {event.kind} at {event.at:g} s", model_of, event.data)


def _models_of(stage: str, kind: str, data: dict[str, Any]) -> list[type[BaseModel]]:
    if stage != "realtime":
        found = _EXCHANGES.get((stage, kind))
        return [] if found is None else [found]
    message = data.get("type")
    if not isinstance(message, str):
        return [_ToGoogle if kind == "sent" else _OfGoogle] if kind in ("sent", "received") else []
    models = [(_SENT if kind == "sent" else _RECEIVED).get(message)]
    if kind == "received" and message.endswith("audio.delta"):
        models.append(_Audio)
    if kind == "received" and message.startswith("conversation.item.") and "item" in data:
        models.append(_Item)
    return [model for model in models if model is not None]


def _check(capture: CapturedCall, where: str, model: type[BaseModel], data: dict[str, Any]) -> None:
    try:
        model.model_validate(data, strict=False)
    except ValidationError as error:
        raise CaptureError(capture.path, f"{where}: {fault_text(error.errors()[0])}") from None
