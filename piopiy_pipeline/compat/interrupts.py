"""`is_operators`: whether a `KeyboardInterrupt` is the operator's, or an author's code has raised it.

`asyncio.run` has a handler of its own for Ctrl-C: it cancels the program, and raises only at a second one, in its own
frame. What comes out of a call without that frame is an exception as any other. Where Python's handler is in place, the
two cannot be told apart, and all are the operator's.
"""

from __future__ import annotations

import asyncio
import signal
import traceback

from piopiy_pipeline.compat.asyncio import SIGINT_RAISERS

__all__ = ["is_operators"]


def is_operators(error: BaseException) -> bool:
    """Return whether this is a `KeyboardInterrupt` that a key of the operator's may have raised."""
    if not isinstance(error, KeyboardInterrupt):
        return False
    codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    if codes and codes[-1] in SIGINT_RAISERS:
        return True
    if asyncio.Runner.run.__code__ in codes:
        return False  # it has left the program, and Python's handler is in place again
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler
