"""The protocol of a leg. Whatever kind of caller it is, it rings, is answered, carries audio, and ends.

A leg owns its connection, and nothing of the call. It tells its call what the caller does through a
`LegListener`; the call tells it what to do through the methods of `Leg`, none of which waits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from piopiy_pipeline.call import CallKind, EndReason, TransferOutcomeName
from piopiy_pipeline.signaling.messages import ConversationEvent, Transfer
from piopiy_pipeline.token_bucket import TokenBucket

__all__ = [
    "AUDIO_AT_ONCE_S",
    "TOO_MUCH_AUDIO",
    "AudioBucket",
    "Leg",
    "LegListener",
    "SoundSource",
    "TransferDone",
]

AUDIO_AT_ONCE_S = 10.0
"""So many seconds of a caller's audio are taken at once: what a network brings that has stood still. A caller whose
connection takes nothing for as long is gone, too."""
AUDIO_PACE = 1.25
"""How much faster than time audio is taken in the long run: clocks differ, and who was late catches up."""
LEAST_PIECE_S = 0.002
"""A message counts as so many seconds at least, because each takes its time: browsers send 128 samples, 2.7 ms."""
TOO_MUCH_AUDIO = f"audio comes faster than time: {AUDIO_AT_ONCE_S:g} s of it at once are the limit"
"""The fault of a caller who sends more."""

SoundSource = Literal["bot", "bridge", "hold", "nobody"]
"""Whose sound a caller hears: the bot's, that of whoever they were put through to, or the gateway's own: while they are
on hold, or while no agent has the call."""

TransferDone = Callable[[TransferOutcomeName, str, float], None]
"""Is told what became of a transfer, why in a sentence, and the time in seconds."""


class AudioBucket:
    """Counts a caller's audio that comes over a WebSocket, where a peer can send as fast as it likes, and would make
    all other calls late.

    Args:
        now: The event loop's time in seconds.
    """

    def __init__(self, now: float) -> None:
        self._seconds = TokenBucket(AUDIO_PACE, now, at_once=AUDIO_AT_ONCE_S)

    def take(self, now: float, pcm: bytes, rate: int) -> bool:
        """Count a message of PCM16 at `rate` Hz. Returns False if that is too much: `TOO_MUCH_AUDIO`."""
        return self._seconds.take(now, max(len(pcm) / 2 / rate, LEAST_PIECE_S))


class LegListener(Protocol):
    """Receives what a caller does. Audio is PCM16 little-endian mono at the leg's rate."""

    def caller_audio(self, pcm: bytes) -> None:
        """Take what the caller said: PCM16 of whole samples, in pieces of any size."""

    def caller_dtmf(self, digits: str) -> None:
        """Take telephone keys that the caller pressed."""

    def caller_data(self, data: dict[str, Any]) -> None:
        """Take a message of the caller's application."""

    def caller_hangup(self, now: float, detail: str = "") -> None:
        """Handle that the caller hung up or was lost. `now` is the event loop's time in seconds."""


class Leg(ABC):
    """The connection of one caller. No method waits, and every method is safe to call after the end."""

    kind: CallKind
    rate: int
    """The sample rate of both directions in Hz."""

    @property
    def hears(self) -> bool:
        """Whether the caller is there to hear the bot. Until then what the bot says waits, and counts as unheard."""
        return True

    @property
    def frames_dropped(self) -> int:
        """How many frames were dropped because the caller's connection did not take them."""
        return 0

    def line_quality(self) -> dict[str, Any]:
        """Return what was measured on the line: counts of packets, times in milliseconds; empty where nothing is."""
        return {}

    @abstractmethod
    def attach(self, listener: LegListener) -> None:
        """Report to this listener, from now on, what the caller does."""

    @abstractmethod
    def ring(self, call_id: str) -> None:
        """Let the caller hear ringing: an agent is being asked. The call is known under this id."""

    @abstractmethod
    def answer(self) -> None:
        """Answer the call: the bot can hear and speak, and audio may flow in both directions."""

    @abstractmethod
    def send_audio(self, pcm: bytes) -> None:
        """Play 20 ms to the caller now.

        Args:
            pcm: PCM16 little-endian mono at the leg's rate. While the bot is silent, nothing is sent.
        """

    def sound_from(self, source: SoundSource) -> None:
        """Show the caller whose sound the next audio is, if the caller can show it. Called when it changes; without a
        word it is the bot's.
        """
        return

    def clear(self) -> None:
        """Drop audio that was sent and not heard yet, because the caller interrupted. This is for lines that
        buffer.
        """
        return

    @abstractmethod
    def conversation(self, event: ConversationEvent) -> None:
        """Show the caller an event of the conversation, if the caller can show it."""

    def cut_off(self, event: ConversationEvent) -> None:
        """Show the caller the turn of a bot whose agent is gone."""
        self.conversation(event)

    @abstractmethod
    def dtmf(self, digits: str) -> None:
        """Send telephone keys to the caller."""

    def refer(self, to: str, done: Callable[[bool, str, float], None]) -> bool:
        """Have the caller's own device call somebody else instead. The call ends here when that was accepted.

        Args:
            to: Whom the device is to call.
            done: Called once, later, with whether the device accepted, a detail, and the time in seconds.

        Returns:
            False if the device cannot do that: then `done` is not called.
        """
        return False

    def transfer(
        self,
        request: Transfer,
        done: TransferDone,
        *,
        from_number: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bool:
        """Have the caller's own network hand the caller over, warm or cold: it dials, and connects the two. The call
        ends here when that was done.

        Args:
            request: Whom to transfer to, and how.
            done: Called once, later, unless the call ends before.
            from_number: The number that whoever is called is to see. None: as the network does it.
            headers: SIP headers for whoever is called, where the network can send any.

        Returns:
            False if the network cannot do that: then `done` is not called.
        """
        return False

    @abstractmethod
    def data(self, data: dict[str, Any]) -> None:
        """Send a message to the caller's application."""

    @abstractmethod
    def end(self, reason: EndReason, detail: str) -> None:
        """Tell the caller that the call is over, and close. Called once, also when the caller hung up."""
