"""What stands around a stage's `push_frame` and `queue_frame`, which pipecat calls on the instance.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from pipecat.frames.frames import Frame
from pipecat.processors.frame_processor import FrameCallback, FrameDirection, FrameProcessor

__all__ = ["PushGuard", "filter_pushes", "filter_queued", "guard_pushes"]


def filter_pushes(stage: FrameProcessor, accept: Callable[[Frame], bool]) -> None:
    """Have a stage push only the frames that `accept` lets pass. The base class calls `push_frame` on the instance.

    Args:
        stage: The stage, before it runs.
        accept: Takes each frame that the stage is about to push, in either direction.
    """
    push = stage.push_frame

    async def push_frame(frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        if accept(frame):
            await push(frame, direction)

    stage.push_frame = push_frame  # type: ignore[method-assign]


def filter_queued(stage: FrameProcessor, accept: Callable[[Frame, FrameDirection], bool]) -> None:
    """Have a stage take only the frames that `accept` lets pass, before it queues them.

    Args:
        stage: The stage, before it runs.
        accept: Takes each frame that comes, and whence.
    """
    queue = stage.queue_frame

    async def queue_frame(
        frame: Frame,
        direction: FrameDirection = FrameDirection.DOWNSTREAM,
        callback: FrameCallback | None = None,
    ) -> None:
        if accept(frame, direction):
            await queue(frame, direction, callback)

    stage.queue_frame = queue_frame  # type: ignore[method-assign]


Push = Callable[[Frame, FrameDirection], Awaitable[None]]


class PushGuard(Protocol):
    """Watches what a stage pushes, and slows it down."""

    pressed: bool
    """Whether `wait` is to be awaited behind this push."""
    long: bool
    """Whether the frame that was admitted last is to be pushed by `push_in_pieces`."""

    def admits(self, frame: Frame, direction: FrameDirection) -> bool:
        """Take note of a frame that the stage is about to push. Returns whether it is pushed."""

    async def push_in_pieces(self, push: Push, frame: Frame, direction: FrameDirection) -> None:
        """Push a long frame as several, and give the other calls their turn in between."""

    async def wait(self) -> None:
        """Wait behind a push: the frame has gone already, so that none overtakes another."""


def guard_pushes(stage: FrameProcessor, guard: PushGuard) -> None:
    """Have a guard watch what a stage pushes, in either direction.

    Args:
        stage: The stage, before it runs.
        guard: The guard.
    """
    push = stage.push_frame

    async def push_frame(frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        if guard.admits(frame, direction):
            if guard.long:
                await guard.push_in_pieces(push, frame, direction)
            else:
                await push(frame, direction)
        if guard.pressed:
            await guard.wait()

    stage.push_frame = push_frame  # type: ignore[method-assign]
