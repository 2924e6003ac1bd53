"""What the bounds of streams cost, and what other calls notice of one that streams without end.

    python -m benchmarks.streams                    both
    python -m benchmarks.streams --json             one JSON object
    python -m benchmarks.streams --repeats 3 --what nothing,stage
    python -m benchmarks.streams --heap as_loaded   without the frozen heap that an agent has (`frozen_heap.py`)

The cost is the CPU time of one push of a frame with and without its guard, in turns and the least of many rounds,
times the pushes a second of a call, which are counted in a simulated one. What others notice is the longest time that
the event loop did not turn while a call of the same process had a provider that never waits, beside a call that
speaks as usual in the same run: by the clock (`worst_gap_ms`), which other processes of the machine lengthen, and in
CPU time of the loop's own thread (`longest_work_ms`), which they do not. Of several repeats the median counts, and
all are in `each`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from typing import Any

from pipecat.frames.frames import Frame, OutputAudioRawFrame, TextFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from piopiy_pipeline import VoiceAgent
from piopiy_pipeline.compat.frame_taps import guard_pushes
from piopiy_pipeline.frozen_heap import FrozenHeap
from piopiy_pipeline.session import Call, StreamLimits
from piopiy_pipeline.session.limits.stage_flow import LoopShare
from piopiy_pipeline.session.limits.stage_guard import StageGuard
from piopiy_pipeline.testing import CallerLine, simulate
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.streaming_bots import EndlessLLM, EndlessTTS, Floods, sound

ROUNDS = 15
PUSHES = 20_000
SECONDS = 20.0
_GAPS = ("worst_gap_ms", "longest_work_ms")
AGENT_MS = 8.5
"""CPU time of a call a second, in ms, by `benchmarks/density.py` on an idle machine."""


class _Bare(FrameProcessor):
    """A stage whose pushes go nowhere."""

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        pass


async def _push_ns(stage: FrameProcessor) -> float:
    frames = [OutputAudioRawFrame(b"\0" * 640, 16000, 1), TextFrame("word ")]
    begun = time.process_time_ns()
    for i in range(PUSHES):
        await stage.push_frame(frames[i & 1])
    return (time.process_time_ns() - begun) / PUSHES


async def _guard_ns() -> float:
    """Return what a guard adds to a push, in ns: the least of several rounds."""
    bare, guarded = _Bare(), _Bare()
    loop = asyncio.get_running_loop()
    limits = StreamLimits(frames_a_second=10_000_000, burst_frames=10**9, answer_s=10**9)
    guard = StageGuard(
        limits, LoopShare(), now=loop.time, ended=lambda: False, too_long=print, floods=lambda: None
    )
    guard.next = StageGuard(
        limits, LoopShare(), now=loop.time, ended=lambda: False, too_long=print, floods=lambda: None
    )
    guard_pushes(guarded, guard)
    plain, with_guard = [], []
    for _ in range(ROUNDS):
        plain.append(await _push_ns(bare))
        with_guard.append(await _push_ns(guarded))
    return min(with_guard) - min(plain)


def _pushes_per_s() -> float:
    """Return how often the stages of an ordinary call push a frame, a second."""
    count = 0
    admits = StageGuard.admits

    def counted(self: StageGuard, frame: Frame, direction: FrameDirection) -> bool:
        nonlocal count
        count += 1
        return admits(self, frame, direction)

    StageGuard.admits = counted  # type: ignore[method-assign]
    try:
        simulate(_bot("nothing", {}), _silent(SECONDS))
    finally:
        StageGuard.admits = admits  # type: ignore[method-assign]
    return count / SECONDS


def _silent(until: float) -> Any:
    async def caller(line: CallerLine) -> None:
        await line.at(until)

    return caller


def _bot(what: str, found: dict[str, float]) -> Any:
    """Return a bot in which this streams without end. It measures how long the event loop does not turn."""

    async def measure() -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, used = loop.time() + 0.005, time.thread_time()
            await asyncio.sleep(0.005)
            gap_ms, busy_ms = (loop.time() - due) * 1000, (time.thread_time() - used) * 1000
            found["worst_gap_ms"] = max(found.get("worst_gap_ms", 0.0), gap_ms)
            found["longest_work_ms"] = max(found.get("longest_work_ms", 0.0), busy_ms)

    async def bot(call: Call) -> None:
        text = "We have a table by the window and another one out on the terrace. " * 5
        agent = VoiceAgent(instructions="Be brief.", call=call, greeting=None if what == "llm" else text)
        llm = EndlessLLM("once upon a time ", stubborn=False) if what == "llm" else ScriptedLLM([])
        await agent.Action(stt=ScriptedSTT([]), llm=llm, tts=EndlessTTS() if what == "tts" else ToneTTS())
        if what == "stage":
            agent.pipeline.insert("mine", Floods(sound, waits=False), after="llm")
        if what == "llm":
            call.on("answered", lambda _: call.respond())
        measuring = asyncio.create_task(measure())
        await agent.start()
        measuring.cancel()

    return bot


def _noticed(what: str, *, frozen: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    begun = time.process_time()
    heap = FrozenHeap() if frozen else None
    call = simulate(_bot(what, found), _silent(SECONDS), clock="real", limit_s=60)
    if heap is not None:
        heap.close()
    found |= {"cpu_s": round(time.process_time() - begun, 2), "ended": call.end_reason.value}
    return found | {"detail": call.end_detail} | {key: round(found[key], 1) for key in _GAPS}


def _repeated(what: list[str], repeats: int, *, frozen: bool) -> dict[str, dict[str, Any]]:
    """Return what is noticed of each: the medians of so many runs, in turns."""
    runs = [{one: _noticed(one, frozen=frozen) for one in what} for _ in range(repeats)]
    medians: dict[str, dict[str, Any]] = {}
    for one in what:
        each = {key: [run[one][key] for run in runs] for key in _GAPS}
        medians[one] = runs[-1][one] | {key: statistics.median(each[key]) for key in _GAPS}
        if repeats > 1:
            medians[one]["each"] = each
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument(
        "--what", default="nothing,tts,llm,stage", help="what streams without end, in this order"
    )
    parser.add_argument("--heap", choices=["frozen", "as_loaded"], default="frozen")
    options = parser.parse_args()
    guard_ns = asyncio.run(_guard_ns())
    pushes = _pushes_per_s()
    cost_ms = guard_ns * pushes / 1e6
    result: dict[str, Any] = {
        "guard_ns": round(guard_ns),
        "pushes_per_s": round(pushes),
        "cost_ms_per_call_second": round(cost_ms, 4),
        "share_of_agent": round(cost_ms / AGENT_MS, 4),
        "heap": options.heap,
        "noticed": _repeated(options.what.split(","), options.repeats, frozen=options.heap == "frozen"),
    }
    print(json.dumps(result, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
