"""When reports are due, what they say, and what is learned from those of the other side."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from piopiy_pipeline.gateway.rtp.reception import Reception
from piopiy_pipeline.gateway.rtp.reports import Reporter
from piopiy_pipeline.gateway.rtp.rtcp import ReportBlock, RtcpReport, build_goodbye, build_report, parse_rtcp

WALL_S = 1_795_000_000.0


def reporter(ssrc: int = 1, seed: int = 0) -> Reporter:
    return Reporter(ssrc=ssrc, cname="one", clock=8000, now=0.0, wall_s=WALL_S, rng=Random(seed))


def sent(one: Reporter, now: float, reception: Reception | None = None) -> bytes:
    return one.report(now, reception=reception, timestamp=160, packets=50, octets=8000)


def test_reports_are_some_seconds_apart_and_not_in_step() -> None:
    one = reporter()
    times: list[float] = []
    for now in (n * 0.02 for n in range(5000)):
        if one.due(now):
            times.append(now)
            sent(one, now)
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert times[0] < 4
    assert all(2 < gap < 6.3 for gap in gaps)
    assert len(set(gaps)) > len(gaps) / 2


def test_a_report_tells_how_the_other_side_is_received() -> None:
    one = reporter()
    reception = Reception(2, clock=8000, trusted=True)
    for n in (0, 1, 3):
        reception.add(n, n * 160, n * 0.02)
    [report], goodbye = parse_rtcp(sent(one, 3.0, reception))
    assert report.ntp is not None
    assert report.ntp / 2**32 == pytest.approx(WALL_S + 3.0 + 2_208_988_800)
    assert (report.ssrc, report.timestamp, report.packets, report.octets) == (1, 160, 50, 8000)
    [block] = report.blocks
    assert (block.ssrc, block.lost, block.fraction_lost) == (2, 1, 0.25)
    assert not goodbye
    [left], goodbye = parse_rtcp(
        one.report(4.0, reception=None, timestamp=0, packets=0, octets=0, sending=False, leaving=True)
    )
    assert goodbye
    assert left.ntp is None


def test_the_round_trip_is_what_is_left_without_the_time_at_the_other_side() -> None:
    one, other = reporter(1), reporter(2)
    heard = Reception(1, clock=8000, trusted=True)
    heard.add(1, 0, 0.0)
    other.receive(sent(one, 3.0), 3.030, sent=0)
    one.receive(sent(other, 5.0, heard), 5.050, sent=50)
    assert one.round_trip_s == pytest.approx(0.080, abs=0.001)
    assert one.loss == 0.0
    assert one.jitter_s == 0.0


def test_what_the_other_side_missed_counts_for_the_whole_call() -> None:
    one = reporter(1)
    block = ReportBlock(1, 0.5, 12, 100, 80, 0, 0)
    one.receive(build_report(RtcpReport(2, blocks=(block,)), "other"), 9.0, sent=100)
    assert one.loss == pytest.approx(0.12)
    assert one.jitter_s == pytest.approx(0.01)
    assert one.round_trip_s is None
    stranger = ReportBlock(77, 1.0, 1000, 100, 80, 0, 0)
    one.receive(build_report(RtcpReport(2, blocks=(stranger,)), "other"), 9.0, sent=100)
    assert one.loss == pytest.approx(0.12)


def test_a_goodbye_is_noticed() -> None:
    one = reporter(1)
    one.receive(build_report(RtcpReport(2), "other") + build_goodbye(2), 1.0, sent=0)
    assert one.goodbye


def test_a_round_trip_of_hours_is_a_clock_that_was_set_and_no_measure() -> None:
    one = reporter(1)
    block = ReportBlock(1, 0.0, 0, 100, 0, 12345, 0)
    one.receive(build_report(RtcpReport(2, blocks=(block,)), "other"), 9.0, sent=100)
    assert one.round_trip_s is None
