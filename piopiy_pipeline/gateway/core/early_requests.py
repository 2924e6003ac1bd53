"""`EarlyRequests`: what an instance asks for before the call is live with it. It is done when it is. No I/O.

An agent has two connections, and its callback runs on: so it may ask for a transfer, or send keys, when the gateway has
not seen yet that it can hear and speak, or while another instance still has the call that moves to it.
"""

from __future__ import annotations

from piopiy_pipeline.signaling.messages import Control, DataMessage, Dtmf, Transfer

__all__ = ["EarlyRequest", "EarlyRequests"]

EarlyRequest = Transfer | Control | Dtmf | DataMessage


class EarlyRequests:
    """Keeps what one instance has asked for, in order."""

    MOST = 32
    """More is refused: a bot has a few things to ask for when it begins."""

    def __init__(self) -> None:
        self._requests: list[EarlyRequest] = []

    def keep(self, request: EarlyRequest) -> bool:
        """Keep a request for later. Returns whether there was room for it."""
        if len(self._requests) >= self.MOST:
            return False
        self._requests.append(request)
        return True

    def take(self) -> list[EarlyRequest]:
        """Return the requests, and forget them."""
        taken, self._requests = self._requests, []
        return taken
