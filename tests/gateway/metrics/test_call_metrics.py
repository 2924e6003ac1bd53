"""What a gateway counts of its calls, through its event bus, and what it reads of lines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.event_bus import CallChanged, ConversationReported
from piopiy_pipeline.gateway.core.snapshots import CallSnapshot, Phase
from piopiy_pipeline.gateway.metrics.call_metrics import CallMetrics
from piopiy_pipeline.gateway.metrics.gateway_families import GATEWAY_FAMILIES
from piopiy_pipeline.gateway.metrics.line_counts import LineCounts, mos_of
from piopiy_pipeline.metrics.registry import MetricRegistry
from tests.support.metrics import value_of

PLACED = CallSnapshot(
    call_id="c1",
    agent_id="desk",
    instance_id=None,
    kind="phone",
    from_number=None,
    to_number=None,
    metadata=None,
    phase=Phase.OFFERING,
    placed_at=10.0,
    answered_at=None,
    ended_at=None,
    offers=1,
    losses=0,
    gaps=0,
    worst_gap_s=0.0,
    frames_dropped=0,
    caller_dropped_s=0.0,
    reason=None,
    detail="",
)
LIVE = replace(PLACED, phase=Phase.LIVE, answered_at=10.6, instance_id="a")


class Counted:
    """A registry that is told of calls."""

    def __init__(self) -> None:
        self.registry = MetricRegistry(GATEWAY_FAMILIES, process=False)
        self.lines = LineCounts(self.registry)
        self._metrics = CallMetrics(self.registry, self.lines)
        self._number = 0

    def call(self, *states: CallSnapshot) -> None:
        for state in states:
            self._metrics.on_event(CallChanged(0.0, state))

    def said(self, event: Any, call_id: str = "c1", **data: Any) -> None:
        self._number += 1
        self._metrics.on_event(ConversationReported(0.0, call_id, self._number, 1.0, event, data))

    def __call__(self, name: str, **labels: str) -> float:
        return value_of(self.registry, f"piopiy_gateway_{name}", **labels)


def ended(call: CallSnapshot, reason: EndReason = EndReason.CALLER_HANGUP, **changes: Any) -> CallSnapshot:
    return replace(call, phase=Phase.ENDED, ended_at=40.6, reason=reason, **changes)


def test_a_call_is_counted_from_its_placing_to_its_end() -> None:
    count = Counted()
    count.call(PLACED, LIVE, ended(LIVE, gaps=2, worst_gap_s=0.03))
    assert count("calls_placed_total", kind="phone") == 1
    assert count("calls_ended_total", kind="phone", reason="caller_hangup") == 1
    assert count("call_answer_seconds_sum", kind="phone") == pytest.approx(0.6)
    assert count("call_duration_seconds_sum", kind="phone") == pytest.approx(30.0)
    assert count("playout_gaps_total", kind="phone") == 2
    assert count("playout_worst_gap_seconds_bucket", kind="phone", le="0.02") == 0
    assert count("playout_worst_gap_seconds_bucket", kind="phone", le="0.03") == 1


def test_a_call_that_was_refused_at_once_is_counted_too() -> None:
    count = Counted()
    count.call(ended(PLACED, EndReason.BUSY))
    assert count("calls_placed_total", kind="phone") == 1
    assert count("calls_ended_total", kind="phone", reason="busy") == 1
    assert count("call_duration_seconds_count", kind="phone") == 0


def test_a_lost_agent_and_the_one_that_goes_on_are_counted_apart() -> None:
    count = Counted()
    lost = replace(LIVE, phase=Phase.OFFERING, losses=1)
    count.call(PLACED, LIVE, lost, replace(lost, phase=Phase.LIVE, instance_id="b"), ended(lost))
    assert count("agent_losses_total", agent_id="desk") == 1
    moved = Counted()
    moved.call(PLACED, LIVE, replace(LIVE, instance_id="b"))
    assert moved("agent_losses_total", agent_id="desk") == 0
    assert moved("calls_moved_total", agent_id="desk") == 1


def test_what_is_said_is_counted_with_words_that_are_known_and_no_others() -> None:
    count = Counted()
    count.call(PLACED, LIVE)
    count.said(
        "latency", silence_s=0.2, stt_s=0.1, turn_s=0.0, llm_s=0.4, tts_s=0.2, playout_s=0.05, total_s=0.95
    )
    count.said("user_turn", text="Hello")
    count.said("bot_turn", text="Good m", interrupted=True)
    count.said("barge_in", verdict="resume", reason="cough", held_s=0.25)
    count.said("barge_in", verdict="interrupt", reason="words", held_s=0.4)
    count.said("error", stage="llm", message="500")
    count.said("error", stage="my own secret stage", message="x")
    count.said("user_partial", text="He")
    count.said("tool", number=1, name="book", arguments={})
    assert count("voice_to_voice_seconds_sum", agent_id="desk") == pytest.approx(0.95)
    parts = sum(
        count("answer_part_seconds_sum", part=part)
        for part in ("silence", "stt", "turn", "llm", "tts", "playout")
    )
    assert parts == pytest.approx(0.95)
    assert (
        count("turns_total", role="user") == count("turns_total", role="bot") == count("turns_cut_total") == 1
    )
    assert count("barge_ins_total", verdict="resume") == count("barge_ins_total", verdict="interrupt") == 1
    assert (
        count("conversation_errors_total", stage="llm")
        == count("conversation_errors_total", stage="other")
        == 1
    )
    assert count("tools_total") == 1
    assert b"secret" not in count.registry.render()


@pytest.mark.parametrize("nonsense", ["x", None, float("nan"), -3.0, float("inf"), True, []])
def test_nonsense_of_an_agent_costs_no_counter(nonsense: Any) -> None:
    count = Counted()
    count.call(PLACED, LIVE)
    count.said("latency", total_s=nonsense, llm_s=nonsense)
    count.said("barge_in", verdict=nonsense, held_s=nonsense)
    count.said("error", stage=nonsense)
    assert count("voice_to_voice_seconds_count", agent_id="desk") == 1
    assert count("barge_ins_total", verdict="other") == 1


def test_packets_are_counted_while_the_call_goes_on_and_once_each() -> None:
    count = Counted()
    count.call(PLACED, LIVE)
    line = {
        "packets_received": 100,
        "packets_lost": 4,
        "packets_late": 1,
        "jitter_ms": 12.0,
        "round_trip_ms": 40,
    }
    count.lines.look([replace(LIVE, line=line)])
    assert count("rtp_packets_received_total", kind="phone") == 99
    assert count("rtp_packets_lost_total", kind="phone") == 5
    assert count("line_jitter_worst_seconds", kind="phone") == pytest.approx(0.012)
    assert count("line_mos_worst", kind="phone") == pytest.approx(mos_of(line) or 0)
    came_late = line | {"packets_received": 104, "packets_lost": 2}
    count.call(ended(replace(LIVE, line=came_late)))
    assert count("rtp_packets_received_total", kind="phone") == 103
    assert count("rtp_packets_lost_total", kind="phone") == 5, "a counter never goes back"
    count.lines.look([])
    assert count("line_mos_count", kind="phone") == 1
    assert count("line_mos_worst", kind="phone") == 0, "there is no line any more"


def test_a_line_of_a_few_packets_has_no_score() -> None:
    assert mos_of({"packets_received": 20, "packets_lost": 5}) is None
    assert mos_of({}) is None
    assert (
        mos_of({"packets_received": 5000, "packets_lost": 0, "jitter_ms": None, "round_trip_ms": None})
        is not None
    )
