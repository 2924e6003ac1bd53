"""`ConversationCounts`: counts the events of conversations in the same way at a gateway and at an agent. No I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from piopiy_pipeline.latency import PARTS
from piopiy_pipeline.metrics.family import ANSWERS, MetricFamily
from piopiy_pipeline.metrics.sink import OTHER, MetricSink

__all__ = ["ConversationCounts", "amount", "conversation_families"]

STAGES = frozenset({"stt", "llm", "tts", "checkpoint", "event loop"})
"""Stages whose errors are told apart. Authors name others, and tools, as they like."""
VERDICTS = frozenset({"interrupt", "resume"})
MAX_AMOUNT = 1e9
"""More than that no agent can mean."""
_PARTS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0)
_HOLDS = (0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0, 4.0)


def conversation_families(prefix: str) -> tuple[MetricFamily, ...]:
    """Return the metrics that `ConversationCounts` counts under this prefix."""
    return (
        MetricFamily(
            f"{prefix}voice_to_voice_seconds",
            "histogram",
            "From the last sample of the caller's speech to the first of the bot's answer that left the playout",
            ("agent_id",),
            ANSWERS,
        ),
        MetricFamily(
            f"{prefix}answer_part_seconds",
            "histogram",
            "The parts of voice-to-voice, which add up to it: silence, stt, turn, llm, tts, playout",
            ("part",),
            _PARTS,
        ),
        MetricFamily(f"{prefix}turns_total", "counter", "Turns, by who spoke", ("role",)),
        MetricFamily(
            f"{prefix}turns_cut_total",
            "counter",
            "Turns of the bot that were said in part: the caller has cut them off, or the model broke off",
        ),
        MetricFamily(
            f"{prefix}barge_ins_total",
            "counter",
            "Sounds over the bot's speech, by what became of them: interrupt, or resume (the bot has gone on)",
            ("verdict",),
        ),
        MetricFamily(
            f"{prefix}barge_in_held_seconds",
            "histogram",
            "How long the bot's speech was held until that was decided",
            ("verdict",),
            _HOLDS,
        ),
        MetricFamily(
            f"{prefix}eager_answers_dropped_total", "counter", "Answers that were begun ahead, and dropped"
        ),
        MetricFamily(f"{prefix}tools_total", "counter", "Tools that models have run"),
        MetricFamily(
            f"{prefix}conversation_errors_total",
            "counter",
            "Errors in conversations, by the stage: stt, llm, tts, checkpoint, event loop; or other, as of tools",
            ("stage",),
        ),
    )


class ConversationCounts:
    """Counts what `signaling.messages.ConversationEvent` says.

    Args:
        sink: Where it is counted.
        prefix: What the names of the metrics begin with.
    """

    def __init__(self, sink: MetricSink, prefix: str) -> None:
        self._sink = sink
        self._prefix = prefix

    def count(self, agent_id: str, event: str, data: Mapping[str, Any]) -> None:
        """Count one event. What an agent sends may be anything.

        Args:
            agent_id: The agent whose conversation it is.
            event: What has happened.
            data: What is said of it.
        """
        sink, prefix = self._sink, self._prefix
        match event:
            case "latency":
                sink.observe(f"{prefix}voice_to_voice_seconds", amount(data, "total_s"), agent_id=agent_id)
                for part in PARTS:
                    sink.observe(f"{prefix}answer_part_seconds", amount(data, f"{part}_s"), part=part)
            case "user_turn":
                sink.inc(f"{prefix}turns_total", role="user")
            case "bot_turn":
                sink.inc(f"{prefix}turns_total", role="bot")
                if data.get("interrupted") is True:
                    sink.inc(f"{prefix}turns_cut_total")
            case "barge_in":
                verdict = _one_of(data.get("verdict"), VERDICTS)
                sink.inc(f"{prefix}barge_ins_total", verdict=verdict)
                sink.observe(f"{prefix}barge_in_held_seconds", amount(data, "held_s"), verdict=verdict)
            case "tool":
                sink.inc(f"{prefix}tools_total")
            case "eager_dropped":
                sink.inc(f"{prefix}eager_answers_dropped_total")
            case "error":
                stage = _one_of(data.get("stage"), STAGES)
                sink.inc(f"{prefix}conversation_errors_total", stage=stage)
            case _:
                pass


def _one_of(value: Any, known: frozenset[str]) -> str:
    return value if isinstance(value, str) and value in known else OTHER


def amount(data: Mapping[str, Any], name: str) -> float:
    """Return a number that was sent, 0 or more; 0 for nonsense, so that no agent can make a counter fail."""
    value = data.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or math.isnan(value):
        return 0.0
    return float(min(max(value, 0), MAX_AMOUNT))
