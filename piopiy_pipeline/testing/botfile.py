"""Finds the callback in a bot's file: it imports the file without running its `main`.

The callback is what the file passes to `Agent(...)` as `create_session`, as it is once the file was imported. If that
is known only while the file's `main` runs, there is none, because another one would answer than the bot's. A file
that makes no `Agent` has one called `on_new_session` or `create_session`, or else the only coroutine function of the
file that takes nothing but a call's parameters.
"""

from __future__ import annotations

import ast
import asyncio
import hashlib
import importlib.util
import inspect
import os
import sys
import textwrap
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.agent.callback import CreateSession, bind_callback
from piopiy_pipeline.error_text import error_text
from piopiy_pipeline.signaling.agent_identity import (
    ID_VARIABLES,
    TOKEN_VARIABLES,
    identity_variables,
    read_first,
)

__all__ = ["bot_folder", "callback_of", "load_bot"]

_USUAL = ("on_new_session", "create_session")
_Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def load_bot(path: Path) -> CreateSession:
    """Import a bot's file afresh and return its callback.

    The file's folder can be imported from meanwhile, as for a script. The variables that say which agent this is
    (``AGENT_ID`` and ``AGENT_TOKEN``) are set meanwhile where the environment has none, as under `piopiy dev`: a file
    may make its `Agent` when it is imported, and no gateway is asked here.

    Args:
        path: The bot's file.

    Raises:
        ValueError: There is no such file, or no such function in it, or the file gives an `Agent` a callback that is
            known only while its `main` runs, or several agents different ones; or its import fails: then the message
            has the author's line, and what was raised is its cause.
        TypeError: The function cannot be called for a call.
    """
    path = path.resolve()
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    module = _import(path)
    given = _given_to_agents(ast.parse(path.read_bytes(), str(path)), module, path)
    usual = (getattr(module, name, None) for name in _USUAL)
    callback: CreateSession
    for callback in given or [function for function in usual if function is not None]:
        try:
            bind_callback(callback)
        except TypeError as error:
            raise TypeError(f"{path}: {error}") from None
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


def callback_of(bot: CreateSession | Path) -> CreateSession:
    """Return the callback of a bot that is given as its file or as the callback itself.

    Args:
        bot: Either.

    Raises:
        ValueError: As `load_bot`.
        TypeError: It is a text; or as `load_bot`.
    """
    if isinstance(bot, str):
        raise TypeError(f"{bot!r} is no async function: for a bot's file, pass Path({bot!r})")
    return load_bot(bot) if isinstance(bot, Path) else bot


@contextmanager
def bot_folder(bot: CreateSession | Path) -> Iterator[None]:
    """Have the files beside a bot's file be imported as where it is run: while it is imported, and in its calls.

    Modules from elsewhere that have their names, such as those beside another bot, are put aside meanwhile.

    Args:
        bot: The bot's file. A callback needs nothing.
    """
    if not isinstance(bot, Path):
        yield
        return
    folder = bot.resolve().parent
    beside = {each.stem for each in folder.glob("*.py")} | {
        each.parent.name for each in folder.glob("*/__init__.py")
    }
    beside -= sys.stdlib_module_names | {"piopiy", "piopiy_pipeline"}
    known = [(name, module) for name, module in sys.modules.items() if name.partition(".")[0] in beside]
    aside = {name: module for name, module in known if not _is_kept(module, folder)}
    for name in aside:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
        tops = {name.partition(".")[0] for name in aside}
        for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
            del sys.modules[name]
        sys.modules.update(aside)


def _is_kept(module: ModuleType, folder: Path) -> bool:
    """Return whether a module that a bot may import by its name is that of its own folder, or an installed one."""
    file = getattr(module, "__file__", None)
    return file is None or Path(file).is_relative_to(folder) or "site-packages" in Path(file).parts


