"""`ProtocolTimer`: when a state machine is woken, and with which time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from piopiy_pipeline.signaling.protocol_timer import ProtocolTimer
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual


class Machine:
    """A state machine that wants to be woken at given times."""

    def __init__(self, *times: float) -> None:
        self.times = list(times)
        self.woken: list[float] = []

    def wake_at(self) -> float | None:
        return min(self.times, default=None)

    def tick(self, now: float) -> None:
        self.woken.append(now)
        self.times = [at for at in self.times if at > now]


def test_it_is_woken_at_each_time_that_it_asks_for_until_the_timer_is_closed() -> None:
    async def story() -> list[float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        machine = Machine(began + 1.0, began + 2.0, began + 3.0)
        timer = ProtocolTimer(loop, wake_at=machine.wake_at, tick=machine.tick)
        timer.arm()
        await asyncio.sleep(1.5)
        machine.times.append(began + 1.75)  # sooner than what it is set for
        timer.arm()
        await asyncio.sleep(1.0)
        timer.close()
        await asyncio.sleep(1.0)
        return [round(at - began, 3) for at in machine.woken]

    assert run_virtual(story) == [1.0, 1.75, 2.0]


class EarlyLoop:
    """An event loop whose timers fire too early, by the resolution of its clock."""

    def __init__(self) -> None:
        self.set: list[Callable[[], None]] = []

    def time(self) -> float:
        return 9.9995

    def call_at(self, when: float, act: Callable[[float], None], due: float) -> None:
        self.set.append(lambda: act(due))


def test_a_timer_that_fires_too_early_does_not_wake_it_in_vain() -> None:
    loop, machine = EarlyLoop(), Machine(10.0)
    timer = ProtocolTimer(loop, wake_at=machine.wake_at, tick=machine.tick)  # type: ignore[arg-type]
    timer.arm()
    loop.set.pop()()
    assert (machine.woken, machine.times, loop.set) == ([10.0], [], [])


def test_a_failure_does_not_end_the_timer_and_one_without_end_does_not_take_the_loop() -> None:
    class Failing(Machine):
        def tick(self, now: float) -> None:
            self.woken.append(now)
            if len(self.woken) < 4:
                raise RuntimeError("a test's")
            super().tick(now)

    async def story() -> list[float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        failures: list[str] = []
        loop.set_exception_handler(lambda _, context: failures.append(str(context["exception"])))
        machine = Failing(began + 1.0, began + 2.0)
        timer = ProtocolTimer(loop, wake_at=machine.wake_at, tick=machine.tick)
        timer.arm()
        await asyncio.sleep(3.0)
        timer.close()
        assert failures == ["a test's"] * 3
        return [round(at - began, 3) for at in dict.fromkeys(machine.woken)]

    assert run_virtual(story) == [1.0, 1.1, 1.2, 1.3, 2.0]
