"""One end of the socket between the gateway and a leg process, which gathers frames into few writes.

Everything that is posted in one turn of the event loop (the frames of twenty calls on one frame tick) leaves in one
write. With a time to gather, two writes are no closer than that: a frame waits only where another has just left. So
the audio of a call alone is not late, and that of many shares writes. Audio is dropped when the other end is too busy
to read it, because late audio is worth nothing. Events are never dropped; the connection to an end that does not
read them is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from piopiy_pipeline.error_text import own_text
from piopiy_pipeline.gateway.leg_processes.leg_frames import FrameKind, Splitter, WireError, pack
from piopiy_pipeline.signaling.messages import Message, dump

__all__ = ["LegPipe"]

AUDIO_BYTES = 128 << 10
"""If more bytes than this wait to be sent, audio is dropped."""
MOST_BYTES = 8 << 20
"""If more bytes than this wait to be sent, the other end counts as dead."""


class LegPipe(asyncio.Protocol):
    """Sends and receives frames. All callbacks come on the event loop."""

    def __init__(
        self,
        *,
        on_frame: Callable[[int, int, bytes], None],
        on_lost: Callable[[str], None],
        gather_s: float = 0.0,
    ) -> None:
        """Args:
        on_frame: Called with the kind, the number of the leg and the body of each frame that arrives.
        on_lost: Called once, with a reason, when the connection is over.
        gather_s: The least time between two writes, in seconds: frames in between wait and share the next one.
        """
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._gather_s = gather_s
        self._loop = asyncio.get_running_loop()
        self._splitter = Splitter()
        self._transport: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        self._sent_at = 0.0
        self._flush: asyncio.Handle | None = None
        self._lost = False
        self._why = "the connection ended"

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._lost

    def send_audio(self, leg: int, pcm: bytes) -> bool:
        """Send audio of a leg. Returns False if it was dropped."""
        if self._transport is None or self._transport.get_write_buffer_size() > AUDIO_BYTES:
            return False
        self._post(pack(FrameKind.AUDIO, leg, pcm))
        return True

    def send_event(self, leg: int, message: Message) -> None:
        """Send an event of a leg, or of the process with 0."""
        self._post(pack(FrameKind.EVENT, leg, dump(message).encode()))
        if self._transport is not None and self._transport.get_write_buffer_size() > MOST_BYTES:
            self._cut("the other end does not read")

    def close(self) -> None:
        """Send what waits, and close the connection. `on_lost` follows."""
        self._send()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once. `on_lost` follows."""
        self._cut("the connection was cut")

    def _post(self, frame: bytes) -> None:
        if self._lost:
            return
        self._waiting.append(frame)
        if self._flush is None:
            wait_s = self._sent_at + self._gather_s - self._loop.time() if self._gather_s else 0.0
            if wait_s > 0:
                self._flush = self._loop.call_later(wait_s, self._send)
            else:
                self._flush = self._loop.call_soon(self._send)

    def _send(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        if self._waiting and self._transport is not None and not self._lost:
            self._transport.write(b"".join(self._waiting))
            self._sent_at = self._loop.time() if self._gather_s else 0.0
        self._waiting.clear()

    def _cut(self, why: str) -> None:
        self._why = why
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for kind, leg, body in self._splitter.feed(data):
                self._on_frame(kind, leg, body)
        except WireError as error:
            self._cut(str(error))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        if not self._lost:
            self._lost = True
            self._on_lost(self._why if exc is None else f"{self._why}: {own_text(exc)}")
