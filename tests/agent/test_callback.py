"""What a `create_session` may look like, and what it is told."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from piopiy_pipeline.agent.callback import bind_callback
from piopiy_pipeline.call import CallInfo

INFO = CallInfo("desk", "c1", "+1", "+2", {"k": 1})
CALL: Any = SimpleNamespace(info=INFO)


def told(create_session: Callable[..., Any]) -> None:
    asyncio.run(_run(create_session))


async def _run(create_session: Callable[..., Any]) -> None:
    await bind_callback(create_session)(CALL)


def test_it_receives_what_it_names_and_nothing_else() -> None:
    seen: list[str] = []

    async def one(call_id: str, from_number: str) -> None:
        seen.extend((call_id, from_number))

    told(one)
    assert seen == ["c1", "+1"]


def test_it_receives_everything_of_a_call_if_it_takes_anything() -> None:
    seen: dict[str, Any] = {}

    async def everything(**kwargs: Any) -> None:
        seen.update(kwargs)

    told(everything)
    assert seen == {
        "agent_id": "desk",
        "call_id": "c1",
        "from_number": "+1",
        "to_number": "+2",
        "metadata": {"k": 1},
    }


def test_it_receives_the_handle_if_it_names_it() -> None:
    seen: list[Any] = []

    async def with_handle(call: Any, metadata: Any = None, mine: int = 3) -> None:
        seen.extend((call, metadata, mine))

    told(with_handle)
    assert seen == [CALL, {"k": 1}, 3]


def test_a_partial_of_an_async_function_will_do() -> None:
    seen: list[Any] = []

    async def bot(menu: str, call_id: str) -> None:
        seen.append((menu, call_id))

    told(functools.partial(bot, "lunch"))
    assert seen == [("lunch", "c1")]


def not_async(call_id: str) -> None:
    """No coroutine."""


async def wants_more(call_id: str, tenant: str) -> None:
    """A parameter that no call has."""


@pytest.mark.parametrize(
    ("wrong", "says"), [(not_async, "async def"), (wants_more, "'tenant'"), ("bot", "async function")]
)
def test_what_cannot_be_called_is_an_error_before_the_first_call(wrong: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        bind_callback(wrong)
