"""The first stage of a pipeline: the caller's audio, keys and messages.

It is fed by function calls. If the stage directly behind it is a `SampleSink` (the VAD is one), that stage is
given every chunk of samples at once. Frames of `frame_ms` go down the pipeline for all stages that want audio:
fewer and longer frames are cheaper, and the end of a turn does not wait for them. While nobody speaks they are three
times as long, if no stage but the STT takes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from loguru import logger
from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InputDTMFFrame,
    InputTransportMessageFrame,
    StartFrame,
    StopFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_transport import TransportParams

from piopiy_pipeline.compat.pipecat import is_observed
from piopiy_pipeline.eager_work import EagerWork
from piopiy_pipeline.processors.caller_audio import MAX_WAITING_S, CallerAudioFrame, SampleSink
from piopiy_pipeline.processors.typed_words import typed_words

__all__ = ["CallerInput"]

_KEYS = frozenset(KeypadEntry)
CALM_FRAMES = 3
"""So many frames are one while nobody speaks, about 0.1 s: the longest piece that recognisers ask for."""


class CallerInput(BaseInputTransport):
    """The input transport of a call.

    Args:
        params: Pipecat's transport parameters.
        frame_ms: The least length of a frame in milliseconds. Whole pieces of audio make a frame, as they come.
    """

    def __init__(self, params: TransportParams, *, frame_ms: int = 32) -> None:
        super().__init__(params, enable_direct_mode=True, name="transport_in")
        self._frame_ms = frame_ms
        self._frame_bytes = 0
        self._backlog_bytes = 0
        self._hurried = False
        self.only_stt = False
        """Whether no stage but the VAD and the STT takes the frames: they may be longer while nobody speaks."""
        self._pcm = bytearray()
        self._sink: SampleSink | None = None
        self._frames: asyncio.Queue[Frame] = asyncio.Queue(maxsize=256)
        self._dropping = False
        self._wake = asyncio.Event()
        self._pump_task: asyncio.Task[None] | None = None
        self._work = EagerWork(lambda rest: self.create_task(rest, "transport_in::rest"))
        self.on_start: Callable[[], None] | None = None
        """Called when this stage has started."""

    @property
    def takes_silence_late(self) -> bool:
        """Whether nothing hangs on what is too soft for speech: it may come some tenths of a second late."""
        return self.only_stt and self._sink is not None and not self._sink.hears_soft

    # ------------------------------------------------------------------ fed by the link

    def audio(self, pcm: bytes) -> None:
        """Take the caller's audio: PCM16 little-endian mono at the pipeline's input rate, of any length.

        Audio that comes before the pipeline has started is dropped.
        """
        if not self._frame_bytes:
            return
        sink, size = self._sink, self._frame_bytes
        if sink is not None:
            sink.feed(pcm)
            if self.only_stt and sink.calm:
                size *= CALM_FRAMES
        self._pcm += pcm
        if len(self._pcm) >= size:
            if len(self._pcm) > self._backlog_bytes:
                del self._pcm[: len(self._pcm) - self._backlog_bytes]
            if not (self.only_stt and self._frames.empty() and self._work.begin(self._push_at_once)):
                self._wake.set()

    def keys(self, digits: str) -> None:
        """Take the keys that the caller pressed, each a frame of its own."""
        for digit in digits:
            if digit in _KEYS:
                self._queue(InputDTMFFrame(KeypadEntry(digit)))
            else:  # A to D are on the wire's keypad, and not on pipecat's
                logger.debug("key {} has no frame in pipecat: dropped", digit)

    def message(self, data: dict[str, object]) -> None:
        """Take a message of the client's application."""
        self._queue(InputTransportMessageFrame(message=data))

    def typed(self, text: str) -> None:
        """Take what the caller has typed, as words of theirs that are final."""
        self._queue(typed_words(text))

    def _queue(self, frame: Frame) -> None:
        if not (full := self._frames.full()):
            self._frames.put_nowait(frame)
            self._wake.set()
        elif not self._dropping:  # once until there is room again
            logger.error(
                "the pipeline takes no keys or messages, and {} wait: more are dropped", self._frames.maxsize
            )
        self._dropping = full

    # ------------------------------------------------------------------ the stage

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        self._frame_bytes = self.sample_rate * self._frame_ms // 1000 * 2
        self._backlog_bytes = round(self.sample_rate * MAX_WAITING_S) * 2
        if isinstance(self.next, SampleSink):
            self._sink = self.next
            self._sink.take_samples_from(self.flush, self._hurry)
        if self._pump_task is None:
            self._pump_task = self.create_task(self._pump(), "transport_in::pump")
        if self.on_start is not None:
            self.on_start()

    async def flush(self) -> None:
        """Push the samples that are in no frame yet, because the end of a turn must follow all of its audio."""
        await self._work.done()
        if self._pcm:
            await self._push_audio()

    def _hurry(self) -> None:
        self._hurried = True
        self._wake.set()

    async def _pump(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._work.done()
            while not self._frames.empty():
                await self.push_frame(self._frames.get_nowait())
            if len(self._pcm) >= self._frame_bytes or self._hurried:
                self._hurried = False
                await self.flush()

    async def _push_at_once(self) -> None:
        try:
            await self._push_audio()
        except Exception as error:  # noqa: BLE001  a stage's: it must not reach the media stream, which would close
            await self.push_error(f"the caller's audio could not be passed on: {error}", exception=error)

    async def _push_audio(self) -> None:
        pcm = bytes(self._pcm)
        self._pcm.clear()
        frame = CallerAudioFrame(pcm, self.sample_rate, fed_to=self._sink)
        if self.next is not None and not is_observed(self):
            await self.next.queue_frame(frame, FrameDirection.DOWNSTREAM)
        else:
            await self.push_frame(frame)

    def _create_audio_task(self) -> None:
        """Do nothing, because audio does not pass the base class's queue and task."""

    async def stop(self, frame: EndFrame) -> None:
        await super().stop(frame)
        await self._halt()

    async def pause(self, frame: StopFrame) -> None:
        self._frame_bytes = 0  # audio is dropped until the next start
        self._pcm.clear()

    async def cancel(self, frame: CancelFrame) -> None:
        await super().cancel(frame)
        await self._halt()

    async def cleanup(self) -> None:
        await super().cleanup()
        await self._halt()

    async def _halt(self) -> None:
        self._frame_bytes = 0  # audio that still arrives is dropped
        self._sink = None
        await self._work.cancel(self.cancel_task)
        task, self._pump_task = self._pump_task, None
        if task is not None:
            await self.cancel_task(task)
