"""The engine: the same numbers as pipecat's analyzer, for many calls at once, and nobody harms another."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loguru import logger
from numpy.typing import NDArray
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams, VADState

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.gateway.agents.agent_media import BACKLOG_S
from piopiy_pipeline.gateway.core.caller_backlog import KEPT_S
from piopiy_pipeline.offload import in_flight
from piopiy_pipeline.processors.silero import SileroModel, load_model, window_shape
from piopiy_pipeline.processors.vad_engine import VadEngine, VadStream, shared_engine
from piopiy_pipeline.processors.vad_segments import Segmenter, VadEvent, VadSettings

Pcm = NDArray[np.int16]


@dataclass
class Follower:
    """Keeps what the engine says and segments it, as the stage does."""

    rate: int
    segmenter: Segmenter = field(init=False)
    probabilities: list[float] = field(default_factory=list)
    volumes: list[float | None] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    events: list[tuple[int, VadEvent]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        settings = VadSettings(min_volume=0.0)
        self.segmenter = Segmenter(settings, window_s=window_shape(self.rate).seconds, activity_s=0)

    @property
    def quiet(self) -> bool:
        return self.segmenter.quiet

    def on_window(self, probability: float, power: float, volume: float | None) -> None:
        self.probabilities.append(probability)
        self.volumes.append(volume)
        self.events += [
            (len(self.probabilities), e) for e in self.segmenter.window(probability, power, volume)
        ]
        self.news.set()

    def on_error(self, error: BaseException) -> None:
        self.errors.append(error)
        self.news.set()

    async def until(self, condition: Callable[[], bool], *, limit_s: float = 30) -> None:
        async with asyncio.timeout(limit_s):
            while not condition():
                self.news.clear()
                await self.news.wait()

    async def has(self, windows: int) -> None:
        await self.until(lambda: len(self.probabilities) >= windows)


def of_pipecat(pcm: Pcm, rate: int) -> tuple[list[float], list[tuple[int, VadEvent]]]:
    """Probabilities and events of `SileroVADAnalyzer` with the settings of `Follower`, window by window."""
    analyzer = SileroVADAnalyzer(params=VADParams(start_secs=0.1, stop_secs=0.2, min_volume=0.0))
    analyzer.set_sample_rate(rate)
    probabilities: list[float] = []
    score = analyzer.voice_confidence

    def recorded(buffer: bytes) -> float:
        confidence = score(buffer)
        probabilities.append(float(np.asarray(confidence).item()))
        return confidence

    analyzer.voice_confidence = recorded  # type: ignore[method-assign]  # to see inside
    names = {VADState.SPEAKING: VadEvent.STARTED, VADState.QUIET: VadEvent.STOPPED}
    events, last, size = [], VADState.QUIET, window_shape(rate).samples
    for at in range(0, len(pcm) - size + 1, size):
        state = analyzer._run_analyzer(pcm[at : at + size].tobytes())
        if state in names and state is not last:
            events.append((len(probabilities), names[state]))
            last = state
    asyncio.run(analyzer.cleanup())
    return probabilities, events


def callers(pcm: Pcm, count: int) -> list[Pcm]:
    """Different callers: shifted, louder and softer, with noise, and one that is only tones."""
    dice = np.random.default_rng(1)
    result = []
    for i in range(count):
        signal = np.roll(pcm, int(dice.integers(0, len(pcm)))) * (0.3 + 0.1 * i)
        signal = signal + dice.normal(0, (0, 3, 30, 300)[i % 4], len(pcm))
        if i % 5 == 4:
            signal = np.sin(np.arange(len(pcm)) * 0.05 * (1 + i)) * 3000
        result.append(np.clip(signal, -32768, 32767).astype(np.int16))
    return result


def test_scores_are_those_of_pipecat_to_the_bit_in_mixed_batches_at_both_rates(
    conversation: Callable[[int], Pcm],
) -> None:
    calls = [(rate, pcm) for rate in (16000, 8000) for pcm in callers(conversation(rate), 6)]
    batches: list[int] = []

    class Counting(SileroModel):
        def score(self, shape: Any, audio: Any, states: Any) -> Any:
            batches.append(states.shape[1])
            return super().score(shape, audio, states)

    async def run() -> list[Follower]:
        model: list[SileroModel] = []

        def load(path: Path) -> SileroModel:
            if not model:
                model.append(Counting(path))
            return model[0]

        engine = VadEngine(load=load)
        followers = [Follower(rate) for rate, _ in calls]
        streams = [engine.open(rate, follower) for (rate, _), follower in zip(calls, followers, strict=True)]
        dice = random.Random(3)
        at = [0] * len(calls)
        while any(position < len(pcm) for position, (_, pcm) in zip(at, calls, strict=True)):
            for i in dice.sample(range(len(calls)), len(calls)):
                rate, pcm = calls[i]
                step = dice.choice((rate // 100, rate // 50, rate // 25, rate // 10))
                streams[i].feed(pcm[at[i] : at[i] + step].tobytes())
                at[i] += step
            if dice.random() < 0.7:
                i = dice.randrange(len(calls))
                fed = min(at[i], len(calls[i][1])) // streams[i].shape.samples
                await followers[i].has(fed - dice.randrange(30))
        for (_, pcm), stream, follower in zip(calls, streams, followers, strict=True):
            await follower.has(len(pcm) // stream.shape.samples)
            stream.close()
        engine.close()
        return followers

    followers = asyncio.run(run())
    for (rate, pcm), follower in zip(calls, followers, strict=True):
        probabilities, events = of_pipecat(pcm, rate)
        assert follower.probabilities == probabilities
        assert follower.events == events
    assert sum(len(follower.events) for follower in followers) >= 20
    assert {1, 6} & set(batches)
    assert len(set(batches)) > 2, "the batches should have been of several sizes"


def test_the_volume_is_measured_only_where_it_is_wanted(conversation: Callable[[int], Pcm]) -> None:
    pcm = conversation(16000)[40000:60480].tobytes()

    async def run() -> tuple[Follower, Follower]:
        engine = VadEngine()
        wanting, plain = Follower(16000), Follower(16000)
        engine.open(16000, wanting, measure_volume=True).feed(pcm)
        engine.open(16000, plain).feed(pcm)
        await wanting.has(40)
        await plain.has(40)
        engine.close()
        return wanting, plain

    wanting, plain = asyncio.run(run())
    assert wanting.volumes[-1] is not None
    assert wanting.volumes[-1] > 0.4
    assert set(plain.volumes) == {None}


def test_a_stream_that_closes_with_windows_under_way_hears_nothing_more_and_the_others_do(
    conversation: Callable[[int], Pcm],
) -> None:
    pcm = conversation(16000)[:32000].tobytes()
    started, gate = threading.Event(), threading.Event()

    def load(path: Path) -> SileroModel:
        started.set()
        gate.wait(10)
        return load_model(path)

    async def run() -> tuple[Follower, Follower, Follower]:
        engine = VadEngine(load=load)
        leaving, staying, coming = (Follower(16000) for _ in range(3))
        first = engine.open(16000, leaving)
        first.feed(pcm)
        engine.open(16000, staying).feed(pcm)
        await asyncio.to_thread(started.wait, 10)
        first.close()
        first.close()
        first.feed(pcm)
        engine.open(16000, coming).feed(pcm)
        gate.set()
        await staying.has(62)
        await coming.has(62)
        engine.close()
        return leaving, staying, coming

    leaving, staying, coming = asyncio.run(run())
    assert leaving.probabilities == []
    assert staying.probabilities == coming.probabilities, "who comes later inherits nothing from who left"


def test_an_error_is_told_to_the_streams_of_that_batch_and_the_next_window_is_scored() -> None:
    broken = [True]

    def load(path: Path) -> SileroModel:
        if broken.pop() if broken else False:
            raise OSError("the disk is gone")
        return load_model(path)

    async def run() -> list[Follower]:
        engine = VadEngine(load=load)
        followers = [Follower(16000), Follower(16000)]
        for follower in followers:
            engine.open(16000, follower).feed(bytes(1024 * 3))
        for follower in followers:
            await follower.has(2)
        engine.close()
        return followers

    for follower in asyncio.run(run()):
        assert [str(error) for error in follower.errors] == ["the disk is gone"]
        assert len(follower.probabilities) == 2


def test_a_listener_that_fails_takes_nobody_along() -> None:
    class Failing(Follower):
        def on_window(self, probability: float, power: float, volume: float | None) -> None:
            raise LookupError("mine alone")

    async def run() -> tuple[Follower, list[dict[str, Any]]]:
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        engine = VadEngine()
        well = Follower(16000)
        engine.open(16000, Failing(16000)).feed(bytes(2048))
        engine.open(16000, well).feed(bytes(2048))
        await well.has(2)
        engine.close()
        return well, reported

    well, reported = asyncio.run(run())
    assert len(well.probabilities) == 2
    assert {str(context["exception"]) for context in reported} == {"mine alone"}


def test_scoring_that_falls_behind_drops_the_oldest_audio_and_says_so_once() -> None:
    warnings: list[tuple[str, object]] = []
    sink = logger.add(
        lambda line: warnings.append((line.record["message"], line.record["extra"].get("call_id")))
    )
    started, gate = threading.Event(), threading.Event()

    def load(path: Path) -> SileroModel:
        started.set()
        gate.wait(10)
        return load_model(path)

    async def run() -> tuple[VadStream, Follower]:
        engine = VadEngine(load=load)
        follower = Follower(8000)
        with logger.contextualize(call_id="of-the-stream"):
            stream = engine.open(8000, follower)
        stream.feed(bytes(512))
        await asyncio.to_thread(started.wait, 10)
        for _ in range(2000):
            stream.feed(bytes(320))
        assert stream.waiting == 469
        gate.set()
        await follower.has(470)
        assert stream.waiting == 0
        engine.close()
        return stream, follower

    try:
        stream, follower = asyncio.run(run())
    finally:
        logger.remove(sink)
    assert stream.dropped == 1250 - 469
    assert len(follower.probabilities) == 470
    [(line, call_id)] = warnings
    assert "15 s of this call's audio wait" in line
    assert call_id == "of-the-stream"


def test_what_a_gateway_and_its_sockets_keep_is_scored_from_its_first_word_on(
    conversation: Callable[[int], Pcm],
) -> None:
    """Also at once, as it comes after a move, a loss, or code that has blocked the loop for the 10 s that it may."""
    pcm = conversation(16000)
    blocked_s = inspect.signature(Agent).parameters["blocked_call_s"].default
    most = KEPT_S + max(BACKLOG_S, blocked_s) - 1
    burst = np.resize(pcm, int(most * 16000)).astype(np.int16).tobytes()

    async def scored(step: int) -> list[float]:
        engine = VadEngine()
        follower = Follower(16000)
        stream = engine.open(16000, follower)
        for at in range(0, len(burst), step):
            stream.feed(burst[at : at + step])
            if step < len(burst):
                await follower.has(min(len(burst), at + step) // 1024)
        await follower.has(len(burst) // 1024)
        assert stream.dropped == 0
        engine.close()
        return follower.probabilities

    at_once, in_time = asyncio.run(scored(len(burst))), asyncio.run(scored(32_000))
    assert at_once == in_time
    assert max(at_once[: round(4 / 0.032)]) > 0.5, "somebody speaks in what comes first"


def test_each_listener_is_called_in_the_context_of_its_own_call() -> None:
    call: contextvars.ContextVar[str] = contextvars.ContextVar("call")
    seen: dict[str, set[str | None]] = {"a": set(), "b": set()}

    @dataclass
    class Marked(Follower):
        name: str = ""

        def on_window(self, probability: float, power: float, volume: float | None) -> None:
            seen[self.name].add(call.get(None))
            super().on_window(probability, power, volume)

    async def run() -> None:
        engine = VadEngine()

        async def one(name: str) -> None:
            call.set(name)
            follower = Marked(16000, name=name)
            stream = engine.open(16000, follower)
            for windows in range(1, 6):
                stream.feed(bytes(1024))
                await follower.has(windows)

        await asyncio.gather(one("a"), one("b"))
        engine.close()

    asyncio.run(run())
    assert seen == {"a": {"a"}, "b": {"b"}}


def test_loops_one_after_another_and_side_by_side_share_an_engine(
    conversation: Callable[[int], Pcm],
) -> None:
    engine = VadEngine()
    pcm = conversation(16000)[:64000]
    expected, _ = of_pipecat(pcm, 16000)

    async def call() -> list[float]:
        follower = Follower(16000)
        stream = engine.open(16000, follower)
        for at in range(0, len(pcm), 320):
            stream.feed(pcm[at : at + 320].tobytes())
            await asyncio.sleep(0)
        await follower.has(125)
        stream.close()
        assert in_flight(asyncio.get_running_loop()) == 0
        return follower.probabilities

    assert [asyncio.run(call()) for _ in range(2)] == [expected] * 2
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(lambda _: asyncio.run(call()), range(3))) == [expected] * 3
    assert engine.streams == 0
    engine.close()


def test_a_loop_that_died_with_a_stream_open_leaves_nothing_behind() -> None:
    engine = VadEngine()

    async def forget() -> None:
        engine.open(16000, Follower(16000)).feed(bytes(1024))

    async def look() -> int:
        stream = engine.open(16000, Follower(16000))
        count = engine.streams
        stream.close()
        return count

    asyncio.run(forget())
    assert asyncio.run(look()) == 1
    engine.close()


def test_a_closed_engine_refuses_and_the_process_gets_a_new_one() -> None:
    first = shared_engine()
    assert shared_engine() is first
    first.close()
    assert shared_engine() is not first

    async def late() -> None:
        first.open(16000, Follower(16000))

    with pytest.raises(RuntimeError, match="has been closed"):
        asyncio.run(late())
