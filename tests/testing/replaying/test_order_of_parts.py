"""What providers say in one moment of a replay. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from piopiy_pipeline.testing.replaying.answers import Part
from piopiy_pipeline.testing.replaying.order_of_parts import MOMENT_S, OrderOfParts
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual

AT = 1.5


def part(number: int, after_s: float = AT) -> Part:
    return Part(after_s, "received", {}, number)


def happened(begin: Callable[[OrderOfParts, list[int]], Awaitable[object]]) -> list[int]:
    """Return the numbers of what happened, in order."""

    async def run() -> list[int]:
        order, numbers = OrderOfParts(), list[int]()
        await begin(order, numbers)
        await asyncio.sleep(2 * AT)
        return numbers

    return run_virtual(run)


def plan(order: OrderOfParts, at: float, happened: list[int], *numbers: int) -> None:
    order.plan(at, [(lambda part: happened.append(part.number), part(number)) for number in numbers])


async def answer(order: OrderOfParts, happened: list[int], *parts: Part) -> None:
    asked = order.now()
    for each in parts:
        await order.wait(asked, each)
        happened.append(each.number)


@pytest.mark.parametrize("planned_first", [True, False])
def test_an_answer_and_what_nobody_asked_for_come_in_the_order_of_the_capture(planned_first: bool) -> None:
    async def begin(order: OrderOfParts, numbers: list[int]) -> None:
        at = order.now() + AT
        if planned_first:
            plan(order, at, numbers, 2, 5)
        answering = asyncio.create_task(answer(order, numbers, part(1), part(3), part(4), part(6)))
        await asyncio.sleep(0)
        if not planned_first:
            plan(order, at, numbers, 2, 5)
        await answering

    assert happened(begin) == [1, 2, 3, 4, 5, 6]


def test_what_a_moment_does_by_itself_comes_before_what_nobody_asked_for() -> None:
    async def begin(order: OrderOfParts, numbers: list[int]) -> None:
        loop = asyncio.get_running_loop()
        plan(order, loop.time() + AT, numbers, 2)
        await asyncio.sleep(AT / 2)
        loop.call_later(AT / 2, numbers.append, 1)

    assert happened(begin) == [1, 2]


def test_a_request_is_not_late_when_what_led_to_it_was() -> None:
    async def begin(order: OrderOfParts, numbers: list[int]) -> None:
        began = order.now()
        asked: list[float] = []
        order.plan(began + AT, [(lambda _: asked.append(order.now()), part(1))])
        await asyncio.sleep(AT + MOMENT_S / 2)
        assert not asked
        await asyncio.sleep(MOMENT_S)
        assert asked == [began + AT]
        await asyncio.sleep(2 * MOMENT_S)
        assert order.now() == asyncio.get_running_loop().time()

    happened(begin)


def test_who_gives_up_waiting_holds_nobody_up() -> None:
    async def begin(order: OrderOfParts, numbers: list[int]) -> None:
        plan(order, order.now() + AT, numbers, 1, 3)
        answering = asyncio.create_task(answer(order, numbers, part(2)))
        await asyncio.sleep(AT + MOMENT_S / 2)
        answering.cancel()

    assert happened(begin) == [1, 3]
