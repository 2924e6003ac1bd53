"""The one way to log: loguru, with the call's id on every line of a call, pipecat's lines included.

The session binds the id once (`logger.contextualize`); everything that runs for the call inherits it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from loguru import logger

if TYPE_CHECKING:
    from loguru import Record

__all__ = ["log_to_stderr"]

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


def _write(message: str) -> None:
    sys.stderr.write(message)  # looked up at each line: a program that captures stderr replaces it
    sys.stderr.flush()


def _line(record: Record) -> str:
    call = record["extra"].get("call_id")
    marker = " <cyan>{extra[call_id]}</cyan>" if call else ""
    return f"<dim>{{time:HH:mm:ss.SSS}}</dim> <level>{{level: <7}}</level>{marker} {{message}}\n{{exception}}"


def _quiet(record: Record) -> bool:
    name = record["name"] or ""
    return record["level"].no >= 30 or not name.startswith("pipecat")
