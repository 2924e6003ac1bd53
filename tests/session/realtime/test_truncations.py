"""What a provider is told of an answer that was cut off, whatever comes first of what an interruption brings about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.session.realtime.realtime_provider import RealtimeProvider
from piopiy_pipeline.session.realtime.truncations import Truncations
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual
from piopiy_pipeline.transports.spoken_contexts import HeardContext

RATE = 8000
Heard = dict[str, HeardContext]


class Told(RealtimeProvider):
    """A provider that remembers what it was told."""

    def __init__(self) -> None:
        self.cuts: list[tuple[str, int]] = []
        self.words = 0

    async def truncate(self, item: str, part: int, heard_ms: int) -> None:
        self.cuts.append((item, heard_ms))

    async def heard_no_more(self, heard: Callable[[], str]) -> None:
        self.words += 1


def told(*happens: str | Heard | None, spared: bool = False) -> tuple[list[tuple[str, int]], int, float]:
    """Have one interruption after the other begin (the item that is being said; None: none), and the output transport
    say what was heard.

    Returns:
        What the provider was told of which item in milliseconds, how often it was told words, and how long the next
        answer waits for it in seconds.
    """

    async def run() -> float:
        answer = SimpleNamespace(
            cut_item=None, items={"a": 0, "b": 0}, received_ms={"a": 4000.0, "b": 1000.0}, is_spared=spared
        )
        tasks: list[asyncio.Task[None]] = []

        def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> None:
            tasks.append(asyncio.create_task(coroutine, name=name))

        state = SimpleNamespace(link=SimpleNamespace(bot_rate=RATE), spawn=spawn)
        truncations = Truncations(state, provider, answer, LLMContext())  # type: ignore[arg-type]
        for one in happens:
            if isinstance(one, dict):
                truncations.heard(one)
            else:
                answer.cut_item = one
                truncations.interrupted()
                assert answer.cut_item is None
        began = asyncio.get_running_loop().time()
        await truncations.wait()
        waited = asyncio.get_running_loop().time() - began
        await asyncio.gather(*tasks)
        return waited

    provider = Told()
    waited_s = run_virtual(run)
    return provider.cuts, provider.words, waited_s


HALF = {"a": HeardContext(2 * RATE, False)}
ALL = {"a": HeardContext(4 * RATE, True)}


@pytest.mark.parametrize("item", ["a", None], ids=["more comes", "all has come"])
def test_what_was_not_heard_to_its_end_is_told_once(item: str | None) -> None:
    assert told(item, HALF) == ([("a", 2000)], 1, 0.0)


def test_of_an_item_of_which_more_was_to_come_it_is_told_that_what_had_come_was_heard() -> None:
    assert told("a", ALL) == ([("a", 4000)], 1, 0.0)


def test_of_an_item_that_had_not_reached_the_output_nothing_was_heard() -> None:
    assert told("b", ALL) == ([("b", 0)], 1, 0.0)


def test_of_what_was_heard_to_its_end_nothing_is_told_and_nobody_waits() -> None:
    assert told(None, ALL) == ([], 0, 0.0)
    assert told(None, {}) == ([], 0, 0.0)


def test_an_item_behind_the_one_that_was_cut_off_was_not_heard() -> None:
    heard = {"a": HeardContext(RATE, False), "b": HeardContext(0, False)}
    assert told("b", heard) == ([("a", 1000), ("b", 0)], 1, 0.0)


def test_an_interruption_behind_another_one_does_not_tell_it_again() -> None:
    assert told("a", None, HALF, {}) == ([("a", 2000)], 1, 0.0)
    assert told("a", HALF, None, {}) == ([("a", 2000)], 1, 0.0)


def test_no_more_is_told_as_heard_than_has_come() -> None:
    assert told("a", {"a": HeardContext(5 * RATE, False)})[0] == [("a", 4000)]


def test_of_what_must_not_be_interrupted_nothing_is_told_and_nobody_waits() -> None:
    assert told(None, HALF, spared=True) == ([], 0, 0.0)


def test_the_next_answer_does_not_wait_for_ever_for_an_output_that_says_nothing() -> None:
    cuts, _, waited_s = told("a")
    assert cuts == []
    assert waited_s == pytest.approx(0.2)
