"""`run_stage` and `run_chain`: send frames or a recording into a stage, and see what comes out.

    run = run_stage(MaskDigits(), [TranscriptionFrame("my card is 1 2 3 4 5 6", "", "")])
    assert run.of(TranscriptionFrame)[0].text == "my card is [number]"

The stage runs in a real pipecat pipeline in virtual time, so a stage that waits for ten seconds is tested at once.
After the input an EndFrame follows. A stage that swallows it, or leaves a task running, fails the test, and the
message names the stage.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pipecat.frames.frames import CancelFrame, EndFrame, Frame, InputAudioRawFrame, StartFrame, StopFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from piopiy_pipeline.agent.blocked_code import blocked_code_at
from piopiy_pipeline.agent.loop_turns import LoopTurns
from piopiy_pipeline.arguments import shown
from piopiy_pipeline.audio.frame import FRAME_S, frame_bytes
from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.code_places import where
from piopiy_pipeline.testing.line.caller_arguments import given_samples
from piopiy_pipeline.testing.stage.stage_run import Moment, StageRun
from piopiy_pipeline.testing.virtual_time.virtual_loop import VirtualLoop, run_virtual

__all__ = ["At", "Item", "Stage", "Upstream", "Wait", "run_chain", "run_stage"]

START_S = 10.0
"""How long a chain may take to start, of its own time."""
CANCEL_S = 5.0
SETTLE_S = 0.01
MAX_BLOCKED = 100
"""Code that blocks the loop later is not noted."""
UP, DOWN = FrameDirection.UPSTREAM, FrameDirection.DOWNSTREAM
_ENDS = (EndFrame, CancelFrame, StopFrame)
_SAMPLES = "int16 of shape [samples]"


@dataclass(frozen=True, slots=True)
class Upstream:
    """Send this frame from the other end of the chain, upstream."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Wait:
    """Send what follows so many seconds later. As the last item, it delays the end."""

    seconds: float


@dataclass(frozen=True, slots=True)
class At:
    """Send this when the chain has run for so many seconds, whatever else is being sent."""

    seconds: float
    frame: Frame | Upstream


Item: TypeAlias = "Frame | Path | NDArray[np.int16] | Upstream | Wait | At"
"""What can be sent. A recording is a WAV file, or int16 samples of shape ``[samples]`` at the chain's rate."""
Stage: TypeAlias = "FrameProcessor | Callable[[], FrameProcessor]"
"""A stage, or a function that makes it, for a stage that needs a running loop when it is made."""


def run_stage(
    stage: Stage,
    frames: Iterable[Item],
    *,
    rate: int = 16000,
    gap_s: float = 0.02,
    end_s: float = 10.0,
    check: bool = True,
    seed: int = 0,
    limit_s: float = 600.0,
    wall_limit_s: float = 60.0,
) -> StageRun:
    """Send frames or recordings into a stage, in virtual time.

    After them an EndFrame is sent, unless an `EndFrame`, `StopFrame` or `CancelFrame` is among them.

    Args:
        stage: The stage, or a function that makes it.
        frames: What is sent, in order: frames, recordings (a path, or int16 of shape ``[samples]`` at `rate`),
            `Upstream`, `At` and `Wait`. A recording goes in as 20 ms of audio every 20 ms.
        rate: The sample rate of the chain in Hz.
        gap_s: Seconds between two frames. 0 sends all at once, so that system frames overtake the others in
            the queue.
        end_s: How long the end may take to come out, in seconds.
        check: Whether a stage that does not end as it must is an error.
        seed: Decides everything that is left to chance.
        limit_s: The longest that the run may last, in virtual seconds.
        wall_limit_s: The same in real seconds.

    Returns:
        The frames that came out downstream: a list, with assertions and all else that was noticed.

    Raises:
        LeftBehind: (an `AssertionError`) With `check`: the end did not come out, or a task was left running.
        SimulationError: A limit was reached.
        TypeError: Something cannot be sent.
        WavError: A file is no recording.
    """
    return run_chain(
        [stage],
        frames,
        rate=rate,
        gap_s=gap_s,
        end_s=end_s,
        check=check,
        seed=seed,
        limit_s=limit_s,
        wall_limit_s=wall_limit_s,
    )


