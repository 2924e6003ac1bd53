"""The WebSocket of events: what happens to calls, told to consoles while it happens.

A message is made once, however many watch. None of them holds up a call: a watcher that does not read
what it is sent is cut off, and the next connection begins with what is under way then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pydantic import ValidationError
from websockets.frames import CloseCode

from piopiy_pipeline._version import __version__
from piopiy_pipeline.gateway.access.access import Access, AccessError, Header
from piopiy_pipeline.gateway.api.models import Hello, WatchedCall, WatchedEvent, WatchKey
from piopiy_pipeline.gateway.core.event_bus import BusEvent, ConversationTold
from piopiy_pipeline.gateway.records.recent_calls import RecentCalls
from piopiy_pipeline.signaling.websocket import DirectServerConnection

__all__ = ["MAX_WATCHERS", "EventsHub"]

MAX_WATCHERS = 64
MAX_STRANGERS = 128
"""Connections that have not shown their key yet: they take no watcher's place."""
KEY_S = 5.0
"""How long a watcher may take to send its key."""
KEY_BYTES = 64 << 10
UNREAD_BYTES = 1 << 20
"""A watcher for which this much waits has stopped reading."""


class EventsHub:
    """All watchers. `watcher` is to be told of everything, and also keeps the recent calls."""

    def __init__(self, access: Access, recent: RecentCalls) -> None:
        self._access = access
        self._recent = recent
        self._watchers: set[_Watcher] = set()
        self._welcome: set[_Watcher] = set()

    @property
    def full(self) -> bool:
        """Whether one more would be too many."""
        strangers = len(self._watchers) - len(self._welcome)
        return len(self._welcome) >= MAX_WATCHERS or strangers >= MAX_STRANGERS

    def watcher(self, news: BusEvent) -> None:
        """Tell those who watch."""
        record = self._recent.watcher(news)
        if not self._welcome:
            return
        text, call_id = "", None
        if record is not None:
            text = WatchedCall(call=record).model_dump_json()
        elif isinstance(news, ConversationTold):
            call_id = news.call_id
            text = WatchedEvent(
                call_id=call_id, number=news.number, at=news.at, event=news.event, data=news.data
            ).model_dump_json()
        for one in tuple(self._welcome):
            one.tell(text, call_id)

    def admit(
        self,
        connection: DirectServerConnection,
        header: Header,
        *,
        on_wrong_key: Callable[[], None] = lambda: None,
    ) -> None:
        """A connection on ``/api/events``, whose origin has been checked."""

        def check(key: str | None) -> None:
            try:
                self._access.check_watcher(key, header)
            except AccessError:
                if key is not None:
                    on_wrong_key()
                raise

        watcher = _Watcher(connection, check)
        self._watchers.add(watcher)
        watcher.listen(on_welcome=self._greet, on_gone=self._forget)

    def _greet(self, watcher: _Watcher) -> None:
        if len(self._welcome) >= MAX_WATCHERS:
            watcher.refuse("too many watch already: close another page")
            return
        watcher.tell(Hello(version=__version__).model_dump_json(), None)
        for record in self._recent.under_way():
            watcher.tell(WatchedCall(call=record).model_dump_json(), None, greeting=True)
        self._welcome.add(watcher)

    def _forget(self, watcher: _Watcher) -> None:
        self._watchers.discard(watcher)
        self._welcome.discard(watcher)


class _Watcher:
    """One connection."""

    def __init__(self, connection: DirectServerConnection, check: Callable[[str | None], None]) -> None:
        self._connection = connection
        self._check = check
        self._calls: frozenset[str] | None = None
        self._known = False
        self._may_wait = UNREAD_BYTES
        self._on_welcome: Callable[[_Watcher], None]
        self._on_gone: Callable[[_Watcher], None]
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(
            KEY_S, self.refuse, f"send your key within {KEY_S:g} s: {{'type': 'watch', 'key': ...}}"
        )

    def listen(self, *, on_welcome: Callable[[_Watcher], None], on_gone: Callable[[_Watcher], None]) -> None:
        self._on_welcome, self._on_gone = on_welcome, on_gone
        self._connection.listen(
            on_text=self._on_text,
            on_binary=lambda _: self.refuse("messages here are JSON text"),
            on_close=self._gone,
        )

    def tell(self, text: str, call_id: str | None, *, greeting: bool = False) -> None:
        """Send this, if it is of no call (`call_id` is None) or of one that is watched.

        A `greeting` comes all at once, before anybody could read it: it may wait beside the rest.
        """
        if greeting:
            self._may_wait += len(text)
        if call_id is not None and self._calls is not None and call_id not in self._calls:
            return
        if self._connection.write_buffer_size > self._may_wait:
            self._connection.transport.abort()
            return
        self._connection.post_text(text)

    def _on_text(self, data: bytes) -> None:
        if self._known:
            self.refuse("nothing is expected after the first message: connect anew to watch other calls")
            return
        if len(data) > KEY_BYTES:
            self.refuse(f"the first message may have {KEY_BYTES} bytes")
            return
        try:
            wish = WatchKey.model_validate_json(data)
            self._check(wish.key)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
            self.refuse(f"{'.'.join(str(part) for part in problem['loc']) or 'message'}: {problem['msg']}")
            return
        except AccessError as error:
            self.refuse(error.text)
            return
        self._patience.cancel()
        self._known = True
        self._calls = None if wish.calls is None else frozenset(wish.calls)
        self._on_welcome(self)

    def refuse(self, why: str) -> None:
        """Send this connection away."""
        self._patience.cancel()
        self._connection.finish(CloseCode.POLICY_VIOLATION, why)

    def _gone(self) -> None:
        self._patience.cancel()
        self._on_gone(self)
