"""What the caller says and presses while no agent has the call, kept for the next one as the gateway keeps it.

So is what they have said since their last turn was over, because the lost agent has taken it along. The gateway's own
is `gateway/core/caller_backlog.py`, which knows moves, too.
"""

from __future__ import annotations

from collections import deque

from piopiy_pipeline.audio.frame import FRAME_S
from piopiy_pipeline.signaling.media_events import Dtmf
from piopiy_pipeline.transports.link import LinkListener

__all__ = ["BetweenAgents"]

RECENT_S, KEPT_S = 4.0, 5.0
"""How much of the caller's speech is kept until a loss, and from then on, in seconds: as much as at the gateway."""
MAX_KEYS = 32


class BetweenAgents:
    """Keeps the caller's last frames and keys. Times are seconds of the loop's clock."""

    def __init__(self) -> None:
        self._unanswered: deque[tuple[float, bytes]] = deque(maxlen=round(RECENT_S / FRAME_S))
        self._waiting: deque[tuple[float, bytes]] = deque(maxlen=round(KEPT_S / FRAME_S))
        self._keys = ""

    def say(self, frame: bytes, at: float, listener: LinkListener | None) -> None:
        """Pass on 20 ms of the caller's speech, or keep them while no agent listens."""
        self._unanswered.append((at, frame))
        if listener is None:
            self._waiting.append((at, frame))
        else:
            listener.on_audio(frame)

    def press(self, key: str) -> None:
        """Keep a key."""
        self._keys = (self._keys + key)[-MAX_KEYS:]

    def user_turn(self) -> None:
        """Note that what the caller has said is in the conversation."""
        self._unanswered.clear()

    def lose_agent(self) -> None:
        """Have the next agent hear what the caller has said since their last turn was over."""
        self._waiting.clear()
        self._waiting.extend(self._unanswered)

    def forget(self) -> None:
        """Drop the speech, because the caller is muted or on hold."""
        self._unanswered.clear()
        self._waiting.clear()

    @property
    def since(self) -> float | None:
        """Since when the caller's speech is kept; None if nothing is."""
        return self._waiting[0][0] - FRAME_S if self._waiting else None

    def pass_on(self, listener: LinkListener) -> None:
        """Give all of it to the next agent."""
        while self._waiting:
            listener.on_audio(self._waiting.popleft()[1])
        keys, self._keys = self._keys, ""
        if keys:
            listener.on_event(Dtmf(digits=keys))