def run_chain(
    stages: Sequence[Stage],
    frames: Iterable[Item],
    *,
    rate: int = 16000,
    gap_s: float = 0.02,
    end_s: float = 10.0,
    check: bool = True,
    seed: int = 0,
    limit_s: float = 600.0,
    wall_limit_s: float = 60.0,
) -> StageRun:
    """Send frames or recordings into several stages in a row.

    The other arguments, the result and the errors are those of `run_stage`.

    Args:
        stages: The stages in order, each of them made or a function that makes it.
        frames: What is sent into the first of them.
        rate: The sample rate of the chain in Hz.
        gap_s: Seconds between two frames.
        end_s: How long the end may take to come out, in seconds.
        check: Whether a stage that does not end as it must is an error.
        seed: Decides everything that is left to chance.
        limit_s: The longest that the run may last, in virtual seconds.
        wall_limit_s: The same in real seconds.

    Returns:
        The frames that came out of the last stage downstream.

    Raises:
        ValueError: There are no stages.
    """
    if not stages:
        raise ValueError("run_chain needs at least one stage")
    schedule = _schedule(frames, rate=rate, gap_s=gap_s)

    async def run() -> StageRun:
        chain = _Chain([each if isinstance(each, FrameProcessor) else each() for each in stages], rate)
        return await chain.run(schedule, end_s)

    result = run_virtual(run, seed=seed, limit_s=limit_s, wall_limit_s=wall_limit_s)
    if check:
        result.assert_nothing_left()
    return result


@dataclass(frozen=True, slots=True)
class _Due:
    at: float
    frame: Frame | None  # None: nothing but the time that passes
    upstream: bool = False


def _schedule(items: Iterable[Item], *, rate: int, gap_s: float) -> list[_Due]:
    """Work out what is sent when. Raises `TypeError` for what cannot be sent."""
    due: list[_Due] = []
    now = 0.0
    for item in items:
        match item:
            case Wait(seconds):
                now += seconds
            case At(seconds, Upstream(frame)):
                due.append(_Due(seconds, frame, upstream=True))
            case At(seconds, Frame() as frame):
                due.append(_Due(seconds, frame))
            case Upstream(frame):
                due.append(_Due(now, frame, upstream=True))
                now += gap_s
            case Frame():
                due.append(_Due(now, item))
                now += gap_s
            case Path() | np.ndarray():
                pcm = (
                    read_wav(item, rate)
                    if isinstance(item, Path)
                    else given_samples("samples", item, _SAMPLES)
                )
                audio = _audio(pcm, rate)
                due += [_Due(now + i * FRAME_S, frame) for i, frame in enumerate(audio)]
                now += len(audio) * FRAME_S
            case _:
                raise TypeError(
                    f"{shown(item)} cannot be sent: send frames, recordings (a Path or int16 samples), "
                    "Upstream(frame), At(seconds, frame) or Wait(seconds)"
                )
    due.append(_Due(now, None))
    return sorted(due, key=lambda each: each.at)


def _audio(pcm: NDArray[np.int16], rate: int) -> list[InputAudioRawFrame]:
    step = frame_bytes(rate)
    data = pcm.tobytes()
    pieces = (data[i : i + step].ljust(step, b"\0") for i in range(0, len(data), step))
    return [InputAudioRawFrame(audio=piece, sample_rate=rate, num_channels=1) for piece in pieces]


class _Tap(FrameProcessor):
    """One end of the chain, which notes the frames that come out there, and passes them on."""

    def __init__(self, catches: FrameDirection, tell: Callable[[Frame, FrameDirection], None]) -> None:
        super().__init__(enable_direct_mode=True)
        self._catches = catches
        self._tell = tell

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if direction is self._catches:
            self._tell(frame, direction)
        await self.push_frame(frame, direction)


