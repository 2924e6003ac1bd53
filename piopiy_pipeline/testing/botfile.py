"""Finds the callback in a bot's file: it imports the file without running its `main`.

The callback is the function that the file passes to `Agent(...)` as `create_session`. If the text does not
show it,
it is one called `on_new_session` or `create_session`, or else the only coroutine function of the file that
takes
nothing but a call's parameters.
"""

from __future__ import annotations

import ast
import asyncio
import hashlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from piopiy_pipeline.agent.callback import CreateSession, bind_callback
from piopiy_pipeline.error_text import error_text
from piopiy_pipeline.signaling.agent_identity import (
    ID_VARIABLES,
    TOKEN_VARIABLES,
    identity_variables,
    read_first,
)

__all__ = ["load_bot"]

_USUAL = ("on_new_session", "create_session")


def load_bot(path: Path) -> CreateSession:
    """Import a bot's file afresh and return its callback.

    The file's folder can be imported from meanwhile, as for a script. The variables that say which agent this is
    (``AGENT_ID`` and ``AGENT_TOKEN``) are set meanwhile where the environment has none, as under `piopiy dev`: a file
    may make its `Agent` when it is imported, and no gateway is asked here.

    Args:
        path: The bot's file.

    Raises:
        ValueError: There is no such file, or no such function in it, or its import fails: then the message has the
            author's line, and what was raised is its cause.
        TypeError: The function cannot be called for a call.
    """
    path = path.resolve()
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    source = path.read_text(encoding="utf-8")
    module = _import(path)
    for name in (*_given_to_agent(source, path), *_USUAL):
        callback: CreateSession | None = getattr(module, name, None)
        if callback is not None:
            bind_callback(callback)  # says so if it cannot be called
            return callback
    candidates: list[CreateSession] = [
        function
        for function in vars(module).values()
        if inspect.iscoroutinefunction(function)
        and function.__module__ == module.__name__
        and _takes_a_call(function)
    ]
    if len(candidates) != 1:
        names = ", ".join(function.__name__ for function in candidates) or "none"
        raise ValueError(
            f"{path}: which function answers calls? Found: {names}. Give it to Agent(create_session=...), "
            "call it on_new_session, or pass the function itself"
        )
    return candidates[0]


def _import(path: Path) -> ModuleType:
    name = f"piopiy_bot_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = str(path.parent)
    sys.path.insert(0, folder)
    imported = False
    try:
        with _nothing_runs(), _some_identity():
            spec.loader.exec_module(module)
    except SyntaxError as error:  # names the file and the line itself
        raise ValueError(f"{path} cannot be imported: {error}") from error
    except Exception as error:
        raise ValueError(f"{path} cannot be imported: {error_text(error)}") from error
    else:
        imported = True
    finally:
        if not imported:
            del sys.modules[name]
        if folder in sys.path:
            sys.path.remove(folder)
    return module


@contextmanager
def _nothing_runs() -> Iterator[None]:
    """Let `asyncio.run` do nothing meanwhile: a short bot's last line is not always below ``if __name__ == ...``."""

    def close(main: Coroutine[Any, Any, Any], **_: object) -> None:
        main.close()

    run, asyncio.run = asyncio.run, close  # type: ignore[assignment]
    try:
        yield
    finally:
        asyncio.run = run


@contextmanager
def _some_identity() -> Iterator[None]:
    """Set the variables of an agent's id and token that are not set, meanwhile."""
    kept = (read_first(ID_VARIABLES) or "bot", read_first(TOKEN_VARIABLES) or "none")
    missing = {name: value for name, value in identity_variables(*kept).items() if not os.environ.get(name)}
    before = {name: os.environ.get(name) for name in missing}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _given_to_agent(source: str, path: Path) -> list[str]:
    """Return the names that the file passes to `Agent` as its callback."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source, str(path))):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called != "Agent":
            continue
        given = [keyword.value for keyword in node.keywords if keyword.arg == "create_session"]
        given += node.args[2:3]
        names += [value.id for value in given if isinstance(value, ast.Name)]
    return names


def _takes_a_call(function: CreateSession) -> bool:
    parameters = inspect.signature(function).parameters.values()
    if not parameters:
        return False
    try:
        bind_callback(function)
    except TypeError:
        return False
    return True
