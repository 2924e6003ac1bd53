"""When a supervisor gives up: its decisions alone, with call workers that are no processes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import pytest

from piopiy_pipeline.agent import supervisor as supervision
from piopiy_pipeline.agent.isolation import Isolation
from piopiy_pipeline.agent.process_messages import ForkWorker, open_pair
from piopiy_pipeline.agent.supervisor import MAX_AT_ONCE, Supervisor
from piopiy_pipeline.agent.template_link import TemplateLink
from piopiy_pipeline.agent.worker_member import WorkerMember

WORKERS = 8


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class NoProcesses:
    """The link of a supervisor, which only numbers what is forked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sockets = open_pair()
        self.forked: list[WorkerMember] = []

    def fork(self, order: ForkWorker, slot: int) -> WorkerMember:
        number = len(self.forked) + 1
        self.forked.append(
            WorkerMember(number, f"desk-w{number}", slot, self._sockets[0], self._clock.now, list, pid=number)
        )
        return self.forked[-1]

    def report(self, member: WorkerMember) -> None: ...

    def say(self, *_: Any) -> None: ...

    def close(self) -> None:
        for each in self._sockets:
            each.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(supervision, "time", clock)
    return clock


@pytest.fixture
def link(clock: Clock) -> Iterator[NoProcesses]:
    link = NoProcesses(clock)
    yield link
    link.close()


def supervisor_over(link: NoProcesses) -> Supervisor:
    plan = Isolation.choose("process", capacity=2 * WORKERS, workers=WORKERS, warm=None, memory_mb=None)
    assert plan is not None
    one = Supervisor(plan, "desk", load=lambda: None, become_worker=lambda *_: 0)
    one._link = cast(TemplateLink, link)
    one._fill()
    return one


def dies(one: Supervisor, member: WorkerMember) -> None:
    member.exit_code = 1
    one.on_ended(member)


def test_call_workers_that_die_together_of_one_fault_do_not_end_the_agent(
    clock: Clock, link: NoProcesses
) -> None:
    async def story() -> None:
        one = supervisor_over(link)
        for member in list(link.forked):
            clock.now += 0.3
            dies(one, member)
        clock.now += 1.0
        one._fill_again()
        assert one._failure is None
        assert len(one.workers) == WORKERS

    asyncio.run(story())


def test_call_workers_that_die_one_after_the_other_do(clock: Clock, link: NoProcesses) -> None:
    async def story() -> None:
        one = supervisor_over(link)
        for _ in range(MAX_AT_ONCE):
            assert one._failure is None
            clock.now += 1.0
            one._fill_again()
            dies(one, link.forked[-1])
        assert one._failure is not None

    asyncio.run(story())
