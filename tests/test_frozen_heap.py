"""What a process has loaded is not looked through between its calls; garbage of calls is collected as before."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from weakref import ref

import pytest

from piopiy_pipeline.frozen_heap import FrozenHeap


@pytest.fixture(autouse=True)
def _own_heap() -> Iterator[None]:
    """The tests run with a frozen heap themselves."""
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    yield
    gc.unfreeze()
    if frozen:
        gc.collect()
        gc.freeze()


class Knot:
    """What only a collection can free."""

    def __init__(self) -> None:
        self.me = self


def test_what_is_loaded_is_left_out_and_looked_at_again_at_the_end() -> None:
    heap = FrozenHeap()
    assert len(gc.get_objects()) < 1000 < gc.get_freeze_count()
    heap.close()
    assert gc.get_freeze_count() == 0


def test_garbage_from_before_is_freed_and_so_is_that_of_calls() -> None:
    before = ref(Knot())
    heap = FrozenHeap()
    assert before() is None
    later = ref(Knot())
    gc.collect()
    assert later() is None
    heap.close()


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


def test_the_garbage_of_the_first_calls_is_not_put_off_by_what_is_frozen() -> None:
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
    del kept


def test_several_share_the_heap_and_the_last_one_lets_go() -> None:
    first, second = FrozenHeap(), FrozenHeap()
    first.close()
    first.close()
    assert gc.get_freeze_count()
    second.close()
    assert gc.get_freeze_count() == 0


def test_a_heap_that_somebody_else_has_frozen_is_left_alone() -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    heap = FrozenHeap()
    loaded = [Knot() for _ in range(1000)]
    assert gc.get_freeze_count() <= frozen
    heap.close()
    assert gc.get_freeze_count() > 900
    del loaded
