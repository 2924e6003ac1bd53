"""One engine scores the windows of every call in the process, many at a time.

A window alone costs more than twice what it costs in a batch of eight, and to wake a thread for it costs
more than the model. So the windows that came in one turn of the loop are scored together, at its end: a gateway
sends the audio of all calls at once. They are scored on the loop as long as that is brief (`BRIEF_S`), and what takes
longer goes through an `offload.Lane`. Nothing here sleeps in a thread, so a virtual clock works.

The stream keeps what a call must remember between windows, and the scoring keeps nothing: a batch takes
copies in and gives new states back, and each loop and rate has at most one batch under way. So a stream
can be closed at any moment, and an error in one batch changes nothing in the others.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path

from piopiy_pipeline.offload import Lane, has_courier
from piopiy_pipeline.processors.energy_gate import powers_of
from piopiy_pipeline.processors.silero import (
    SileroModel,
    WindowShape,
    find_model,
    load_model,
    window_shape,
)
from piopiy_pipeline.processors.vad_batch import Scores, WindowBatch
from piopiy_pipeline.processors.vad_stream import VadListener, VadStream

__all__ = ["VadEngine", "VadListener", "VadStream", "shared_engine"]

BRIEF_S = 0.002
"""So long at most the model may keep a turn of the loop, by what it has needed on this machine."""
VIRTUAL_S = 0.010
"""In virtual time nothing takes time. A window waits there as long as audio does for a gateway's frame tick.
"""
MAX_BATCH = 64
"""Bounds how long one batch takes (about 3 ms, in the thread)."""

_GATE_S = 30e-6  # what a window costs that the gate keeps, roughly
_GATED_AT_ONCE = 12  # windows of a stream: a quiet line sends ten at a time


class VadEngine:
    """Scores the streams of all calls, on any number of event loops, with one model.

    The model is loaded by a worker thread at the first batch, or ahead of time by `load()`.

    Args:
        model_path: The path of the ONNX file; the default is `find_model()`.
        load: Reads the model.
        brief_s: How long the model may keep a turn of an event loop, in seconds; 0: everything goes to the thread.

    Raises:
        ModelMissing: There is no model.
    """

    def __init__(
        self,
        *,
        model_path: Path | None = None,
        load: Callable[[Path], SileroModel] = load_model,
        brief_s: float = BRIEF_S,
    ) -> None:
        self._path = model_path or find_model()
        self._load = load
        self.brief_s = brief_s
        self._lane = Lane("vad", threads=1, brief=True)
        self._batchers: dict[tuple[asyncio.AbstractEventLoop, int], _Batcher] = {}
        self._closed = False
        self._model: SileroModel | None = None  # when it has been loaded

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
        await self._lane.run(self._load_model)

    def open(
        self, sample_rate: int, listener: VadListener, *, measure_volume: bool = False, gate: bool = False
    ) -> VadStream:
        """Open a stream on the running loop.

        Args:
            sample_rate: The rate of its audio, 8000 or 16000 Hz.
            listener: Receives its scores.
            measure_volume: Whether to measure the smoothed loudness, too.
            gate: Whether windows that are too soft to count as speech have the score 0 without being
                shown to the model, while nobody speaks (`EnergyGate`).

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
        stream = VadStream(batcher, shape, listener, measure_volume=measure_volume, gate=gate)
        batcher.streams.add(stream)
        return stream

    def close(self) -> None:
        """Close the streams that are still open, and end the worker. To be called on the streams' loop."""
        self._closed = True
        for batcher in list(self._batchers.values()):
            for stream in list(batcher.streams):
                stream.close()
        self._lane.close()

    def submit(self, batch: WindowBatch) -> asyncio.Future[Scores]:
        """Score a batch in the thread."""
        return self._lane.submit(self.score, batch)

    def score(self, batch: WindowBatch) -> Scores:
        """Score a batch. Called in the worker, or on the loop where that is brief."""
        return batch.score(self._model or self._load_model())

    def _load_model(self) -> SileroModel:
        self._model = self._load(self._path)
        return self._model

    def brief_cost_s(self, batch: WindowBatch) -> float | None:
        """Return how long a batch will take, in seconds; None: it must not be scored on the loop."""
        model = self._model
        if model is None or has_courier(batch.loop) or any(batch.meters):
            return None
        return batch.cost_s(model)

    def _retire(self, batcher: _Batcher) -> None:
        self._batchers.pop((batcher.loop, batcher.shape.sample_rate), None)


