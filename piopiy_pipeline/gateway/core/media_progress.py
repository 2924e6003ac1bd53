"""Whether the media stream of a call moves, by what the agent's heartbeats say of it. No I/O.

Signaling and media are two connections: one can stand while the other lives. Each heartbeat says how much audio the
agent has received and sent. What was sent at the heartbeat before, a quarter of a second ago, must have arrived
by now, or at least some of it. Heartbeats are counted, not seconds: an agent whose loop stood still sends none, and has
no lag that could be mistaken for a stream's.
"""

from __future__ import annotations

__all__ = ["MediaProgress"]


class MediaProgress:
    """The progress of one media stream. All counts are bytes of audio since it was opened."""

    STANDS = 5
    """After so many heartbeats without any progress, 1.25 s, the stream stands."""

    def __init__(self) -> None:
        self._to_agent = _Direction()
        self._from_agent = _Direction()

    def heartbeat(self, *, sent: int, heard: int, said: int, received: int) -> bool:
        """Take what a heartbeat says.

        Args:
            sent: What the gateway has sent.
            heard: What the agent has received of it.
            said: What the agent has sent.
            received: What the gateway has received of it.

        Returns:
            Whether the stream stands, in one direction at least.
        """
        to_agent = self._to_agent.count(sent, heard)
        from_agent = self._from_agent.count(said, received)
        return max(to_agent, from_agent) >= self.STANDS


class _Direction:
    def __init__(self) -> None:
        self._sent = 0
        self._arrived = 0
        self._standing = 0

    def count(self, sent: int, arrived: int) -> int:
        """Return for how many heartbeats nothing has arrived, although something was on its way."""
        stands = arrived == self._arrived and arrived < self._sent
        self._standing = self._standing + 1 if stands else 0
        self._sent, self._arrived = sent, arrived
        return self._standing
