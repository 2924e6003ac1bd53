"""A `KeyboardInterrupt`: the operator's, or that of an author's code."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from piopiy_pipeline.compat.interrupts import is_operators
from piopiy_pipeline.session.events import Emitter


def interrupts() -> None:
    raise KeyboardInterrupt


def raised_by_a_key(times: int = 1) -> list[bool]:
    """Return whose they are: of what the code of a program gets, and of what the program ends with."""
    found: list[bool] = []

    async def program() -> None:
        try:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)  # noqa: ASYNC251  a signal is handled between two lines
            await asyncio.sleep(60)
        except KeyboardInterrupt as error:
            found.append(is_operators(error))
            raise

    try:
        asyncio.run(program())
    except KeyboardInterrupt as error:
        found.append(is_operators(error))
    return found


def test_whose_it_is_shows_in_where_it_was_raised() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert raised_by_a_key() == [True]
        assert raised_by_a_key(2)[0]
        found: list[bool] = []

        async def program() -> None:
            try:
                interrupts()
            except KeyboardInterrupt as error:
                found.append(is_operators(error))

        asyncio.run(program())
        assert found == [False]
        with pytest.raises(KeyboardInterrupt) as caught:
            interrupts()
        assert is_operators(caught.value), "nobody can tell"
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("later", [False, True])
def test_one_in_a_handler_goes_no_further(later: bool) -> None:
    failed: list[str] = []

    def handler(_: object) -> object:
        if later:
            return in_a_task()
        interrupts()
        return None

    async def in_a_task() -> None:
        interrupts()

    async def story() -> None:
        emitter = Emitter(lambda _, text: failed.append(text))
        emitter.on("answered", handler)
        emitter.emit("answered", None)
        await emitter.settle(5)

    asyncio.run(story())
    [text] = failed
    assert text.startswith("KeyboardInterrupt at tests/compat/test_interrupts.py:")
