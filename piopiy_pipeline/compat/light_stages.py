"""pipecat's stages without what nobody sees: events that nobody handles, and lines of a log that nobody keeps.

A frame that passes a stage calls four events and formats a line of the log, and of most stages nobody handles an event
nor keeps the line. That was a seventh of what a call costs an agent. What a stage does with a frame stays as it is.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Iterator
from typing import Any

from loguru import logger
from pipecat.frames.frames import Frame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor, FrameProcessorSetup
from pipecat.utils.base_object import BaseObject
from pipecat.utils.errors import ErrorCategory

from piopiy_pipeline.compat import check_attributes, check_parameters

__all__ = ["PlainSetup", "check", "lighten"]

PIPECAT = ">=1.14,<1.15"
_PUSH, _CALL = "_FrameProcessor__internal_push_frame", "_call_event_handler"
_TRACE = logger.level("TRACE").no


class PlainSetup(FrameProcessorSetup):
    """pipecat's `FrameProcessorSetup`, whose attributes are looked up as of any object.

    pipecat's own asks of each name whether it is deprecated, some times for each frame and stage.
    """

    __getattribute__ = object.__getattribute__


class _Nothing:
    """What is awaited where nothing is to be done."""

    def __await__(self) -> Generator[Any, None, None]:
        return _NO_STEPS  # type: ignore[return-value]


_NO_STEPS: Iterator[Any] = iter(())
_NOTHING = _Nothing()


def lighten(stage: FrameProcessor) -> None:
    """Have a stage call only events with handlers, and format what is logged of a push only where it is kept.

    Args:
        stage: A stage that no observer watches, before it runs. Handlers may be added later.
    """
    if type(stage)._call_event_handler is not BaseObject._call_event_handler:
        return  # an author's stage that does more
    events, call = stage._event_handlers, stage._call_event_handler
    push = getattr(stage, _PUSH)

    def call_event_handler(event_name: str, *args: Any, **kwargs: Any) -> Awaitable[None]:
        event = events.get(event_name)
        if event is None or not event.handlers:
            return _NOTHING
        handler = event.handlers[0]
        if len(event.handlers) == 1 and getattr(handler, "raises_nothing", False):  # it is of `frame_taps`
            watching: Awaitable[None] = handler(stage, *args)
            return watching
        return call(event_name, *args, **kwargs)

    async def push_on(frame: Frame, direction: FrameDirection) -> None:
        if _logs_pushes():
            await push(frame, direction)
            return
        neighbour = stage.next if direction is FrameDirection.DOWNSTREAM else stage.previous
        if neighbour is None:
            return
        try:
            await neighbour.queue_frame(frame, direction)
        except Exception as error:  # noqa: BLE001  as pipecat does
            await stage.push_error(
                f"Uncaught exception: {error}", exception=error, category=ErrorCategory.UNKNOWN
            )

    setattr(stage, _CALL, call_event_handler)
    setattr(stage, _PUSH, push_on)


def _core() -> Any:
    return logger._core  # type: ignore[attr-defined]


def _logs_pushes() -> bool:
    return bool(_core().min_level <= _TRACE)


def check() -> None:
    """Check that pipecat and loguru are inside as this module needs it.

    Raises:
        CompatError: Says what an upgrade has changed.
    """
    used = [
        (BaseObject, "_event_handlers"),
        (BaseObject, "_call_event_handler"),
        (FrameProcessor, "_FrameProcessor__internal_push_frame"),
    ]
    check_attributes("pipecat-ai", used, written_for=PIPECAT, used_in=__name__)
    check_parameters(
        "pipecat-ai",
        getattr(FrameProcessor, _PUSH),
        ("frame", "direction"),
        written_for=PIPECAT,
        used_in=__name__,
    )
    check_attributes("loguru", [(logger, "_core")], written_for=">=0.7", used_in=__name__)
    check_attributes("loguru", [(_core(), "min_level")], written_for=">=0.7", used_in=__name__)


check()
