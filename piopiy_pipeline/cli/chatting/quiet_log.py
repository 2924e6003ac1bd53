"""The log of a chat in which people read the conversation: what went wrong stands there, and not in the log."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from loguru import logger

from piopiy_pipeline.text import printable_line

if TYPE_CHECKING:
    from loguru import Record

__all__ = ["quiet_log"]


_FOR_AUTHORS = frozenset({"piopiy_pipeline.session.text_chat", "piopiy_pipeline.services.playbook.service"})
"""Whose lines are of the bot's file and stand nowhere else: stages that a chat passes over, tools that are missing."""


def quiet_log() -> None:
    """Log on stderr only what an author has to know of the bot's file, and the warnings of the author's own code."""
    logger.remove()
    logger.add(_write, level="INFO", format="{message}", filter=_is_wanted, backtrace=False, diagnose=False)


def _write(line: str) -> None:
    sys.stderr.write(f"     {printable_line(line.partition(chr(10))[0])}\n")


def _is_wanted(record: Record) -> bool:
    name = record["name"] or ""
    if name in _FOR_AUTHORS:
        return True
    if name == "piopiy_pipeline.agent.loop_watchdog" and record["level"].name == "CRITICAL":
        return True  # the event loop may never turn again, and then the chat cannot say so
    return record["level"].no >= logger.level("WARNING").no and not name.startswith(
        ("pipecat", "piopiy_pipeline")
    )
