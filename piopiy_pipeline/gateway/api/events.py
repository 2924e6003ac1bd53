"""The WebSocket ``/api/events``: what happens to calls, sent to consoles and other clients while it happens.

A message is written once, for all clients. No client holds up a call: one that does not read what it is sent
is cut off. When it connects again, it begins with the calls that are under way then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from loguru import logger
from pydantic import ValidationError
from websockets.frames import CloseCode

from piopiy_pipeline._version import __version__
from piopiy_pipeline.fault_text import fault_text
from piopiy_pipeline.gateway.access.access import Access, AccessError, Header
from piopiy_pipeline.gateway.api.models import Hello, WatchedCall, WatchedEvent, WatchKey
from piopiy_pipeline.gateway.core.event_bus import BusEvent, ConversationReported
from piopiy_pipeline.gateway.records.recent_calls import RecentCalls
from piopiy_pipeline.signaling.websocket import DirectServerConnection

__all__ = ["MAX_CLIENTS", "MAX_ELSEWHERE", "EventsHub"]

MAX_CLIENTS = 64
MAX_UNKNOWN = 128
"""The most connections that have not sent their key yet. They take no client's place."""
KEY_S = 5.0
"""How long a client may take to send its key."""
KEY_BYTES = 64 << 10
MAX_ELSEWHERE = 32
"""The most calls of other gateways that are watched from here."""
UNREAD_BYTES = 1 << 20
"""A client for which this much waits has stopped reading."""


class EventsHub:
    """All connections on ``/api/events``. `on_event` must get every event of the bus.

    Args:
        access: Decides whose key is good.
        recent: The recent calls. They get every event from here.
    """

    def __init__(self, access: Access, recent: RecentCalls) -> None:
        self._access = access
        self._recent = recent
        self.begin_elsewhere: Callable[[frozenset[str]], Awaitable[None]] | None = None
        """Has the events of calls at other gateways come. None: the gateway is alone."""
        self._greeting: dict[_EventsConnection, asyncio.Task[None]] = {}  # of which such events are awaited
        self._connections: set[_EventsConnection] = set()
        self._clients: set[_EventsConnection] = set()  # those of them whose key was good

    @property
    def full(self) -> bool:
        """Whether one more connection would be too many."""
        unknown = len(self._connections) - len(self._clients) - len(self._greeting)
        return len(self._clients) + len(self._greeting) >= MAX_CLIENTS or unknown >= MAX_UNKNOWN

    def on_event(self, event: BusEvent) -> None:
        """Send an event of the bus to all clients."""
        record = self._recent.on_event(event)
        if not self._clients:
            return
        text, call_id = "", None
        if record is not None:
            text = WatchedCall(call=record).model_dump_json()
        elif isinstance(event, ConversationReported):
            call_id = event.call_id
            text = WatchedEvent(
                call_id=call_id, number=event.number, at=event.at, event=event.event, data=event.data
            ).model_dump_json()
        for client in tuple(self._clients):
            client.send(text, call_id)

    def asked_for(self) -> set[str]:
        """Return of which calls clients want the conversation, so many as can be asked of other gateways."""
        wanted: set[str] = set()
        for client in (*self._clients, *self._greeting):
            wanted.update(client.calls or ())
            if len(wanted) >= MAX_ELSEWHERE:
                return set(sorted(wanted)[:MAX_ELSEWHERE])
        return wanted

    def tell(self, call_id: str, text: str) -> None:
        """Send a message about a call of another gateway to those clients that asked for this call."""
        for client in tuple(self._clients):
            if client.calls is not None:
                client.send(text, call_id)
        for client in self._greeting:
            if call_id in (client.calls or ()):
                client.early[call_id] = text

    def admit(
        self,
        connection: DirectServerConnection,
        header: Header,
        *,
        on_wrong_key: Callable[[], None] = lambda: None,
    ) -> None:
        """Take over a connection, whose origin has been checked. Its first message must be a `WatchKey`.

        Args:
            connection: The WebSocket, after its handshake.
            header: The headers of the handshake.
            on_wrong_key: Called if the client sends a key that is not good.
        """

        def check(key: str | None) -> None:
            try:
                self._access.check_watcher(key, header)
            except AccessError:
                if key is not None:
                    on_wrong_key()
                raise

        client = _EventsConnection(connection, check, on_accepted=self._greet, on_gone=self._forget)
        self._connections.add(client)
        client.listen()  # last, because messages that came already are handled at once

    def _greet(self, client: _EventsConnection) -> None:
        if len(self._clients) + len(self._greeting) >= MAX_CLIENTS:
            client.refuse("too many watch already: close another page")
            return
        if self.begin_elsewhere is not None and client.calls:
            task = asyncio.get_running_loop().create_task(self._greet_later(client), name="watch elsewhere")
            self._greeting[client] = task
            return
        self._greet_now(client)

    async def _greet_later(self, client: _EventsConnection) -> None:
        """Greet a client when what it asked for comes: it looks up what was before then, and misses nothing."""
        assert self.begin_elsewhere is not None
        try:
            await self.begin_elsewhere(client.calls or frozenset())
        except Exception:
            logger.exception("calls at other gateways are not watched for a client")
        del self._greeting[client]
        self._greet_now(client)
        early, client.early = client.early, {}
        for call_id in sorted(early):
            client.send(early[call_id], call_id)

    def _greet_now(self, client: _EventsConnection) -> None:
        client.send(Hello(version=__version__).model_dump_json(), None)
        for record in self._recent.under_way():
            client.send(WatchedCall(call=record).model_dump_json(), None, greeting=True)
        self._clients.add(client)

    def _forget(self, connection: _EventsConnection) -> None:
        if (greeting := self._greeting.pop(connection, None)) is not None:
            greeting.cancel()
        self._connections.discard(connection)
        self._clients.discard(connection)


