"""`ExitCause`: which call's code has ended the event loop with `sys.exit()` or `KeyboardInterrupt`, and where.

In a task it is the task's (`CallTasks`), and in a callback, a tool or a handler it goes no further. But in a timer
(`call_later`), or in the callback of a future, nothing holds it up: it leaves the loop. Its traceback has the loop's
frame of that timer, whose context is the call's. uvloop's frames have none: there the only call of the process did it,
or it is not known. In `__del__` it ends nothing: Python says "Exception ignored in", and goes on.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from loguru import logger

from piopiy_pipeline.agent.blocked_code import calls_of_context
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.compat.asyncio import CALLBACK_RUN, context_of_callback
from piopiy_pipeline.compat.interrupts import is_operators
from piopiy_pipeline.error_text import authors_line
from piopiy_pipeline.session import Session

__all__ = ["ExitCause", "end_who_exits", "find_exit_cause"]

_MOST_LINKS = 10


@dataclass(frozen=True, slots=True)
class ExitCause:
    """A `sys.exit()`, or a `KeyboardInterrupt` that is not the operator's, that ends the process.

    Attributes:
        call_id: The call whose code it was; None if that is not known.
        text: What was called or raised, and where: a sentence without a full stop.
    """

    call_id: str | None
    text: str


def find_exit_cause(error: BaseException | None, calls: Sequence[str]) -> ExitCause | None:
    """Return what ends the process, if the code of a call may have done it.

    Args:
        error: `SystemExit` itself, or the cancellation of what runs when the loop is closed for it.
        calls: The calls in progress.
    """
    for _ in range(_MOST_LINKS):
        if error is None or isinstance(error, SystemExit | KeyboardInterrupt):
            break
        error = error.__context__
    if not isinstance(error, SystemExit | KeyboardInterrupt) or is_operators(error):
        return None
    call_id = calls[0] if len(calls) == 1 else None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code is CALLBACK_RUN:
            call_id = next(calls_of_context(context_of_callback(frame)), None)
    at = f" at {place}" if (place := authors_line(error)) else ""
    if isinstance(error, KeyboardInterrupt):
        return ExitCause(call_id, f"KeyboardInterrupt was raised{at}")
    return ExitCause(call_id, f"sys.exit({error.code!r}) was called{at}")


def end_who_exits(error: BaseException, sessions: Sequence[Session]) -> bool:
    """End the call whose code has called `sys.exit()`, if that is why this program ends: no other agent is to have it.

    Args:
        error: The cancellation of a task of the agent, or of a call. Which one is cancelled first is chance.
        sessions: The calls in progress.

    Returns:
        Whether that is why.
    """
    cause = find_exit_cause(error, [session.info.call_id for session in sessions])
    if cause is None:
        return False
    session = next((each for each in sessions if each.info.call_id == cause.call_id), None)
    if session is None:
        logger.error("{}, which ends the agent", cause.text)
    elif not session.call.ended:  # else it was in a task, which has told
        text = f"{cause.text}, which ends the agent, and not only the call"
        logger.bind(call_id=cause.call_id).error("{}", text)
        session.end(EndReason.ERROR, text)
    return True
