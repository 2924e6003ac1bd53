"""One engine scores the windows of every call in the process, many at a time.

A window alone costs more than twice what it costs in a batch of eight, and a thread for each call costs
more than the model. So windows are gathered for a few milliseconds on a loop timer and go through one
`offload.Lane` together. The results of a batch are delivered on the loop that fed it. Nothing here sleeps
in a thread, so a virtual clock works.

The stream keeps what a call must remember between windows, and the worker keeps nothing: a batch takes
copies in and gives new states back, and each loop and rate has at most one batch under way. So a stream
can be closed at any moment, and an error in one batch changes nothing in the others.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from loguru import logger

from piopiy_pipeline.offload import Lane
from piopiy_pipeline.processors.caller_audio import MAX_WAITING_S
from piopiy_pipeline.processors.silero import (
    FloatArray,
    SileroModel,
    WindowShape,
    find_model,
    load_model,
    window_shape,
)
from piopiy_pipeline.processors.vad_segments import LoudnessMeter

__all__ = ["VadEngine", "VadListener", "VadStream", "shared_engine"]

GATHER_S = 0.010
"""How long a window waits for those of other calls. Half of it costs a fifth more CPU."""
MAX_BATCH = 64
"""Bounds how long one batch takes (about 3 ms)."""

# pipecat/audio/vad/silero.py: the recurrent state drifts on music and long silence, so it is cleared
# about every two seconds, but only in clear non-speech.
_RESET_INTERVAL_S = 2.0
_RESET_BELOW = 0.1
_RESET_LOW_WINDOWS = 5


class VadListener(Protocol):
    """Receives the scores of a stream, on the stream's loop and in the context in which it was opened."""

    @property
    def quiet(self) -> bool:
        """Whether there is no speech and no beginning of it: only then may the model's state be cleared."""

    def on_window(self, probability: float, power: float, volume: float | None) -> None:
        """Take the score of a window. Windows come in order.

        Args:
            probability: The probability of speech, 0 to 1.
            power: Mean power, 1.0 at full scale.
            volume: Smoothed loudness, 0 to 1; None where it is not measured.
        """

    def on_error(self, error: BaseException) -> None:
        """Handle that a window of this stream could not be scored; the stream goes on with the next."""


_Scores = tuple[list[float], list[float], FloatArray, list[float | None]]


class VadEngine:
    """Scores the streams of all calls, on any number of event loops, with one model and one worker thread.

    The model is loaded by the worker at the first batch, or ahead of time by `load()`.

    Args:
        gather_s: How many seconds a window waits for those of other calls.
        model_path: The path of the ONNX file; the default is `find_model()`.
        load: Reads the model.

    Raises:
        ModelMissing: There is no model.
    """

    def __init__(
        self,
        *,
        gather_s: float = GATHER_S,
        model_path: Path | None = None,
        load: Callable[[Path], SileroModel] = load_model,
    ) -> None:
        self.gather_s = gather_s
        self._path = model_path or find_model()
        self._load = load
        self._lane = Lane("vad", threads=1, brief=True)
        self._batchers: dict[tuple[asyncio.AbstractEventLoop, int], _Batcher] = {}
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the engine was closed, so that no stream can be opened."""
        return self._closed

    @property
    def streams(self) -> int:
        """How many streams are open now."""
        return sum(len(batcher.streams) for batcher in list(self._batchers.values()))

    @property
    def waiting(self) -> int:
        """Windows of all streams that wait or are being scored."""
        return sum(batcher.waiting for batcher in list(self._batchers.values()))

    async def load(self) -> None:
        """Load the model now, off the loop, so that the first call does not wait for it."""
        await self._lane.run(self._load, self._path)

    def open(self, sample_rate: int, listener: VadListener, *, measure_volume: bool = False) -> VadStream:
        """Open a stream on the running loop.

        Args:
            sample_rate: The rate of its audio, 8000 or 16000 Hz.
            listener: Receives its scores.
            measure_volume: Whether to measure the smoothed loudness, too.

        Raises:
            ValueError: Another sample rate.
            RuntimeError: The engine was closed.
        """
        if self._closed:
            raise RuntimeError("this VAD engine has been closed")
        shape = window_shape(sample_rate)
        loop = asyncio.get_running_loop()
        for key in [key for key in list(self._batchers) if key[0].is_closed()]:
            self._batchers.pop(key, None)
        batcher = self._batchers.get((loop, sample_rate))
        if batcher is None:
            batcher = self._batchers[loop, sample_rate] = _Batcher(self, loop, shape)
        return VadStream(batcher, shape, listener, measure_volume=measure_volume)

    def close(self) -> None:
        """Close the streams that are still open, and end the worker. To be called on the streams' loop."""
        self._closed = True
        for batcher in list(self._batchers.values()):
            for stream in list(batcher.streams):
                stream.close()
        self._lane.close()

    def _submit(self, batch: _Batch) -> asyncio.Future[_Scores]:
        return self._lane.submit(self._score, batch)

    def _score(self, batch: _Batch) -> _Scores:
        """Score a batch. Called in the worker."""
        probabilities, powers, states = self._load(self._path).score(batch.shape, batch.audio, batch.states)
        windows = batch.audio[1::2]
        volumes = [
            meter.update(window) if meter else None
            for meter, window in zip(batch.meters, windows, strict=True)
        ]
        return probabilities, powers, states, volumes

    def _retire(self, batcher: _Batcher) -> None:
        self._batchers.pop((batcher.loop, batcher.shape.sample_rate), None)


