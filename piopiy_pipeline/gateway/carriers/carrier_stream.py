"""What the carriers' media streams have in common, as a state machine without I/O.

A carrier connects and says who calls (start); then come the caller's sound and keys, until it says stop
or closes. It is sent sound, a word to forget what it has buffered, and, where it knows such a thing, a
mark that it sends back when all sound before it has been played. What differs from carrier to carrier
is how that is written: a subclass each.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from piopiy_pipeline.gateway.carriers.audio_format import AudioFormat

__all__ = [
    "CarrierAudio",
    "CarrierError",
    "CarrierMessage",
    "CarrierStart",
    "CarrierStream",
    "Heard",
    "JsonStream",
    "KeysPressed",
    "MalformedStreamMessage",
    "MarkPlayed",
    "Name",
    "Number",
    "Parameters",
    "StreamStopped",
    "Wire",
]

Wire = str | bytes
"""What goes over the socket: text or binary."""
PARAMETERS_LIMIT = 8 << 10
"""How many bytes the custom parameters of a call may have as JSON."""

_KEYS = re.compile(r"[0-9A-D*#]{1,64}")


class CarrierError(Exception):
    """This stream cannot go on. The text is a sentence for whoever set it up."""


class MalformedStreamMessage(ValueError):
    """A message that is none: it is left out. A stream of nothing else is given up by whoever reads it."""


@dataclass(frozen=True, slots=True)
class CarrierStart:
    """A call, as its carrier tells it. Ids are the carrier's own; `parameters` are the operator's."""

    call_id: str
    stream_id: str = ""
    account_id: str = ""
    from_number: str | None = None
    to_number: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CarrierAudio:
    """The caller's sound: PCM16 little-endian mono at the stream's rate."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class KeysPressed:
    """The caller pressed these."""

    digits: str


@dataclass(frozen=True, slots=True)
class MarkPlayed:
    """The sound before the mark of this name has been played."""

    name: str


@dataclass(frozen=True, slots=True)
class StreamStopped:
    """The call is over, or its stream is."""


Heard = CarrierStart | CarrierAudio | KeysPressed | MarkPlayed | StreamStopped


class CarrierStream(ABC):
    """One stream. `format` is that of both directions, and final once a `CarrierStart` was heard."""

    format: AudioFormat

    def opened(self) -> list[Heard]:
        """What the connection alone tells: a start, where the carrier sends none."""
        return []

    @abstractmethod
    def text(self, data: bytes) -> list[Heard]:
        """A text message. Raises `MalformedStreamMessage`, or `CarrierError` where the stream cannot go on."""

    @abstractmethod
    def binary(self, data: bytes) -> list[Heard]:
        """A binary message. Raises as `text` does."""

    @abstractmethod
    def audio(self, frame: bytes) -> list[Wire]:
        """20 ms for the caller, as PCM16. Sound that a carrier wants in larger pieces is gathered: see `rest`."""

    def rest(self) -> list[Wire]:
        """The sound that was gathered: no more follows for now."""
        return []

    @property
    def gathers(self) -> bool:
        """Whether `rest` has something."""
        return False

    def clear(self) -> list[Wire]:
        """Forget the sound that has not been played yet, also what was gathered here."""
        return []

    def mark(self, name: str) -> list[Wire]:
        """Ask for `MarkPlayed` after the sound so far; nothing where the carrier knows no marks."""
        return []

    def dtmf(self, digits: str) -> list[Wire]:
        """Send keys; nothing where the carrier cannot."""
        return []

    def farewell(self) -> list[Wire]:
        """What is said before the stream is closed from here."""
        return []


def _to_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Name = Annotated[str, BeforeValidator(_to_text), Field(max_length=512)]
"""An id or a number; some carriers send numbers as numbers."""
Number = Annotated[int, Field(ge=0, le=10**15)]
Parameters = dict[Annotated[str, Field(max_length=512)], Any]

M = TypeVar("M", bound="CarrierMessage")


class CarrierMessage(BaseModel):
    """A part of a carrier's message. The protocol is not ours: what is not known is left out."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @classmethod
    def read(cls: type[M], value: Any) -> M:
        """Raises `CarrierError`, naming the field."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in problem["loc"])
            raise CarrierError(
                f"the start of the stream is not as documented: {where}: {problem['msg']}"
            ) from None


Event = Literal["connected", "start", "media", "dtmf", "mark", "stop", "error", "other"]


