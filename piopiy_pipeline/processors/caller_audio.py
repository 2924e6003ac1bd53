"""Carries the caller's audio down the pipeline, as samples and as frames, and ends it where nobody needs it.

The input transport calls a `SampleSink` with every chunk of audio as it arrives, and pushes longer
frames for whoever wants audio. The frames say which stage has had their samples, so that no stage takes
them twice. Only the stage that stands directly behind the transport is called: where an author's stage
stands between the two, the samples go through that stage, in frames, as its author expects.

In pipecat the caller's audio travels through every stage to the end of the pipeline, although none
behind the transcription wants it: about a tenth of a call's CPU. `InputAudioStop` goes in front of the
first stage that does not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

from pipecat.frames.frames import Frame, InputAudioRawFrame
from pipecat.processors.frame_processor import FrameCallback, FrameDirection, FrameProcessor
from pipecat.utils.utils import obj_id

__all__ = ["MAX_WAITING_S", "CallerAudioFrame", "InputAudioStop", "SampleSink"]

MAX_WAITING_S = 15.0
"""Audio of one caller that may wait here, for the VAD's scores and for the stages behind the transport; beyond it the
oldest is dropped. It comes at once when a call changes instances (5 s are kept for the next one) and when code has
blocked the loop: as long as a call's code may by default (10 s), less than that waits at the gateway, and the rest in
sockets. That is 480 kB at 16 kHz.
"""


class SampleSink(ABC):
    """A stage that takes the caller's samples by a function call, if it stands behind the transport."""

    @abstractmethod
    def take_samples_from(self, flush: Callable[[], Awaitable[None]], hurry: Callable[[], None]) -> None:
        """Note that the transport is directly before this stage, and will call `feed` from now on.

        Args:
            flush: Pushes, as a frame, the samples that were fed and are in no frame yet. To be awaited
                before anything is told that must come behind those samples.
            hurry: Has those samples pushed soon, because somebody may be speaking in them.
        """

    @property
    @abstractmethod
    def calm(self) -> bool:
        """Whether nobody has spoken for a while, so that frames may be longer."""

    @property
    @abstractmethod
    def hears_soft(self) -> bool:
        """Whether what is below the level of speech counts as well, so that it must not come late."""

    @abstractmethod
    def feed(self, pcm: bytes) -> None:
        """Take samples.

        Args:
            pcm: PCM16 little-endian mono, at the pipeline's input rate, of any length.
        """


class CallerAudioFrame(InputAudioRawFrame):
    """The caller's audio, PCM16 mono at `sample_rate`, as the input transport pushes it.

    A frame like pipecat's own, cheaper to make and to print: pipecat formats each frame that it
    pushes, 25 of them a second and stage.
    """

    fed_to: SampleSink | None
    """The stage that was given these samples by `SampleSink.feed` already, and must not take them again."""

    def __init__(self, audio: bytes, sample_rate: int, *, fed_to: SampleSink | None = None) -> None:
        self.id = obj_id()
        self.name = "CallerAudioFrame"
        self.pts = None
        self.broadcast_sibling_id = None
        self.metadata = {}
        self.transport_source = None
        self.transport_destination = None
        self.audio = audio
        self.sample_rate = sample_rate
        self.num_channels = 1
        self.num_frames = len(audio) // 2
        self.fed_to = fed_to

    def __str__(self) -> str:
        return self.name


class InputAudioStop(FrameProcessor):
    """Passes every frame on at once, except input audio, which ends here."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(enable_direct_mode=True, **kwargs)

    async def queue_frame(
        self,
        frame: Frame,
        direction: FrameDirection = FrameDirection.DOWNSTREAM,
        callback: FrameCallback | None = None,
    ) -> None:
        # The way through the base class costs more than the stage does; only a callback needs it.
        if callback is None and isinstance(frame, InputAudioRawFrame):
            return
        await super().queue_frame(frame, direction, callback)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, InputAudioRawFrame):
            await self.push_frame(frame, direction)
