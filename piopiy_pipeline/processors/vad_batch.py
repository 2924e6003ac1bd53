"""What the model is asked at once: the next window of each of several calls.

Tested in `tests/processors/test_vad_engine.py`.
"""

from __future__ import annotations

import asyncio
from itertools import chain

import numpy as np

from piopiy_pipeline.processors.silero import FloatArray, SileroModel, WindowShape
from piopiy_pipeline.processors.vad_stream import ModelState, VadStream

__all__ = ["Scores", "WindowBatch"]

Scores = tuple[list[float], list[float], list[ModelState], list[float | None]]
"""The probability, the power, the state after it, and the volume, of each stream's window."""


class WindowBatch:
    """One window of each of several streams, with what the model has to hear before it, copied for the worker."""

    __slots__ = ("audio", "loop", "meters", "shape", "states", "streams")

    def __init__(self, loop: asyncio.AbstractEventLoop, shape: WindowShape, streams: list[VadStream]) -> None:
        self.loop = loop
        self.shape = shape
        self.streams = streams
        self.audio = [stream.take() for stream in streams]
        self.states = [stream.state for stream in streams]
        self.meters = [stream.meter for stream in streams]

    def cost_s(self, model: SileroModel) -> float:
        """Return how long scoring will take, in seconds."""
        before = (len(heard) // 2 - 1 for heard in self.audio)
        return model.cost_s(len(self.streams)) + sum(map(model.cost_s, filter(None, before)))

    def score(self, model: SileroModel) -> Scores:
        """Return what the model says to the window of each stream."""
        for i, heard in enumerate(self.audio):
            if len(heard) > 2:
                self.states[i] = model.hear(self.shape, heard[:-2], _joined([self.states[i]])), 0
        audio = list(chain.from_iterable(heard[-2:] for heard in self.audio))
        probabilities, powers, states = model.score(self.shape, audio, _joined(self.states))
        volumes: list[float | None] = [None] * len(self.streams)
        if any(self.meters):
            volumes = [
                meter.update(window) if meter else None
                for meter, window in zip(self.meters, audio[1::2], strict=True)
            ]
        return probabilities, powers, [(states, i) for i in range(len(self.streams))], volumes


def _joined(states: list[ModelState]) -> FloatArray:
    """Return the states as one array, without a copy if it is that of the last batch."""
    last = states[0][0]
    if last.shape[1] == len(states) and all(
        each is last and column == i for i, (each, column) in enumerate(states)
    ):
        return last
    return np.concatenate([each[:, column : column + 1] for each, column in states], axis=1)
