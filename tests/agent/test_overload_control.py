"""Which calls a process takes, by what these cost it, in virtual time."""

from __future__ import annotations

import pytest

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
    process.calls = 5
    process.run(3.0)
    assert process.control.period_s == OverloadControl.RARE_S
    process.calls = 20
    process.run(3.0)
    assert process.control.period_s == OverloadControl.OFTEN_S
