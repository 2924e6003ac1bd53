"""Which calls a process takes, by what these cost it, in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from piopiy_pipeline.agent.overload_control import OverloadControl, ProcessTimes


class Process:
    """A process with calls of which each takes `share` of a core, on a machine where others may want the processor."""

    def __init__(self, control: OverloadControl, share: float = 0.02) -> None:
        self.control = control
        self.share = share
        self.calls = 0
        self.others = 0.0
        """The share of the time in which the loop has to wait for a processor, if it wants one."""
        self.late_s = 0.0
        """How late timers are because of what the loop does itself."""
        self.now = 100.0
        self.used = ProcessTimes(0.0, 0.0, 0.0)

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            length_s = self.control.period_s + self.late_s
            self.now += length_s
            waited_s = self.others * length_s
            works_s = min(self.calls * self.share * length_s, length_s - waited_s)
            before = self.used
            self.used = ProcessTimes(
                before.loop_s + works_s, before.waited_s + waited_s, before.process_s + works_s
            )
            self.control.measure(self.now, self.used, self.late_s + waited_s, self.calls)

    def offer(self, *, takeover: bool = False) -> bool:
        takes = self.takes()
        taken = takes == "all" or (takeover and takes == "takeovers")
        if taken:
            self.control.call_began(self.now)
            self.calls += 1
        return taken

    def takes(self) -> str:
        return self.control.load(self.now, self.calls).takes


@pytest.fixture
def process() -> Process:
    return Process(OverloadControl(0.85))


def test_calls_are_taken_one_a_second_until_the_loop_works_for_most_of_its_time(process: Process) -> None:
    while process.offer():
        process.run(1.0)
    assert 38 <= process.calls <= 43
    assert process.control.load(process.now, process.calls).why.startswith("it is busy for 8")


def test_many_at_once_are_counted_before_they_are_measured(process: Process) -> None:
    for _ in range(100):
        process.offer()
        process.run(0.001)
    assert 38 <= process.calls <= 46  # what one costs is known at a third of that number, and not before


def test_what_a_call_costs_is_learnt_from_those_that_there_are() -> None:
    process = Process(OverloadControl(0.85), share=0.08)
    for _ in range(5):
        assert process.offer()
        process.run(2.5)
    for _ in range(100):
        process.offer()
    assert 9 <= process.calls <= 11


def test_calls_are_taken_again_when_a_tenth_is_free_for_a_second(process: Process) -> None:
    while process.offer():
        process.run(1.0)
    process.calls = 39
    process.run(10.0)
    assert process.takes() != "all"
    process.calls = 35
    process.run(1.4)
    assert process.takes() != "all"
    process.run(2.0)
    assert process.takes() == "all"


def test_a_machine_that_is_busy_with_others_shuts_nobody_who_keeps_up(process: Process) -> None:
    process.calls = 15
    process.others = 0.6
    process.run(20.0)
    load = process.control.load(process.now, process.calls)
    assert load.takes == "all"
    assert load.busy == pytest.approx(0.75, abs=0.02)
    assert load.core == pytest.approx(0.3, abs=0.01)
    assert load.lag_p95_ms == 0.0


def test_a_process_that_uses_all_that_others_leave_it_is_full(process: Process) -> None:
    process.calls = 25
    process.others = 0.6
    process.run(5.0)
    assert process.takes() == "none"


def test_a_loop_that_is_late_is_full_however_little_it_works(process: Process) -> None:
    process.calls = 20
    process.run(5.0)
    process.late_s = 0.06
    process.run(6.0)
    load = process.control.load(process.now, process.calls)
    assert (load.takes, load.why) == ("takeovers", "its event loop is late by 60 ms")
    process.late_s = 0.0
    process.run(8.0)
    assert process.takes() == "all"


def test_one_long_turn_is_no_matter_of_how_many_calls_there_are(process: Process) -> None:
    process.calls = 20
    process.run(5.0)
    process.now += 3.0
    before = process.used
    process.used = ProcessTimes(before.loop_s + 3.0, before.waited_s, before.process_s + 3.0)
    process.control.measure(process.now, process.used, 2.95, process.calls)
    assert process.takes() == "all"
    process.run(1.0)
    assert process.takes() == "all"


def test_few_calls_are_never_too_many(process: Process) -> None:
    process.share = 0.5
    process.calls = 2
    process.run(10.0)
    assert process.control.load(process.now, 2).busy == 1.0
    assert process.takes() == "all"
    assert process.offer()
    process.run(2.0)
    assert not process.offer()


def test_calls_in_progress_elsewhere_are_taken_when_new_ones_are_not(process: Process) -> None:
    while process.offer():
        process.run(1.0)
    assert process.takes() == "takeovers"
    taken = 0
    while process.offer(takeover=True):
        taken += 1
        process.run(1.0)
    assert 3 <= taken <= 7
    assert process.takes() == "none"


def test_threads_that_use_all_processors_are_a_load_too() -> None:
    control = OverloadControl(0.85, cores=2)
    now = 0.0
    for number in range(40):
        now = number * control.period_s
        control.measure(now, ProcessTimes(0.1 * now, 0.0, 1.9 * now), 0.0, 5)
    assert control.load(now, 5).takes != "all"


def test_without_a_threshold_nothing_is_refused() -> None:
    process = Process(OverloadControl(None))
    for _ in range(100):
        assert process.offer()
    process.run(5.0)
    assert process.offer()


def test_a_process_with_little_to_do_is_measured_rarely(process: Process) -> None:
    process.calls = 2
    process.run(3.0)
    assert process.control.period_s == OverloadControl.SELDOM_S
    process.calls = 5
    process.run(3.0)
    assert process.control.period_s == OverloadControl.RARE_S
    process.calls = 20
    process.run(3.0)
    assert process.control.period_s == OverloadControl.OFTEN_S


class BusyAgent:
    """A process whose calls take `begin_s` of the loop when they begin, and `share` of it as long as they last."""

    def __init__(self, begin_s: float, share: float) -> None:
        self.control = OverloadControl(0.85)
        self.begin_s, self.share = begin_s, share
        self.now, self.used_s, self.debt_s = 100.0, 0.0, 0.0
        self.ends: list[float] = []
        self.refused = 0
        self.measured_at = self.now
        self.control.measure(self.now, ProcessTimes(0.0, 0.0, 0.0), 0.0, 0)

    def offer(self, lasts_s: float) -> None:
        load = self.control.load(self.now, len(self.ends))
        if load.takes != "all":
            self.refused += 1
            return
        self.control.call_began(self.now)
        self.ends.append(self.now + lasts_s)
        self.debt_s += self.begin_s

    def run(self, seconds: float, step_s: float = 0.01) -> None:
        for _ in range(round(seconds / step_s)):
            self.now += step_s
            self.ends = [end for end in self.ends if end > self.now]
            self.debt_s += len(self.ends) * self.share * step_s
            worked_s = min(self.debt_s, step_s)
            self.used_s, self.debt_s = self.used_s + worked_s, self.debt_s - worked_s
            if self.now >= self.measured_at + self.control.period_s:
                self.measured_at = self.now
                times = ProcessTimes(self.used_s, 0.0, self.used_s)
                self.control.measure(self.now, times, 0.0, len(self.ends))


@settings(deadline=None)
@example(at_once=8, begin_s=0.0, lasts_s=1.3235995636836448, share=0.0025, busy=0.1524128077197378)
@given(
    at_once=st.integers(1, 8),
    begin_s=st.floats(0.0, 0.2),
    lasts_s=st.floats(0.05, 20.0),
    share=st.floats(0.001, 0.02),
    busy=st.floats(0.02, 0.25),
)
def test_who_is_busy_for_a_quarter_of_its_time_refuses_nobody(
    at_once: int, begin_s: float, lasts_s: float, share: float, busy: float
) -> None:
    agent = BusyAgent(begin_s, share)
    each_s = begin_s + lasts_s * share  # what one call takes
    pause_s = max(0.1, at_once * each_s / busy)
    if at_once * each_s > 0.2 * agent.control.WINDOW_S:
        return  # they come in such bursts that it is busy for more of a window
    for _ in range(max(3, round(30 / pause_s))):
        for _ in range(at_once):
            agent.offer(lasts_s)
        agent.run(pause_s)
        if agent.now < 110.0:
            agent.refused = 0  # it has just begun, and does not know yet what dozens of calls cost
    assert agent.refused == 0


@settings(deadline=None)
@given(
    first=st.integers(1, 6), begin_s=st.floats(0.0, 0.12), after_s=st.floats(0.0, 3.0), more=st.integers(1, 6)
)
def test_an_idle_agent_takes_its_first_calls(first: int, begin_s: float, after_s: float, more: int) -> None:
    # Twelve that take 0.15 s each to begin are nine tenths of a window: more than the threshold lets in.
    agent = BusyAgent(begin_s, 0.01)
    agent.run(3.0)
    for number in (first, more):
        for _ in range(number):
            agent.offer(60.0)
        agent.run(after_s)
    assert agent.refused == 0


@given(begin_s=st.floats(0.02, 0.3), share=st.floats(0.01, 0.1), lasts_s=st.floats(0.3, 30.0))
def test_one_with_too_many_callers_is_full_and_free_by_turns_of_a_second(
    begin_s: float, share: float, lasts_s: float
) -> None:
    agent = BusyAgent(begin_s, share)
    changes, takes = 0, True
    for _ in range(600):
        agent.offer(lasts_s)
        agent.run(0.05)
        now_takes = agent.control.load(agent.now, len(agent.ends)).takes == "all"
        changes, takes = changes + (now_takes != takes), now_takes
    assert changes <= 2 * 30 / OverloadControl.WELL_S
    assert agent.used_s > 0.25 * 30 or agent.refused == 0