class VadStream:
    """Carries one call's audio through the engine. Use it on the loop that opened it."""

    def __init__(
        self, batcher: _Batcher, shape: WindowShape, listener: VadListener, *, measure_volume: bool
    ) -> None:
        self.shape = shape
        self.dropped = 0
        """Windows that were thrown away because scoring fell behind."""
        self._batcher = batcher
        self._listener = listener
        self._context = contextvars.copy_context()
        self._buffer = bytearray()
        self._waiting: deque[bytes] = deque(maxlen=round(MAX_WAITING_S / shape.seconds))
        self._closed = False
        self._meter: LoudnessMeter | None = None
        self.measure_volume(measure_volume)
        self._reset_windows = _RESET_INTERVAL_S / shape.seconds
        self._low_windows = 0
        self._clear_model_state()
        batcher.streams.add(self)

    def feed(self, pcm: bytes) -> None:
        """Take any amount of PCM16 mono at the stream's rate. The listener is called later, with the scores."""
        if self._closed:
            return
        buffer, size = self._buffer, self.shape.window_bytes
        buffer += pcm
        while len(buffer) >= size:
            self._enqueue(bytes(buffer[:size]))
            del buffer[:size]

    @property
    def waiting(self) -> int:
        """Windows that wait to be scored, without those of the batch under way."""
        return len(self._waiting)

    def measure_volume(self, wanted: bool) -> None:
        """Measure the smoothed loudness from now on, or stop it. Measuring costs more than the model does."""
        if not wanted:
            self._meter = None
        elif self._meter is None:
            self._meter = LoudnessMeter(self.shape.sample_rate)

    def close(self) -> None:
        """Close the stream: the listener is not called any more. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._waiting.clear()
        self._batcher.leave(self)

    def _enqueue(self, window: bytes) -> None:
        if len(self._waiting) == self._waiting.maxlen:
            if not self.dropped:
                text = f"{MAX_WAITING_S:g} s of this call's audio wait to be scored; the oldest is dropped"
                self._context.copy().run(logger.warning, f"VAD falls behind: {text}")  # with the call's id
            self.dropped += 1
        self._waiting.append(window)
        self._batcher.join(self)

    def _clear_model_state(self) -> None:
        self._state = SileroModel.fresh_state()
        self._tail = bytes(self.shape.context_bytes)
        self._since_reset = 0

    def _take(self) -> tuple[bytes, bytes]:
        """Return the oldest window and what the model wants in front of it."""
        window, context = self._waiting.popleft(), self._tail
        self._tail = window[-self.shape.context_bytes :]
        return context, window

    def _scored(self, probability: float, power: float, state: FloatArray, volume: float | None) -> None:
        if self._closed:
            return
        self._state = state
        self._since_reset += 1
        self._low_windows = self._low_windows + 1 if probability < _RESET_BELOW else 0
        due = self._since_reset >= self._reset_windows and self._low_windows >= _RESET_LOW_WINDOWS
        if due and self._listener.quiet:
            self._clear_model_state()
        self._listener.on_window(probability, power, volume)

    def _failed(self, error: BaseException) -> None:
        if not self._closed:
            self._listener.on_error(error)


class _Batch:
    """One window of each of several streams, copied for the worker."""

    __slots__ = ("audio", "meters", "shape", "states", "streams")

    def __init__(self, shape: WindowShape, streams: list[VadStream]) -> None:
        self.shape = shape
        self.streams = streams
        self.audio: list[bytes] = []
        for stream in streams:
            self.audio.extend(stream._take())
        self.states = [stream._state for stream in streams]
        self.meters = [stream._meter for stream in streams]


class _Batcher:
    """The streams of one loop at one rate: gathers their windows, and has one batch under way at a time."""

    def __init__(self, engine: VadEngine, loop: asyncio.AbstractEventLoop, shape: WindowShape) -> None:
        self.loop = loop
        self.shape = shape
        self.streams: set[VadStream] = set()
        self._engine = engine
        self._queue: dict[VadStream, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._under_way = 0
        # The timer serves every call, so it must not run in the context of the one that armed it.
        self._context = contextvars.Context()

    @property
    def waiting(self) -> int:
        """Windows that wait or are under way."""
        return self._under_way + sum(stream.waiting for stream in self.streams)

    def join(self, stream: VadStream) -> None:
        """Note that this stream has a window that waits."""
        self._queue[stream] = None
        self._arm()

    def leave(self, stream: VadStream) -> None:
        self.streams.discard(stream)
        self._queue.pop(stream, None)
        if not self.streams:
            self.stop()
            self._engine._retire(self)

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._queue.clear()

    def _arm(self) -> None:
        if self._timer is None and not self._under_way:
            self._timer = self.loop.call_later(self._engine.gather_s, self._send, context=self._context)

    def _send(self) -> None:
        self._timer = None
        streams = list(self._queue)[:MAX_BATCH]
        if not streams:
            return
        for stream in streams:
            del self._queue[stream]
        batch = _Batch(self.shape, streams)
        self._under_way = len(streams)
        try:
            answer = self._engine._submit(batch)
        except (BlockingIOError, RuntimeError) as error:  # the lane is full, or closed
            self._under_way = 0
            self._call_listeners(streams, [partial(stream._failed, error) for stream in streams])
            return
        answer.add_done_callback(partial(self._deliver, batch), context=self._context)

    def _deliver(self, batch: _Batch, answer: asyncio.Future[_Scores]) -> None:
        self._under_way = 0
        streams = batch.streams
        if answer.cancelled():  # the engine was closed
            return
        if error := answer.exception():
            self._call_listeners(streams, [partial(stream._failed, error) for stream in streams])
        else:
            probabilities, powers, states, volumes = answer.result()
            self._call_listeners(
                streams,
                [
                    partial(stream._scored, probabilities[i], powers[i], states[:, i : i + 1], volumes[i])
                    for i, stream in enumerate(streams)
                ],
            )
        backlog = [stream for stream in streams if stream._waiting]
        self._queue.update(dict.fromkeys(backlog))
        if backlog and self._timer is None and not self._under_way:
            self._send()  # a stream that is behind does not wait for windows of others
        elif self._queue:
            self._arm()

    def _call_listeners(self, streams: list[VadStream], calls: list[Callable[[], None]]) -> None:
        for stream, call in zip(streams, calls, strict=True):
            try:
                stream._context.run(call)
            except Exception as error:  # noqa: BLE001 - one call's listener must not deprive the others of theirs
                self.loop.call_exception_handler(
                    {"message": "a VAD listener failed", "exception": error, "listener": stream._listener}
                )


_shared: VadEngine | None = None
_sharing = threading.Lock()


def shared_engine() -> VadEngine:
    """Return the process's engine. It is made at the first call, and again after it was closed."""
    global _shared
    with _sharing:
        if _shared is None or _shared.closed:
            _shared = VadEngine()
        return _shared
