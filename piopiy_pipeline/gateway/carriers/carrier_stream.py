"""What the media streams of all carriers have in common, as a state machine without I/O.

A carrier connects and says who calls (start). Then it sends the caller's audio and DTMF digits until it sends
stop or closes the connection. The gateway sends it audio, a message that clears its buffer, and, where the
carrier knows marks, a mark, which the carrier sends back when it has played all audio before it. A subclass
for each carrier says how these messages look.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from piopiy_pipeline.fault_text import fault_text
from piopiy_pipeline.gateway.access.strict_json import read_json
from piopiy_pipeline.gateway.carriers.audio_format import AudioFormat

__all__ = [
    "CarrierAudio",
    "CarrierError",
    "CarrierMessage",
    "CarrierStart",
    "CarrierStream",
    "JsonStream",
    "KeysPressed",
    "MalformedStreamMessage",
    "MarkPlayed",
    "Number",
    "Parameters",
    "StreamEvent",
    "StreamStopped",
    "Text",
    "Wire",
    "check_parameters",
    "object_in",
    "parse_base64",
    "parse_digits",
    "parse_object",
    "string_in",
]

Wire = dict[str, Any] | bytes
"""A message to the carrier: an object, which is sent as JSON text, or a binary message."""
PARAMETERS_LIMIT = 8 << 10
"""The largest size of a call's custom parameters, in bytes of JSON."""

_DIGITS = re.compile(r"[0-9A-D*#]{1,64}")


class CarrierError(Exception):
    """This stream cannot go on. The text is a sentence for the operator who set it up."""


class MalformedStreamMessage(ValueError):
    """A message that cannot be read. It is skipped; `CarrierLeg` closes a stream that has too many of them."""


@dataclass(frozen=True, slots=True)
class CarrierStart:
    """The call has begun. Ids are the carrier's own; `parameters` are the operator's."""

    call_id: str
    stream_id: str = ""
    account_id: str = ""
    from_number: str | None = None
    to_number: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CarrierAudio:
    """The caller's audio: PCM16 little-endian mono at the rate of the stream's format."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class KeysPressed:
    """The caller pressed these DTMF digits."""

    digits: str


@dataclass(frozen=True, slots=True)
class MarkPlayed:
    """The carrier has played all audio before the mark of this name."""

    name: str


@dataclass(frozen=True, slots=True)
class StreamStopped:
    """The call or its stream is over."""


StreamEvent = CarrierStart | CarrierAudio | KeysPressed | MarkPlayed | StreamStopped


class CarrierStream(ABC):
    """One stream of a carrier. Methods that build messages return a list of them, which may be empty."""

    format: AudioFormat
    """The format of both directions. It is final once a `CarrierStart` was returned."""

    def opened(self) -> list[StreamEvent]:
        """Return the events that the connection itself means: a start, if the carrier sends no message for it."""
        return []

    @abstractmethod
    def receive_text(self, data: bytes) -> list[StreamEvent]:
        """Parse a text message.

        Raises:
            MalformedStreamMessage: The message cannot be read.
            CarrierError: The stream cannot go on.
        """

    @abstractmethod
    def receive_binary(self, data: bytes) -> list[StreamEvent]:
        """Parse a binary message. Raises as `receive_text` does."""

    @abstractmethod
    def send_audio(self, pcm: bytes) -> list[Wire]:
        """Send the caller 20 ms of PCM16. A carrier that wants larger pieces gets them when one is full."""

    def flush(self) -> list[Wire]:
        """Send the audio that waits for a full piece: no more follows for now."""
        return []

    @property
    def waiting(self) -> bool:
        """Whether audio waits for a full piece."""
        return False

    def clear(self) -> list[Wire]:
        """Drop the audio that was not played yet, here and at the carrier."""
        return []

    def mark(self, name: str) -> list[Wire]:
        """Ask for `MarkPlayed` after the audio so far. Empty if the carrier knows no marks."""
        return []

    def dtmf(self, digits: str) -> list[Wire]:
        """Send DTMF digits to the caller. Empty if the carrier cannot."""
        return []

    def closing(self) -> list[Wire]:
        """Return the messages to send before the gateway closes the stream."""
        return []


def _to_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_to_text), Field(max_length=512)]
"""An id or a telephone number. Some carriers send them as JSON numbers."""
Number = Annotated[int, Field(ge=0, le=10**15)]
Parameters = dict[Annotated[str, Field(max_length=512)], Any]

M = TypeVar("M", bound="CarrierMessage")


class CarrierMessage(BaseModel):
    """A part of a carrier's message. Unknown fields are ignored, because the carrier may add some."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @classmethod
    def read(cls: type[M], value: Any) -> M:
        """Read a part of a message. Raises `CarrierError`, which names the field that is wrong."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
            raise CarrierError(
                f"the start of the stream is not as documented: {fault_text(problem)}"
            ) from None


class JsonStream(CarrierStream):
    """A stream whose messages are JSON objects with an ``event``, and whose audio is base64 in them.

    It handles the events ``start``, ``media``, ``dtmf``, ``mark`` and ``stop``, and ignores others.
    """

    MARK_EVENT: ClassVar[str] = "mark"
    """The carrier's event for a mark that it has played."""
    ERROR_EVENT: ClassVar[str | None] = None
    """The carrier's event for an error, which ends the stream."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self.format = audio_format
        self.stream_id = ""
        self._started = False
        self._stopped = False

    # ------------------------------------------------------------------ for each carrier to define

    @abstractmethod
    def start(self, message: dict[str, Any]) -> CarrierStart:
        """Read the start message, and set `format` if it says one. Raises `CarrierError`."""

    @abstractmethod
    def media(self, payload: str) -> dict[str, Any]:
        """Build the message that carries this base64 audio."""

    def mark_name(self, message: dict[str, Any]) -> str:
        """Return the name in a mark that was played."""
        return string_in(object_in(message, "mark"), "name")

    def decode(self, payload: bytes) -> bytes:
        """Decode the caller's audio to PCM16."""
        return self.format.decode(payload)

    def reorder(self, media: dict[str, Any], pcm: bytes) -> Iterable[bytes]:
        """Return the pieces of audio that are due now that this piece has come."""
        return (pcm,)

    # ------------------------------------------------------------------ CarrierStream

    def receive_text(self, data: bytes) -> list[StreamEvent]:
        message = parse_object(data)
        if self._stopped:
            return []
        match string_in(message, "event"):
            case "start":
                if self._started:
                    raise CarrierError("a second start on one stream")
                start = self.start(message)
                check_parameters(start.parameters)
                self._started, self.stream_id = True, start.stream_id
                return [start]
            case "media" if self._started:
                return self._media(object_in(message, "media"))
            case "dtmf" if self._started:
                return parse_digits(object_in(message, "dtmf").get("digit"))
            case self.MARK_EVENT if self._started:
                return [MarkPlayed(self.mark_name(message))]
            case "stop":
                self._stopped = True
                return [StreamStopped()]
            case self.ERROR_EVENT:
                raise CarrierError(f"the carrier reports an error: {json.dumps(message)[:500]}")
        return []

    def receive_binary(self, data: bytes) -> list[StreamEvent]:
        raise MalformedStreamMessage(f"a binary message of {len(data)} bytes, where all is text")

    def _media(self, media: dict[str, Any]) -> list[StreamEvent]:
        if media.get("track", "inbound") not in ("inbound", "inbound_track"):
            return []  # the bot's own audio
        pcm = self.decode(parse_base64(string_in(media, "payload")))
        return [CarrierAudio(piece) for piece in self.reorder(media, pcm) if piece]

    def send_audio(self, pcm: bytes) -> list[Wire]:
        return [self.media(base64.b64encode(self.format.encode(pcm)).decode("ascii"))]


