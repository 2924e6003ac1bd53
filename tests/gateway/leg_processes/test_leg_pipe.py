"""When frames between the gateway and a leg process leave, and which share a write. In virtual time."""

from __future__ import annotations

import asyncio

from piopiy_pipeline.gateway.leg_processes.leg_frames import FrameKind, Splitter
from piopiy_pipeline.gateway.leg_processes.leg_pipe import LegPipe
from piopiy_pipeline.testing import run_virtual


class Writes(asyncio.Transport):
    """Notes when how many frames were written."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[tuple[float, int]] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        now = asyncio.get_running_loop().time()
        frames = list(Splitter().feed(bytes(data)))
        assert all(kind == FrameKind.AUDIO for kind, _, _ in frames)
        self.at.append((round(now, 3), len(frames)))

    def get_write_buffer_size(self) -> int:
        return 0


def writes(sent_at_ms: list[int], *, gather_s: float) -> list[tuple[float, int]]:
    """Send a frame at each time. Returns when writes left, in seconds from the first, with how many frames."""

    async def story() -> list[tuple[float, int]]:
        loop, transport = asyncio.get_running_loop(), Writes()
        pipe = LegPipe(on_frame=lambda *_: None, on_lost=lambda _: None, gather_s=gather_s)
        pipe.connection_made(transport)
        began = loop.time()
        for ms in sent_at_ms:
            if (wait_s := began + ms / 1000 - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            pipe.send_audio(1, b"\0\0")
        await asyncio.sleep(0.1)
        return [(round(at - began, 3), frames) for at, frames in transport.at]

    return run_virtual(story)


def test_audio_of_one_call_does_not_wait() -> None:
    assert writes([0, 20, 40], gather_s=0.005) == [(0.0, 1), (0.02, 1), (0.04, 1)]


def test_audio_of_many_calls_shares_writes_that_are_no_closer_than_the_gathering() -> None:
    assert writes([0, 1, 2, 3, 6, 7, 20], gather_s=0.005) == [(0.0, 1), (0.005, 3), (0.01, 2), (0.02, 1)]


def test_without_a_time_to_gather_each_turn_of_the_loop_is_a_write() -> None:
    assert writes([0, 0, 1], gather_s=0.0) == [(0.0, 2), (0.001, 1)]
