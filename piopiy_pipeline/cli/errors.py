"""The errors of verbs: each becomes one line on stderr and an exit status, never a traceback."""

from __future__ import annotations

__all__ = ["BadInput", "CliError", "Failed"]


class CliError(Exception):
    """Tells the user in one line what is wrong. The command exits with `exit_code`."""

    exit_code = 1


class BadInput(CliError):
    """What the user typed cannot be used, and nothing was tried."""

    exit_code = 2


class Failed(CliError):
    """The command tried what it was asked, and failed."""
