"""Refuses stages that have run in another event loop, before anything of them fails there in its own way.

A service that a bot makes when its file is loaded is the same one in each call. In a test, a simulation or a replay
each call has a loop of its own, and the queues and tasks of the service belong to the first one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pipecat.processors.frame_processor import FrameProcessor

from piopiy_pipeline.stage_error import StageError

__all__ = ["refuse_used_stages"]


def refuse_used_stages(stages: Sequence[tuple[str, FrameProcessor]]) -> None:
    """Check that no stage has run in another event loop.

    Args:
        stages: The stages with their names. Services in a switch count as well.

    Raises:
        StageError: One has.
    """
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:  # a pipeline that is made without one, to be looked at
        return
    inner = [(name, each) for name, one in stages for each in getattr(one, "services", ())]
    for name, stage in [*stages, *inner]:
        if (loop := _loop_of(stage)) is not None and loop is not here:
            raise StageError(
                f"{stage.name} at {name!r} has been in another call: make services and stages in the "
                "callback (create_session), anew for each call",
                name,
            )


def _loop_of(stage: FrameProcessor) -> asyncio.AbstractEventLoop | None:
    """Return the loop in which a stage was set up; None: it was not."""
    try:
        return stage.get_event_loop()
    except Exception:  # noqa: BLE001  pipecat raises no class of its own
        return None
