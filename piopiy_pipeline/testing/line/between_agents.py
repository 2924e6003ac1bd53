"""What the caller says and presses while no agent has the call, kept for the next one as the gateway keeps it.

The gateway's own is in `gateway/core/media_path.py`, among what else it does with a call's audio.
"""

from __future__ import annotations

from collections import deque

from piopiy_pipeline.audio.frame import FRAME_S
from piopiy_pipeline.signaling.media_events import Dtmf
from piopiy_pipeline.transports.link import LinkListener

__all__ = ["BetweenAgents"]

KEPT_S = 2.0
"""How much of the caller's speech is kept, in seconds: as much as at the gateway. The newest counts."""
MAX_KEYS = 32


class BetweenAgents:
    """Keeps the caller's last frames and keys."""

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque(maxlen=round(KEPT_S / FRAME_S))
        self._keys = ""

    def say(self, frame: bytes) -> None:
        """Keep 20 ms of the caller's speech."""
        self._frames.append(frame)

    def press(self, key: str) -> None:
        """Keep a key."""
        self._keys = (self._keys + key)[-MAX_KEYS:]

    def forget(self) -> None:
        """Drop the speech, because the caller is muted or on hold."""
        self._frames.clear()

    def pass_on(self, listener: LinkListener) -> None:
        """Give all of it to the next agent."""
        while self._frames:
            listener.on_audio(self._frames.popleft())
        keys, self._keys = self._keys, ""
        if keys:
            listener.on_event(Dtmf(digits=keys))
