"""`KeptChat`: a chat without a connection. What the bot writes is kept for whoever asks, within limits.

It stands where a chat's WebSocket would, so the leg of a chat over HTTP is the leg of any chat. `ChatShelf` has all of
them, also for a while after their end, so that a reader gets to know of it.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from websockets.frames import CloseCode

from piopiy_pipeline.gateway.port.chat_leg import ChatLeg

__all__ = ["KEPT_S", "MAX_EVENTS", "MAX_READERS", "ChatShelf", "KeptChat", "KeptEvent"]

MAX_EVENTS = 1000
"""So many events of a chat are kept: a reader that comes back finds what it has missed."""
MAX_BYTES = 512 << 10
"""The same in bytes of JSON."""
MAX_READERS = 4
"""So many may read one chat at a time."""
KEPT_S = 60.0
"""How long a chat that is over can be read."""
MAX_OVER = 1000
"""So many chats that are over are kept."""


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """One event of a chat.

    Attributes:
        number: From 1 on.
        name: Its name, as in ``/chat``.
        text: All of it, as JSON.
        size: Of its text, in bytes.
    """

    number: int
    name: str
    text: str
    size: int


class KeptChat:
    """One chat. It is the connection of its `leg`.

    Args:
        on_over: Called when it is over.
    """

    def __init__(self, on_over: Callable[[], None]) -> None:
        self._on_over = on_over
        self._events: deque[KeptEvent] = deque()
        self._bytes = 0
        self._over = False
        self._moved = asyncio.Event()
        self.last = 0
        """The number of the last event."""
        self.readers = 0
        """How many read it just now."""
        self.leg = ChatLeg(self, place=None)
        """The leg of the call."""

    # ------------------------------------------------------------------ the leg's side

    def listen(
        self,
        *,
        on_text: Callable[[bytes], None],
        on_binary: Callable[[bytes], None],
        on_close: Callable[[], None] | None,
    ) -> None:
        """Do nothing: what the person sends is given to the leg itself."""

    def post_text(self, message: str | bytes) -> bool:
        """Keep an event for its readers."""
        data = message.encode() if isinstance(message, str) else message
        self.last += 1
        self._events.append(
            KeptEvent(self.last, str(json.loads(data).get("event")), data.decode(), len(data))
        )
        self._bytes += len(data)
        while len(self._events) > MAX_EVENTS or (self._bytes > MAX_BYTES and len(self._events) > 1):
            self._bytes -= self._events.popleft().size
        self._moved.set()
        return True

    def finish(self, code: CloseCode | int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Note that no event follows."""
        if not self._over:
            self._over = True
            self._moved.set()
            self._on_over()

    # ------------------------------------------------------------------ the readers' side

    async def answered(self, within_s: float) -> bool:
        """Wait until the bot has answered, or the chat is over. Returns whether the bot has."""
        try:
            async with asyncio.timeout(within_s):
                while not self.leg.answered and not self._over:
                    await self._next()
        except TimeoutError:
            pass
        return self.leg.answered

    async def behind(self, number: int, *, quiet_s: float) -> AsyncIterator[KeptEvent | None]:
        """Yield the events behind the one of this number, until the chat is over. None: nothing came for `quiet_s`."""
        while True:
            for event in [event for event in self._events if event.number > number]:
                number = event.number
                yield event
            if self.last > number:
                continue
            if self._over:
                return
            try:
                async with asyncio.timeout(quiet_s):
                    await self._next()
            except TimeoutError:
                yield None

    async def _next(self) -> None:
        moved = self._moved
        if moved.is_set():
            moved = self._moved = asyncio.Event()
        await moved.wait()


class ChatShelf:
    """The chats over HTTP of one gateway, by the ids of their calls."""

    def __init__(self) -> None:
        self._chats: dict[str, KeptChat] = {}
        self._over: OrderedDict[str, asyncio.TimerHandle] = OrderedDict()

    def find(self, call_id: str) -> KeptChat | None:
        """Return a chat, which may be over."""
        return self._chats.get(call_id)

    def begin(self, call_id: str) -> KeptChat:
        """Return a new chat."""
        chat = self._chats[call_id] = KeptChat(lambda: self._is_over(call_id))
        return chat

    def _is_over(self, call_id: str) -> None:
        self._over[call_id] = asyncio.get_running_loop().call_later(KEPT_S, self._forget, call_id)
        if len(self._over) > MAX_OVER:
            self._forget(next(iter(self._over)))

    def _forget(self, call_id: str) -> None:
        if (timer := self._over.pop(call_id, None)) is not None:
            timer.cancel()
        self._chats.pop(call_id, None)
