"""`StageGuard`: has a stage that pushes too many frames wait, so that it harms its own call alone.

pipecat's queues have no bound, and putting a frame into one never waits: a stage that pushes frames in a loop
would fill the memory, and no other call of the process would have its turn. A guard stands around the stage's
`push_frame`, where the stage can be made to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pipecat.frames.frames import (
    AudioRawFrame,
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputAudioRawFrame,
    StartFrame,
    StopFrame,
    TextFrame,
)
from pipecat.processors.frame_processor import FrameDirection

from piopiy_pipeline.compat.frame_taps import Push
from piopiy_pipeline.session.limits.sound_lead import SoundLead
from piopiy_pipeline.session.limits.sound_pieces import piece_bytes, pieces_of
from piopiy_pipeline.session.limits.stage_flow import LONGEST_WAIT_S, LoopShare, StageFlow
from piopiy_pipeline.session.limits.stream_limits import StreamLimits

__all__ = ["StageGuard"]

UNIT_BYTES = 2000
"""A frame with more audio than this counts as several: 40 ms at 24 kHz."""
UNIT_CHARS = 200
MAX_WAITING = 2000
"""So many pushes of one stage may wait: one that pushes from ever more tasks does not wait itself."""
AFTER_END_S = 1.0
"""What is pushed in a flood when the call has ended is thrown away, one frame in so many seconds."""
_SIZED = (AudioRawFrame, TextFrame)
_KINDS: dict[type[Frame], tuple[bool, ...]] = {}
"""By type: whether it is one of `_SIZED`, audible, an interruption."""
_ALWAYS = (CancelFrame, EndFrame, InterruptionFrame, StartFrame, StopFrame)
"""They are never thrown away."""


class StageGuard:
    """Watches the pushes of one stage.

    Args:
        limits: The limits of the call.
        share: That of the call, which all its stages use.
        now: Returns the time of the loop's clock, in seconds.
        ended: Returns whether the call has ended.
        too_long: Called with what is wrong with a frame that is cut short.
        floods: Called when the stage has pushed too much for too long.
    """

    def __init__(
        self,
        limits: StreamLimits,
        share: LoopShare,
        *,
        now: Callable[[], float],
        ended: Callable[[], bool],
        too_long: Callable[[str], None],
        floods: Callable[[], None],
    ) -> None:
        self._limits = limits
        self._share = share
        self._now = now
        self._ended = ended
        self._too_long = too_long
        self._floods = floods
        self._waiting = 0
        self.flow = StageFlow(limits, now())
        self.lead = SoundLead(limits.answer_s, now())
        self.next: StageGuard | None = None
        """Of the next stage, which is given what this one pushes downstream."""
        self.previous: StageGuard | None = None
        """Of the stage before, which is given what this one pushes upstream."""
        self.pressed = self.long = False
        self._interruptions = 0

    def admits(self, frame: Frame, direction: FrameDirection) -> bool:
        self.long = False
        kind = type(frame)
        if kind not in _KINDS:
            _KINDS[kind] = tuple(
                issubclass(kind, each) for each in (_SIZED, OutputAudioRawFrame, InterruptionFrame)
            )
        sized, audible, interrupts = _KINDS[kind]
        cost = self._cost(frame) if sized else 1
        flow, share = self.flow, self._share
        neighbour = self.next if direction is FrameDirection.DOWNSTREAM else self.previous
        if neighbour is not None and not self.long:
            neighbour.flow.given(frame.id, cost)
        share.left -= cost
        if audible:
            assert isinstance(frame, OutputAudioRawFrame)
            seconds = _seconds(frame)
            if neighbour is not None and not self.long:
                neighbour.lead.given(seconds)
            self.lead.left_s -= seconds
            if self.lead.left_s < 0:
                self.pressed = True
        elif interrupts:
            self._interruptions += 1
            self.lead.begin_anew()
        if flow.level < 0 and flow.passes_on(frame.id):
            return True
        flow.level -= cost
        if flow.level < 0:
            self.pressed = True
            too_late = self._waiting >= MAX_WAITING or self._ended()
            return not too_late or isinstance(frame, _ALWAYS)
        if share.left <= 0:
            self.pressed = True
        return True

    def _cost(self, frame: Frame) -> int:
        if isinstance(frame, AudioRawFrame):
            size = len(frame.audio)
            if size <= UNIT_BYTES:
                return 1
            self.long = size > piece_bytes(frame)
            longest = int(self._limits.answer_s * frame.sample_rate) * 2 * frame.num_channels
            if size > longest:
                self._too_long(f"{size} bytes of sound in one frame: cut after {self._limits.answer_s:g} s")
                frame.audio = frame.audio[:longest]
            return 1 + min(size, longest) // UNIT_BYTES
        assert isinstance(frame, TextFrame)
        size, longest = len(frame.text), int(self._limits.written_chars)
        if size > longest:
            self._too_long(f"a text of {size} characters in one frame: cut after {longest}")
            frame.text = frame.text[:longest]
        return 1 + min(size, longest) // UNIT_CHARS

    async def push_in_pieces(self, push: Push, frame: Frame, direction: FrameDirection) -> None:
        assert isinstance(frame, AudioRawFrame)
        neighbour = self.next if direction is FrameDirection.DOWNSTREAM else self.previous
        interruptions = self._interruptions
        for piece in pieces_of(frame):
            if frame.interruptible and self._interruptions != interruptions:
                return  # an interruption has thrown away the pieces before
            if neighbour is not None:
                neighbour.flow.given(piece.id, 1 + len(piece.audio) // UNIT_BYTES)
                if isinstance(piece, OutputAudioRawFrame):
                    neighbour.lead.given(_seconds(piece))
            await push(piece, direction)
            await asyncio.sleep(0)

    async def wait(self) -> None:
        self.pressed = False
        now = self._now()
        flow = self.flow
        wait_s = flow.wait_s(now) if flow.level < 0 else 0.0
        if self.lead.left_s < 0 and self.lead.wait_s(now) > 0 and not self._ended():
            await self._until_heard()
            return
        if not wait_s:
            if self._share.spent():
                await asyncio.sleep(0)
            return
        crowded = self._waiting >= MAX_WAITING
        if crowded or flow.floods(now):
            self._floods()
        if crowded:
            wait_s = 0.0  # its frame is gone
        elif self._ended():
            wait_s = AFTER_END_S
        self._waiting += 1
        try:
            await asyncio.sleep(wait_s)
        finally:
            self._waiting -= 1

    async def _until_heard(self) -> None:
        """Wait until the stage is no longer too far ahead of what can have been heard."""
        if not self.flow.paced:  # several answers of a model may be ahead, and each has a bound
            self._too_long(
                f"more than {self._limits.answer_s:g} s of sound that nobody has heard yet: it waits"
            )
        if self._waiting >= MAX_WAITING:
            self._floods()
            return
        self._waiting += 1
        try:
            while (wait_s := self.lead.wait_s(self._now())) > 0 and not self._ended():  # noqa: ASYNC110  time
                await asyncio.sleep(min(wait_s, LONGEST_WAIT_S))
        finally:
            self._waiting -= 1


def _seconds(frame: AudioRawFrame) -> float:
    return len(frame.audio) / (2 * frame.sample_rate * frame.num_channels)
