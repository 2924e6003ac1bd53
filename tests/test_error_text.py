"""How an exception is told: its type, the author's line and its text, whatever it is."""

from __future__ import annotations

import ast
import asyncio
import functools
import json
import re
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from piopiy_pipeline.error_text import MAX_TEXT, authors_line, error_text, own_text, system_text
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.call_facade import CallFacade
from piopiy_pipeline.testing import Noise
from piopiy_pipeline.voice_agent import VoiceAgent


class Textless(Exception):
    """Its own text is what fails."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class CallInfo:
    """The author's own; this package has another one."""

    def __init__(self, call: str) -> None: ...


def raised(act: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as caught:
        act()
    return caught.value


def raises(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


LINE = raises.__code__.co_firstlineno + 2
PLACE = f"tests/test_error_text.py:{LINE}"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TimeoutError(), f"TimeoutError at {PLACE}"),
        (KeyError("people"), f"KeyError at {PLACE}: 'people'"),
        (RuntimeError("a\nb"), f"RuntimeError at {PLACE}: a b"),
        (
            RuntimeError("headers: None, status_code: None, body: pass an api_key"),
            f"RuntimeError at {PLACE}: pass an api_key",
        ),
        (
            RuntimeError("headers: {'date': 'now', 'x': 'y'}, status_code: 401, body: {'err': 'no'}"),
            f"RuntimeError at {PLACE}: 401: {{'err': 'no'}}",
        ),
        (Textless(), f"Textless at {PLACE}: it has no text"),
        (SystemExit(3), f"SystemExit at {PLACE}: 3"),
        (GeneratorExit(), f"GeneratorExit at {PLACE}"),
        (asyncio.CancelledError(), f"CancelledError at {PLACE}: cancelled from inside"),
    ],
)
def test_an_exception_is_its_type_its_line_and_its_text(error: BaseException, text: str) -> None:
    assert error_text(raised(raises(error))) == text


def test_a_long_text_is_cut() -> None:
    text = error_text(raised(raises(ValueError("x" * 10_000))))
    assert text.endswith("x…")
    assert len(text) < MAX_TEXT + 100


def test_the_line_is_the_authors_though_a_library_has_raised() -> None:
    error = raised(lambda: json.loads("{"))
    assert error_text(error).startswith("JSONDecodeError at tests/test_error_text.py:")
    assert authors_line(error).startswith("tests/test_error_text.py:")


def test_a_group_is_told_by_what_is_in_it() -> None:
    inner = BaseExceptionGroup("inner", [raised(raises(TimeoutError())), ValueError("x")])
    outer = raised(raises(BaseExceptionGroup("outer", [inner, *(OSError(str(n)) for n in range(10))])))
    told = error_text(outer)
    assert told.startswith(
        f"ExceptionGroup at {PLACE} of 12: TimeoutError at {PLACE}; ValueError: x; OSError: 0"
    )
    assert told.endswith("; and 7 more")


def test_one_that_was_never_raised_has_no_line() -> None:
    assert error_text(ValueError("x")) == "ValueError: x"
    assert authors_line(ValueError("x")) == ""


def test_without_a_line_of_the_authors_it_is_the_line_of_their_function() -> None:
    class Called:
        def __call__(self) -> None: ...

    def theirs() -> None: ...

    @functools.wraps(theirs)
    def around() -> None: ...

    error = ValueError("a result that cannot be")
    place = f"tests/test_error_text.py:{theirs.__code__.co_firstlineno}"
    for function in (theirs, functools.partial(theirs), functools.partial(functools.partial(theirs)), around):
        assert error_text(error, function) == f"ValueError at {place}: a result that cannot be"
    line = Called.__call__.__code__.co_firstlineno
    assert error_text(error, Called()).startswith(f"ValueError at tests/test_error_text.py:{line}:")
    assert error_text(error, json.loads) == error_text(error, len) == "ValueError: a result that cannot be"
    assert error_text(raised(raises(error)), theirs).startswith(f"ValueError at {PLACE}"), (
        "what it passed counts"
    )


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (
            lambda: VoiceAgent(instruction="Be brief."),  # type: ignore[call-arg]
            "VoiceAgent() got an unexpected keyword argument 'instruction'; did you mean 'instructions'?",
        ),
        (
            lambda: Call.say(None, "x", to_end=True),  # type: ignore[arg-type, call-arg]
            "say() got an unexpected keyword argument 'to_end'; did you mean 'to_the_end'?",
        ),
        (
            lambda: Noise("babble", snr=10.0),  # type: ignore[call-arg]
            "Noise() got an unexpected keyword argument 'snr'; did you mean 'snr_db'?",
        ),
        (
            lambda: VoiceAgent(zeal=9),  # type: ignore[call-arg]
            "VoiceAgent() got an unexpected keyword argument 'zeal'",
        ),
        (
            lambda: CallFacade.on(None, "answered"),  # type: ignore[arg-type, call-arg]
            "on() missing 1 required positional argument: 'handler'; it needs event, handler",
        ),
        (
            lambda: CallInfo(call_di="c1"),  # type: ignore[call-arg]
            "CallInfo.__init__() got an unexpected keyword argument 'call_di'",
        ),
    ],
)
def test_of_wrong_arguments_it_is_told_what_was_meant(act: Callable[[], object], text: str) -> None:
    assert error_text(raised(act)).partition(": ")[2] == text


@pytest.mark.parametrize(
    ("error", "otherwise", "text"),
    [
        (OSError("no route\n to it"), "no answer", "no route to it"),
        (TimeoutError(), "no answer", "no answer"),
        (TimeoutError(), "", "timeout"),
        (EOFError(), "", "EOFError"),
        (Textless(), "", "it has no text"),
    ],
)
def test_a_sentence_that_an_error_ends_always_has_an_end(error: Exception, otherwise: str, text: str) -> None:
    assert own_text(error, otherwise) == text


def test_no_sentence_ends_with_an_exception_or_something_else() -> None:
    """``error or "timeout"`` is the error, always: an exception without a text is true, and is printed as nothing."""
    package = Path(__file__).parents[1] / "piopiy_pipeline"
    found = [
        f"{path.relative_to(package)}:{test.lineno}"
        for path in sorted(package.rglob("*.py"))
        if re.search(r"\b(error|exc|caught|failure) or ", text := path.read_text())
        for handler in ast.walk(ast.parse(text))
        if isinstance(handler, ast.ExceptHandler) and handler.name
        for test in ast.walk(handler)
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or)
        if isinstance(first := test.values[0], ast.Name) and first.id == handler.name
    ]
    assert not found


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"), "Connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "[SSL: WRONG_VERSION_NUMBER]"),
        (OSError("Multiple exceptions: one, two"), "Multiple exceptions: one, two"),
        (TimeoutError(), "timeout"),
    ],
    ids=["refused", "name", "tls", "several", "timeout"],
)
def test_why_a_connection_failed_is_said_in_the_systems_words(error: OSError, told: str) -> None:
    wrapped = ConnectionError("Cannot connect to host")
    wrapped.os_error = error  # type: ignore[attr-defined]  # as aiohttp has it
    assert system_text(error).startswith(told)
    assert system_text(wrapped).startswith(told)


def test_a_certificate_that_is_not_trusted_is_named() -> None:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    error.verify_message = "self-signed certificate"
    assert system_text(error) == "its certificate is not trusted: self-signed certificate"
