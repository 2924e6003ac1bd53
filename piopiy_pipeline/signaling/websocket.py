"""WebSocket connections that hand each message to a function, for the server's and the client's side.

A call is fifty messages a second and direction. In websockets' own API each of them passes a queue,
wakes a task, and takes a lock on its way out; here a message that arrives is one function call from
the socket's callback, and one that leaves is one write. A whole message in one frame, which is what
sound comes in, is read and written here; everything else of RFC 6455 is websockets' own. It stands
with the protocol because gateway, agent and caller all carry it over these sockets.

    async with connect(url, create_connection=DirectClientConnection, compression=None) as socket:
        socket.listen(on_text=..., on_binary=..., on_close=...)
        socket.post_binary(pcm)
        await socket.wait_closed()

The price is that nothing holds the peer back: the listener must take every message at once. Bounded are
the size of a message (websockets' ``max_size``), what waits to be sent (`post_text`, `post_binary`), what
came before `listen` (`EARLY_LIMIT`), and the time that closing takes. What this needs of websockets beyond
its documented interface is in `compat.websockets`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from struct import Struct
from typing import Any

from loguru import logger
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection
from websockets.frames import DATA_OPCODES, CloseCode, Frame, Opcode
from websockets.protocol import OPEN, SERVER, Event

from piopiy_pipeline.compat.websockets import (
    apply_mask,
    can_write_past,
    max_message_size,
    parser_waits_for_frame,
    set_max_message_size,
)

__all__ = ["CLOSE_S", "EARLY_LIMIT", "DirectClientConnection", "DirectConnection", "DirectServerConnection"]

EARLY_LIMIT = 256
"""How many messages may arrive between the handshake and `listen`."""
TEXT_LIMIT_BYTES = 4 << 20
"""If more bytes than this wait to be sent, a text message is not queued, and the connection is given up."""
CLOSE_S = 2.0
"""How long the closing handshake may take before the connection is cut."""
_WHOLE_TEXT, _WHOLE_BINARY = 0x80 | Opcode.TEXT, 0x80 | Opcode.BINARY
_SHORT, _LONG = Struct("!BB"), Struct("!BBH")  # a frame's head, for up to 125 and up to 65,535 bytes


def _ignore_message(_: bytes) -> None: ...


class DirectConnection(Connection):
    """What both sides of a connection share. Use `DirectServerConnection` or `DirectClientConnection`."""

    binary_limit_bytes: int = 1 << 20
    """If more bytes than this wait to be sent, `post_binary` refuses. It may be set on an instance."""
    text_limit_bytes: int | None = None
    """If more bytes than this wait to be sent, a text message cuts the connection off; None: `TEXT_LIMIT_BYTES`. It may
    be set on an instance."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._on_text: Callable[[bytes], None] = _ignore_message
        self._on_binary: Callable[[bytes], None] = _ignore_message
        self._on_close: Callable[[], None] | None = None
        self._listening = False
        self._discards = False  # whether what still comes in is dropped
        self._early: list[tuple[bool, bytes]] = []
        self._opcode = Opcode.BINARY
        self._fragments = bytearray()
        self._cut: asyncio.TimerHandle | None = None
        self._server = self.protocol.side is SERVER
        self._between_frames = False  # whether the next byte that comes is a frame's first
        self._joining_bytes = 0  # of binary messages that go out at the end of this turn of the loop

    # ------------------------------------------------------------------ receiving

    def listen(
        self,
        *,
        on_text: Callable[[bytes], None] = _ignore_message,
        on_binary: Callable[[bytes], None] = _ignore_message,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        """Call these functions with every message from now on, in order. Earlier messages are delivered at
        once.

        A function that raises an exception closes the connection (1011), and the exception is logged.
        May be called again, to hand the connection to another listener.

        Args:
            on_text: Called with the UTF-8 of a text message, which is not checked.
            on_binary: Called with a binary message.
            on_close: Called once, when the connection is gone; at once if it is gone already.
        """
        self._on_text, self._on_binary, self._on_close = on_text, on_binary, on_close
        self._listening = True
        early, self._early = self._early, []
        for text, data in early:
            self._deliver(text, data)
        if self.connection_lost_waiter.done():
            self._report_closed()

    def data_received(self, data: bytes) -> None:
        """Take data of asyncio: whole messages go straight to the listener, and the rest through websockets."""
        if self._between_frames:
            data = self._take_whole(data)
            if not data:
                return
        super().data_received(data)
        self._between_frames = parser_waits_for_frame(self.protocol)

    def _take_whole(self, data: bytes) -> bytes:
        """Deliver the complete messages of one frame at the beginning of `data`. Returns the rest of it."""
        start, end = 0, len(data)
        head = 6 if self._server else 2
        limit = max_message_size(self.protocol)
        while end - start >= head and self.protocol.state is OPEN:
            kind, size = data[start], data[start + 1]
            if kind != _WHOLE_BINARY and kind != _WHOLE_TEXT:
                break
            if self._server:  # what a client sends is masked, and what a server sends is not: 5.1
                size -= 0x80
            body = start + head
            if size == 126 and end > body + 2:
                size = data[start + 2] << 8 | data[start + 3]
                body += 2
            elif not 0 <= size < 126:
                break
            if body + size > end or (limit is not None and size > limit):
                break
            payload = data[body : body + size]
            if self._server:
                payload = apply_mask(payload, data[body - 4 : body])
            start = body + size
            self._deliver(kind == _WHOLE_TEXT, payload)
        return data[start:] if start else data

    def process_event(self, event: Event) -> None:
        """Take an event of websockets: data frames go straight to the listener."""
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        if event.fin and event.opcode is not Opcode.CONT:
            self._deliver(event.opcode is Opcode.TEXT, bytes(event.data))
            return
        if event.opcode is not Opcode.CONT:
            self._opcode = event.opcode
        self._fragments += event.data  # websockets bounds the size of the whole message
        if event.fin:
            data = bytes(self._fragments)
            self._fragments.clear()
            self._deliver(self._opcode is Opcode.TEXT, data)

    def _deliver(self, text: bool, data: bytes) -> None:
        if self._discards:
            return
        if not self._listening:
            self._early.append((text, data))
            if len(self._early) > EARLY_LIMIT:
                self._early.clear()
                logger.warning("a WebSocket peer sent more than {} messages early: closed", EARLY_LIMIT)
                self.finish(CloseCode.POLICY_VIOLATION, "too many messages before the first answer")
            return
        try:
            if text:
                self._on_text(data)
            else:
                self._on_binary(data)
        except Exception:  # an exception here would take the transport down without a close frame
            logger.exception("the listener of a WebSocket connection failed")
            self.finish(CloseCode.INTERNAL_ERROR, "internal error")

    def read_up_to(self, size: int) -> None:
        """Take messages of so many bytes from now on, and no longer ones."""
        set_max_message_size(self.protocol, size)

    # ------------------------------------------------------------------ sending

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent: the handshake is done and closing has not begun."""
        return self.protocol.state is OPEN and not self.transport.is_closing()

    @property
    def write_buffer_size(self) -> int:
        """How many bytes wait for the operating system to take them."""
        return self.transport.get_write_buffer_size() + self._joining_bytes

    def post_text(self, message: str | bytes) -> bool:
        """Send a text message without waiting.

        Text carries the protocol, so no message is left out: a peer for which 4 MiB wait is cut off, or as much as
        `text_limit_bytes` says.

        Args:
            message: Text; `bytes` are UTF-8.

        Returns:
            Whether the connection is open.
        """
        if not self.is_open:
            return False
        if self.write_buffer_size > (self.text_limit_bytes or TEXT_LIMIT_BYTES):
            logger.warning(
                "a peer does not read what it is sent ({} bytes wait): cut off", self.write_buffer_size
            )
            self._discards = True
            self.transport.abort()
            return False
        self._write(_WHOLE_TEXT, message.encode() if isinstance(message, str) else message)
        return True

    def post_binary(self, data: bytes) -> bool:
        """Send a binary message without waiting. A client's go out at the end of this turn of the loop, in one write,
        or with the next text.

        Returns:
            False, and nothing was sent, if the connection is not open or more than `binary_limit_bytes` wait.
        """
        if not self.is_open or self.write_buffer_size > self.binary_limit_bytes:
            return False
        self._write(_WHOLE_BINARY, data)
        return True

    def _write(self, kind: int, data: bytes) -> None:
        """Send a message on an open connection, as one frame."""
        protocol, size = self.protocol, len(data)
        if not self._server:
            if kind == _WHOLE_TEXT:
                protocol.send_text(data)
                self._send_joined()
            else:  # what is said comes in several pieces at once, and each write is a call of the system
                protocol.send_binary(data)
                if not self._joining_bytes:
                    self.loop.call_soon(self._send_joined)
                self._joining_bytes += size
        elif size > 0xFFFF or not can_write_past(protocol):
            if kind == _WHOLE_TEXT:
                protocol.send_text(data)
            else:
                protocol.send_binary(data)
            self.send_data()
        elif size < 126:
            self.transport.write(_SHORT.pack(kind, size) + data)
        else:
            self.transport.write(_LONG.pack(kind, 126, size) + data)

    def _send_joined(self) -> None:
        """Send what websockets has made of messages, in one write."""
        self._joining_bytes = 0
        if self.is_open:
            if whole := b"".join(self.protocol.data_to_send()):
                self.transport.write(whole)
        elif not self.transport.is_closing():  # its end goes out by itself
            self.send_data()

    # ------------------------------------------------------------------ closing

    def finish(self, code: CloseCode | int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Begin to close, without waiting: nothing more is received, what was sent before goes out.

        The connection is cut if the peer has not closed as well after `CLOSE_S`. May be called at any time.

        Args:
            code: The code of the close frame (RFC 6455, 7.4).
            reason: A sentence for the peer; what is longer than 123 bytes is cut off.
        """
        self._discards = True
        if self._cut is not None or self.connection_lost_waiter.done():
            return
        if self.is_open:
            # A close frame holds at most 123 bytes of reason (RFC 6455, 5.5).
            self.protocol.send_close(code, reason.encode()[:123].decode(errors="ignore"))
            self.send_data()
        self._cut = self.loop.call_later(CLOSE_S, self.transport.abort)

    async def close(self, code: CloseCode | int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Close and wait until the connection is gone: `CLOSE_S` at most, even if the peer reads nothing."""
        self.finish(code, reason)
        await self.wait_closed()

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle that asyncio has lost the connection."""
        super().connection_lost(exc)
        if self._cut is not None:
            self._cut.cancel()
        if self._listening:
            self._report_closed()

    def _report_closed(self) -> None:
        on_close, self._on_close = self._on_close, None
        self._on_text = self._on_binary = _ignore_message  # and with them the references they hold
        if on_close is None:
            return
        try:
            on_close()
        except Exception:
            logger.exception("the listener of a WebSocket connection failed when it closed")


class DirectServerConnection(DirectConnection, ServerConnection):
    """The server's side: pass it to `websockets.asyncio.server.serve` as ``create_connection``."""


class DirectClientConnection(DirectConnection, ClientConnection):
    """The client's side: pass it to `websockets.asyncio.client.connect` as ``create_connection``."""