def _import(path: Path) -> ModuleType:
    name = f"piopiy_bot_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    imported = False
    try:
        with bot_folder(path), _nothing_runs(), _some_identity():
            spec.loader.exec_module(module)
    except SyntaxError as error:  # names the file and the line itself
        raise ValueError(f"{path} cannot be imported: {error}") from error
    except (Exception, SystemExit) as error:
        raise ValueError(f"{path} cannot be imported: {error_text(error)}") from error
    else:
        imported = True
    finally:
        if not imported:
            del sys.modules[name]
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


def _given_to_agents(tree: ast.Module, module: ModuleType, path: Path) -> list[CreateSession]:
    """Return the callback that the file passes to `Agent`, if it makes one."""
    found: list[tuple[CreateSession, int]] = []
    for call, names in _calls(tree, frozenset()):
        if not _makes_an_agent(call.func, module, names):
            continue
        given = _create_session(call)
        if given is None:
            continue  # `Agent` itself says what is missing
        text = textwrap.shorten(ast.unparse(given), 80)
        known_late = any(isinstance(node, ast.Name) and node.id in names for node in ast.walk(given))
        try:
            if known_late or isinstance(given, ast.Starred):
                raise NameError(text)  # noqa: TRY301  as of a name that only the file's `main` gives a value
            code = compile(ast.Expression(given), str(path), "eval")
            found.append((eval(code, vars(module)), call.lineno))
        except NameError:
            raise ValueError(
                f"{path}:{call.lineno}: Agent's create_session, {text}, is known only while the bot runs: "
                "give it a function of the file, by its name"
            ) from None
        except Exception as error:
            raise ValueError(f"{path}:{call.lineno}: {text} fails: {error_text(error)}") from error
    if any(callback != found[0][0] for callback, _ in found):
        lines = ", ".join(str(line) for _, line in found)
        raise ValueError(
            f"{path}: which function answers calls? The agents of lines {lines} have different ones: "
            "give each agent a file of its own"
        )
    return [callback for callback, _ in found[:1]]


def _calls(node: ast.AST, names: frozenset[str]) -> Iterator[tuple[ast.Call, frozenset[str]]]:
    """Yield each call below a node, with the names that the functions around it bind."""
    for child in ast.iter_child_nodes(node):
        around = names | _bound_in(child) if isinstance(child, _Scope) else names
        if isinstance(child, ast.Call):
            yield child, names
        yield from _calls(child, around)


def _bound_in(scope: _Scope) -> frozenset[str]:
    """Return the names that this function binds, and not those of functions within it."""
    names = {node.arg for node in ast.walk(scope.args) if isinstance(node, ast.arg)}
    rest: list[ast.AST] = [scope.body] if isinstance(scope, ast.Lambda) else [*scope.body]
    while rest:
        node = rest.pop()
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
                continue
            case ast.Lambda():
                continue
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.Import(names=imported) | ast.ImportFrom(names=imported):
                names |= {each.asname or each.name.partition(".")[0] for each in imported}
        rest += ast.iter_child_nodes(node)
    return frozenset(names)


def _makes_an_agent(function: ast.expr, module: ModuleType, names: frozenset[str]) -> bool:
    """Return whether this is `Agent`, by its name or under another one that the file has imported it by."""
    if isinstance(function, ast.Name) and function.id not in names and hasattr(module, function.id):
        known = getattr(module, function.id)
        return isinstance(known, type) and issubclass(known, Agent)
    return (function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")) == "Agent"


def _create_session(call: ast.Call) -> ast.expr | None:
    """Return what this call of `Agent` gives as its callback: a starred argument if that may hold it."""
    for keyword in call.keywords:
        if keyword.arg == "create_session":
            return keyword.value
    starred = [each for each in call.args[:3] if isinstance(each, ast.Starred)]
    unpacked = [ast.Starred(keyword.value, ast.Load()) for keyword in call.keywords if keyword.arg is None]
    return next(iter([*starred, *call.args[2:3], *unpacked]), None)


def _takes_a_call(function: CreateSession) -> bool:
    parameters = inspect.signature(function).parameters.values()
    if not parameters:
        return False
    try:
        bind_callback(function)
    except TypeError:
        return False
    return True
