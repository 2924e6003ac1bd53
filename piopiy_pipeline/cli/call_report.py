"""What `piopiy call` reports of a call while it goes on, the latency of each answer, and the outcome.

The latencies are what a person would notice on the line, and the distances that one measures in the saved
recording. The module has values and a measurement, without I/O; the link feeds them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.testing.line.speech_detector import SpeechDetector
from piopiy_pipeline.testing.line.utterance_audio import Recording

__all__ = ["AnswerTimes", "CallOutcome", "CallReport", "PlacedSound", "TurnExchange"]


@dataclass(frozen=True, slots=True)
class CallReport:
    """Something to tell the user. `at` is in seconds since the caller dialled."""

    event: Literal[
        "ringing",
        "waiting",
        "answered",
        "lost",
        "resumed",
        "user",
        "bot",
        "turn",
        "tool",
        "latency",
        "error",
        "ended",
    ]
    at: float
    data: dict[str, Any] = field(default_factory=dict)


class PlacedSound(NamedTuple):
    """Audio of one side for the recording (left is the caller). Its first sample is at `position`."""

    side: Literal["left", "right"]
    position: int
    pcm: NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """How the call went. `failure` is a sentence that says why it does not count as a regular call."""

    reason: EndReason
    detail: str
    answered: bool
    duration_s: float
    voice_to_voice_ms: tuple[int, ...]
    barge_in_ms: tuple[int, ...]
    gaps_ms: tuple[int, ...]
    """Where the caller's telephone had nothing to play within the bot's speech, from 20 ms on (`HeardPlayout`)."""
    turns: int
    failure: str | None
    by_protocol: bool = False
    """Whether gateway and caller did not understand each other, which is no fault of the bot's."""
    recoveries: int = 0
    """How often the bot was lost, so that another instance had to go on."""


@dataclass(slots=True)
class TurnExchange:
    """One turn of the caller, and the bot's answer to it. Times are seconds of the link's clock."""

    number: int
    name: str
    spoke_at: float
    spoke_until: float
    barges_in: bool = False
    bot_sound_until: float = -inf
    """When the bot's interrupted speech was heard for the last time, in seconds of the link's clock."""
    answer_began_at: float | None = None
    reported: bool = False

    @property
    def voice_to_voice_ms(self) -> int | None:
        """Milliseconds from the end of the caller's speech to the beginning of the answer; None without an
        answer.
        """
        if self.answer_began_at is None:
            return None
        return round((self.answer_began_at - self.spoke_until) * 1000)

    @property
    def barge_in_ms(self) -> int | None:
        """Milliseconds for which the bot spoke on after the caller had begun; None if it was silent."""
        return round((self.bot_sound_until - self.spoke_at) * 1000) if self.barges_in else None


class AnswerTimes:
    """Measures when the bot answers each turn, and when it falls silent.

    Args:
        detector: Follows what the caller hears.
        report: Called once for each turn: when its answer begins, or it is certain that none comes.
    """

    def __init__(self, detector: SpeechDetector, report: Callable[[TurnExchange], None]) -> None:
        self.exchanges: list[TurnExchange] = []
        self._detector = detector
        self._report = report

    def began(self, recording: Recording, at: float, rate: int) -> None:
        """Take note that the caller begins to say a recording.

        Args:
            recording: What they say.
            at: When its first sample is spoken, in seconds of the link's clock.
            rate: Its sample rate in Hz.
        """
        self.close()
        start, end = (at + sample / rate for sample in recording.speech)
        self.exchanges.append(TurnExchange(len(self.exchanges) + 1, recording.name, start, end))

    def heard(self, new_stretch: float | None) -> None:
        """Take note of audio that was heard, and tell an answer from the rest of what was interrupted.

        Args:
            new_stretch: When a new stretch of sound began in it, in seconds, if one did.
        """
        if not self.exchanges:
            return
        exchange, detector = self.exchanges[-1], self._detector
        if exchange.answer_began_at is not None:
            return
        if new_stretch is not None and new_stretch >= exchange.spoke_until:
            exchange.answer_began_at = new_stretch
            self.close()
            return
        if detector.last_sound_at > exchange.spoke_at >= detector.stretch_began_at:
            exchange.barges_in = True
        if exchange.barges_in:
            exchange.bot_sound_until = detector.last_sound_at

    def close(self) -> None:
        """Report the last turn, if it was not reported yet."""
        if self.exchanges and not self.exchanges[-1].reported:
            self.exchanges[-1].reported = True
            self._report(self.exchanges[-1])
