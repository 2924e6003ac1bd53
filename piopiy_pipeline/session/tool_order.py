"""`ToolOrder`: a tool's cancellation counts behind the tool's beginning. Without I/O.

The beginning of a tool call waits behind the sentence before it, in the TTS and in the output. Its cancellation
is a system frame, which waits for nothing. If the caller cuts into that sentence, whoever sees both frames
sees them the wrong way round, and would take the tool for one in progress for the rest of the call.
"""

from __future__ import annotations

from pipecat.frames.frames import (
    Frame,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallsStartedFrame,
)

__all__ = ["ORDERED", "ToolOrder"]

ORDERED = (FunctionCallsStartedFrame, FunctionCallInProgressFrame, FunctionCallCancelFrame)
"""The frames whose order is looked at; all others may be left out."""


class ToolOrder:
    """The tool calls that were announced and have not begun yet, as seen at one place of the pipeline."""

    def __init__(self) -> None:
        self._announced: set[str] = set()
        self._early: dict[str, FunctionCallCancelFrame] = {}

    def in_order(self, frame: Frame) -> list[Frame]:
        """Take the next frame, and return what counts now.

        Returns:
            The frame. Nothing for a cancellation that came too early; it comes behind the beginning instead.
        """
        match frame:
            case FunctionCallsStartedFrame():
                self._announced.update(call.tool_call_id for call in frame.function_calls)
            case FunctionCallInProgressFrame():
                self._announced.discard(frame.tool_call_id)
                early = self._early.pop(frame.tool_call_id, None)
                return [frame] if early is None else [frame, early]
            case FunctionCallCancelFrame() if frame.tool_call_id in self._announced:
                self._early[frame.tool_call_id] = frame
                return []
            case _:
                pass
        return [frame]
