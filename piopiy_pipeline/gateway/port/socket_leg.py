"""`SocketLeg`: what the legs of callers over the gateway's own connections share: how they begin, hang up and finish.

Tested with `stream_leg` and `chat_leg`, which derive from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from websockets.frames import CloseCode

from piopiy_pipeline.gateway.core.leg import Leg, LegListener
from piopiy_pipeline.signaling.caller import LegFault, Ringing
from piopiy_pipeline.signaling.messages import DataMessage, Dtmf, Message, dump

__all__ = ["MAX_MESSAGE_BYTES", "START_S", "LegConnection", "SocketLeg", "too_long"]

START_S = 5.0
"""How long a caller may take from the connection to the first message."""
MAX_MESSAGE_BYTES = 64 << 10


def too_long(size: int) -> str:
    """Say why an event of so many bytes is refused."""
    return f"an event of {size} bytes, a call's metadata among them: {MAX_MESSAGE_BYTES} are the limit"


class LegConnection(Protocol):
    """What carries the messages of one leg: a `DirectServerConnection`, for example."""

    def listen(
        self,
        *,
        on_text: Callable[[bytes], None],
        on_binary: Callable[[bytes], None],
        on_close: Callable[[], None] | None,
    ) -> None:
        """Call these functions with every message from now on, in order."""

    def post_text(self, message: str | bytes) -> bool:
        """Send a message without waiting. Returns whether the connection is open."""

    def finish(self, code: CloseCode | int = ..., reason: str = "") -> None:
        """Begin to close, without waiting. May be called at any time."""


class SocketLeg(Leg):
    """The leg of one connection.

    Args:
        connection: Carries the messages.
    """

    def __init__(self, connection: LegConnection) -> None:
        self.rate = 16000
        self._loop = asyncio.get_running_loop()
        self._listener: LegListener | None = None
        self._started = self._answered = self._ended = False
        self._sends = connection
        self._timer = self._loop.call_later(START_S, self._no_start)

    # ------------------------------------------------------------------ the call's side

    def attach(self, listener: LegListener) -> None:
        self._listener = listener

    def ring(self, call_id: str) -> None:
        self._post(Ringing(call_id=call_id))

    def dtmf(self, digits: str) -> None:
        self._post(Dtmf(digits=digits))

    def data(self, data: dict[str, Any]) -> None:
        self._post(DataMessage(data=data))

    # ------------------------------------------------------------------ the end

    def _no_start(self) -> None:
        self._fault(f"no start within {START_S:g} s")

    def _fault(self, detail: str) -> None:
        self._post(LegFault(detail=detail))
        self._finish(CloseCode.POLICY_VIOLATION, detail)
        self._tell_hangup(f"the caller broke the protocol: {detail}")

    def _on_close(self) -> None:
        self._finish(CloseCode.NORMAL_CLOSURE, "")
        self._tell_hangup("")

    def _hang_up(self, detail: str) -> None:
        """Tell the listener that the caller hung up. It ends the call, which ends this leg."""
        self._tell_hangup(detail)
        self._finish(CloseCode.NORMAL_CLOSURE, detail)

    def _tell_hangup(self, detail: str) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.caller_hangup(self._loop.time(), detail)

    def _finish(self, code: CloseCode, why: str) -> None:
        self._ended = True
        self._timer.cancel()
        self._sends.finish(code, why)

    def _post(self, message: Message) -> None:
        if not self._ended:
            self._sends.post_text(dump(message))
