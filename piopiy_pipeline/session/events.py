"""The events of a call that an author can handle. A handler cannot harm the call."""

from __future__ import annotations

import asyncio
import contextvars
import difflib
import inspect
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from loguru import logger

from piopiy_pipeline.arguments import check_callable, check_kind
from piopiy_pipeline.compat.interrupts import is_operators
from piopiy_pipeline.error_text import error_text

__all__ = ["EVENTS", "CallError", "ClientMessage", "CollectionEvent", "Emitter", "Handler"]

Handler = Callable[[Any], Any]
"""A function or a coroutine function of one argument; its result is ignored."""

EVENTS = {
    "answered": "the caller can hear and be heard; the argument is the CallInfo",
    "user_turn": "the caller has said something; a Turn",
    "bot_turn": "the bot has said something, as far as it was heard; a Turn",
    "backchannel": "the caller has said that they listen, while the bot spoke on; a Turn",
    "tool": "the model uses a tool; a ToolUse, and once more with its result",
    "dtmf": "the caller has pressed keys; a string of 0-9, A-D, * and #",
    "message": "the client's application has sent something; a ClientMessage",
    "flow": "a node of the call's flow is entered; a FlowStep",
    "hand_off": "another persona has the call; a HandOff",
    "collection": "a value is asked for, was collected, or was not; a CollectionEvent",
    "language": "the caller speaks another language, and the call goes on in it; a LanguageChange",
    "summary": "a summary has taken the place of a part of the conversation; a ContextSummary",
    "transfer": "what became of a transfer; a TransferOutcome",
    "error": "something of this call went wrong; a CallError, whose stage says where",
    "end": "the call is over; the CallEnd",
}


@dataclass(frozen=True, slots=True)
class CallError:
    """Something that went wrong in a call.

    Attributes:
        stage: Where: ``stt``, ``llm``, ``tts`` or the name of another stage of the pipeline, if that or its
            provider failed; the name of a tool, or of a function or an action of a flow, that raised or gave
            no result; ``handler of user_turn`` or of another event; ``event loop`` if the call's code has
            blocked it; ``checkpoint`` if one was not saved; ``callback`` if it raised after the end of its
            pipeline; ``summary``, ``flow`` or ``hand-off``, which then goes on without what failed.
        message: What went wrong, in a sentence.
    """

    stage: str
    message: str


@dataclass(frozen=True, slots=True)
class CollectionEvent:
    """How the collection of one value stands (docs/collecting.md).

    Attributes:
        name: The author's name of the value, or its kind.
        kind: What is collected: ``digits``, ``phone_number``, ``email``, ``date``, ``address`` or ``confirm``.
        outcome: ``begun``; ``collected``; or why not: ``refused``, ``attempts``, ``silence``, ``timeout``,
            ``hangup``, ``moved`` or ``cancelled``.
        attempts: How many answers of the caller were no such value, or were a wrong one.
        how: How it was given: ``speech``, ``text``, ``keys`` or ``both``; empty if it was not.
        value: The value as JSON; None if there is none, or if it is redacted.
    """

    name: str
    kind: str
    outcome: str
    attempts: int = 0
    how: str = ""
    value: Any = None


@dataclass(frozen=True, slots=True)
class ClientMessage:
    """A message of the client's application, in a browser or on a mobile device.

    Attributes:
        data: The message, as JSON.
        type: The message's type, if the client speaks RTVI (Pipecat's SDKs do); else None.
    """

    data: Any
    type: str | None = None
    _reply: Callable[[Any], None] | None = field(default=None, repr=False)

    def reply(self, data: Any) -> None:
        """Answer this message.

        Args:
            data: JSON.

        Raises:
            RuntimeError: The client does not speak RTVI, and waits for no answer.
        """
        if self._reply is None:
            raise RuntimeError("this client waits for no reply: use call.send_message(data)")
        self._reply(data)


class Emitter:
    """The handlers of one call. An exception in a handler, `SystemExit` too, is reported, and goes no further.

    Args:
        failed: Called with the name of the event and what its handler has raised, in one line.
    """

    emitting: ClassVar[dict[int, list[contextvars.Context]]] = {}
    """By thread: the contexts in which handlers run just now, the innermost last. For whoever looks at that thread."""

    def __init__(self, failed: Callable[[str, str], None] = lambda event, text: None) -> None:
        self._failed = failed
        self._handlers: dict[str, list[Handler]] = {}
        self._running: set[asyncio.Future[None]] = set()
        self.context: contextvars.Context | None = None
        """The context of the call, in which handlers run: an event may be emitted from another context."""

    def on(self, event: str, handler: Handler) -> Callable[[], None]:
        """Call `handler` at each `event`. See `Call.on`."""
        check_kind("on: event", event, str, "the name of an event")
        if event not in EVENTS:
            close = difflib.get_close_matches(event, EVENTS, 1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"there is no event {event!r}, only {', '.join(EVENTS)}.{meant}")
        check_callable(f"on({event!r}): handler", handler, "a function of one argument")
        handlers = self._handlers.setdefault(event, [])
        handlers.append(handler)

        def off() -> None:
            if handler in handlers:
                handlers.remove(handler)

        return off

    def emit(self, event: str, argument: Any) -> None:
        """Call the handlers, in the order in which they were added. Coroutines run as tasks of the call."""
        context = contextvars.copy_context() if self.context is None else self.context.copy()
        thread = threading.get_ident()
        contexts = self.emitting.setdefault(thread, [])
        contexts.append(context)
        try:
            for handler in list(self._handlers.get(event, ())):
                context.run(self._start, event, handler, argument)
        finally:
            contexts.pop()
            if not contexts:
                del self.emitting[thread]

    def _start(self, event: str, handler: Handler, argument: Any) -> None:
        try:
            outcome = handler(argument)
        except BaseException as error:
            if is_operators(error):
                raise
            self._report(event, error, handler)
            return
        if inspect.isawaitable(outcome):
            task = asyncio.ensure_future(self._guarded(event, outcome, handler))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def mute(self) -> None:
        """Call no handler from now on."""
        self._handlers.clear()

    async def settle(self, timeout_s: float) -> None:
        """Wait until the handlers that are under way are done, for `timeout_s` seconds at most."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=timeout_s)

    async def _guarded(self, event: str, outcome: Awaitable[Any], handler: Handler) -> None:
        try:
            await outcome
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._report(event, error, handler)
        except BaseException as error:
            if is_operators(error):
                raise
            self._report(event, error, handler)

    def _report(self, event: str, error: BaseException, handler: Handler) -> None:
        text = error_text(error, handler)
        logger.opt(exception=error).error("a handler of {!r} failed: {}", event, text)
        self._failed(event, text)
