"""What a scripted caller is made of: what it says, when, what it tells, and how its call went.

Values apart from the `Caller` that handles them, for those who print, save or assert them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.audio.speech import SpeechBounds
from piopiy_pipeline.call import EndReason

__all__ = ["CallOutcome", "CallReport", "Pace", "Pcm", "PlacedSound", "ScriptedUtterance", "TurnExchange"]

Pcm = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class ScriptedUtterance:
    """One turn of the script: mono PCM at the call's rate, and where in it somebody speaks."""

    name: str
    pcm: Pcm
    speech: SpeechBounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When a caller speaks, and when they give up. All in seconds.

    The caller speaks `settle_s` after the last sound, once the bot's turn was reported as finished.
    Without that report they speak after `patience_s` in which nothing happened, and when the bot
    never said anything after `no_answer_s` (`no_greeting_s` at the beginning). With `interrupt_s`
    they speak that long after the bot began its answer, if it is still speaking. When the script
    is over they hang up after `hangup_after_s` in which nothing happened; `limit_s` bounds it all.
    """

    settle_s: float = 0.5
    patience_s: float = 2.5
    no_greeting_s: float = 4.0
    no_answer_s: float = 8.0
    interrupt_s: float | None = None
    hangup_after_s: float = 15.0
    limit_s: float = 300.0


@dataclass(frozen=True, slots=True)
class CallReport:
    """Something to tell the user. `at` is in seconds since the caller dialled."""

    event: Literal["ringing", "answered", "user", "bot", "turn", "tool", "latency", "error", "ended"]
    at: float
    data: dict[str, Any] = field(default_factory=dict)


class PlacedSound(NamedTuple):
    """Audio of one side for the recording (left is the caller), its first sample at `position`."""

    side: Literal["left", "right"]
    position: int
    pcm: Pcm


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How the call went. `failure` says in a sentence why it does not count as a regular call."""

    reason: EndReason
    detail: str
    answered: bool
    duration_s: float
    voice_to_voice_ms: tuple[int, ...]
    barge_in_ms: tuple[int, ...]
    turns: int
    failure: str | None


@dataclass(slots=True)
class TurnExchange:
    """One turn of the caller, and the bot's answer to it. Positions are in samples sent."""

    number: int
    utterance: ScriptedUtterance
    position: int
    barges_in: bool = False
    bot_sound_until: float = -inf  # the last sound of what the bot was saying when it was interrupted
    answer_began_at: float | None = None
    reported: bool = False

    @property
    def speech_start(self) -> int:
        return self.position + self.utterance.speech.start

    @property
    def speech_end(self) -> int:
        return self.position + self.utterance.speech.end
