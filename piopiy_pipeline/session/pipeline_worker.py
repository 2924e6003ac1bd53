"""pipecat's worker as a call wants it: with nothing switched on that nobody asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipecat.frames.frames import ErrorFrame, Frame
from pipecat.observers.base_observer import BaseObserver

from piopiy_pipeline.compat.pipecat import SourceHookWorker

__all__ = ["CallWorker"]


class CallWorker(SourceHookWorker):
    """`has_observers` tells the stages whether anything has to be built for observers."""

    def __init__(self, pipeline: Any, *, observers: Sequence[BaseObserver], **options: Any) -> None:
        self.has_observers = bool(observers)
        super().__init__(
            pipeline,
            observers=list(observers),
            enable_rtvi=False,
            enable_turn_tracking=False,
            idle_timeout_secs=None,
            check_dangling_tasks=False,
            **options,
        )

    async def frame_left_upstream(self, frame: Frame) -> None:
        """A fatal error is that of a service which takes no more work: the caller hears of it, too.

        pipecat would cancel the pipeline on the spot, in silence.
        """
        if isinstance(frame, ErrorFrame) and frame.fatal:
            frame.fatal = False
            if frame.processor is not None:
                await frame.processor.set_usable(False)
