"""How much sooner is a caller answered if the answer is begun ahead, and how many requests does that take?

    python benchmarks/eager.py                      # 40 calls with and without
    python benchmarks/eager.py --calls 100 --model-ms 700 --pauses 0.3 --json

Callers of four turns speak recorded sentences, some with a pause in the middle. The pauses are inserted (lognormal,
median 0.45 s, sigma 0.6), and how many turns have one is an assumption: `--pauses`. Session, pipeline, VAD and turn
strategies are real; the STT is scripted (250 ms), the model takes `--model-ms` to its first word and writes 15 words a
second, the voice takes 150 ms. Time is virtual, so a busy machine changes nothing.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any

from loguru import logger
from pipecat.frames.frames import Frame, LLMContextFrame
from pipecat.processors.frame_processor import FrameDirection

from piopiy_pipeline.testing import (
    CallerLine,
    Replies,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    Transcripts,
    Voice,
    simulate,
)
from piopiy_pipeline.voice_agent import VoiceAgent

AUDIO = Path(__file__).parents[1] / "tests" / "audio" / "booking"
PARTS = tuple(AUDIO / name for name in ("01-people.wav", "02-when.wav", "03-yes.wav"))
TURNS = 4
MARGINS_S = 0.4
"""So much silence is at the end of one recording and the beginning of the next."""
ANSWER = "Certainly, I have noted that for you. What else can I do?"


@dataclass
class Figures:
    """What the calls have shown."""

    waits_s: list[float] = field(default_factory=list)
    turns: int = 0
    requests: int = 0
    begun: int = 0
    used: int = 0
    over_caller_s: float = 0.0

    def summary(self) -> dict[str, float]:
        """Return the figures in the form that is printed."""
        return {
            "answers": len(self.waits_s),
            "median_ms": round(1000 * median(self.waits_s)),
            "p90_ms": round(1000 * quantiles(self.waits_s, n=10)[8]),
            "requests_per_turn": round(self.requests / self.turns, 3),
            "begun_ahead": self.begun,
            "used": self.used,
        }


class CountedModel(ScriptedLLM):
    """Counts its requests."""

    requests = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        self.requests += isinstance(frame, LLMContextFrame)
        await super().process_frame(frame, direction)


async def talk(line: CallerLine, *, random: Random, pauses: float) -> None:
    """Say four turns, some of them in two parts, and wait for the answers."""
    for _ in range(TURNS):
        await line.say(random.choice(PARTS))
        if random.random() < pauses:
            await line.pause(max(0.0, random.lognormvariate(-0.8, 0.6) - MARGINS_S))
            await line.say(random.choice(PARTS))
        await line.heard()
        await line.pause(0.5)


def add_call(seed: int, *, eager: bool, model_ms: float, pauses: float, turns: Any, into: Figures) -> None:
    """Make one call, and add what it has shown."""
    model = CountedModel(Replies(otherwise=ANSWER, latency=model_ms / 1000, words_per_s=15))
    budgets: list[Any] = []

    async def bot(call: Any) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call, idle=False, filler=None)
        texts = (f"this is number {number}" for number in range(99))
        stt = ScriptedSTT(Transcripts(texts=texts, latency=0.25))
        await agent.Action(stt=stt, llm=model, tts=ScriptedTTS(Voice(latency=0.15)), eager=eager, turns=turns)
        assert agent.pipeline.eager is not None
        budgets.append(agent.pipeline.eager.budget)
        await agent.start()

    result = simulate(bot, partial(talk, random=Random(seed), pauses=pauses), seed=seed)
    into.waits_s += [turn.voice_to_voice for turn in result.turns if turn.voice_to_voice is not None]
    into.turns += TURNS
    into.requests += model.requests
    into.begun += budgets[0].begun
    into.used += budgets[0].used


def main() -> None:
    """Make the calls and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--model-ms", type=float, default=700)
    parser.add_argument("--pauses", type=float, default=0.3, help="share of turns with a pause inside")
    parser.add_argument("--turns", default="smart", help="smart, fast, or seconds")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logger.remove()
    turns = options.turns if options.turns in ("smart", "fast") else float(options.turns)
    found = {}
    for eager in (False, True):
        figures = Figures()
        for seed in range(options.calls):
            add_call(
                seed,
                eager=eager,
                model_ms=options.model_ms,
                pauses=options.pauses,
                turns=turns,
                into=figures,
            )
        found["eager" if eager else "after"] = figures.summary()
    if options.json:
        print(json.dumps(found))
        return
    for name, values in found.items():
        print(f"{name:6}", "  ".join(f"{key} {value}" for key, value in values.items()))
    won = found["after"]["median_ms"] - found["eager"]["median_ms"]
    more = found["eager"]["requests_per_turn"] / found["after"]["requests_per_turn"] - 1
    print(f"won {won} ms of the median, {more:+.0%} requests")


if __name__ == "__main__":
    main()
