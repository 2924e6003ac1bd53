"""`Draining`: what becomes of the calls in progress when an agent is told to end.

    finish   each call goes on to its own end, for `drain_s` seconds at most
    move     beside that, each call is moved to another instance as soon as neither side speaks

What is left after `drain_s` seconds hears a goodbye, and ends with `drained`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Self, cast, get_args

from loguru import logger

from piopiy_pipeline.arguments import check_seconds
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Session
from piopiy_pipeline.text import counted

__all__ = ["DrainMode", "DrainPlan", "Draining"]

DrainMode = Literal["finish", "move"]


@dataclass(frozen=True, slots=True)
class DrainPlan:
    """How an agent drains.

    Attributes:
        mode: What becomes of the calls in progress.
        grace_s: How long they may go on, in seconds; None for as long as they like.
    """

    mode: DrainMode = "finish"
    grace_s: float | None = None

    @classmethod
    def choose(
        cls,
        mode: DrainMode | None,
        grace_s: float | None,
        environment: Mapping[str, str] = os.environ,
    ) -> Self:
        """Return the plan of these arguments of `Agent`; for None, of the environment.

        Raises:
            TypeError: The grace is no number.
            ValueError: One of them cannot work.
        """
        name, chosen = "drain", mode
        if mode is None:
            name, chosen = "PIOPIY_DRAIN", cast(DrainMode, environment.get("PIOPIY_DRAIN") or "finish")
        if chosen not in get_args(DrainMode):
            raise ValueError(f"{name} must be finish or move, not {chosen!r}")
        name, given = "drain_s", grace_s
        if grace_s is None and (text := environment.get("PIOPIY_DRAIN_S")):
            name = "PIOPIY_DRAIN_S"
            try:
                given = float(text)
            except ValueError:
                raise ValueError(f"{name} must be a number of seconds, not {text!r}") from None
        check_seconds(name, given, zero=True, or_none="for as long as calls go on")
        seconds = None if given is None else float(given)
        return cls("move" if chosen == "move" else "finish", seconds)


class Draining:
    """Drains the calls of one process. `begin` once.

    Args:
        plan: How.
        sessions: Returns the calls in progress.
        moves: Returns whether the gateway of a call can move it, and knows the end reason `drained`.
        heard_s: Returns for a call's id how much of its caller's audio has arrived, in seconds.
    """

    def __init__(
        self,
        plan: DrainPlan,
        sessions: Callable[[], Iterable[Session]],
        *,
        moves: Callable[[Session], bool],
        heard_s: Callable[[str], float | None],
    ) -> None:
        self._plan = plan
        self._sessions = sessions
        self._moves = moves
        self._heard_s = heard_s
        self._begun = False
        self._grace_over = False
        self._grace: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Have the calls move, and those that are left end after the grace. Returns at once."""
        self._begun = True
        for session in self._sessions():
            self.joined(session)
        if self._plan.grace_s is not None:
            self._grace = asyncio.get_running_loop().call_later(self._plan.grace_s, self._say_goodbye)

    def move_all(self) -> None:
        """Have the calls move as well, whatever the plan is, because this process ends in a moment."""
        self._plan = replace(self._plan, mode="move")
        if self._begun:
            for session in self._sessions():
                self.joined(session)

    def joined(self, session: Session) -> None:
        """Have a call that is in progress now move, if calls do, or end if it has begun too late."""
        if self._grace_over:
            self._end(session)
        elif self._begun and self._plan.mode == "move" and self._moves(session):
            session.leave(partial(self._heard_s, session.info.call_id))

    def close(self) -> None:
        """Say no goodbye any more, because the agent ends."""
        if self._grace is not None:
            self._grace.cancel()

    def _say_goodbye(self) -> None:
        self._grace_over = True
        left = list(self._sessions())
        if left:
            logger.info(
                "{} still in progress after {:g} s: goodbye",
                counted(len(left), "call is", "calls are"),
                self._plan.grace_s,
            )
        for session in left:
            self._end(session)

    def _end(self, session: Session) -> None:
        session.say_goodbye(EndReason.DRAINED if self._moves(session) else EndReason.AGENT_HANGUP)
