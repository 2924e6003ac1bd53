"""One caller over a WebSocket, who plays frames of 20 ms, and takes what comes back; also in pipecat's protobuf."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from websockets.asyncio.client import connect

from piopiy_pipeline.audio.frame import FRAME_S
from piopiy_pipeline.signaling.websocket import DirectClientConnection

__all__ = ["PlainLine", "as_protobuf", "audio_of_protobuf", "dial"]


class PlainLine:
    """The line of one caller, who plays `frames` for ever after `begin`.

    Args:
        socket: The connection.
        frames: Messages of 20 ms each.
        decode: Returns the PCM of a message that comes back.
    """

    def __init__(
        self,
        socket: DirectClientConnection,
        frames: Sequence[bytes],
        decode: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self.heard_bytes = 0
        self._decode = decode
        self._socket = socket
        self._frames = frames
        self._loop = asyncio.get_running_loop()
        self._once: deque[bytes] = deque()  # one sentence at most
        self._origin = 0.0
        self._next = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._origin = self._loop.time()
        self._turn()

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def say(self, frames: Sequence[bytes]) -> float:
        """Say something once, from the next frame on. Returns when that is due, by `time.perf_counter`."""
        self._once.extend(frames)
        return time.perf_counter() + self._origin + self._next * FRAME_S - self._loop.time()

    def on_binary(self, data: bytes) -> None:
        pcm = self._decode(data)
        self.heard_bytes += len(pcm)

    def _turn(self) -> None:
        frame = self._once.popleft() if self._once else self._frames[self._next % len(self._frames)]
        self._socket.post_binary(frame)
        self._next += 1
        self._timer = self._loop.call_at(self._origin + self._next * FRAME_S, self._turn)


async def dial(url: str, key: str | None = None) -> DirectClientConnection:
    """Connect. If the other side is not there yet, try again for some seconds."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    for attempt in range(100):
        try:
            socket = await connect(
                url,
                create_connection=DirectClientConnection,
                additional_headers=headers,
                compression=None,
                proxy=None,
                ping_interval=None,
            )
        except OSError:
            if attempt == 99:
                raise
            await asyncio.sleep(0.1)
        else:
            assert isinstance(socket, DirectClientConnection)
            return socket
    raise AssertionError


def as_protobuf(frames: Sequence[bytes], rate: int) -> list[bytes]:
    """Return the frames as pipecat's serializer writes them."""
    frames_pb2 = _protobuf()
    result = []
    for pcm in frames:
        message = frames_pb2.Frame()
        message.audio.audio = pcm
        message.audio.sample_rate = rate
        message.audio.num_channels = 1
        result.append(bytes(message.SerializeToString()))
    return result


def audio_of_protobuf(message: bytes) -> bytes:
    """Return the PCM of a frame as pipecat's serializer writes it."""
    return bytes(_protobuf().Frame.FromString(message).audio.audio)


@cache
def _protobuf() -> Any:
    # protobuf makes the module's classes when it is imported: there is nothing to see for a type checker.
    return importlib.import_module("pipecat.frames.protobufs.frames_pb2")
