"""`OutgoingAudio`: what callers have said since the last half tick, until it goes to their agents, all at once.

A message wakes an agent, and that costs an agent of few calls more than what it does with the message. So the streams
of all calls are written one after the other, once a half tick. An agent's VAD scores what comes together in one batch.
"""

from __future__ import annotations

from math import gcd
from typing import Protocol

from piopiy_pipeline.audio.frame import FRAME_MS

__all__ = ["OutgoingAudio", "WaitingAudio"]


class WaitingAudio(Protocol):
    """A media stream with audio of a caller that waits for the half tick."""

    def send_waiting(self) -> None:
        """Send it. Does not raise."""


class OutgoingAudio:
    """The media streams of a gateway that have audio to send."""

    def __init__(self) -> None:
        self._streams: dict[WaitingAudio, None] = {}
        self._ticks = 0

    def add(self, stream: WaitingAudio) -> None:
        """Note that a stream has something to send. To do it twice changes nothing."""
        self._streams[stream] = None

    def discard(self, stream: WaitingAudio) -> None:
        """Forget a stream, because it is closed."""
        self._streams.pop(stream, None)

    def padding_bytes(self, waiting_bytes: int, *, frame_bytes: int, piece_bytes: int) -> int:
        """Return how much silence has to go before a stream, so that its pieces are whole when those of others are.

        Pieces of 32 ms are whole in five of eight half ticks. With this they are the same five for all calls, and an
        agent wakes 31 times a second for all of them, not 50.

        Args:
            waiting_bytes: What the stream has to send first, in a half tick.
            frame_bytes: What it has of a half tick.
            piece_bytes: The length of a piece.
        """
        cycle = piece_bytes // gcd(piece_bytes, frame_bytes)
        at_end_of_cycle = waiting_bytes + (-self._ticks % cycle) * frame_bytes
        return -at_end_of_cycle % piece_bytes

    def is_common_tick(self, every_ms: int) -> bool:
        """Return whether this half tick is one in which streams send that do so every so many milliseconds: for all of
        them it is the same one, so that an agent wakes once for all.
        """
        return self._ticks % max(1, every_ms // FRAME_MS) == 0

    def on_half_tick(self) -> None:
        """Send what waits, of all streams. To be called when all legs have had their half tick."""
        self._ticks += 1
        streams, self._streams = self._streams, {}
        for stream in streams:
            stream.send_waiting()
