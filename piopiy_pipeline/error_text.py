"""`error_text`: the one way in which an exception of somebody's code is told: its type, the author's line, its text.

    KeyError at my_bot.py:31: 'people'

`told_by_provider`: what a provider says of an answer that failed, as a sentence and not as a `dict`.

`own_text`: the end of a sentence about an error that is nobody's code, such as a connection's: its text, never nothing.

`system_text`: why a connection failed, as the system says it.

For the record of a call, its end and the log. The traceback stands in the log, once.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import difflib
import functools
import inspect
import os
import re
import ssl
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import FunctionType
from typing import Any

from piopiy_pipeline.code_places import file_and_line, is_authors, is_authors_path

__all__ = [
    "authors_line",
    "error_text",
    "note_error",
    "noted_errors",
    "own_text",
    "system_text",
    "told_by_provider",
]

MAX_TEXT = 300
MAX_DETAILS = 10_000
"""A longer text is not looked into."""
MAX_LEAVES = 5
"""So many exceptions of a group are told."""
MAX_NOTED = 100
"""Later exceptions of a context are not kept."""
MAX_DEPTH = 10
"""Of groups within groups."""

noted_errors: ContextVar[list[BaseException] | None] = ContextVar("noted_errors", default=None)
"""Set to a list, it receives the exceptions that are told in this context: a simulated call looks there for what a
test has asserted within the bot.
"""

_GENERATED = re.compile(r"headers: .*?, status_code: (\w+), body: (.*)")
"""The text of an error of a generated client (Deepgram's and others'): what matters stands last, and may be cut."""
_ARGUMENTS = re.compile(r"([\w.]+)\(\) (got an unexpected keyword argument '(\w+)'|missing \d+ required .*)")
"""Python's text of a call with wrong arguments."""
_PACKAGE = __name__.partition(".")[0]


def error_text(error: BaseException, of: Callable[..., Any] | None = None) -> str:
    """Return an exception in one line.

    Args:
        error: The exception. Its own text may be empty, long, or fail.
        of: The author's function that was called, or whose result was looked at: where no line of the author's was
            passed (it takes other arguments, or has returned what cannot be), the line where it begins is named.

    Returns:
        Its type, the innermost line of the author's that it has passed (else that of the function, else the innermost
        line of all), and its text. Of a group, those that are in it. Where a function of this package was called with
        wrong arguments, its text says which one was meant, or which it needs.
    """
    note_error(error)
    leaves = list(_leaves(error))
    texts = "; ".join(_one(leaf, of) for leaf in leaves[:MAX_LEAVES])
    if leaves[0] is error:
        return texts
    place = _place(error, of)
    more = f"; and {len(leaves) - MAX_LEAVES} more" if len(leaves) > MAX_LEAVES else ""
    return f"{type(error).__name__}{f' at {place}' if place else ''} of {len(leaves)}: {texts}{more}"


def note_error(error: BaseException) -> None:
    """Keep an exception for whoever has asked for those of this context (`noted_errors`)."""
    if (noted := noted_errors.get()) is not None and len(noted) < MAX_NOTED:
        noted.extend(_leaves(error))


def own_text(error: BaseException, otherwise: str = "") -> str:
    """Return the text of an exception in one line, for the end of a sentence.

    An exception is true even if its text is empty, as that of the `TimeoutError` of `asyncio.timeout` is: so
    ``error or "timeout"`` says nothing.

    Args:
        error: The exception.
        otherwise: What is said of one without a text; "": ``timeout`` of a `TimeoutError`, else the type's name.
    """
    return (
        _text(error) or otherwise or ("timeout" if isinstance(error, TimeoutError) else type(error).__name__)
    )


def system_text(error: BaseException) -> str:
    """Return why a connection failed, in the system's words, and without what a library puts around them.

    The numbers of a name that cannot be looked up, and of TLS, are not the system's: their own words are taken.

    Args:
        error: What a connection has raised.
    """
    error = getattr(error, "os_error", error)  # in what aiohttp makes of it
    if isinstance(error, ssl.SSLCertVerificationError) and (why := getattr(error, "verify_message", "")):
        return f"its certificate is not trusted: {why}"
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        number = error.errno or 0
        return os.strerror(number) if number > 0 else error.strerror or own_text(error)
    return own_text(error)