class _Batcher:
    """The streams of one loop at one rate: gathers their windows, and has one batch under way at a time."""

    def __init__(self, engine: VadEngine, loop: asyncio.AbstractEventLoop, shape: WindowShape) -> None:
        self.loop = loop
        self.shape = shape
        self.streams: set[VadStream] = set()
        self._engine = engine
        self._queue: dict[VadStream, None] = {}
        self._soon: asyncio.Handle | None = None
        self._under_way = 0
        # This serves every call, so it must not run in the context of the one that armed it.
        self._context = contextvars.Context()

    @property
    def waiting(self) -> int:
        """Windows that wait or are under way."""
        return self._under_way + sum(stream.waiting for stream in self.streams)

    def join(self, stream: VadStream) -> None:
        """Note that this stream has a window that waits."""
        self._queue[stream] = None
        if self._soon is None:
            self._arm()

    def leave(self, stream: VadStream) -> None:
        self.streams.discard(stream)
        self._queue.pop(stream, None)
        if not self.streams:
            self.stop()
            self._engine._retire(self)

    def stop(self) -> None:
        if self._soon:
            self._soon.cancel()
            self._soon = None
        self._queue.clear()

    def _arm(self) -> None:
        if self._soon is None and not self._under_way:
            if has_courier(self.loop):
                self._soon = self.loop.call_later(VIRTUAL_S, self._score_all, context=self._context)
            else:
                self._soon = self.loop.call_soon(self._score_all, context=self._context)

    def _score_all(self) -> None:
        """Score what has come in this turn of the loop: here as long as it is brief, and the rest in the thread."""
        self._soon = None
        left_s = self._engine.brief_s
        while self._queue:
            if left_s <= 0:
                self._soon = self.loop.call_soon(self._score_all, context=self._context)
                return
            streams = list(self._queue)
            self._queue.clear()
            if len(streams) > MAX_BATCH:
                self._queue.update(dict.fromkeys(streams[MAX_BATCH:]))
                del streams[MAX_BATCH:]
            loud, gated = self._ask_gates(streams)
            left_s -= _GATE_S * gated
            if loud:
                batch = WindowBatch(self.loop, self.shape, loud)
                cost_s = self._engine.brief_cost_s(batch)
                if cost_s is None or cost_s > left_s:
                    self._submit(batch)
                    return
                left_s -= cost_s
                try:
                    scores = self._engine.score(batch)
                except Exception as error:  # noqa: BLE001 - told to the streams of this batch
                    self._fail(loud, error)
                else:
                    self._tell(batch, scores)
            self._queue.update(dict.fromkeys(stream for stream in streams if stream.waiting))

    def _ask_gates(self, streams: list[VadStream]) -> tuple[list[VadStream], int]:
        """Tell of the windows that the gates keep. Returns the streams whose window the model has to hear, and how many
        windows it has not.
        """
        asking = [stream for stream in streams if stream.asks_gate]
        if not asking:
            return streams, 0
        windows = [stream.next_windows(_GATED_AT_ONCE) for stream in asking]
        powers = powers_of(list(chain.from_iterable(windows)))
        kept: dict[VadStream, list[float]] = {}
        silent: set[VadStream] = set()
        at = 0
        for stream, several in zip(asking, windows, strict=True):
            if found := stream.skip(powers[at : at + len(several)]):
                kept[stream] = found
                if len(found) == len(several):
                    silent.add(stream)
            at += len(several)
        self._call_listeners(list(kept), [partial(stream.skipped, found) for stream, found in kept.items()])
        return [stream for stream in streams if stream not in silent and stream.waiting], sum(
            map(len, kept.values())
        )

    def _submit(self, batch: WindowBatch) -> None:
        self._under_way = len(batch.streams)
        try:
            answer = self._engine.submit(batch)
        except (BlockingIOError, RuntimeError) as error:  # the lane is full, or closed
            self._under_way = 0
            self._fail(batch.streams, error)
            return
        answer.add_done_callback(partial(self._deliver, batch), context=self._context)

    def _deliver(self, batch: WindowBatch, answer: asyncio.Future[Scores]) -> None:
        self._under_way = 0
        if answer.cancelled():  # the engine was closed
            return
        if error := answer.exception():
            self._fail(batch.streams, error)
        else:
            self._tell(batch, answer.result())
        backlog = [stream for stream in batch.streams if stream.waiting]
        self._queue.update(dict.fromkeys(backlog))
        if backlog and self._soon is None and not self._under_way:
            self._score_all()
        elif self._queue:
            self._arm()

    def _tell(self, batch: WindowBatch, scores: Scores) -> None:
        for stream, probability, power, state, volume in zip(batch.streams, *scores, strict=True):
            try:
                stream.context.run(stream.scored, probability, power, state, volume)
            except Exception as error:  # noqa: BLE001 - one call's listener must not deprive the others of theirs
                self._report(stream, error)

    def _fail(self, streams: list[VadStream], error: BaseException) -> None:
        self._call_listeners(streams, [partial(stream.failed, error) for stream in streams])

    def _call_listeners(self, streams: list[VadStream], calls: list[Callable[[], None]]) -> None:
        for stream, call in zip(streams, calls, strict=True):
            try:
                stream.context.run(call)
            except Exception as error:  # noqa: BLE001 - one call's listener must not deprive the others of theirs
                self._report(stream, error)

    def _report(self, stream: VadStream, error: Exception) -> None:
        self.loop.call_exception_handler(
            {"message": "a VAD listener failed", "exception": error, "listener": stream.listener}
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