# ---------------------------------------------------------------------- for the carriers' files


def parse_object(data: bytes) -> dict[str, Any]:
    """Parse a JSON object. Raises `MalformedStreamMessage`."""
    try:
        # Strict, because lone surrogates, NaN and what is beyond all numbers cannot be passed on as JSON.
        message = read_json(data)
    except ValueError:
        raise MalformedStreamMessage("a message that is not JSON") from None
    if not isinstance(message, dict):
        raise MalformedStreamMessage(f"a message that is no JSON object, but a {type(message).__name__}")
    return message


def parse_digits(digit: Any) -> list[StreamEvent]:
    """Read the DTMF digits of a message. Raises `MalformedStreamMessage` if they are none."""
    digits = str(digit).upper() if isinstance(digit, str | int) and not isinstance(digit, bool) else ""
    if not _DIGITS.fullmatch(digits):
        raise MalformedStreamMessage("keys that are none")
    return [KeysPressed(digits)]


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Check the size of custom parameters. Raises `CarrierError` if they are too large."""
    size = len(json.dumps(parameters))
    if size > PARAMETERS_LIMIT:
        raise CarrierError(f"custom parameters of {size} bytes: {PARAMETERS_LIMIT} are the limit")


def parse_base64(text: str) -> bytes:
    """Decode the base64 of a message's audio. Raises `MalformedStreamMessage` if it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedStreamMessage("audio that is not base64") from None


def object_in(message: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the object of this name in a message. Raises `MalformedStreamMessage` if there is none."""
    value = message.get(name)
    if not isinstance(value, dict):
        raise MalformedStreamMessage(f"a message without {name}")
    return value


def string_in(message: Mapping[str, Any], name: str) -> str:
    """Return the string of this name in a message. Raises `MalformedStreamMessage` if there is none."""
    value = message.get(name)
    if not isinstance(value, str):
        raise MalformedStreamMessage(f"a message without {name}")
    return value
