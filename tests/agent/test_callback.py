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


NO_METADATA: Any = SimpleNamespace(info=CallInfo("desk", "c1", "+1", "+2"))


def told(create_session: Callable[..., Any]) -> None:
    asyncio.run(_run(create_session, CALL))


async def _run(create_session: Callable[..., Any], call: Any) -> None:
    await bind_callback(create_session)(call)


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


def test_metadata_that_is_not_there_is_left_out_and_not_none() -> None:
    seen: list[Any] = []

    async def everything(**kwargs: Any) -> None:
        seen.append(sorted(kwargs))

    async def some(call_id: str, **rest: Any) -> None:
        seen.append(sorted(rest))

    async def with_default(metadata: dict[str, Any] = {"of": "mine"}, **rest: Any) -> None:  # noqa: B006
        seen.append(metadata)

    async def requires(metadata: dict[str, Any] | None, **rest: Any) -> None:
        seen.append(metadata)

    async def keyword_only(*, metadata: dict[str, Any] | None) -> None:
        seen.append(metadata)

    bots: list[Callable[..., Any]] = [everything, some, with_default, requires, keyword_only]
    bots += [functools.partial(everything), functools.partial(with_default, metadata={"p": 1})]
    for bot in bots:
        asyncio.run(_run(bot, NO_METADATA))
    others = ["agent_id", "from_number", "to_number"]
    assert seen == [
        sorted([*others, "call_id"]),
        others,
        {"of": "mine"},
        None,
        None,
        sorted([*others, "call_id"]),
        {"p": 1},
    ]


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


class NotAsync:
    """An object whose call is no coroutine."""

    def __call__(self, call_id: str) -> None: ...


class NotMadeYet:
    """A class, where one of its objects was meant."""

    async def __call__(self, call_id: str) -> None: ...


async def wants_more(call_id: str, tenant: str) -> None:
    """A parameter that no call has."""


async def by_position(call_id: str, /) -> None:
    """A parameter that cannot be named."""


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (not_async, "async def"),
        (functools.partial(not_async), "async def"),
        (functools.partial(functools.partial(NotAsync())), "async def"),
        (NotMadeYet, "async def"),
        (wants_more, "'tenant'"),
        (by_position, "'call_id' by its position only"),
        ("bot", "async function"),
    ],
)
def test_what_cannot_be_called_is_an_error_before_the_first_call(wrong: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        bind_callback(wrong)
