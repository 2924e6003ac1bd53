"""What sees the frames of a stage that runs: what it takes, what it has taken, and what it pushes.

Filters and guards stand around `push_frame` and `queue_frame`, which pipecat calls on the instance. Watchers are called
by pipecat's events of a frame, all those of one event by one handler: a handler costs several microseconds at each
frame, and most watchers want one frame in fifty.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from loguru import logger
from pipecat.frames.frames import Frame
from pipecat.processors.frame_processor import FrameCallback, FrameDirection, FrameProcessor

from piopiy_pipeline.compat.pipecat import takes_at_once

__all__ = [
    "PushGuard",
    "filter_pushes",
    "filter_queued",
    "guard_pushes",
    "handle_at_once",
    "watch_processed",
    "watch_pushes",
    "watch_taken",
]

Watcher = Callable[[Any, Any], Awaitable[None] | None]
"""Takes a stage and a frame; what it returns is awaited before the frame goes on."""


def watch_taken(stage: FrameProcessor, watcher: Watcher, *kinds: type[Frame]) -> None:
    """Have a function called with frames that a stage is about to process.

    An exception of the function is logged. Functions are called in the order in which they were given.

    Args:
        stage: The stage, before it runs.
        watcher: The function.
        *kinds: The types of the frames; frames of subclasses count as well.
    """
    _watch(stage, "on_before_process_frame", watcher, kinds)


def watch_processed(stage: FrameProcessor, watcher: Watcher, *kinds: type[Frame]) -> None:
    """Have a function called with frames that a stage has processed. The rest is as with `watch_taken`."""
    _watch(stage, "on_after_process_frame", watcher, kinds)


def watch_pushes(stage: FrameProcessor, watcher: Watcher, *kinds: type[Frame]) -> None:
    """Have a function called with frames that leave a stage, in either direction, after every filter and guard. The
    rest is as with `watch_taken`.
    """
    _watch(stage, "on_before_push_frame", watcher, kinds)


def _watch(stage: FrameProcessor, event: str, watcher: Watcher, kinds: tuple[type[Frame], ...]) -> None:
    # Kept in the stage itself, so that it goes with the stage.
    events: dict[str, _Watchers] = stage.__dict__.setdefault("_piopiy_watchers", {})
    if event not in events:
        events[event] = _Watchers()
        stage.add_event_handler(event, events[event].handler())
    events[event].add(watcher, kinds)


class _Watchers:
    """The watchers of one event of one stage."""

    def __init__(self) -> None:
        self._all: list[tuple[Watcher, tuple[type[Frame], ...]]] = []
        self._by_type: dict[type[Frame], tuple[Watcher, ...]] = {}

    def add(self, watcher: Watcher, kinds: tuple[type[Frame], ...]) -> None:
        self._all.append((watcher, kinds))
        self._by_type.clear()

    def handler(self) -> Callable[[FrameProcessor, Frame], Awaitable[None]]:
        """Return what pipecat calls: a function, and no method, of which it would find out anew at each frame that it
        is a coroutine.
        """
        by_type, find = self._by_type, self._find

        async def call(stage: FrameProcessor, frame: Frame) -> None:
            kind = type(frame)
            for watcher in by_type.get(kind) or find(kind):
                try:
                    pending = watcher(stage, frame)
                    if pending is not None:
                        await pending
                except Exception:
                    logger.exception("{}: what watches its frames has failed at {}", stage, kind.__name__)

        call.raises_nothing = True  # type: ignore[attr-defined]  # of `light_stages`
        return call

    def _find(self, kind: type[Frame]) -> tuple[Watcher, ...]:
        found = self._by_type.get(kind)
        if found is None:
            found = tuple(watcher for watcher, kinds in self._all if issubclass(kind, kinds))
            self._by_type[kind] = found
        return found


def filter_pushes(stage: FrameProcessor, accept: Callable[[Frame], bool]) -> None:
    """Have a stage push only the frames that `accept` lets pass. The base class calls `push_frame` on the instance.

    Args:
        stage: The stage, before it runs.
        accept: Takes each frame that the stage is about to push, in either direction.
    """
    push = stage.push_frame
    filters: list[Callable[[Frame], bool]] | None = getattr(push, "filters", None)
    if filters is not None:  # one call for all that stand next to each other
        filters.insert(0, accept)
        return
    filters = [accept]

    async def push_frame(frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        for accepts in filters:
            if not accepts(frame):
                return
        await push(frame, direction)

    push_frame.filters = filters  # type: ignore[attr-defined]
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


def handle_at_once(
    stage: FrameProcessor, kind: type[Frame], handle: Callable[[Any], Awaitable[None]]
) -> None:
    """Have frames of one type that come downstream handled by a function, without the way through the base class, as
    long as nobody observes the stage. That way costs more than some stages do.

    Args:
        stage: A stage in direct mode.
        kind: The type, and its subclasses: no control frames.
        handle: Takes each of them.
    """
    queue = stage.queue_frame

    async def queue_frame(
        frame: Frame,
        direction: FrameDirection = FrameDirection.DOWNSTREAM,
        callback: FrameCallback | None = None,
    ) -> None:
        if isinstance(frame, kind) and takes_at_once(stage, direction, callback):
            await handle(frame)
        else:
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
