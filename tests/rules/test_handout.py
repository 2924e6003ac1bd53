"""Which worker has which test, on a quick machine and on a slow one."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support import handout
from tests.support.handout import Handout
from tests.support.programs import Program

EARS = [
    "tests/sip/test_real_phone.py::a",
    "tests/browser/test_barge_in.py::b",
    "tests/sip/test_real_phone.py::c",
]
WAITS = [f"tests/sip/test_sipp.py::{number}" for number in range(12)]
COMPUTES = [f"tests/test_text.py::{number}" for number in range(12)]
ALL = [*EARS, *WAITS, *COMPUTES]


class Worker:
    """What the handout knows of a worker."""

    def __init__(self, number: int) -> None:
        self.gateway = SimpleNamespace(id=f"gw{number}")
        self.shutting_down = False
        self.tests: list[str] = []

    def send_runtest_some(self, numbers: list[int]) -> None:
        self.tests += [ALL[number] for number in numbers]

    def shutdown(self) -> None:
        self.shutting_down = True


def hand_out(monkeypatch: pytest.MonkeyPatch, *, is_slow: bool) -> list[Worker]:
    """Run all tests with four workers, each of which takes as long as any other."""
    monkeypatch.setattr(handout, "is_slow_machine", lambda: is_slow)
    workers = [Worker(number) for number in range(4)]
    config: Any = SimpleNamespace(
        getvalue=lambda _: ["popen"] * 4, option=SimpleNamespace(loadscopereorder=False)
    )
    given = Handout(config)
    nodes: list[Any] = [*workers]
    for node in nodes:
        given.add_node(node)
    for node in nodes:
        given.add_node_collection(node, ALL)
    given.schedule()
    for at in range(len(ALL)):
        for node, worker in zip(nodes, workers, strict=True):
            if at < len(worker.tests):
                given.mark_test_complete(node, ALL.index(worker.tests[at]))
    assert sorted(test for worker in workers for test in worker.tests) == sorted(ALL)
    return workers


def test_on_a_slow_machine_one_worker_has_all_tests_with_real_ears(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = hand_out(monkeypatch, is_slow=True)
    assert workers[0].tests[:3] == EARS
    assert [worker.tests[0] for worker in workers[1:]] == [COMPUTES[-1], WAITS[0], COMPUTES[-2]]
    assert len(workers[0].tests) > 3, "it goes on with others"


def test_on_a_quick_machine_those_that_wait_are_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = hand_out(monkeypatch, is_slow=False)
    assert [worker.tests[0] for worker in workers] == [*EARS, COMPUTES[-1]]


def test_a_program_lets_others_go_first_as_far_as_who_has_ordered_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def niceness() -> int:
        program = await Program.start("-c", "import os; print(os.nice(0))", environment={**os.environ})
        out, _ = await program.communicate()
        await program.close()
        return int(out)

    ours = os.nice(0)
    monkeypatch.setattr(os, "nice", lambda _: ours + 3)
    assert asyncio.run(niceness()) == min(ours + 3, 19)
