"""The one way to log: loguru, with the call's id on every line of a call, pipecat's lines included.

The session binds the id once (`logger.contextualize`); everything that runs for the call inherits it.

One message is one line, whatever texts of callers and models are in it: line breaks and escape sequences are
written as escapes (`printable_line`). The lines of a traceback are indented behind a bar, so that none of them
can be taken for a line of the log. What libraries give to Python's own logging comes the same way.

For machines there is a second form, one JSON object a line, with the same in it and all that was bound: `LOG_FORMAT`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any

from loguru import logger

from piopiy_pipeline.text import printable_line
from piopiy_pipeline.trace_ids import trace_id_of, tracing_wanted

if TYPE_CHECKING:
    from loguru import Record

__all__ = [
    "DEVELOPMENT",
    "LOG_FORMAT",
    "LOG_FORMS",
    "import_pipecat",
    "json_text",
    "log_to_stderr",
    "logs_json",
]

_Exception = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]

DEVELOPMENT = "PIOPIY_DEVELOPMENT"
"""An environment variable that `piopiy dev` sets for its bots: what an author is to see at once is an error there."""

LOG_FORMAT = "PIOPIY_LOG_FORMAT"
"""An environment variable: ``json`` for one JSON object a line. Processes that this one starts log in the same form."""

LOG_FORMS = ("", "text", "json")
"""What it may be. Empty is text."""

MAX_FRAMES = 100
"""So many places of an exception's traceback are in the log, the last ones. A deep recursion has a thousand, and the
event loop formats them."""

MAX_TEXT = 5000
"""So many characters of a message or a traceback are in a line of JSON."""

_handler = 0  # loguru's own, until ours takes its place
_set_up: tuple[object, ...] | None = None  # as what it was made


def log_to_stderr(*, debug: bool = False, quiet: bool = False) -> None:
    """Log to stderr in this project's format, unless the program has set up loguru itself.

    Without an argument, messages from INFO on are logged, and those of pipecat from WARNING on. To ask for the same
    again costs nothing: each simulated call does.

    Args:
        debug: Log everything.
        quiet: Log only warnings and errors.

    Raises:
        ValueError: ``PIOPIY_LOG_FORMAT`` is neither text nor json.
    """
    global _handler, _set_up
    as_json = logs_json()
    colorize = not as_json and sys.stderr.isatty()
    if (wanted := (debug, quiet, as_json, colorize)) == _set_up:
        return  # a new handler takes 8 ms
    try:
        logger.remove(_handler)
    except ValueError:  # the program has handlers of its own
        return
    if as_json:
        sys.excepthook = _log_uncaught
        logging.captureWarnings(True)
    _handler = logger.add(
        _write,
        colorize=colorize,
        level="DEBUG" if debug else "WARNING" if quiet else "INFO",
        format=_json_line if as_json else _line,
        filter=None if debug else _quiet,
        backtrace=False,
        diagnose=False,  # a traceback with the values of variables shows keys and what callers said
    )
    _set_up = wanted
    if not logging.root.handlers:  # else the program has set up Python's logging itself
        logging.root.addHandler(_StandardLogging())


def import_pipecat() -> None:
    """Import pipecat without the line with which it greets, which would come before ours is the form of the log."""
    if "pipecat" in sys.modules:
        return
    logger.disable("pipecat")
    try:
        import_module("pipecat")
    finally:
        logger.enable("pipecat")


class _StandardLogging(logging.Handler):
    """Passes records of Python's logging on. Without a handler, Python would write them to stderr as they are."""

    def emit(self, record: logging.LogRecord) -> None:
        known = record.levelname in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
        level: str | int = record.levelname if known else record.levelno
        logger.opt(exception=record.exc_info).log(level, "{}: {}", record.name, record.getMessage())


def _write(message: str) -> None:
    sys.stderr.write(message)  # looked up at each line: a program that captures stderr replaces it
    sys.stderr.flush()


def _line(record: Record) -> str:
    extra = record["extra"]
    extra["_line"] = printable_line(record["message"]) + _traceback_of(record)
    call = extra.get("call_id")
    if call:
        extra["_call"] = printable_line(str(call))
    marker = " <cyan>{extra[_call]}</cyan>" if call else ""
    return f"<dim>{{time:HH:mm:ss.SSS}}</dim> <level>{{level: <7}}</level>{marker} {{extra[_line]}}\n"


def logs_json() -> bool:
    """Return whether this process logs JSON.

    Raises:
        ValueError: The environment asks for a form that there is not.
    """
    form = os.environ.get(LOG_FORMAT, "")
    if form not in LOG_FORMS:
        raise ValueError(f"{LOG_FORMAT}: {form!r} is neither text nor json")
    return form == "json"


def json_text(level: str, message: str, when: datetime, **more: Any) -> str:
    """Return a line of the log as a JSON object, without a line break. What JSON has no form for becomes text."""
    line = {
        "time": when.astimezone(UTC).isoformat(timespec="milliseconds"),
        "level": level,
        "message": message[:MAX_TEXT],
    }
    return json.dumps(line | more, default=str)


def _json_line(record: Record) -> str:
    extra = record["extra"]
    more: dict[str, Any] = {key: value for key, value in extra.items() if not key.startswith("_")}
    more["logger"] = record["name"] or ""
    if (call_id := extra.get("call_id")) and tracing_wanted():
        more["trace_id"] = trace_id_of(str(call_id))
    if way := _exception_of(record):
        kind, error, _ = way
        more["exception"] = {
            "type": getattr(kind, "__name__", str(kind)),
            "message": str(error)[:MAX_TEXT],
            "traceback": _traceback_text(way)[-MAX_TEXT:],
        }
    extra["_json"] = json_text(record["level"].name, record["message"], record["time"], **more)
    return "{extra[_json]}\n"


def _log_uncaught(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    """Log what ends the program, which Python would write to stderr as lines of text."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, at)
    else:
        logger.opt(exception=(kind, error, at)).critical("the program ends: {}", kind.__name__)


def _traceback_of(record: Record) -> str:
    if (way := _exception_of(record)) is None:
        return ""
    text = _traceback_text(way)
    return "".join(f"\n  | {printable_line(line)}" for line in text.rstrip("\n").split("\n"))


def _traceback_text(way: _Exception) -> str:
    """Return the traceback with its last places, and those of the exceptions behind it."""
    kind, error, at = way
    return "".join(traceback.format_exception(kind, error, at, limit=-MAX_FRAMES))


def _exception_of(record: Record) -> _Exception | None:
    exception = record["exception"]
    if exception is not None and exception.type is not None:
        return exception.type, exception.value, exception.traceback
    if record["level"].no >= 40 and (record["name"] or "").startswith("pipecat") and sys.exception():
        return sys.exc_info()  # pipecat's own lines name its text and its line, and not the way there
    return None


def _quiet(record: Record) -> bool:
    name = record["name"] or ""
    if not name.startswith("pipecat"):
        return True
    return record["level"].no >= 30 and not (record["extra"].get("call_id") and _is_told_by_the_call(record))


def _is_told_by_the_call(record: Record) -> bool:
    """Whether it is pipecat's line of an `ErrorFrame`, or of what has failed for good by it: a call logs it itself
    (`StageErrors`), once.
    """
    return (
        record["function"] in ("push_error_frame", "_handle_unusable_processor")
        or ": Something went wrong: ErrorFrame" in record["message"]
    )
