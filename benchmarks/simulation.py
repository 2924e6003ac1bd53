"""How much faster than the clock on the wall is a simulated call, and is it the same every time?

    python benchmarks/simulation.py                 # one call five times, 10 and 100 at once, 20 hashes
    python benchmarks/simulation.py --json          # one JSON object as the last line
    python benchmarks/simulation.py --profile       # where the time of one call goes

The call lasts a minute: six turns of the caller, one of them a barge-in, and three tool calls. Silero,
the session, the pipeline and the turn strategies are real; STT, LLM and TTS are scripted, behind
pipecat's base classes, with latencies. Half of the runs that are hashed share the machine with
processes that keep every core busy.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import multiprocessing
import os
import pstats
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from loguru import logger
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.testing import (
    Caller,
    Line,
    Noise,
    Providers,
    Replies,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    SimulatedCall,
    Tool,
    Transcripts,
    Voice,
    simulate,
    simulate_many,
)
from piopiy_pipeline.voice_agent import VoiceAgent

AUDIO = Path(__file__).parents[1] / "tests" / "audio"
SCENE = "correction"
NOISY = Line(noise=Noise("babble", snr_db=25))
AT_ONCE = (10, 100)
HASHED = 20

REPLIES = Replies(
    "Certainly. That is a table for four people on Friday evening at seven. We have one by the window and "
    "another one out on the terrace, under the old lime trees. Which one would you like?",
    (
        Tool("book_table", people=5, day="Friday"),
        "Five people, then. I have changed it. On Friday at seven, a table for five. Is that right?",
    ),
    (
        Tool("book_table", people=5, day="Friday", time="19:00"),
        "Your table is booked. Is there anything else?",
    ),
    "Of course. Then it is Saturday at eight for five people, and the table on the terrace. Is that right?",
    (
        Tool("book_table", people=5, day="Saturday"),
        "I have changed your booking. We have a table for five people on Saturday at eight. "
        "Is there anything else that I can do for you?",
    ),
    "Thank you very much for calling the Blue Door. We look forward to seeing you. Goodbye.",
    latency=0.35,
    words_per_s=20,
)
PROVIDERS = Providers(stt=Transcripts(latency=0.3), llm=REPLIES, tts=Voice(latency=0.12, speed=4.0))


def _nobody(start: float, end: float) -> str:
    """Return what the bot's own STT would hear, which `PROVIDERS` replaces."""
    return ""


async def bot(call_id: str) -> None:
    """Run a bot as an author writes it."""

    async def book_table(params: FunctionCallParams, people: int, day: str, time: str = "19:00") -> None:
        """Book a table."""
        await params.result_callback({"booked": True, "people": people, "day": day, "time": time})

    agent = VoiceAgent(
        instructions="You take bookings.",
        greeting="Welcome to the Blue Door, the restaurant by the river. How can I help you?",
        tools=[book_table],
    )
    await agent.Action(stt=ScriptedSTT(spoken=_nobody), llm=ScriptedLLM(Replies()), tts=ScriptedTTS())
    await agent.start()


def caller() -> Caller:
    """Return a caller who books, cuts in to correct the booking, changes it once more, and says goodbye."""
    scene = json.loads((AUDIO / "scenes.json").read_text())[SCENE]
    script = Caller()
    for number, part in enumerate(scene):
        say = script.interrupt if number == 1 else script.say
        options: dict[str, Any] = {"after": 4.0} if number == 1 else {}
        script = say(AUDIO / part["file"], text=part["text"], **options)
    return script.until("goodbye").hangup()


def run(line: Line | None = None) -> tuple[SimulatedCall, float]:
    """Simulate one call. Returns it, and how many times faster than real time it was."""
    began = time.perf_counter()
    call = simulate(bot, caller(), providers=PROVIDERS, line=line)
    return call, call.duration_s / (time.perf_counter() - began)


def run_at_once(count: int) -> float:
    """Return how many seconds of `count` simultaneous calls, added up, are simulated in one real second."""
    callers = [caller() for _ in range(count)]
    began = time.perf_counter()
    calls = simulate_many(bot, callers, providers=PROVIDERS)
    return sum(call.duration_s for call in calls) / (time.perf_counter() - began)


def _keep_busy() -> None:
    while True:
        sum(range(100_000))


def hashes(count: int) -> tuple[set[str], set[str]]:
    """Return the hashes of `count` runs on an idle machine, and of as many on a busy one."""
    idle = {run()[0].event_hash() for _ in range(count)}
    others = [multiprocessing.Process(target=_keep_busy, daemon=True) for _ in range(os.cpu_count() or 1)]
    for other in others:
        other.start()
    try:
        busy = {run()[0].event_hash() for _ in range(count)}
    finally:
        for other in others:
            other.terminate()
            other.join()
    return idle, busy


def profile() -> None:
    """Print where the loop's thread spends its time; the worker that runs Silero is not in it."""
    run()
    profiler = cProfile.Profile()
    profiler.enable()
    run()
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(35)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of one call, of which the median counts")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--profile", action="store_true", help="print where the time of one call goes")
    parser.add_argument("--timeline", action="store_true", help="print the call")
    options = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    if options.profile:
        profile()
        return
    call, first = run()
    if options.timeline:
        print(call.timeline())
    factors = [run()[1] for _ in range(options.runs)]
    turns = [turn for turn in call.turns if turn.number]
    print(
        f"a call of {call.duration_s:.1f} s, {len(turns)} turns, "
        f"{sum(turn.interrupted for turn in call.turns)} barge-in, {len(call.tools)} tool calls, "
        f"{len(call.events)} events"
    )
    print(
        f"1 call: {median(factors):.0f} x real time (median of {options.runs}; {first:.0f} with everything to load)"
    )
    noisy = median(run(NOISY)[1] for _ in range(options.runs))
    print(
        f"1 call from a noisy place: {noisy:.0f} x (no window of it is digital silence, which Silero knows)"
    )
    together = {count: run_at_once(count) for count in AT_ONCE}
    for count, factor in together.items():
        print(f"{count} calls at once: {factor:.0f} seconds of calls a second")
    idle, busy = hashes(HASHED // 2)
    print(f"{HASHED} runs, half of them on a busy machine: {len(idle | busy)} hash(es)")
    if options.json:
        print(
            json.dumps(
                {
                    "benchmark": "simulation",
                    "realtime_factor": round(median(factors), 1),
                    "factors": [round(factor, 1) for factor in factors],
                    "noisy_factor": round(noisy, 1),
                    "call_s": call.duration_s,
                    "turns": len(turns),
                    "at_once": {str(count): round(factor, 1) for count, factor in together.items()},
                    "hashes": len(idle | busy),
                    "hashed_runs": HASHED,
                }
            )
        )


if __name__ == "__main__":
    main()
