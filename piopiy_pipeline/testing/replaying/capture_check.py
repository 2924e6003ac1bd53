"""`check_capture`: what a replay reads of a capture is there, before anything is replayed.

The lines of a capture are checked when they are read; what is in their data is the business of whoever needs it. So a
capture that was damaged, or made by something else, is refused here with one sentence that names file and line: its
damage would show as differences of the bot. What a replay does not read may be as it likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from piopiy_pipeline.capture import CapturedCall, CaptureError
from piopiy_pipeline.capture.format import EVENTS, EXCHANGES, ExchangeLine, speech_file
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


_ANY_KIND = frozenset({"end", "done", "cut", "error"})
_KINDS: Mapping[str, frozenset[str]] = {
    "stt": _ANY_KIND | {"transcript"},
    "llm": _ANY_KIND | {"request", "text", "tool_calls"},
    "tts": _ANY_KIND | {"request", "audio", "word"},
    "realtime": _ANY_KIND | {"opened", "closed", "sent", "received"},
}
"""What docs/recording-format.md lists."""


def check_capture(capture: CapturedCall) -> None:
    """Check what a replay reads of a capture.

    Raises:
        CaptureError: Something is missing, or is not what it has to be. The message names the file and the line.
    """
    _ = capture.caller, capture.bot
    opened: set[int] = set()
    begun = False
    lengths: dict[int, int] = {}
    for number, line in enumerate(capture.exchanges, 1):
        where = f"{EXCHANGES}, line {number}: {line.stage} {line.kind}"
        if line.kind not in _KINDS[line.stage]:
            raise CaptureError(capture.path, f"{where}: there is no such kind")
        if begun and line.at < 0:
            raise CaptureError(
                capture.path, f"{where}: it is at {line.at:g} s, behind what came after the answer"
            )
        begun = begun or line.at >= 0
        if line.stage == "realtime":
            if capture.meta.version < 2:
                raise CaptureError(capture.path, f"{where}: version 1 of the format has none")
            if line.kind == "opened":
                opened.add(line.id)
            elif line.id not in opened:
                raise CaptureError(capture.path, f"{where}: connection {line.id} was not opened before")
        for model in _models_of(line.stage, line.kind, line.data):
            _check(capture, where, model, line.data)
        for place in _places_in(line):
            if place.rate not in lengths:
                lengths[place.rate] = capture.speech(place.rate).size
            # A lost agent may have written less of the audio than of the lines.
            if capture.meta.complete and place.position + place.samples > lengths[place.rate]:
                file = speech_file(place.rate)
                raise CaptureError(capture.path, f"{where}: its audio is behind the end of {file}")
    for event in capture.events:
        if (model_of := _EVENTS.get(event.kind)) is not None:
            _check(capture, f"{EVENTS}: {event.kind} at {event.at:g} s", model_of, event.data)


def _places_in(line: ExchangeLine) -> list[_Place]:
    """Return where the audio of a line is, which was checked."""
    if line.stage == "tts" and line.kind == "audio":
        return [_Place.model_validate(line.data)]
    if line.stage != "realtime" or line.kind != "received":
        return []
    if isinstance(line.data.get("type"), str):
        sounding = str(line.data["type"]).endswith("audio.delta")
        return [_Audio.model_validate(line.data).audio] if sounding else []
    content = _OfGoogle.model_validate(line.data).serverContent
    turn = None if content is None else content.modelTurn
    sounds = [part.inlineData for part in (turn.parts if turn else None) or ()]
    return [sound.audio for sound in sounds if sound is not None and sound.audio is not None]


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
