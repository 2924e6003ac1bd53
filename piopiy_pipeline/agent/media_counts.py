"""`MediaCounts`: how far the media streams of an agent's calls have come, for heartbeats and for the watchdog."""

from __future__ import annotations

from piopiy_pipeline.signaling.liveness import MediaCount
from piopiy_pipeline.transports.link import WebSocketLink

__all__ = ["MediaCounts"]


class MediaCounts:
    """The media links of the calls in progress."""

    def __init__(self) -> None:
        self._links: dict[str, WebSocketLink] = {}
        self._owners: dict[str, object] = {}
        self._heartbeats = 0

    def add(self, call_id: str, link: WebSocketLink, connection: object) -> None:
        """Count this link as that of the call, from now on.

        Args:
            call_id: The call.
            link: Its media stream.
            connection: The signaling connection over which it came.
        """
        self._links[call_id] = link
        self._owners[call_id] = connection

    def discard(self, call_id: str) -> None:
        """Count the call's link no more."""
        self._links.pop(call_id, None)
        self._owners.pop(call_id, None)

    def heartbeat(self, connection: object) -> dict[str, MediaCount]:
        """Return the counts of all calls of a connection, for the heartbeat that is sent over it now."""
        self._heartbeats += 1
        return {
            call_id: (link.heard_bytes, link.said_bytes)
            for call_id, link in self._links.items()
            if self._owners[call_id] is connection
        }

    def heard_s(self, call_id: str) -> float | None:
        """Return how much of a caller's audio has arrived, in seconds; None if there is no such call."""
        link = self._links.get(call_id)
        return None if link is None else link.heard_bytes / (2 * link.caller_rate)

    def activity(self) -> int:
        """Return a number that is another one whenever the event loop has heard callers or sent a heartbeat. It may be
        asked from another thread.
        """
        return self._heartbeats + sum(link.heard_bytes for link in list(self._links.values()))
