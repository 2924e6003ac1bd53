"""One call's audio on its way through the engine: its windows, and what the model must remember between them.

Tested in `tests/processors/test_vad_engine.py`.
"""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Protocol

from loguru import logger

from piopiy_pipeline.processors.caller_audio import MAX_WAITING_S
from piopiy_pipeline.processors.energy_gate import EnergyGate
from piopiy_pipeline.processors.silero import FloatArray, SileroModel, WindowShape
from piopiy_pipeline.processors.vad_segments import LoudnessMeter

__all__ = ["ModelState", "StreamOwner", "VadListener", "VadStream"]

# pipecat/audio/vad/silero.py: the recurrent state drifts on music and long silence, so it is cleared
# about every two seconds, but only in clear non-speech.
_RESET_INTERVAL_S = 2.0
_RESET_BELOW = 0.1
_RESET_LOW_WINDOWS = 5


ModelState = tuple[FloatArray, int]
"""States that a batch has left, of shape ``[2, n, 128]``, and which of the n is meant. Streams whose windows come
together share an array, which is the next batch's input as it is."""


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


class StreamOwner(Protocol):
    """Scores the windows of its streams."""

    def join(self, stream: VadStream) -> None:
        """Note that this stream has a window that waits."""

    def leave(self, stream: VadStream) -> None:
        """Forget a stream, which is closed."""


class VadStream:
    """Carries one call's audio through the engine. Use it on the loop that opened it."""

    def __init__(
        self,
        owner: StreamOwner,
        shape: WindowShape,
        listener: VadListener,
        *,
        measure_volume: bool,
        gate: bool,
    ) -> None:
        self.shape = shape
        self.listener = listener
        self.context = contextvars.copy_context()
        """The context in which the listener is called."""
        self.state: ModelState
        """The model's state after the last window that it has heard."""
        self.meter: LoudnessMeter | None = None
        self.dropped = 0
        """Windows that were thrown away because scoring fell behind."""
        self._owner = owner
        self._buffer = bytearray()
        self._waiting: deque[bytes] = deque(maxlen=round(MAX_WAITING_S / shape.seconds))
        self._closed = False
        self.measure_volume(measure_volume)
        self._gate = EnergyGate()
        self._gated = gate
        self._reset_windows = _RESET_INTERVAL_S / shape.seconds
        self._low_windows = 0
        self._clear_model_state()

    def feed(self, pcm: bytes) -> None:
        """Take any amount of PCM16 mono at the stream's rate. The listener is called later, with the scores."""
        if self._closed:
            return
        buffer, size = self._buffer, self.shape.window_bytes
        if not buffer and len(pcm) == size:
            self._enqueue(pcm)
            return
        buffer += pcm
        while len(buffer) >= size:
            self._enqueue(bytes(buffer[:size]))
            del buffer[:size]

    @property
    def waiting(self) -> int:
        """Windows that wait to be scored, without those of the batch under way."""
        return len(self._waiting)

    def next_windows(self, most: int) -> list[bytes]:
        """Return the oldest windows that wait, so many at most."""
        return list(islice(self._waiting, most))

    def measure_volume(self, wanted: bool) -> None:
        """Measure the smoothed loudness from now on, or stop it. Measuring costs more than the model does."""
        if not wanted:
            self.meter = None
        elif self.meter is None:
            self.meter = LoudnessMeter(self.shape.sample_rate)

    def gate(self, wanted: bool) -> None:
        """Keep windows that are too soft for speech from the model from now on, or stop it."""
        self._gated = wanted

    def close(self) -> None:
        """Close the stream: the listener is not called any more. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._waiting.clear()
        self._owner.leave(self)

    def _enqueue(self, window: bytes) -> None:
        if len(self._waiting) == self._waiting.maxlen:
            if not self.dropped:
                text = f"{MAX_WAITING_S:g} s of this call's audio wait to be scored; the oldest is dropped"
                self.context.copy().run(logger.warning, f"VAD falls behind: {text}")  # with the call's id
            self.dropped += 1
        self._waiting.append(window)
        self._owner.join(self)

    def _clear_model_state(self) -> None:
        self.state = SileroModel.fresh_state(), 0
        self._tail = bytes(self.shape.context_bytes)
        self._since_reset = 0

    @property
    def asks_gate(self) -> bool:
        """Whether the next window may be one that the model need not hear."""
        return self._gated and self.listener.quiet

    def skip(self, powers: Iterable[float]) -> list[float]:
        """Take the oldest windows, of which these are the powers, as long as the gate keeps them. Returns the powers of
        those that it has kept.
        """
        kept: list[float] = []
        for power in powers:
            if not self._gate.keeps(self._waiting[0], power, quiet=True):
                break
            self._waiting.popleft()
            kept.append(power)
        return kept

    def skipped(self, powers: Iterable[float]) -> None:
        """Tell the listener of windows that the gate has kept."""
        for power in powers:
            if not self._closed:
                self.listener.on_window(0.0, power, None)

    def take(self) -> list[bytes]:
        """Return what the model has to hear of the oldest window and before it: of each window, its context and
        itself.
        """
        window = self._waiting.popleft()
        if not self._gate.holds:
            before, self._tail = self._tail, window[-self.shape.context_bytes :]
            return [before, window]
        windows, afresh = self._gate.open()
        if afresh:
            self._clear_model_state()
        windows.append(window)
        heard: list[bytes] = []
        for window in windows:
            heard += (self._tail, window)
            self._tail = window[-self.shape.context_bytes :]
        further = len(windows) - 1
        self._since_reset += further
        self._low_windows += further  # the gate keeps nothing that could be speech
        return heard

    def scored(self, probability: float, power: float, state: ModelState, volume: float | None) -> None:
        """Take what the model says of the window that was taken last, and tell the listener."""
        if self._closed:
            return
        self.state = state
        self._since_reset += 1
        self._low_windows = self._low_windows + 1 if probability < _RESET_BELOW else 0
        due = self._since_reset >= self._reset_windows and self._low_windows >= _RESET_LOW_WINDOWS
        if due and self.listener.quiet:
            self._clear_model_state()
        self.listener.on_window(probability, power, volume)

    def failed(self, error: BaseException) -> None:
        """Tell the listener that the window which was taken last could not be scored."""
        if not self._closed:
            self.listener.on_error(error)
