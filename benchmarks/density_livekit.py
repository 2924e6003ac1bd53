"""The measured process of `density` for LiveKit Agents: an `AgentSession` a call, driven without a server.

LiveKit's media comes by WebRTC from its server. Here the sound comes and goes by the session's own interfaces
(`io.AudioInput`, `io.AudioOutput`) in this process: in frames of 50 ms, as its rooms deliver it, and out to a sink
that plays by the clock. What a transport costs is not in these numbers. Nor is there a caller at another end: a gap is
one of the sink. The session has its own VAD (Silero, in native code) and its defaults, but for what would need a
server or be unlike the other sides: turns by the VAD alone, after the same silence, and no pausing of speech that may
go on.
"""

# mypy: ignore-errors
# LiveKit Agents is not installed where this project is checked.

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time

from livekit import rtc
from livekit.agents import Agent, AgentSession
from livekit.agents.voice import io

from benchmarks.density_meter import Meter, say, unless_it_fails
from benchmarks.density_recording import caller_frames, stagger_s
from benchmarks.instant_script import INSTRUCTIONS, Tally
from benchmarks.livekit_services import InstantLLM, InstantSTT, InstantTTS, book_table

PIECE_S = 0.05
"""The length of what a room of LiveKit delivers, by default."""
USER_SILENCE_S = 0.6
GAP_S = 0.020
WAITING = 100


class Ear(io.AudioInput):
    """What a caller says, round and round."""

    def __init__(self, frames: list[bytes], rate: int) -> None:
        super().__init__(label="caller")
        pcm = b"".join(frames)
        self._step = int(PIECE_S * rate) * 2
        self._pcm = pcm[: len(pcm) // self._step * self._step]
        self._rate = rate
        self._queue: asyncio.Queue[rtc.AudioFrame | None] = asyncio.Queue(WAITING)
        self._loop = asyncio.get_running_loop()
        self._origin = self._loop.time()
        self._next = 0
        self._timer = self._loop.call_soon(self._turn)

    async def __anext__(self) -> rtc.AudioFrame:
        frame = await self._queue.get()
        if frame is None:
            raise StopAsyncIteration
        return frame

    def end(self) -> None:
        self._timer.cancel()
        if not self._queue.full():
            self._queue.put_nowait(None)

    def _turn(self) -> None:
        at = self._next * self._step % len(self._pcm)
        frame = rtc.AudioFrame(self._pcm[at : at + self._step], self._rate, 1, self._step // 2)
        if not self._queue.full():
            self._queue.put_nowait(frame)
        self._next += 1
        self._timer = self._loop.call_at(self._origin + self._next * PIECE_S, self._turn)


class Mouth(io.AudioOutput):
    """Plays by the clock what a session says, and tells it when that is over."""

    def __init__(self, rate: int) -> None:
        super().__init__(label="sink", capabilities=io.AudioOutputCapabilities(pause=False), sample_rate=rate)
        self.heard_bytes = 0
        self.gaps_s: list[float] = []
        self._loop = asyncio.get_running_loop()
        self._begun: float | None = None
        self._pushed_s = 0.0
        self._over: asyncio.TimerHandle | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        now = self._loop.time()
        if self._begun is None:
            self._begun = now
            self.on_playback_started(created_at=time.time())
        late_s = now - (self._begun + self._pushed_s)
        if late_s > 0 and self._pushed_s:
            self._begun += late_s
            if late_s >= GAP_S:
                self.gaps_s.append(late_s)
        self._pushed_s += frame.duration
        self.heard_bytes += len(frame.data) * 2

    def flush(self) -> None:
        super().flush()
        if self._begun is not None:
            left_s = max(0.0, self._begun + self._pushed_s - self._loop.time())
            self._over = self._loop.call_later(left_s, self._finish, False)

    def clear_buffer(self) -> None:
        if self._begun is not None:
            self._finish(True)

    def _finish(self, interrupted: bool) -> None:
        if self._over is not None:
            self._over.cancel()
            self._over = None
        if self._begun is None:
            return
        position_s = min(self._pushed_s, self._loop.time() - self._begun) if interrupted else self._pushed_s
        self._begun, self._pushed_s = None, 0.0
        self.on_playback_finished(playback_position=position_s, interrupted=interrupted)


async def one_call(
    frames: list[bytes], rate: int, tally: Tally, meter: Meter, end: asyncio.Event, mouths: list
) -> None:
    """Run one session until `end`."""
    session = AgentSession(
        stt=InstantSTT(tally),
        llm=InstantLLM(tally),
        tts=InstantTTS(tally, rate),
        turn_handling={
            "turn_detection": "vad",
            "endpointing": {"min_delay": USER_SILENCE_S},
            "interruption": {"mode": "vad", "resume_false_interruption": False},
        },
    )
    ear, mouth = Ear(frames, rate), Mouth(rate)
    mouths.append(mouth)
    session.input.audio, session.output.audio = ear, mouth
    with meter.call():
        await session.start(Agent(instructions=INSTRUCTIONS, tools=[book_table]))
        await end.wait()
        ear.end()
        await session.aclose()


async def run(options: argparse.Namespace) -> None:
    """Begin the calls one after the other, measure, and end them."""
    tally, end, mouths = Tally(), asyncio.Event(), []
    meter = Meter(options.calls, options.seconds, tally)
    frames = caller_frames(options.rate)

    async def begin_all() -> None:
        async with asyncio.TaskGroup() as calls:
            for _ in range(options.calls):
                calls.create_task(one_call(frames, options.rate, tally, meter, end, mouths))
                await asyncio.sleep(stagger_s(options.calls))

    running = asyncio.create_task(begin_all())

    def forget_gaps() -> None:
        for mouth in mouths:
            mouth.gaps_s.clear()

    await unless_it_fails(meter.measure(None, forget_gaps), running)
    gaps_s = [gap_s for mouth in mouths for gap_s in mouth.gaps_s]
    say(
        heard_mb=[round(mouth.heard_bytes / 1e6, 3) for mouth in mouths],
        worst_gap_ms=round(max(gaps_s, default=0.0) * 1e3, 1),
        gaps=len(gaps_s),
        callers_lag_p99_ms=0.0,
    )
    end.set()
    await running
    await meter.all_ended()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--side", choices=["livekit"], required=True)
    arguments.add_argument("--calls", type=int, required=True)
    arguments.add_argument("--seconds", type=float, required=True)
    arguments.add_argument("--rate", type=int, required=True)
    arguments.add_argument("--loop", choices=["uvloop", "asyncio"], required=True)
    options = arguments.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    start = asyncio.run
    if options.loop == "uvloop":
        import uvloop

        start = uvloop.run
    start(run(options))


if __name__ == "__main__":
    main()