def told_by_provider(text: str) -> str:
    """Return the provider's sentence in the text of an error, where pipecat wrote the ``status_details`` of a failed
    answer as a ``dict``; another text as it is.
    """
    if not (text.startswith("{") and text.endswith("}")) or len(text) > MAX_DETAILS:
        return text
    try:
        details = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    inner = details.get("error") if isinstance(details, dict) else None
    for each in (inner, details):
        if isinstance(each, dict):
            for key in ("message", "code", "reason", "type"):
                if isinstance(found := each.get(key), str) and found:
                    return found
    return text


def authors_line(error: BaseException) -> str:
    """Return the innermost line of the author's that an exception has passed, such as ``my_bot.py:31``, or ""."""
    own = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if is_authors(frame):
            own = file_and_line(frame.f_code.co_filename, line)
    return own


def _leaves(error: BaseException, depth: int = 0) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup) and depth < MAX_DEPTH:
        for each in error.exceptions:
            yield from _leaves(each, depth + 1)
    else:
        yield error


def _one(error: BaseException, of: Callable[..., Any] | None) -> str:
    place = _place(error, of)
    at = f" at {place}" if place else ""
    text = _text(error)
    if type(error) is TypeError:
        text = _with_arguments(text, error)
    return f"{type(error).__name__}{at}{': ' if text else ''}{text}"


def _with_arguments(text: str, error: BaseException) -> str:
    """Return what is wrong with the arguments of a function of this package: the function as it is called, and the
    argument that was meant, or those that it must have. Another text as it is.
    """
    if (found := _ARGUMENTS.fullmatch(text)) is None:
        return text
    name, wrong, keyword = found.groups()
    path = name.split(".")
    called = path[-2] if path[-1] == "__init__" and len(path) > 1 else path[-1]
    hints = {_hint(function, keyword) for function in _functions(path, error)}
    return f"{called}() {wrong}{hints.pop()}" if len(hints) == 1 else text


def _hint(function: FunctionType, keyword: str | None) -> str:
    given = [
        each
        for each in inspect.signature(function).parameters.values()
        if each.name != "self" and each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    ]
    if keyword is None:
        return f"; it needs {', '.join(each.name for each in given if each.default is each.empty)}"
    near = difflib.get_close_matches(keyword, [each.name for each in given], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _functions(path: list[str], error: BaseException) -> set[FunctionType]:
    """Return the functions of this package that an error of Python's may name. What the author has under that name
    goes before.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == _PACKAGE]
    named = _function(frames[-1].f_globals, path) if frames else None
    found = {named} if named else {_function(getattr(each, "__dict__", {}), path) for each in modules}
    return {each for each in found if each and str(each.__module__).partition(".")[0] == _PACKAGE}


def _function(names: Mapping[str, Any], path: list[str]) -> FunctionType | None:
    value: Any = None
    for part in path:
        value = names.get(part)
        names = getattr(value, "__dict__", {})
    value = getattr(value, "__func__", value)
    return value if isinstance(value, FunctionType) and value.__qualname__ == ".".join(path) else None


def _text(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError) and not error.args:
        return "cancelled from inside"
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001  an author's own class, whose text is what fails
        return "it has no text"
    if parts := _GENERATED.fullmatch(text):
        status, body = parts.groups()
        text = body if status == "None" else f"{status}: {body}"
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _place(error: BaseException, of: Callable[..., Any] | None) -> str:
    innermost = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        innermost = file_and_line(frame.f_code.co_filename, line)
    return authors_line(error) or _line_of(of) or innermost


def _line_of(function: Any) -> str:
    """Return the line where a function of the author's begins, or "" if it is not theirs, or has none."""
    while isinstance(function, functools.partial):
        function = function.func
    with contextlib.suppress(ValueError):  # wrapped in a circle
        function = inspect.unwrap(function)
    code = getattr(function, "__code__", None) or getattr(
        getattr(type(function), "__call__", None),  # noqa: B004  an object that is called
        "__code__",
        None,
    )
    if code is None or not is_authors_path(code.co_filename):
        return ""
    return file_and_line(code.co_filename, code.co_firstlineno)
