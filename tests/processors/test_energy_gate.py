"""The gate: what it keeps from the model, what the model hears first, and that turns end where they did."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.processors.energy_gate import WARM_WINDOWS, EnergyGate, powers_of
from piopiy_pipeline.processors.silero import SileroModel, window_shape
from piopiy_pipeline.processors.vad_engine import VadEngine
from piopiy_pipeline.processors.vad_segments import FLOOR_POWER, Segmenter, VadEvent, VadSettings

Pcm = NDArray[np.int16]


def test_it_keeps_what_is_soft_while_nobody_speaks_and_nothing_else() -> None:
    gate = EnergyGate()
    assert gate.keeps(b"soft", FLOOR_POWER / 2, quiet=True)
    assert not gate.keeps(b"loud", FLOOR_POWER, quiet=True)
    assert gate.open() == ([b"soft"], False), "nothing was dropped: the model goes on where it was"
    assert gate.open() == ([], False)
    assert not gate.keeps(b"soft", 0.0, quiet=False)
    for number in range(WARM_WINDOWS + 1):
        assert gate.keeps(b"%d" % number, 0.0, quiet=True)
    kept, afresh = gate.open()
    assert kept == [b"%d" % number for number in range(1, WARM_WINDOWS + 1)]
    assert afresh


def test_powers_are_those_of_full_scale() -> None:
    loud, half = np.full(512, -32768, np.int16), np.full(512, 16384, np.int16)
    assert powers_of([loud.tobytes(), half.tobytes(), bytes(1024)]) == [1.0, 0.25, 0.0]


class Listener:
    """Segments what it is told, as the stage does."""

    def __init__(self, rate: int) -> None:
        self._segmenter = Segmenter(VadSettings(), window_s=window_shape(rate).seconds, activity_s=0)
        self.windows = 0
        self.events: list[tuple[int, VadEvent]] = []
        self.done = asyncio.Event()
        self.awaited = 0

    @property
    def quiet(self) -> bool:
        return self._segmenter.quiet

    def on_window(self, probability: float, power: float, volume: float | None) -> None:
        self.windows += 1
        self.events += [(self.windows, event) for event in self._segmenter.window(probability, power, volume)]
        if self.windows == self.awaited:
            self.done.set()

    def on_error(self, error: BaseException) -> None:
        raise error


def heard(pcm: Pcm, rate: int, *, gate: bool) -> tuple[list[tuple[int, VadEvent]], int]:
    """Return the events of a stream, and how many windows the model has heard."""
    asked = 0

    class Counting(SileroModel):
        def score(self, shape: Any, audio: Any, states: Any) -> Any:
            nonlocal asked
            asked += len(states)
            return super().score(shape, audio, states)

    def load(path: Path) -> SileroModel:
        return Counting(path)

    async def run() -> list[tuple[int, VadEvent]]:
        engine = VadEngine(load=load)
        await engine.load()
        listener = Listener(rate)
        stream = engine.open(rate, listener, gate=gate)
        size = stream.shape.window_bytes
        data = pcm.tobytes()
        for at in range(0, len(data) - size + 1, 40 * size):
            listener.done.clear()
            listener.awaited = (min(len(data), at + 40 * size)) // size
            stream.feed(data[at : at + 40 * size])
            await asyncio.wait_for(listener.done.wait(), 30)
        engine.close()
        return listener.events

    return asyncio.run(run()), asked


def test_turns_end_where_they_did_and_a_quiet_line_costs_nothing(conversation: Callable[[int], Pcm]) -> None:
    for rate in (16000, 8000):
        noise = np.random.default_rng(5)
        speech = conversation(rate)
        silence = noise.normal(0, 10, 4 * rate).astype(np.int16)
        pcm = np.concatenate([silence, speech, silence, speech // 2, silence])
        open_events, all_windows = heard(pcm, rate, gate=False)
        events, asked = heard(pcm, rate, gate=True)
        stops = [window for window, event in open_events if event is VadEvent.STOPPED]
        assert len(stops) >= 4
        assert [window for window, event in events if event is VadEvent.STOPPED] == stops
        starts = [window for window, event in open_events if event is VadEvent.STARTED]
        gated_starts = [window for window, event in events if event is VadEvent.STARTED]
        assert len(gated_starts) == len(starts)
        assert max(abs(a - b) for a, b in zip(starts, gated_starts, strict=True)) <= 1
        _, in_silence = heard(silence, rate, gate=True)
        assert in_silence == 0
        assert asked < all_windows - 300
