"""The events of one call's media stream (``/media/{call_id}``), as text messages between its binary audio.

`AgentMediaEvent` goes from the agent to the gateway, `GatewayMediaEvent` the other way. Positions are
samples at the agent's `bot_rate`; an epoch is the speech between two `Clear`s.

A gateway says in the answer to the WebSocket's request which events beyond the first version's it takes
(`FEATURES_HEADER`). An agent sends those to no other gateway, because it would end the call over them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from piopiy_pipeline.fault_text import TextForm
from piopiy_pipeline.signaling.json_messages import Message, parser, without_none

__all__ = [
    "FEATURES",
    "FEATURES_HEADER",
    "AgentMediaEvent",
    "CalmPieces",
    "Clear",
    "Cleared",
    "DataMessage",
    "Dtmf",
    "GatewayMediaEvent",
    "Held",
    "Hold",
    "Keys",
    "MediaStart",
    "MediaStop",
    "Played",
    "Resume",
    "parse_agent_media",
    "parse_gateway_media",
    "sends_calm_pieces",
    "sends_pieces",
    "takes_holds",
]

FEATURES_HEADER = "Piopiy-Media-Features"
"""The header in which a gateway names what its media streams can do, as words between commas."""
FEATURES = "hold, pieces, calm"
"""What today's gateway can do: ``hold`` is `Hold` and `Resume`, ``pieces`` is `MediaStart.caller_piece_ms`, ``calm`` is
`CalmPieces`."""


def takes_holds(features: str | None) -> bool:
    """Return whether a gateway takes `Hold` and `Resume`, by the value of its header; None if there is none."""
    return "hold" in _words(features)


def sends_pieces(features: str | None) -> bool:
    """Return whether a gateway takes `MediaStart.caller_piece_ms`, by the value of its header."""
    return "pieces" in _words(features)


def sends_calm_pieces(features: str | None) -> bool:
    """Return whether a gateway takes `CalmPieces`, by the value of its header."""
    return "calm" in _words(features)


def _words(features: str | None) -> list[str]:
    return [word.strip() for word in (features or "").split(",")]


class MediaStart(Message):
    """The agent's first event: the rates of the two directions in Hz, and how often it wants `Played`.

    `caller_rate` is what it hears at (8 or 16 kHz), `bot_rate` what it speaks at (8, 16 or 24 kHz).
    The gateway resamples between these and the caller's own rate. With `caller_piece_ms` it sends what the caller says
    in pieces of so many milliseconds, or several of them, as soon as one is whole.
    """

    event: Literal["start"] = "start"
    caller_rate: Literal[8000, 16000]
    bot_rate: Literal[8000, 16000, 24000]
    played_every_ms: Annotated[int, Field(ge=20, le=1000)] = 200
    caller_piece_ms: Annotated[int, Field(ge=10, le=100)] | None = None

    @model_serializer(mode="wrap")
    def _for_older_gateways(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_none(serialize(self), "caller_piece_ms")


class CalmPieces(Message):
    """From now on, send what the caller says in pieces of about `ms` milliseconds while the line is quiet.

    0: no longer. A line is quiet when for 1.5 s nothing on it was as loud as speech is to an agent's VAD (-50 dBFS over
    32 ms). As soon as something is, what waits goes out with it.
    """

    event: Literal["calm_pieces"] = "calm_pieces"
    ms: Annotated[int, Field(ge=0, le=500)]


class Clear(Message):
    """Drop what is not played yet. Audio that follows this message belongs to `epoch`."""

    event: Literal["clear"] = "clear"
    epoch: Annotated[int, Field(gt=0)]


class Cleared(Message):
    """The answer to `Clear`: `position` samples of the epoch before `epoch` were played, and no more will be."""

    event: Literal["cleared"] = "cleared"
    epoch: int
    position: Annotated[int, Field(ge=0)]


class Hold(Message):
    """Be silent at once, with a fade of 20 ms, and throw nothing away. `Resume` or `Clear` follows.

    Speech goes on by itself when neither has come after three seconds.
    """

    event: Literal["hold"] = "hold"
    epoch: Annotated[int, Field(ge=0)]


class Held(Message):
    """The answer to `Hold`: `position` samples of `epoch` were played."""

    event: Literal["held"] = "held"
    epoch: int
    position: Annotated[int, Field(ge=0)]


class Resume(Message):
    """Go on with the speech that is held, from `position`; without one, from where it is held.

    An earlier position says speech again, two seconds of it at most. If nothing of the hold was heard, because this
    comes before the next frame is due, the speech goes on as if there had been no hold, whatever the position.
    """

    event: Literal["resume"] = "resume"
    position: Annotated[int, Field(ge=0)] | None = None


class Played(Message):
    """`position` samples of `epoch` have left the playout, at the agent's `bot_rate`.

    Sent with the first sample of each stretch of speech, every `played_every_ms` while it plays,
    and with `dry` true when nothing is left to play. It goes back where speech is said again.
    """

    event: Literal["played"] = "played"
    epoch: int
    position: Annotated[int, Field(ge=0)]
    dry: bool = False


Keys = Annotated[
    str, TextForm(r"^[0-9A-D*#]{1,64}$", "expected 1 to 64 keys, each one of 0 to 9, *, # and A to D")
]


class Dtmf(Message):
    """Keys, pressed by the caller or to be sent to them."""

    event: Literal["dtmf"] = "dtmf"
    digits: Keys


class DataMessage(Message):
    """A message between a client's application and the bot, passed on as it is."""

    event: Literal["message"] = "message"
    data: dict[str, Any]


class MediaStop(Message):
    """Says that no more audio follows in this direction."""

    event: Literal["stop"] = "stop"


AgentMediaEvent = Annotated[
    MediaStart | CalmPieces | Clear | Hold | Resume | Dtmf | DataMessage | MediaStop,
    Field(discriminator="event"),
]
GatewayMediaEvent = Annotated[
    Played | Cleared | Held | Dtmf | DataMessage | MediaStop, Field(discriminator="event")
]

parse_agent_media: Callable[[str | bytes], AgentMediaEvent] = parser(AgentMediaEvent)
"""An event that an agent sent on a media stream. Raises `ProtocolError`."""
parse_gateway_media: Callable[[str | bytes], GatewayMediaEvent] = parser(GatewayMediaEvent)
"""An event that a gateway sent on a media stream. Raises `ProtocolError`."""
