"""What metrics cost an agent at 20 calls: CPU time of the process, in pairs.

    python -m benchmarks.metrics_cost             24 rounds: without, with what every agent measures, with /metrics, too
    python -m benchmarks.metrics_cost --rounds 60

A round is one simulated call of about 50 s with five answers, three times in an order that changes: without measuring
(pipecat's services do not, and nothing is counted), as every agent does it (usage on the record), and counted for
Prometheus. The whole chain of a call runs, in virtual time, without sockets. All providers are scripted, so that the
base is small and the share large. What counts is the median of the differences within a round. The fixed cost is that
of timers and of a request of Prometheus every 15 s. Shares are of 20 calls at 8.5 ms a call-second, as in
`liveness_cost.py`, and of 20 calls as they were measured here.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from loguru import logger
from pipecat.pipeline.worker import PipelineParams

from benchmarks.child_process import Failed
from piopiy_pipeline.agent.agent_metrics import note_numbers
from piopiy_pipeline.agent.agent_numbers import AgentNumbers
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.metrics.agent_counts import COUNTS
from piopiy_pipeline.metrics.agent_families import AGENT_FAMILIES
from piopiy_pipeline.metrics.loop_lag import LoopLag
from piopiy_pipeline.metrics.registry import MetricRegistry
from piopiy_pipeline.session import Call, pipeline_run
from piopiy_pipeline.testing import Caller, Providers, Replies, Transcripts, Voice, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS

AUDIO = Path(__file__).parents[1] / "tests" / "audio" / "booking"
MODES = ("without", "measured", "counted")
CALLS = 20
AGENT_MS = 8.5
"""CPU time of a call a second, in ms, by `benchmarks/density.py` on an idle machine."""
SCRAPE_S = 15.0
ANSWER = (
    "We have a table for you. For which day and what time would you like it? Friday is quite full already."
)


def _unmeasured(**options: Any) -> PipelineParams:
    return PipelineParams(**{**options, "enable_metrics": False, "enable_usage_metrics": False})


@contextlib.contextmanager
def mode_of(mode: str, registry: MetricRegistry) -> Iterator[None]:
    """Run calls in this mode."""
    with contextlib.ExitStack() as patches:
        if mode == "without":
            patches.enter_context(mock.patch.object(pipeline_run, "UsageMeter", autospec=True))
            patches.enter_context(mock.patch.object(pipeline_run, "PipelineParams", _unmeasured))
        COUNTS.sink = registry if mode == "counted" else None
        yield
    COUNTS.sink = None


async def bot(call: Call) -> None:
    agent = VoiceAgent(instructions="Be brief.", greeting="Good day. How can I help?", call=call, filler=None)
    await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS())
    await agent.start()


def one_call(sentences: int = 5) -> tuple[float, float]:
    """Return the CPU seconds of a call, and its length in seconds. Raises `Failed` if it was none."""
    caller = Caller()
    recordings = sorted(AUDIO.glob("*.wav"))[:3]
    for file in (recordings + recordings)[:sentences]:
        caller = caller.say(file, text="A table for four people.").pause(8)
    providers = Providers(stt=Transcripts(), llm=Replies(otherwise=ANSWER), tts=Voice())
    gc.collect()
    began = time.process_time()
    call = simulate(bot, caller.hangup(), providers=providers, wall_limit_s=300)
    cpu_s = time.process_time() - began
    if call.end_reason is not EndReason.CALLER_HANGUP:
        raise Failed(f"a call ended before its caller hung up: {call.end_detail}")
    return cpu_s, call.duration_s


def fixed_ms(registry: MetricRegistry) -> dict[str, float]:
    """Return the CPU time a second of what does not depend on calls, in ms."""

    def each(times: int, what: Any) -> float:
        began = time.process_time()
        for _ in range(times):
            what()
        return (time.process_time() - began) / times * 1e3

    numbers = AgentNumbers(CALLS, CALLS, False, True, (1,))
    COUNTS.sink = registry
    lag = each(5000, lambda: COUNTS.loop_lag(0.001)) / LoopLag.EVERY_S
    COUNTS.sink = None
    look = each(2000, lambda: note_numbers(registry, "benchmark", numbers))
    scrape = each(100, registry.render) / SCRAPE_S
    return {"loop lag": lag, "gauges": look, f"a request every {SCRAPE_S:g} s": scrape}


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--rounds", type=int, default=24)
    options = arguments.parse_args()
    logger.remove()
    registry = MetricRegistry(AGENT_FAMILIES)
    one_call()  # loads what is loaded once
    spent: dict[str, list[float]] = {mode: [] for mode in MODES}
    length_s = 0.0
    for number in range(options.rounds):
        for mode in (*MODES[number % 3 :], *MODES[: number % 3]):
            with mode_of(mode, registry):
                cpu_s, length_s = one_call()
            spent[mode].append(cpu_s / length_s * 1e3)
    base = statistics.median(spent["without"])
    print(
        f"CPU ms a call-second, {options.rounds} rounds of a call of {length_s:.0f} s, and what it is more:"
    )
    more = 0.0
    for mode, values in spent.items():
        differences = [one - other for one, other in zip(values, spent["without"], strict=True)]
        low, more, high = (
            statistics.quantiles(differences, n=4) if options.rounds > 1 else (0.0, differences[0], 0.0)
        )
        shares = f"{more / AGENT_MS:6.2%} of {AGENT_MS} ms, {more / base:6.2%} of what it was here"
        print(
            f"{mode:<9} {statistics.median(values):6.2f}   {more:+6.3f} ({low:+.3f} to {high:+.3f})   {shares}"
        )
    fixed = fixed_ms(registry)
    print("fixed, CPU ms a second: " + ", ".join(f"{name} {ms:.3f}" for name, ms in fixed.items()))
    whole = CALLS * more + sum(fixed.values())
    share = whole / (CALLS * AGENT_MS)
    print(
        f"/metrics at {CALLS} calls: {whole:.2f} ms a second, {share:.2%} of {CALLS} calls at {AGENT_MS} ms"
    )


if __name__ == "__main__":
    main()
