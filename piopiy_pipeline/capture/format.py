"""The parts of a captured call: their names, and the models of their lines.

The models forbid unknown keys. So a file made by something else, or by a later version, is refused with an
error message instead of being half understood.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from piopiy_pipeline.call import CallInfo

__all__ = [
    "BOT",
    "CALLER",
    "EVENTS",
    "EXCHANGES",
    "FORMAT",
    "META",
    "VERSION",
    "CaptureError",
    "CapturedCallInfo",
    "EventLine",
    "ExchangeLine",
    "Kind",
    "Meta",
    "StageLine",
    "speech_file",
]

FORMAT = "piopiy-call"
VERSION = 2
"""The latest version: it has the messages of speech-to-speech models. A capture without them is of version 1."""

META = "meta.json"
EVENTS = "events.jsonl"
EXCHANGES = "exchanges.jsonl"
CALLER = "caller.wav"
BOT = "bot.wav"

Kind = Literal["stt", "llm", "tts", "realtime"]


_Rate = Annotated[int, Field(ge=8000, le=48_000)]
"""A sample rate in Hz."""
_Time = Annotated[float, Field(ge=-86_400, le=7 * 86_400)]
"""Seconds since the call was answered. What came before the answer is below 0."""


class CaptureError(ValueError):
    """A capture cannot be read or written. The message names the file."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")


def speech_file(rate: int) -> str:
    """Return the name of the WAV with the audio that network TTS providers sent at `rate` Hz."""
    return f"speech-{rate}.wav"


class _JsonLine(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CapturedCallInfo(_JsonLine):
    """A `CallInfo` as it is written."""

    agent_id: str
    call_id: str
    from_number: str | None = None
    to_number: str | None = None
    metadata: dict[str, Any] | None = None
    kind: Literal["phone", "browser", "stream", "recorded", "text"] = "stream"

    def info(self) -> CallInfo:
        """Return it as the value that a session takes."""
        return CallInfo(**self.model_dump())


class StageLine(_JsonLine):
    """A stage of the chain: its name, its class, and whether it asks a network provider."""

    name: str
    stage: str
    network: bool = False


class Meta(_JsonLine):
    """`meta.json`: what the file is, and whose call it holds."""

    format: Literal["piopiy-call"] = "piopiy-call"
    version: int = 1
    started_at: str
    """When the call was answered, ISO 8601 in UTC."""
    call: CapturedCallInfo
    caller_rate: _Rate
    bot_rate: _Rate
    software: dict[str, str] = {}
    stages: list[StageLine] = []
    resumed: dict[str, Any] | None = None
    """The conversation that this call went on with, when another instance of the agent had been lost."""
    complete: bool = False
    """Whether the call was captured to its end."""
    problem: str = ""
    """Why it was not, or what was left out."""


class EventLine(_JsonLine):
    """A line of `events.jsonl`. `at` is in seconds since the call was answered."""

    at: _Time
    kind: str
    data: dict[str, Any] = {}


class ExchangeLine(_JsonLine):
    """A line of `exchanges.jsonl`: a request to a network provider, or a part of its answer.

    `id` is the number of the request; it is 0 for an STT, which is sent audio all the time. Of a speech-to-speech
    model it is the number of the connection, and a line is a message.
    """

    at: _Time
    stage: Kind
    service: str
    id: int
    kind: str
    data: dict[str, Any] = {}
    number: int = Field(default=0, exclude=True)
    """The number of the line in its file, from 1 on, for lines that were read; it is not written."""
