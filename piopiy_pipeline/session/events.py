"""What an author can listen to: names of events, and handlers that cannot hurt the call."""

from __future__ import annotations

import asyncio
import contextvars
import difflib
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from loguru import logger

__all__ = ["EVENTS", "CallError", "ClientMessage", "Emitter", "Handler"]

Handler = Callable[[Any], Any]
"""A function or a coroutine function of one argument; what it returns does not matter."""

EVENTS = {
    "answered": "the caller can hear and be heard; the argument is the CallInfo",
    "user_turn": "the caller has said something; a Turn",
    "bot_turn": "the bot has said something, as far as it was heard; a Turn",
    "tool": "the model uses a tool; a ToolUse, and once more with its result",
    "dtmf": "the caller has pressed keys; a string of 0-9, A-D, * and #",
    "message": "the client's application has sent something; a ClientMessage",
    "transfer": "what became of a transfer; a TransferOutcome",
    "error": "a provider failed; a CallError",
    "end": "the call is over; the CallEnd",
}


@dataclass(frozen=True, slots=True)
class CallError:
    """Something that went wrong in a call: the stage's name, and a sentence."""

    stage: str
    message: str


@dataclass(frozen=True, slots=True)
class ClientMessage:
    """What the application of a client has sent, in a browser or on a mobile device.

    `data` is JSON. A client that speaks RTVI (Pipecat's SDKs do) gives its messages a `type`, and may
    wait for a `reply`; of any other client, `type` is None and nobody waits.
    """

    data: Any
    type: str | None = None
    _reply: Callable[[Any], None] | None = field(default=None, repr=False)

    def reply(self, data: Any) -> None:
        """Answer this message, with JSON. Raises `RuntimeError` for one that cannot be answered."""
        if self._reply is None:
            raise RuntimeError("this client waits for no reply: use call.send_message(data)")
        self._reply(data)


class Emitter:
    """Handlers by event. A handler that raises is logged, and nobody else notices."""

    def __init__(self) -> None:
        self._handlers: dict[str, list[Handler]] = {}
        self._running: set[asyncio.Future[None]] = set()
        self.context: contextvars.Context | None = None
        """That of the call, for handlers: what happens to a call may be told from anywhere."""

    def on(self, event: str, handler: Handler) -> Callable[[], None]:
        """Call `handler` (a function or a coroutine function, of one argument) at each `event`.

        Returns a function that ends this. Raises `ValueError` for an event that there is not.
        """
        if event not in EVENTS:
            close = difflib.get_close_matches(event, EVENTS, 1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"there is no event {event!r}, only {', '.join(EVENTS)}.{meant}")
        handlers = self._handlers.setdefault(event, [])
        handlers.append(handler)

        def off() -> None:
            if handler in handlers:
                handlers.remove(handler)

        return off

    def emit(self, event: str, argument: Any) -> None:
        """Tell the handlers, in the order in which they came. Coroutines run as tasks of the call."""
        context = contextvars.copy_context() if self.context is None else self.context.copy()
        for handler in list(self._handlers.get(event, ())):
            context.run(self._start, event, handler, argument)

    def _start(self, event: str, handler: Handler, argument: Any) -> None:
        try:
            outcome = handler(argument)
        except Exception:
            logger.exception("a handler of {!r} failed", event)
            return
        if inspect.isawaitable(outcome):
            task = asyncio.ensure_future(_guarded(event, outcome))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def settle(self, timeout_s: float) -> None:
        """Wait until the handlers that are under way are done, for `timeout_s` at most."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=timeout_s)


async def _guarded(event: str, outcome: Awaitable[Any]) -> None:
    try:
        await outcome
    except Exception:
        logger.exception("a handler of {!r} failed", event)
