"""The VAD stage: when the caller begins and stops to speak.

It keeps the whole contract of pipecat's `VADProcessor`, so any transcription service or turn
strategy works behind it, and differs in what it costs: the windows of all calls are scored together
(`vad_engine`), samples reach it by a plain function call, and input audio passes through it without
a queue. Directly behind the input transport it is given the samples as they arrive (`caller_audio`);
anywhere else it takes them from the frames that reach it.
"""

from __future__ import annotations

import asyncio
import difflib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, fields
from typing import Any

from loguru import logger
from pipecat.audio.vad.vad_analyzer import VADAnalyzer, VADParams
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    SpeechControlParamsFrame,
    StartFrame,
    UserSpeakingFrame,
    VADParamsUpdateFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.processors.frame_processor import (
    FrameCallback,
    FrameDirection,
    FrameProcessor,
    FrameProcessorSetup,
)

from piopiy_pipeline.compat.pipecat import takes_at_once
from piopiy_pipeline.processors.caller_audio import CallerAudioFrame, SampleSink
from piopiy_pipeline.processors.caller_level import CallerLevel
from piopiy_pipeline.processors.caller_pause import CallerPausedFrame
from piopiy_pipeline.processors.silero import window_shape
from piopiy_pipeline.processors.vad_engine import VadEngine, VadStream, shared_engine
from piopiy_pipeline.processors.vad_segments import Segmenter, VadEvent, VadSettings

__all__ = ["VadStage", "make_vad"]

PAUSE_S = 0.1
"""Seconds without speech after which a transcription may begin: within words such silences are rare."""
CALM_WINDOWS = 31
"""A caller who has not spoken for so many windows (1 s) has had their turn decided on: frames may be longer."""
_MAX_EVENTS = 64
_LATE_S = 0.05


