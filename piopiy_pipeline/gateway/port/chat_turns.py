"""`ChatTurns`: whole turns of a chat, told once, behind their words.

A turn comes twice. The agent's report of it, which goes to the record, travels on another connection than the words,
and may be here before them. The same turn also comes on the way of the words, behind them, and is told then. A turn
that does not come that way, as one of an agent whose pipeline has a protocol of its own, is told a moment later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from piopiy_pipeline.signaling.chat_events import ChatTurn

__all__ = ["ChatTurns"]

BEHIND_S = 1.0
"""How long a reported turn waits for its words, which keep a pace."""
KNOWN = 16
"""So many turns are remembered that have come on one way only."""


class ChatTurns:
    """The turns of one chat.

    Args:
        tell: Called with each turn.
    """

    def __init__(self, tell: Callable[[ChatTurn], None]) -> None:
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._reported: deque[ChatTurn] = deque(maxlen=KNOWN)  # not told yet
        self._shown: deque[ChatTurn] = deque(maxlen=KNOWN)  # told, and to be reported still
        self._unshown: deque[ChatTurn] = deque(maxlen=KNOWN)  # told, and not come behind its words
        self._timer: asyncio.TimerHandle | None = None

    def reported(self, turn: ChatTurn) -> None:
        """Take a turn as the agent has reported it."""
        if turn in self._shown:
            self._shown.remove(turn)
            return
        if len(self._reported) == KNOWN:
            self.flush()
        self._reported.append(turn)
        if self._timer is None:
            self._timer = self._loop.call_later(BEHIND_S, self.flush)

    def shown(self, turn: ChatTurn, *, recorded: bool) -> None:
        """Take a turn that came behind its words. `recorded`: it is reported, too."""
        if turn in self._unshown:
            self._unshown.remove(turn)
            return
        if turn in self._reported:
            self._reported.remove(turn)
            if not self._reported:
                self._stop()
        elif recorded:
            self._shown.append(turn)
        self._tell(turn)

    def flush(self) -> None:
        """Tell the turns that are reported, because nothing may come any more that they could wait for."""
        self._stop()
        while self._reported:
            turn = self._reported.popleft()
            self._unshown.append(turn)
            self._tell(turn)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
