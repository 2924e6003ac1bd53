"""The one way to log: loguru, with the call's id on every line of a call, pipecat's lines included.

The session binds the id once (`logger.contextualize`); everything that runs for the call inherits it.

One message is one line, whatever texts of callers and models are in it: line breaks and escape sequences are
written as escapes (`printable_line`). The lines of a traceback are indented behind a bar, so that none of them
can be taken for a line of the log. What libraries give to Python's own logging comes the same way.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import TYPE_CHECKING

from loguru import logger

from piopiy_pipeline.text import printable_line

if TYPE_CHECKING:
    from loguru import Record

__all__ = ["DEVELOPMENT", "log_to_stderr"]

DEVELOPMENT = "PIOPIY_DEVELOPMENT"
"""An environment variable that `piopiy dev` sets for its bots: what an author is to see at once is an error there."""

_handler = 0  # loguru's own, until ours takes its place


def log_to_stderr(*, debug: bool = False, quiet: bool = False) -> None:
    """Log to stderr in this project's format, unless the program has set up loguru itself.

    Without an argument, messages from INFO on are logged, and those of pipecat from WARNING on.

    Args:
        debug: Log everything.
        quiet: Log only warnings and errors.
    """
    global _handler
    try:
        logger.remove(_handler)
    except ValueError:  # the program has handlers of its own
        return
    _handler = logger.add(
        _write,
        colorize=sys.stderr.isatty(),
        level="DEBUG" if debug else "WARNING" if quiet else "INFO",
        format=_line,
        filter=None if debug else _quiet,
        backtrace=False,
        diagnose=False,  # a traceback with the values of variables shows keys and what callers said
    )
    if not logging.root.handlers:  # else the program has set up Python's logging itself
        logging.root.addHandler(_StandardLogging())


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


def _traceback_of(record: Record) -> str:
    exception = record["exception"]
    if exception is not None and exception.type is not None:
        kind, error, at = exception
    elif record["level"].no >= 40 and (record["name"] or "").startswith("pipecat") and sys.exception():
        kind, error, at = (
            sys.exc_info()
        )  # pipecat's own lines name its text and its line, and not the way there
    else:
        return ""
    text = "".join(traceback.format_exception(kind, error, at))
    return "".join(f"\n  | {printable_line(line)}" for line in text.rstrip("\n").split("\n"))


def _quiet(record: Record) -> bool:
    name = record["name"] or ""
    if not name.startswith("pipecat"):
        return True
    return record["level"].no >= 30 and not (record["extra"].get("call_id") and _is_told_by_the_call(record))


def _is_told_by_the_call(record: Record) -> bool:
    """Whether it is pipecat's line of an `ErrorFrame`: a call logs it itself (`StageErrors`), once."""
    return (
        record["function"] == "push_error_frame" or ": Something went wrong: ErrorFrame" in record["message"]
    )