class JsonStream(CarrierStream):
    """A stream whose messages are JSON objects with an ``event``, and whose sound is base64 within them."""

    EVENTS: ClassVar[Mapping[str, Event]]
    """What each event of the carrier's is. Others are left out."""

    def __init__(self, sound: AudioFormat) -> None:
        self.format = sound
        self.stream_id = ""
        self._started = False
        self._stopped = False

    # ------------------------------------------------------------------ what differs

    @abstractmethod
    def start(self, message: dict[str, Any]) -> CarrierStart:
        """The call, of the start message; sets `format`. Raises `CarrierError`."""

    @abstractmethod
    def media(self, payload: str) -> dict[str, Any]:
        """The message with this sound."""

    def marked(self, message: dict[str, Any]) -> str:
        """The name in a mark that came back."""
        return _string(_object(message, "mark"), "name")

    def decode(self, payload: bytes) -> bytes:
        """The caller's sound as PCM16."""
        return self.format.decode(payload)

    def ordered(self, media: dict[str, Any], pcm: bytes) -> Iterable[bytes]:
        """The sound to be heard now that this piece has come."""
        return (pcm,)

    # ------------------------------------------------------------------ what does not

    def text(self, data: bytes) -> list[Heard]:
        message = parse_object(data)
        if self._stopped:
            return []
        match self.EVENTS.get(_string(message, "event"), "other"):
            case "start":
                if self._started:
                    raise CarrierError("a second start on one stream")
                start = self.start(message)
                check_parameters(start.parameters)
                self._started, self.stream_id = True, start.stream_id
                return [start]
            case "media" if self._started:
                return self._media(_object(message, "media"))
            case "dtmf" if self._started:
                return keys(_object(message, "dtmf").get("digit"))
            case "mark" if self._started:
                return [MarkPlayed(self.marked(message))]
            case "stop":
                self._stopped = True
                return [StreamStopped()]
            case "error":
                raise CarrierError(f"the carrier reports an error: {json.dumps(message)[:500]}")
        return []

    def binary(self, data: bytes) -> list[Heard]:
        raise MalformedStreamMessage(f"a binary message of {len(data)} bytes, where all is text")

    def _media(self, media: dict[str, Any]) -> list[Heard]:
        if media.get("track", "inbound") not in ("inbound", "inbound_track"):
            return []  # the bot's own voice
        try:
            payload = base64.b64decode(_string(media, "payload"), validate=True)
        except (binascii.Error, ValueError):
            raise MalformedStreamMessage("media whose payload is not base64") from None
        pcm = self.decode(payload)
        return [CarrierAudio(piece) for piece in self.ordered(media, pcm) if piece]

    def audio(self, frame: bytes) -> list[Wire]:
        return [dumps(self.media(base64.b64encode(self.format.encode(frame)).decode("ascii")))]


# ---------------------------------------------------------------------- for the carriers' files


def dumps(message: Any) -> str:
    """JSON as it goes over the wire."""
    return json.dumps(message, separators=(",", ":"))


def parse_object(data: bytes) -> dict[str, Any]:
    """A JSON object. Raises `MalformedStreamMessage`."""
    try:
        # Strict: halves of characters and NaN could be passed on to nobody.
        message = from_json(data, allow_inf_nan=False)
    except ValueError:
        raise MalformedStreamMessage("a message that is not JSON") from None
    if not isinstance(message, dict):
        raise MalformedStreamMessage(f"a message that is no JSON object, but a {type(message).__name__}")
    return message


def keys(digit: Any) -> list[Heard]:
    """The keys of a message. Raises `MalformedStreamMessage` if they are none."""
    digits = str(digit).upper() if isinstance(digit, str | int) and not isinstance(digit, bool) else ""
    if not _KEYS.fullmatch(digits):
        raise MalformedStreamMessage("keys that are none")
    return [KeysPressed(digits)]


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Refuse custom parameters that are too large. Raises `CarrierError`."""
    size = len(json.dumps(parameters))
    if size > PARAMETERS_LIMIT:
        raise CarrierError(f"custom parameters of {size} bytes: {PARAMETERS_LIMIT} are the limit")


def _object(message: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = message.get(name)
    if not isinstance(value, dict):
        raise MalformedStreamMessage(f"a message without {name}")
    return value


def _string(message: Mapping[str, Any], name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str):
        raise MalformedStreamMessage(f"a message without {name}")
    return value
