"""How a verb says that something is wrong: one line on stderr and an exit status, never a traceback."""

from __future__ import annotations

__all__ = ["BadInput", "CliError", "Failed"]


class CliError(Exception):
    """Something to tell the user in one line. The command exits with `exit_code`."""

    exit_code = 1


class BadInput(CliError):
    """What the user typed cannot be used; nothing was tried."""

    exit_code = 2


class Failed(CliError):
    """It was tried, and it failed."""
