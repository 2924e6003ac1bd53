"""The command line, with one file for each verb; `verbs` knows them.

A verb imports heavy modules only when it runs, so that ``--help`` is there at once.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # what an import here costs is time in which Ctrl-C shows a traceback
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from piopiy_pipeline.cli.verbs import app

__all__ = ["app", "main"]


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from piopiy_pipeline.cli.verbs import app

    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb.

    Args:
        arguments: The command line without the name of the program. None: that of this process.

    Returns:
        The exit status.
    """
    try:
        from piopiy_pipeline.cli.signals import ends_at_once

        with ends_at_once():
            from piopiy_pipeline.cli.verbs import run
    except KeyboardInterrupt:  # before `ends_at_once` has begun
        return 130

    status = run(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        _leave_threads(status)
    return status


def _leave_threads(status: int) -> None:
    """End this program at once if Python would wait for a thread that nobody stops any more, of an HTTP server."""
    import threading

    if any(not each.daemon for each in threading.enumerate() if each is not threading.main_thread()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
