"""Whole calls over bad lines: the front desk, with its own offline speech, still takes the booking."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from piopiy_pipeline.testing import (
    Caller,
    GilbertElliott,
    Impairment,
    Line,
    Providers,
    SimulatedCall,
    Voice,
    simulate,
)
from piopiy_pipeline.testing.report.html_report import section

ROOT = Path(__file__).parents[2]
BURSTS = Line(
    network=Impairment(delay_ms=40, jitter_ms=40, loss=GilbertElliott.bursts(loss=0.05, mean_burst=3))
)


def book(
    line: Line, *, seed: int = 10, rate: int = 16000, providers: Providers | None = None, doubts: int = 0
) -> SimulatedCall:
    """Call the front desk. So many times it may read back what it doubts, and hears one more yes."""
    caller = Caller()
    for recording in sorted((ROOT / "tests" / "audio" / "booking").glob("*.wav")):
        for _ in range(1 + doubts if recording.name == "03-yes.wav" else 1):
            caller = caller.say(recording)
    return simulate(
        ROOT / "examples" / "front_desk.py", caller, line=line, seed=seed, rate=rate, providers=providers
    )


def test_with_5_percent_lost_in_bursts_and_40_ms_of_jitter_the_booking_is_taken() -> None:
    call = book(BURSTS)
    call.assert_tool("book_table", people=4, day="Friday", time="19:00")
    call.assert_ended("agent_hangup")
    lost = len(call.of("packet_lost"))
    packets = 2 * call.duration_s / 0.02
    assert 0.02 < lost / packets < 0.1
    assert f"{lost} packets lost" in section(call).html


def test_the_same_seed_is_the_same_bad_network_and_another_seed_another() -> None:
    """With a scripted voice: espeak-ng's speech differs by some samples from one time to the next."""
    first, again, other = (book(BURSTS, seed=seed, providers=Providers(tts=Voice())) for seed in (1, 1, 2))
    assert again.event_hash() == first.event_hash()
    assert other.event_hash() != first.event_hash()
    assert np.array_equal(again.bot_audio, first.bot_audio)


@pytest.mark.parametrize(
    "line",
    [
        Line(codec="pcmu"),
        Line(level_dbfs=-38, codec="pcma"),
        Line(to_bot=Impairment(jitter_ms=80, keep_order=False, reorder=0.02, duplicate=0.02)),
    ],
    ids=["telephone", "quiet telephone", "packets in disorder"],
)
def test_on_a_line_as_people_have_them_the_booking_is_taken(line: Line) -> None:
    book(line, rate=8000, doubts=1).assert_tool("book_table", people=4, day="Friday", time="19:00")
