"""Whether call workers of one call each leave the machine time for more of them, in virtual time."""

from __future__ import annotations

from piopiy_pipeline.agent.processor_watch import LOOK_S, ProcessorWatch


class Machine:
    """Call workers, of which each uses `share` of a core."""

    def __init__(self, cores: int = 2, share: float = 0.1, threshold: float | None = 0.85) -> None:
        self.freed = 0
        self.watch = ProcessorWatch(threshold, cores=cores, on_free=self._on_free)
        self.share = share
        self.used: dict[int, float] = {1: 0.0, 2: 0.0}  # two that wait for a call
        self.serving: list[int] = []
        self.now = 50.0

    def _on_free(self) -> None:
        self.freed += 1

    def begin(self) -> None:
        pid = 100 + len(self.used)
        self.used[pid] = 0.0
        self.serving.append(pid)

    def end(self, calls: int) -> None:
        for _ in range(calls):
            del self.used[self.serving.pop()]

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += LOOK_S
            for pid in self.serving:
                self.used[pid] += self.share * LOOK_S
            self.watch.look(self.now, self.used, self.serving)


def test_no_more_are_forked_when_they_use_most_of_all_processors() -> None:
    machine = Machine()
    while not machine.watch.full:
        machine.begin()
        machine.run(1.0)
    assert 15 <= len(machine.serving) <= 18


def test_they_are_forked_again_when_calls_have_ended() -> None:
    machine = Machine()
    while not machine.watch.full:
        machine.begin()
        machine.run(1.0)
    machine.run(5.0)
    assert machine.watch.full
    assert machine.freed == 0
    machine.end(6)
    machine.run(5.0)
    assert not machine.watch.full
    assert machine.freed == 1


def test_what_ended_workers_have_used_is_no_use_of_those_that_there_are() -> None:
    machine = Machine(share=0.4)
    for _ in range(20):
        machine.begin()
        machine.run(1.0)
        machine.end(1)
    assert not machine.watch.full


def test_without_a_threshold_they_are_always_forked() -> None:
    machine = Machine(threshold=None)
    for _ in range(30):
        machine.begin()
        machine.run(1.0)
    assert not machine.watch.full
