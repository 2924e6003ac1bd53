"""Lets services of pipecat's be made without their provider's key, where nothing will be sent to the provider.

Many refuse that: their constructor, or that of the provider's client within it. Others are not touched.

Tested in ``tests/testing/replaying/test_keys.py``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

__all__ = ["KeylessServices", "placeholder_key"]

KEY = "none: a recording answers for this provider"
_open: list[KeylessServices] = []


def placeholder_key() -> str:
    """Return what a service that is built by its provider's name gets in the place of a key that is not there.

    Empty: nothing.
    """
    return KEY if _open else ""


class KeylessServices:
    """Gives services that refuse to be made without a key a placeholder, from now on until it is closed.

    Whoever makes this has to see to it that no service of `made` sends anything to its provider.

    Args:
        kinds: The base classes of the services.
    """

    def __init__(self, kinds: Iterable[type]) -> None:
        self.made: list[Any] = []
        """The services that have the placeholder."""
        self._changed: list[tuple[type, str, Any]] = []
        _open.append(self)
        for kind in kinds:
            self._change(kind, "__init_subclass__", self._also_later(kind))
            for each in [kind, *_below(kind)]:
                self._take(each)

    def close(self) -> None:
        """Leave services as they are from now on. May be called again."""
        changed, self._changed = self._changed, []
        for kind, name, before in reversed(changed):
            if before is None:
                delattr(kind, name)
            else:
                setattr(kind, name, before)
        if self in _open:
            _open.remove(self)

    def _change(self, kind: type, name: str, value: Any) -> None:
        self._changed.append((kind, name, vars(kind).get(name)))
        setattr(kind, name, value)

    def _also_later(self, kind: type) -> Any:
        """Return what takes the classes that are imported later."""

        def take(made: type, /, **options: Any) -> None:
            super(kind, made).__init_subclass__(**options)  # type: ignore[arg-type]  # a class that is no literal
            self._take(made)

        return classmethod(take)

    def _take(self, kind: type) -> None:
        make = vars(kind).get("__init__")
        if make is not None and "api_key" in inspect.signature(make).parameters:
            self._change(kind, "__init__", self._without_key(make))

    def _without_key(self, make: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(make)

        @functools.wraps(make)
        def init(service: Any, *given: Any, **options: Any) -> None:
            try:
                bound = signature.bind(service, *given, **options)
            except TypeError:
                make(service, *given, **options)  # says what is wrong
                return
            key = bound.arguments.get("api_key")
            try:
                make(service, *given, **options)
            except Exception as refused:
                if key:
                    raise
                bound.arguments["api_key"] = key = KEY
                try:
                    make(*bound.args, **bound.kwargs)
                except Exception:  # noqa: BLE001  it was not for the key, and what was wrong is raised
                    raise refused from None
            if key == KEY and not any(service is each for each in self.made):
                self.made.append(service)

        return init


def _below(kind: type) -> Iterator[type]:
    """Yield all classes that derive from a class."""
    derived: list[type] = kind.__subclasses__()
    for each in derived:
        yield each
        yield from _below(each)
