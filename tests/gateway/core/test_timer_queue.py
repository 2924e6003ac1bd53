"""Who is woken when, and that nobody is held on to who need not be woken."""

from __future__ import annotations

import gc
import weakref

from piopiy_pipeline.gateway.core.timer_queue import AGAIN_S, TimerQueue


class Someone:
    def __init__(self, at: float | None) -> None:
        self.wake_at = at
        self.woken: list[float] = []
        self.then: float | None = None

    def wake(self, now: float) -> None:
        self.woken.append(now)
        self.wake_at = self.then


def test_everybody_is_woken_in_time_and_in_order() -> None:
    timers = TimerQueue()
    late, early = Someone(3.0), Someone(1.0)
    for someone in (late, early):
        timers.set(someone)
    assert timers.next_at == 1.0
    timers.run_due(2.0)
    assert (early.woken, late.woken, timers.next_at) == ([2.0], [], 3.0)


def test_who_changes_the_time_is_woken_at_the_new_one_only() -> None:
    timers, someone = TimerQueue(), Someone(1.0)
    timers.set(someone)
    someone.wake_at = 5.0
    timers.set(someone)
    timers.run_due(4.0)
    assert someone.woken == []
    someone.then = 7.0
    timers.run_due(6.0)
    assert (someone.woken, timers.next_at, len(timers)) == ([6.0], 7.0, 1)


def test_who_has_no_timer_any_more_is_let_go_of_at_once() -> None:
    timers = TimerQueue()
    gone = [Someone(1000.0 + n) for n in range(500)]
    for someone in gone:
        timers.set(someone)
    seen = weakref.ref(gone[250])
    for someone in gone:
        timers.forget(someone)
    del gone, someone
    gc.collect()
    assert seen() is None
    assert (len(timers), timers.next_at) == (0, None)
    assert len(timers._heap) <= 64


def test_one_that_fails_keeps_nobody_else_asleep_and_is_woken_again_later() -> None:
    class Failing(Someone):
        def wake(self, now: float) -> None:
            super().wake(now)
            self.wake_at = now if len(self.woken) == 1 else None
            raise RuntimeError("a bug")

    timers, failing, other = TimerQueue(), Failing(0.5), Someone(1.0)
    timers.set(failing)
    timers.set(other)
    timers.run_due(1.0)
    assert (failing.woken, other.woken, timers.next_at) == ([1.0], [1.0], 1.0 + AGAIN_S)
    timers.run_due(1.0 + AGAIN_S)
    assert (failing.woken, len(timers)) == ([1.0, 1.0 + AGAIN_S], 0)
