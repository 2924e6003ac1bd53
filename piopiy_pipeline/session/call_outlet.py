"""`CallOutlet`: what one call may send over the connection that all calls of its agent share.

The gateway closes the connection of an agent that sends more than its calls need, and with it all its calls. So a call
that reports, saves or switches in a loop is held back here, to less than its own share of that budget. An event that
comes too soon is left out; of what replaces what was sent before (a checkpoint, a switch) the newest follows later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from loguru import logger

from piopiy_pipeline.signaling.messages import AgentMessage, Checkpoint, Control, ConversationEvent, Transfer
from piopiy_pipeline.token_bucket import TokenBucket

__all__ = ["EVENTS_PER_S", "LATER_S", "UPDATES_PER_S", "CallOutlet"]

EVENTS_PER_S = 25
"""Events of the conversation of one call a second in the long run, twice as many at once."""
UPDATES_PER_S = 15
"""Checkpoints, switches and transfers of one call a second in the long run, twice as many at once. With the events, it
is less than the 50 messages that a gateway allows for each call: `GatewayProtocol.MESSAGES_PER_S`."""
LATER_S = 1 / UPDATES_PER_S
"""How long what came too soon waits, in seconds."""


class CallOutlet:
    """Sends the messages of one call, not more of them than its share.

    Args:
        post: Sends a message to the gateway, without waiting.
    """

    def __init__(self, post: Callable[[AgentMessage], None]) -> None:
        self._post = post
        now = asyncio.get_running_loop().time()
        self._events = TokenBucket(EVENTS_PER_S, now)
        self._updates = TokenBucket(UPDATES_PER_S, now)
        self._later: dict[str, AgentMessage] = {}  # by what the message replaces
        self._timer: asyncio.TimerHandle | None = None
        self._left_out = 0

    def post(self, message: AgentMessage) -> None:
        """Send the message, now or a moment later. An event beyond the limit is left out."""
        now = asyncio.get_running_loop().time()
        match message:
            case ConversationEvent(event="usage"):  # one a second for each provider, and none may be missing
                self._post(message)
            case ConversationEvent():
                if self._events.take(now):
                    self._post(message)
                else:
                    self._leave_out(message)
            case Checkpoint():
                self._in_turn("checkpoint", self._with_number(message), now)
            case Control(what=what):
                self._in_turn(what, message, now)
            case Transfer():  # one at a time is under way
                self._in_turn("transfer", message, now)
            case _:
                self._post(message)

    def close(self) -> None:
        """Send nothing any more of what waits, because the call is over."""
        self._later.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _in_turn(self, kind: str, message: AgentMessage, now: float) -> None:
        if not self._later and self._updates.take(now):
            self._post(message)
            return
        self._later.pop(kind, None)
        self._later[kind] = message
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LATER_S, self._send_later)

    def _send_later(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._later and self._updates.take(loop.time()):
            self._post(self._later.pop(next(iter(self._later))))
        if self._later:
            self._timer = loop.call_later(LATER_S, self._send_later)

    def _with_number(self, checkpoint: Checkpoint) -> Checkpoint:
        """Let a checkpoint be confirmed in place of an earlier one, which it replaces."""
        waiting = self._later.get("checkpoint")
        if checkpoint.number is None and isinstance(waiting, Checkpoint) and waiting.number is not None:
            return checkpoint.model_copy(update={"number": waiting.number})
        return checkpoint

    def _leave_out(self, event: ConversationEvent) -> None:
        self._left_out += 1
        if self._left_out == 1:
            logger.warning(
                "the call reports more than {} events a second: {!r} and others are left out",
                EVENTS_PER_S,
                event.event,
            )