class _Chain:
    """One run of the stages, between two taps in a real pipeline."""

    def __init__(self, stages: list[FrameProcessor], rate: int) -> None:
        self._stages = stages
        self._first = _Tap(UP, self._came_out)
        self._last = _Tap(DOWN, self._came_out)
        self._moments: list[Moment] = []
        self._passed: dict[type[Frame], set[FrameProcessor]] = {}  # who has passed on an end
        self._own: set[int] = set()  # frames of the harness, which a test need not see
        self._blocked: list[str] = []
        self._started = asyncio.Event()
        self._began = 0.0
        for stage in stages:
            stage.add_event_handler("on_before_push_frame", self._pushes)
        params = PipelineParams(
            audio_in_sample_rate=rate, audio_out_sample_rate=rate, send_initial_empty_metrics=False
        )
        self._worker = PipelineWorker(
            Pipeline([self._first, *stages, self._last]),
            params=params,
            enable_rtvi=False,
            enable_turn_tracking=False,
            idle_timeout_secs=None,
            cancel_timeout_secs=CANCEL_S,
            check_dangling_tasks=False,
        )

    def _now(self) -> float:
        return round(asyncio.get_running_loop().time() - self._began, 9)

    def _came_out(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, StartFrame):
            self._began = asyncio.get_running_loop().time()
            self._started.set()
        elif id(frame) not in self._own:
            self._moments.append(Moment(self._now(), frame, upstream=direction is UP))

    def _pushes(self, stage: FrameProcessor, frame: Frame) -> None:
        if isinstance(frame, (StartFrame, *_ENDS)):
            self._passed.setdefault(type(frame), set()).add(stage)

    def _held_by(self, kind: type[Frame]) -> str:
        passed = self._passed.get(kind, set())
        stage = next((stage for stage in self._stages if stage not in passed), None)
        return f"{stage} did not pass on the {kind.__name__}" if stage else f"the {kind.__name__} was lost"

    def _slept(self, sleeper: FrameType, seconds: float) -> None:
        """Note code that has slept without an await, as an agent does on a call."""
        if seconds < LoopTurns.EXAMINE_S or len(self._blocked) >= MAX_BLOCKED:
            return
        code = blocked_code_at(sleeper, asyncio.get_running_loop(), threading.get_ident())
        if code is not None and code.matters(seconds):
            self._blocked.append(f"for {seconds:.1f} s at {code.place}")

    # ------------------------------------------------------------------ running

    async def run(self, schedule: list[_Due], end_s: float) -> StageRun:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.on_sleep = self._slept
        before = asyncio.all_tasks()
        runner = WorkerRunner(handle_sigint=False, check_dangling_tasks=False)
        await runner.add_workers(self._worker)
        running = asyncio.create_task(runner.run(), name="the pipeline")
        self._began = asyncio.get_running_loop().time()
        swallowed: str | None = None
        if not await _first_of(self._started.wait(), running, START_S):
            swallowed = self._held_by(StartFrame)
        else:
            end = await self._send(schedule, running)
            if not running.done():
                await asyncio.wait({running}, timeout=end_s)
            if not running.done():
                swallowed = self._held_by(end)
        duration = self._now()
        await self._take_down(running)
        if not running.cancelled() and running.done():
            running.result()  # an error of the pipeline itself is raised to the test
        left = await _left_tasks(before | {running})
        return StageRun(
            self._moments,
            duration_s=duration,
            swallowed_by=swallowed,
            left_tasks=left,
            blocked=self._blocked,
        )

    async def _send(self, schedule: list[_Due], running: asyncio.Task[Any]) -> type[Frame]:
        """Send everything and an end. Returns the kind of the end."""
        loop = asyncio.get_running_loop()
        for due in schedule:
            wait = self._began + due.at - loop.time()
            if wait > 0:
                await asyncio.wait({running}, timeout=wait)
            if running.done():
                return EndFrame  # a stage has ended the pipeline by itself
            if due.frame is None:
                continue
            self._moments.append(Moment(self._now(), due.frame, upstream=due.upstream, sent=True))
            if isinstance(due.frame, _ENDS):
                await self._worker.queue_frame(due.frame)
                return type(due.frame)
            if due.upstream:
                await self._last.push_frame(due.frame, UP)
            else:
                await self._first.push_frame(due.frame)
        end = EndFrame(reason="the test's input is through")
        self._own.add(id(end))
        await self._worker.queue_frame(end)
        return EndFrame

    async def _take_down(self, running: asyncio.Task[Any]) -> None:
        if running.done():
            return
        # Straight into the pipeline: the worker's own queue waits for the end that was swallowed.
        cancel = CancelFrame(reason="the end did not come through")
        self._own.add(id(cancel))
        await self._worker.cancel(reason="the end did not come through")
        await self._worker.pipeline.queue_frame(cancel)
        await asyncio.wait({running}, timeout=CANCEL_S)
        if not running.done():
            running.cancel()
            await asyncio.wait({running}, timeout=CANCEL_S)


async def _first_of(waiting: Any, running: asyncio.Task[Any], timeout_s: float) -> bool:
    """Return whether `waiting` finished in time, before the pipeline ended."""
    task = asyncio.ensure_future(waiting)
    await asyncio.wait({task, running}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        return True
    task.cancel()
    return False


async def _left_tasks(expected: set[asyncio.Task[Any]]) -> list[str]:
    """Cancel the tasks that still run when everything is closed, and return them in words."""
    await asyncio.sleep(SETTLE_S)  # tasks that were cancelled last have ended after this
    left = asyncio.all_tasks() - expected - {asyncio.current_task()}
    words = []
    for task in sorted(left, key=lambda task: task.get_name()):
        stack = task.get_stack(limit=1)
        words.append(f"{task.get_name()} (waits at {where(stack[0])})" if stack else task.get_name())
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=CANCEL_S)
    return words
