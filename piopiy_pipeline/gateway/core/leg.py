"""What every kind of caller looks like to the gateway: a leg that rings, is answered, carries audio, ends.

A leg owns its connection, and nothing of the call. It tells its call what the caller does through a
`LegListener`; the call tells it what to do through the methods of `Leg`, none of which waits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

from piopiy_pipeline.call import CallKind, EndReason
from piopiy_pipeline.signaling.messages import ConversationEvent

__all__ = ["Leg", "LegListener"]


class LegListener(Protocol):
    """What a leg tells its call. Audio is PCM16 little-endian mono at the leg's rate."""

    def caller_audio(self, pcm: bytes) -> None:
        """The caller's sound, in pieces of any size of whole samples."""

    def caller_dtmf(self, digits: str) -> None:
        """The caller pressed keys."""

    def caller_data(self, data: dict[str, Any]) -> None:
        """The caller's application sent a message."""

    def caller_hangup(self, now: float, detail: str = "") -> None:
        """The caller hung up or is gone. `now` is the event loop's time in seconds."""


class Leg(ABC):
    """One caller's line. Nothing here waits, and everything is safe to call after the end."""

    kind: CallKind
    rate: int
    """The sample rate of both directions in Hz."""

    @property
    def frames_dropped(self) -> int:
        """Frames that were left out because the caller's connection did not take them."""
        return 0

    def line_quality(self) -> dict[str, Any]:
        """What is known of the line: packets counted, times in milliseconds; empty where nothing is measured."""
        return {}

    @abstractmethod
    def attach(self, listener: LegListener) -> None:
        """From now on, tell this call what the caller does."""

    @abstractmethod
    def ring(self, call_id: str) -> None:
        """The call is known under this id, and an agent is being asked."""

    @abstractmethod
    def answer(self) -> None:
        """The bot can hear and speak: audio may flow in both directions."""

    @abstractmethod
    def send_audio(self, pcm: bytes) -> None:
        """20 ms of sound, to be played now. None comes while the bot is silent."""

    def clear(self) -> None:
        """The caller interrupted: what was sent and has not been heard yet is not to be. For lines that buffer."""
        return

    @abstractmethod
    def conversation(self, event: ConversationEvent) -> None:
        """Something happened in the conversation: for callers that show it."""

    @abstractmethod
    def dtmf(self, digits: str) -> None:
        """Send keys to the caller."""

    def refer(self, to: str, done: Callable[[bool, str, float], None]) -> bool:
        """Have the caller's own device call `to` instead, where it can do that: False if it cannot.

        `done(accepted, detail, now)` is called later, once. The call ends for us when it was accepted.
        """
        return False

    @abstractmethod
    def data(self, data: dict[str, Any]) -> None:
        """Send a message to the caller's application."""

    @abstractmethod
    def end(self, reason: EndReason, detail: str) -> None:
        """The call is over: tell the caller, and close. Called once, also when the caller hung up."""
