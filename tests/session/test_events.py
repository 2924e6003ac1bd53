"""Handlers of events: in order, and unable to hurt the call."""

from __future__ import annotations

import asyncio

import pytest

from piopiy_pipeline.session.events import Emitter


def test_handlers_are_told_in_order_until_they_are_taken_off() -> None:
    emitter = Emitter()
    told: list[tuple[str, object]] = []
    off = emitter.on("tool", lambda use: told.append(("a", use)))
    emitter.on("tool", lambda use: told.append(("b", use)))
    emitter.emit("tool", 1)
    off()
    off()  # once more does no harm
    emitter.emit("tool", 2)
    assert told == [("a", 1), ("b", 1), ("b", 2)]


def test_a_handler_that_raises_is_heard_of_in_the_log_only() -> None:
    emitter = Emitter()
    told: list[object] = []

    def broken(_: object) -> None:
        raise RuntimeError("author's mistake")

    async def broken_too(_: object) -> None:
        raise RuntimeError("another")

    async def scenario() -> None:
        emitter.on("end", broken)
        emitter.on("end", broken_too)
        emitter.on("end", told.append)
        emitter.emit("end", "over")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert told == ["over"]


def test_an_event_that_there_is_not_is_an_error_with_a_hint() -> None:
    with pytest.raises(ValueError, match="Did you mean 'user_turn'"):
        Emitter().on("user_turns", print)
