"""An author's `create_session`, and which of a call's values it receives."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from piopiy_pipeline.arguments import shown
from piopiy_pipeline.session import Call, Callback

__all__ = ["CreateSession", "bind_callback"]

CreateSession = Callable[..., Awaitable[Any]]
_OF_THE_CALL = ("agent_id", "call_id", "from_number", "to_number", "metadata")


def bind_callback(create_session: CreateSession) -> Callback:
    """Bind the parameters of an author's callback to the values of a call.

    Args:
        create_session: An async function. It receives those of `agent_id, call_id, from_number, to_number,
            metadata` that it names, all of them if it takes ``**kwargs``, and `call` if it names that. Without
            metadata, `metadata` is left out where that is possible, as in Piopiy's SDK: its own default counts,
            and it is not among the ``**kwargs``. A callback that requires it receives None.

    Returns:
        A function of a `Call` that calls it.

    Raises:
        TypeError: It is no async function, or it requires something that a call does not have. This is
            known when the agent is made, and not when the first caller rings.
    """
    if not callable(create_session):
        raise TypeError(f"create_session must be an async function, not {shown(create_session)}")
    if not _is_async(create_session):
        raise TypeError(f"create_session must be 'async def': {shown(create_session)} is not")
    named: list[str] = []
    required: list[str] = []
    takes_all = False
    for name, parameter in inspect.signature(create_session).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            takes_all = True
        elif parameter.kind is parameter.VAR_POSITIONAL:
            continue
        elif name in (*_OF_THE_CALL, "call") and parameter.kind is not parameter.POSITIONAL_ONLY:
            named.append(name)
            if parameter.default is parameter.empty:
                required.append(name)
        elif parameter.kind is parameter.POSITIONAL_ONLY and parameter.default is parameter.empty:
            raise TypeError(
                f"create_session takes {name!r} by its position only: it is called with names, so leave out the '/'"
            )
        elif parameter.default is parameter.empty:
            raise TypeError(
                f"create_session wants {name!r}, which is not of a call: it may name "
                f"{', '.join(_OF_THE_CALL)} and call, or take **kwargs"
            )
    wanted = {*named, *(_OF_THE_CALL if takes_all else ())}

    @functools.wraps(create_session, assigned=(), updated=())  # an error without a line of its own names it
    async def callback(call: Call) -> None:
        values = {name: getattr(call.info, name) for name in _OF_THE_CALL} | {"call": call}
        if call.info.metadata is None and "metadata" not in required:
            del values["metadata"]
        await create_session(**{name: values[name] for name in values if name in wanted})

    return callback


def _is_async(function: Any) -> bool:
    """Return whether what a call of this function returns can be awaited."""
    while isinstance(function, functools.partial):
        function = function.func
    call = None if inspect.isclass(function) else getattr(function, "__call__", None)  # noqa: B004  of an object
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
