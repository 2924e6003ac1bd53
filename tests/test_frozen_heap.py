"""What a process has loaded is not looked through between its calls; garbage of calls is collected as before."""

from __future__ import annotations

import functools
import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from weakref import ref

from piopiy_pipeline.frozen_heap import FrozenHeap

ROOT = Path(__file__).parents[1]


def alone(story: Callable[[], None]) -> Callable[[], None]:
    """Make a test of this, in a process of its own, which has little to collect: this one has all that was imported."""

    @functools.wraps(story)
    def test() -> None:
        code = f"import sys; sys.path[0] = {str(ROOT)!r}; from {__name__} import {story.__name__} as test; test.story()"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr

    test.story = story  # type: ignore[attr-defined]
    return test


class Knot:
    """What only a collection can free."""

    def __init__(self) -> None:
        self.me = self


@alone
def test_what_is_loaded_is_left_out_and_looked_at_again_at_the_end() -> None:
    heap = FrozenHeap()
    assert len(gc.get_objects()) < 1000 < gc.get_freeze_count()
    heap.close()
    assert gc.get_freeze_count() == 0


@alone
def test_garbage_from_before_is_freed_and_so_is_that_of_calls() -> None:
    before = ref(Knot())
    heap = FrozenHeap()
    assert before() is None
    later = ref(Knot())
    gc.collect()
    assert later() is None
    heap.close()


@alone
def test_nothing_is_frozen_while_one_of_several_has_calls() -> None:
    calls: list[Knot] = []
    first = FrozenHeap(lambda: bool(calls))
    calls.append(Knot())
    of_a_call = ref(calls[0])
    second = FrozenHeap()
    calls.clear()
    gc.collect()
    assert of_a_call() is None
    first.close()
    assert gc.get_freeze_count(), "the second one needs what the first has frozen"
    second.close()
    assert gc.get_freeze_count() == 0


@alone
def test_the_garbage_of_the_first_calls_is_not_put_off_by_what_is_frozen() -> None:
    loaded: list[list[int]] = [[] for _ in range(170_000)]  # as many as an agent has
    thresholds = gc.get_threshold()
    heap = FrozenHeap()
    before = gc.get_stats()[2]["collections"]
    gc.set_threshold(50, 1, 1)
    try:
        kept = [Knot() for _ in range(3000)]
        assert gc.get_stats()[2]["collections"] > before
    finally:
        gc.set_threshold(*thresholds)
        heap.close()
    del kept, loaded


@alone
def test_several_share_the_heap_and_the_last_one_lets_go() -> None:
    first, second = FrozenHeap(), FrozenHeap()
    first.close()
    first.close()
    assert gc.get_freeze_count()
    second.close()
    assert gc.get_freeze_count() == 0


@alone
def test_a_heap_that_somebody_else_has_frozen_is_left_alone() -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    heap = FrozenHeap()
    loaded = [Knot() for _ in range(1000)]
    assert gc.get_freeze_count() <= frozen
    heap.close()
    assert gc.get_freeze_count() > 900
    del loaded