class VadStage(FrameProcessor, SampleSink):
    """Broadcasts `VADUserStartedSpeakingFrame`, `VADUserStoppedSpeakingFrame` and `UserSpeakingFrame`, and
    pushes `CallerPausedFrame`.

    Input audio must be mono PCM16 at 8000 or 16000 Hz (`setup` raises `ValueError` otherwise). Frames
    whose samples were given to `feed` are passed on without being scored again.

    Args:
        settings: When speech begins and stops; default is `VadSettings()`.
        speech_activity_period: Seconds between two `UserSpeakingFrame`s while there is speech, 0 for none.
            (pipecat: 0.2. They travel through every stage, both ways, and feed timeouts of many seconds.)
        audio_idle_timeout: Seconds without audio after which speech counts as stopped, 0 for never.
        engine: What scores the audio; default is the process's own.
        **kwargs: Arguments of `FrameProcessor`.

    Raises:
        ModelMissing: The Silero model is not installed.
    """

    def __init__(
        self,
        settings: VadSettings | None = None,
        *,
        speech_activity_period: float = 1.0,
        audio_idle_timeout: float = 1.0,
        engine: VadEngine | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(enable_direct_mode=True, **kwargs)
        self._vad_settings = settings or VadSettings()
        self._activity_s = speech_activity_period
        self._idle_s = audio_idle_timeout
        self._engine = engine or shared_engine()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._segmenter: Segmenter | None = None
        self._stream: VadStream | None = None
        self._last_audio = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._events: deque[VadEvent | BaseException] = deque()
        self._wake = asyncio.Event()
        self._event_task: asyncio.Task[None] | None = None
        self._passed = 0  # samples of the audio frames that came by
        self._scored = 0  # windows
        self._began = self._paused = 0  # the windows after which speech began, and paused, last
        self._silence_s = self._vad_settings.stop_secs  # before the last stop
        self._in_trouble = False
        self._refused_audio = False
        self._stirred = 0  # the last window in which there was speech, or the beginning of it
        self._flush_transport: Callable[[], Awaitable[None]] | None = None
        self._hurry_transport: Callable[[], None] | None = None
        self.watcher: Callable[[float, float], None] | None = None
        """Called with the probability of speech and the mean power of each window, before anything is made of it."""
        self.listener: Callable[[bytes], None] | None = None
        """Called with the caller's samples as they come: PCM16 mono at the pipeline's input rate."""

    @property
    def settings(self) -> VadSettings:
        """The settings that are in force."""
        return self._vad_settings

    @property
    def speaking(self) -> bool:
        """Whether the caller is speaking, by the audio that was scored until now."""
        return self._segmenter is not None and self._segmenter.speaking

    @property
    def crowded(self) -> bool:
        """Whether voices go on behind the caller, so that soft sounds of theirs are not heard."""
        return self._segmenter is not None and self._segmenter.crowded

    # -- audio in

    def take_samples_from(self, flush: Callable[[], Awaitable[None]], hurry: Callable[[], None]) -> None:
        """Note that the input transport is directly before this stage, as `SampleSink` says."""
        self._flush_transport, self._hurry_transport = flush, hurry

    @property
    def calm(self) -> bool:
        """Whether there has been neither speech nor a beginning of it for `CALM_WINDOWS`."""
        return self._scored - self._stirred >= CALM_WINDOWS

    @property
    def hears_soft(self) -> bool:
        """Whether a gate of the author's takes the place of the floor below which nothing is speech."""
        return self._vad_settings.min_volume is not None

    def feed(self, pcm: bytes) -> None:
        """Score samples: PCM16 little-endian mono at the pipeline's input rate. Ignored before the start."""
        if self._stream is not None and self._loop is not None:
            self._last_audio = self._loop.time()
            self._stream.feed(pcm)
            if self.listener is not None:
                self.listener(pcm)

    async def queue_frame(
        self,
        frame: Frame,
        direction: FrameDirection = FrameDirection.DOWNSTREAM,
        callback: FrameCallback | None = None,
    ) -> None:
        following = self.next
        if (
            isinstance(frame, InputAudioRawFrame)
            and following is not None
            and takes_at_once(self, direction, callback)
        ):
            # Where nobody observes the push, the way through the base class would cost more than the VAD.
            if self._stream is not None:
                self._passed += len(frame.audio) // 2
            await self._feed_frame(frame)
            await following.queue_frame(frame, direction)
        else:
            await super().queue_frame(frame, direction, callback)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame) and self._stream is not None:
            self._passed += len(frame.audio) // 2
        # Passed on first: the start must be ahead of the parameters, and audio does not wait for its score.
        await self.push_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            await self._feed_frame(frame)
        elif isinstance(frame, StartFrame):
            await self._start_listening()
        elif isinstance(frame, VADParamsUpdateFrame):
            await self._apply(frame.params)
        elif isinstance(frame, EndFrame | CancelFrame):
            await self._stop_listening()

    async def _feed_frame(self, frame: InputAudioRawFrame) -> None:
        if self._stream is None or (isinstance(frame, CallerAudioFrame) and frame.fed_to is self):
            return
        rate = self._stream.shape.sample_rate
        if frame.sample_rate == rate and frame.num_channels == 1:
            self.feed(frame.audio)
        elif not self._refused_audio:
            self._refused_audio = True
            await self.push_error(
                f"{self} listens at {rate} Hz mono, but gets audio of {frame.sample_rate} Hz with "
                f"{frame.num_channels} channel(s): resample it before this stage"
            )

    # -- life

    # pipecat's own FrameProcessor.setup differs from its base class in just this way.
    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]
        shape = window_shape(setup.audio_in_sample_rate)
        await super().setup(setup)
        self._segmenter = Segmenter(
            self._vad_settings,
            window_s=shape.seconds,
            activity_s=self._activity_s,
            pause_s=PAUSE_S,
            level=CallerLevel(window_s=shape.seconds),
        )
        await self._engine.load()

    async def cleanup(self) -> None:
        await super().cleanup()
        await self._stop_listening()

    async def _start_listening(self) -> None:
        if self._stream is None:
            self._loop = asyncio.get_running_loop()
            self._last_audio = self._loop.time()
            self._stream = self._engine.open(
                self.processor_setup.audio_in_sample_rate,
                self,
                measure_volume=bool(self._vad_settings.min_volume),
                gate=self._vad_settings.min_volume
                is None,  # with a gate of its own, soft windows may be speech
            )
            self._event_task = self.create_task(self._push_events(), "vad")
        await self._announce_params()

    async def _stop_listening(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
        self._watch_idle(False)
        self._events.clear()
        task, self._event_task = self._event_task, None
        if task is asyncio.current_task():
            self._wake.set()  # the end reached us through a frame of our own: it ends by itself
        elif task is not None:
            await self.cancel_task(task)

    async def _apply(self, params: VADParams) -> None:
        # pipecat's parameters cannot say "no loudness gate": a gate nobody asked for is left out.
        gate = params.min_volume if "min_volume" in params.model_fields_set else None
        try:
            self._vad_settings = VadSettings(params.confidence, params.start_secs, params.stop_secs, gate)
        except ValueError as error:
            await self.push_error(f"{self} keeps its parameters: {error}", exception=error)
            return
        if self._segmenter is not None:
            self._segmenter.apply(self._vad_settings)
        if self._stream is not None:
            self._stream.measure_volume(bool(gate))
            self._stream.gate(gate is None)
        await self._announce_params()

    async def _announce_params(self) -> None:
        values = asdict(self._vad_settings)
        values["min_volume"] = values["min_volume"] or 0.0
        await self.broadcast_frame(SpeechControlParamsFrame, vad_params=VADParams(**values))

    # -- called by the engine (`VadListener`), on the loop

    @property
    def quiet(self) -> bool:
        return self._segmenter is None or self._segmenter.quiet

    def on_window(self, probability: float, power: float, volume: float | None) -> None:
        self._in_trouble = False
        if self.watcher is not None:
            self.watcher(probability, power)
        self._scored += 1
        if self._segmenter is not None:
            for event in self._segmenter.window(probability, power, volume):
                if event is VadEvent.STARTED:
                    self._began = self._place
                elif event is VadEvent.PAUSED:
                    self._paused = self._place
                elif event is VadEvent.STOPPED:
                    self._silence_s = self._segmenter.silence_s
                self._post(event)
            if not self._segmenter.quiet:
                if self.calm and self._hurry_transport is not None:
                    self._hurry_transport()
                self._stirred = self._scored

    @property
    def _place(self) -> int:
        """The window that was scored last."""
        return self._scored + (self._stream.dropped if self._stream is not None else 0)

    def _ago_s(self, window: int) -> float:
        """Return how long ago a window ended, in seconds of the audio that has come by."""
        assert self._stream is not None
        shape = self._stream.shape
        return self._passed / shape.sample_rate - window * shape.seconds

    def on_error(self, error: BaseException) -> None:
        if not self._in_trouble:  # a broken model fails 31 times a second; one report a streak
            self._in_trouble = True
            self._post(error)

    # -- what the pipeline hears

    def _post(self, event: VadEvent | BaseException) -> None:
        if event is VadEvent.STARTED:
            self._watch_idle(True)
        elif event is VadEvent.STOPPED:
            self._watch_idle(False)
        events = self._events
        if event in (VadEvent.ACTIVITY, VadEvent.PAUSED) and event in events:
            return
        if len(events) >= _MAX_EVENTS:  # the pipeline takes nothing
            if isinstance(event, BaseException) or event is VadEvent.PAUSED:
                return
            if event is VadEvent.STOPPED and events[-1] is VadEvent.STARTED:
                events.pop()  # what began and ended meanwhile never was
                return
        events.append(event)
        self._wake.set()

    async def _push_events(self) -> None:
        while self._stream is not None:
            await self._wake.wait()
            self._wake.clear()
            while self._events:
                await self._push_event(self._events.popleft())

    async def _push_event(self, event: VadEvent | BaseException) -> None:
        if event is VadEvent.STARTED:
            logger.debug(f"{self}: user started speaking")
            await self.broadcast_frame(VADUserStartedSpeakingFrame, start_secs=self._vad_settings.start_secs)
        elif event is VadEvent.STOPPED:
            logger.debug(f"{self}: user stopped speaking")
            if self._flush_transport is not None:
                await (
                    self._flush_transport()
                )  # the STT must have all of the speech before it learns of its end
            await self.broadcast_frame(VADUserStoppedSpeakingFrame, stop_secs=self._silence_s)
        elif event is VadEvent.ACTIVITY:
            await self.broadcast_frame(UserSpeakingFrame)
        elif event is VadEvent.PAUSED:  # what is in no frame yet is silence
            began_ago_s, ago_s = self._ago_s(self._began), self._ago_s(self._paused)
            await self.push_frame(CallerPausedFrame(began_ago_s=began_ago_s, ago_s=ago_s))
        elif isinstance(event, BaseException):
            cause = event if isinstance(event, Exception) else None
            await self.push_error(f"{self} could not score the caller's audio: {event}", exception=cause)

    # -- audio that ceases in mid-word (a muted microphone): the turn must not hang

    def _watch_idle(self, on: bool) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        if on and self._idle_s > 0 and self._loop is not None:
            self._look_again(self._last_audio + self._idle_s)

    def _look_again(self, when: float) -> None:
        if self._loop is not None:
            self._idle_timer = self._loop.call_at(when, self._check_idle, when)

    def _check_idle(self, due: float) -> None:
        self._idle_timer = None
        if self._loop is None or self._segmenter is None:
            return
        now = self._loop.time()
        silent_since = self._last_audio + self._idle_s
        if silent_since > now:
            self._look_again(silent_since)
        elif now - due > _LATE_S:
            # The loop was busy: audio may be waiting in the socket, and uvloop runs timers before it reads.
            self._look_again(now + _LATE_S)
        else:
            stopped = self._segmenter.force_stop()
            if stopped:
                logger.warning(
                    f"{self}: no audio for {self._idle_s:g} s while the user speaks: speech has stopped"
                )
            for event in stopped:
                self._post(event)


def make_vad(vad: bool | Mapping[str, Any] | VADAnalyzer | None) -> FrameProcessor | None:
    """Make the VAD stage that an author asks for.

    Args:
        vad: True for a `VadStage` with its defaults; False or None for no stage; a mapping of
            `confidence, start_secs, stop_secs, min_volume`, each optional, for a `VadStage` with these
            settings; an analyzer for pipecat's `VADProcessor` around it.

    Raises:
        ValueError: An unknown key, or a value out of range.
        TypeError: Something else.
    """
    if vad is None or vad is False:
        return None
    if vad is True:
        return VadStage()
    if isinstance(vad, VADAnalyzer):
        return VADProcessor(vad_analyzer=vad)
    if isinstance(vad, Mapping):
        known = [field.name for field in fields(VadSettings)]
        for key in vad:
            if key not in known:
                close = difflib.get_close_matches(str(key), known, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise ValueError(f"vad: unknown key {key!r}{hint} Known keys: {', '.join(known)}")
        return VadStage(VadSettings(**vad))
    raise TypeError(
        f"vad must be True, False, a dict of settings or a pipecat VADAnalyzer, not {type(vad).__name__}"
    )
