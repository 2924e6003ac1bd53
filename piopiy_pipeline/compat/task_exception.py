"""What a task has raised, without counting as somebody who has asked for it (`raised_by`), and whether somebody has.

`Task.exception()` marks the exception as retrieved, and asyncio then does not say that nobody did. A watcher that is no
owner of the task must not hide that.
"""

from __future__ import annotations

import asyncio
from typing import Any

from piopiy_pipeline.compat import check_attributes
from piopiy_pipeline.compat.asyncio import PYTHON

__all__ = ["check", "raised_by", "was_asked"]


def raised_by(task: asyncio.Task[Any]) -> BaseException | None:
    """Return what a task that is over has raised; None if it has not, was cancelled, or Python is another one."""
    error: BaseException | None = getattr(task, "_exception", None)
    return error


def was_asked(task: asyncio.Task[Any]) -> bool:
    """Return whether somebody has asked a task that is over what it has raised; True if Python is another one."""
    return not getattr(task, "_log_traceback", False)


def check() -> None:
    """Check that a task keeps its exception, and whether somebody has asked for it, where this module looks.

    Raises:
        CompatError: It does not.
    """
    names = ("_exception", "_log_traceback")
    check_attributes("Python", [(asyncio.Task, name) for name in names], written_for=PYTHON, used_in=__name__)


check()