class _EventsConnection:
    """One connection. `check` decides about its key, and `on_accepted` is called when the key is good."""

    def __init__(
        self,
        connection: DirectServerConnection,
        check: Callable[[str | None], None],
        *,
        on_accepted: Callable[[_EventsConnection], None],
        on_gone: Callable[[_EventsConnection], None],
    ) -> None:
        self._connection = connection
        self._check = check
        self._on_accepted = on_accepted
        self._on_gone = on_gone
        self._calls: frozenset[str] | None = None  # the calls whose events it gets; None: all
        self.early: dict[str, str] = {}
        """By call of another gateway: the latest message that came while the client was not greeted yet."""
        self._accepted = False
        self._may_wait = UNREAD_BYTES
        self._key_timer = asyncio.get_running_loop().call_later(
            KEY_S, self.refuse, f"send your key within {KEY_S:g} s: {{'type': 'watch', 'key': ...}}"
        )

    @property
    def calls(self) -> frozenset[str] | None:
        """The calls whose events it gets; None: all of this gateway."""
        return self._calls

    def listen(self) -> None:
        """Begin to take the connection's messages."""
        self._connection.listen(
            on_text=self._on_text,
            on_binary=lambda _: self.refuse("messages here are JSON text"),
            on_close=self._on_close,
        )

    def send(self, text: str, call_id: str | None, *, greeting: bool = False) -> None:
        """Send a message.

        Args:
            text: The message as JSON.
            call_id: The call whose conversation it is about: it is left out unless the client asked for that call.
                None: it is sent in any case.
            greeting: The messages of the greeting come all at once, before any client could read them. So
                they may wait beside the `UNREAD_BYTES` of later ones.
        """
        if greeting:
            self._may_wait += len(text.encode())
        if call_id is not None and self._calls is not None and call_id not in self._calls:
            return
        if self._connection.write_buffer_size > self._may_wait:
            self._connection.transport.abort()
            return
        self._connection.post_text(text)

    def refuse(self, text: str) -> None:
        """Close the connection, with a sentence that says why."""
        self._key_timer.cancel()
        self._connection.finish(CloseCode.POLICY_VIOLATION, text)

    def _on_text(self, data: bytes) -> None:
        if self._accepted:
            self.refuse("nothing is expected after the first message: connect anew to watch other calls")
            return
        if len(data) > KEY_BYTES:
            self.refuse(f"the first message may have {KEY_BYTES} bytes")
            return
        try:
            message = WatchKey.model_validate_json(data)
            self._check(message.key)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
            self.refuse(fault_text(problem) if problem["loc"] else f"message: {fault_text(problem)}")
            return
        except AccessError as error:
            self.refuse(error.text)
            return
        self._key_timer.cancel()
        self._accepted = True
        self._calls = None if message.calls is None else frozenset(message.calls)
        self._on_accepted(self)

    def _on_close(self) -> None:
        self._key_timer.cancel()
        self._on_gone(self)
