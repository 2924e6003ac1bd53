"""When a peer that sends heartbeats counts as silent. The gaps of a busy machine were recorded."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, islice, pairwise

import pytest

from piopiy_pipeline.signaling.failure_detector import FailureDetector
from piopiy_pipeline.signaling.liveness import HEARTBEAT_S

HOUR = int(3600 / HEARTBEAT_S)


RECORDED = """
    .42 .25 .25 .27 .39 .15 .24 .25 .42 .40 .37 .00 .26 .27 .23 .26 .24 .25 .26 .25
    .25 .25 .26 .46 .43 .25 .42 .65 .27 .50 .52 .64 .72 1.07 .86 .53 .58 .60 .49 .70
    1.17 .57 .53 .99 .66 .54 .20 .66 .66 .38 .28 .45 .31 .55 .41 .50 .26 .33 .38 .48
    .51 .40 .40 .26 .42 .24 .27 .27 .30 .36 .35 .23 .39 .27 .26 .27 .25 .30 .24 .25
    .26 .26 .25 .26 .28 .37 .18 .26 .26 .26 .24 .25 .27 .32 .28 .27 .26 .24 .30 .29
    .30 .43 .44 .40 .45 .37 .34 .34 .29 .32 .30 .34 .35 .21 .41 .31 .31 .38 .42 .30
    .34 .30 .28 .43 .31 .31 .32 .37 .32 .25 .26 .26 .29 .24 .36 .29 .41 .40 .41 .45
    .44 .58 .44 .86 .51 .69 .58 .57 .41 .48 .33 .59 .51 .48 .61 .63 .63 .41 .47
"""
"""Seconds between the heartbeats of an agent with 10 calls beside 8 busy programs on 2 cores that others used as well:
``python -m benchmarks.liveness --calls 10 --load 8 --json``."""
BLOCK = 10
"""So many gaps that followed each other stay together, because a machine that is busy is busy for a while."""


def regular(_: random.Random) -> Iterator[float]:
    while True:
        yield HEARTBEAT_S


def busy(rng: random.Random) -> Iterator[float]:
    """The gaps of a busy machine, in blocks drawn from those recorded."""
    recorded = [float(gap) for gap in RECORDED.split()]
    while True:
        at = rng.randrange(len(recorded) - BLOCK)
        yield from recorded[at : at + BLOCK]


def stalling(rng: random.Random) -> Iterator[float]:
    """A loop that computes for 0.8 to 1 s now and then, a quarter of a minute apart, and is on time else."""
    while True:
        yield rng.uniform(1.02, 1.25) if rng.random() < 1 / 60 else rng.uniform(0.24, 0.3)


Gaps = Callable[[random.Random], Iterator[float]]


def arrivals(gaps: Gaps, count: int, *, seed: int = 1) -> list[float]:
    """Return when heartbeats arrive."""
    return list(accumulate(islice(gaps(random.Random(seed)), count)))


def false_alarms(detector: FailureDetector, times: Iterable[float]) -> int:
    """Count how often the detector takes for silent who is alive. Time is asked for when it says so."""
    alarms = 0
    for at in times:
        wake_at = detector.wake_at
        if wake_at is not None and wake_at < at:
            alarms += detector.tick(wake_at)
        detector.heartbeat(at)
    return alarms


def test_a_regular_peer_is_never_taken_for_silent() -> None:
    assert false_alarms(FailureDetector(0.0), arrivals(regular, HOUR)) == 0


@pytest.mark.parametrize("gaps", [busy, stalling])
def test_a_peer_that_is_late_is_hardly_ever(gaps: Gaps) -> None:
    alarms = [false_alarms(FailureDetector(0.0), arrivals(gaps, HOUR, seed=seed)) for seed in range(5)]
    assert max(alarms) <= 2, "of more than 200 gaps an hour beyond the floor: those from which it learns"


def test_it_learns_from_the_gaps_what_mean_and_deviation_hide() -> None:
    """The limit of a normal distribution, as of phi-accrual at phi 8 (5.6 deviations), with the same floor and cap."""
    times = arrivals(stalling, HOUR)
    learned = false_alarms(FailureDetector(0.0), times)
    fixed = normal = 0
    recent: deque[float] = deque([HEARTBEAT_S], maxlen=100)
    for before, after in pairwise(times):
        mean = math.fsum(recent) / len(recent)
        deviation = math.sqrt(math.fsum((gap - mean) ** 2 for gap in recent) / len(recent))
        fixed += after - before > 1.0
        normal += after - before > min(max(mean + 5.6 * deviation, 1.0), 2.0)
        recent.append(after - before)
    assert learned * 20 < normal
    assert learned * 20 < fixed


@pytest.mark.parametrize("gaps", [regular, busy, stalling])
def test_one_that_is_gone_is_noticed_within_two_seconds(gaps: Gaps) -> None:
    detector = FailureDetector(0.0)
    times = arrivals(gaps, 400)
    false_alarms(detector, times)
    silent_at = detector.wake_at
    assert silent_at is not None
    assert silent_at - times[-1] <= 2.0
    assert detector.tick(silent_at)
    assert not detector.tick(silent_at + 1), "it is said once"
    assert detector.wake_at is None


def test_one_that_was_regular_is_noticed_within_a_second() -> None:
    detector = FailureDetector(0.0)
    times = arrivals(regular, 100)
    false_alarms(detector, times)
    assert detector.wake_at == pytest.approx(times[-1] + 1.0)


def test_one_that_is_back_may_go_silent_again() -> None:
    detector = FailureDetector(0.0)
    assert detector.tick(5.0) is False, "this side was late itself"
    assert detector.tick(detector.wake_at or 0)
    detector.heartbeat(20.0)
    assert not detector.silent
    assert detector.wake_at == pytest.approx(22.0), "a gap that long makes it patient"


def test_a_side_that_was_busy_itself_reads_first_and_judges_then() -> None:
    detector = FailureDetector(0.0)
    assert not detector.tick(3.0), "three seconds late: what came meanwhile is not read yet"
    detector.heartbeat(3.01)
    assert not detector.silent


def test_a_side_that_is_always_late_judges_in_the_end() -> None:
    detector = FailureDetector(0.0)
    now, ticks = 0.0, 0
    while not detector.silent:
        now = (detector.wake_at or 0) + 0.5
        detector.tick(now)
        ticks += 1
    assert ticks == detector.GRACES + 1
    assert now < 6
