"""Follows the beginning and the end of a call down its chain, and names the stage that keeps them back.

A processor that forgets to pass a `StartFrame` or an `EndFrame` on is the commonest mistake in one,
and hangs the whole pipeline. In a simulation each stage writes down that they reached it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipecat.frames.frames import EndFrame, Frame, StartFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from piopiy_pipeline.pipeline import CallPipeline

__all__ = ["StageTrace"]


class StageTrace:
    """Follows a chain's first and last frame. `watch()` it before it runs."""

    def __init__(self) -> None:
        self._stages: list[tuple[str, FrameProcessor]] = []
        self._reached: dict[type[Frame], int] = {}
        self._cleaning: list[int] = []

    def watch(self, chain: CallPipeline) -> None:
        """Note what arrives at each stage of `chain`."""
        self._stages = [(name, chain[name]) for name in chain.names]
        for number, (_, stage) in enumerate(self._stages):
            self._watch(number, stage)

    def _watch(self, number: int, stage: FrameProcessor) -> None:
        queue_frame = stage.queue_frame

        async def noted(
            frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM, *rest: Any, **options: Any
        ) -> None:
            kind = type(frame)
            if kind is EndFrame or kind is StartFrame:
                self._reached[kind] = max(number, self._reached.get(kind, -1))
            await queue_frame(frame, direction, *rest, **options)

        cleanup = stage.cleanup

        async def cleaned() -> None:
            self._cleaning.append(number)
            await cleanup()
            self._cleaning.remove(number)

        stage.cleanup = cleaned  # type: ignore[method-assign]  # of this instance, for one simulated call
        stage.queue_frame = noted  # type: ignore[method-assign]  # as above

    @property
    def kept_start(self) -> str | None:
        """The stage that has the `StartFrame` and did not pass it on; None if none did."""
        return self._kept(StartFrame)

    @property
    def kept_end(self) -> str | None:
        """The stage that has the `EndFrame` and did not pass it on; None if none did."""
        return self._kept(EndFrame)

    @property
    def unfinished_cleanup(self) -> str | None:
        """The stage whose `cleanup` did not come to its end; None if all did."""
        return self._described(self._cleaning[0], "cleanup") if self._cleaning else None

    def _kept(self, kind: type[Frame]) -> str | None:
        reached = self._reached.get(kind)
        if reached is None or reached == len(self._stages) - 1:
            return None
        return self._described(reached, "process_frame")

    def _described(self, number: int, method: str) -> str:
        name, stage = self._stages[number]
        code = getattr(type(stage), method).__code__
        where = f"{Path(code.co_filename).name}:{code.co_firstlineno}"
        return f"stage {name!r} ({type(stage).__name__}.{method}, {where})"
