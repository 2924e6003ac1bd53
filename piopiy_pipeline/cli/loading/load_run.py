"""Runs the callers of `piopiy load`: who calls when, how often, and how all of it ends in bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Protocol

from piopiy_pipeline.cli.call_report import CallOutcome
from piopiy_pipeline.cli.errors import Failed
from piopiy_pipeline.cli.gateway_link import GatewayLink
from piopiy_pipeline.cli.loading.figures import CallerKind, LoadFigures
from piopiy_pipeline.error_text import error_text
from piopiy_pipeline.signaling.caller import CallStart
from piopiy_pipeline.testing.line.callers import Caller

__all__ = ["FINISH_S", "LoadPlan", "LoadRun", "PlacesCalls"]

FINISH_S = 30.0
"""How long calls in progress may go on after the duration, before their callers hang up."""
_HANG_UP_S = 6.0  # more than a caller waits for the gateway to confirm it, and a page to close
_AFTER_FAILURE_S = 1.0  # a gateway that refuses calls is not to be flooded with them


class PlacesCalls(Protocol):
    """Places one call of a kind, as `place_call` does."""

    async def __call__(
        self,
        caller: Caller,
        start: CallStart,
        *,
        tell: TellFunction,
        limit_s: float,
        tells_barge_in: bool,
        hang_up: asyncio.Event,
    ) -> CallOutcome:
        """Dial, carry the call to its end, and return how it went. Raises `Failed`."""


class TellFunction(Protocol):
    """What a call reports to: after everything that happens, at least once a frame."""

    def __call__(self, link: GatewayLink, /) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """What is to be done.

    Attributes:
        calls: Callers at a time.
        per_second: How many calls begin in a second at most.
        duration_s: For how long callers who have hung up call again, in seconds; None: each calls once.
        kinds: The kinds of the callers, in turn: the n-th caller has the n-th kind.
        limit_s: The longest that one call may take, in seconds.
        tells_barge_in: Whether callers interrupt the bot, so that its silence is measured.
    """

    calls: int
    per_second: float
    duration_s: float | None
    kinds: tuple[CallerKind, ...]
    limit_s: float
    tells_barge_in: bool


class LoadRun:
    """One run. Its tasks end with `run`.

    Args:
        plan: What is to be done.
        place: Places a call, for each kind of caller.
        caller: What each caller says and does, by kind.
        start: The message that opens each call.
        figures: Takes what callers report.
    """

    def __init__(
        self,
        plan: LoadPlan,
        place: Mapping[CallerKind, PlacesCalls],
        caller: Mapping[CallerKind, Caller],
        start: CallStart,
        figures: LoadFigures,
    ) -> None:
        self._plan, self._place, self._caller, self._start = plan, place, caller, start
        self._figures = figures
        self._hang_up = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._next_at = self._loop.time()
        self._until = inf if plan.duration_s is None else self._loop.time() + plan.duration_s

    async def run(self, stop: asyncio.Event) -> None:
        """Call until all is done, or `stop` is set: then every caller hangs up."""
        slots = [asyncio.ensure_future(self._keep_calling(slot)) for slot in range(self._plan.calls)]
        stopping = asyncio.ensure_future(stop.wait())
        ending = asyncio.ensure_future(self._end_of_time())
        done = asyncio.ensure_future(asyncio.wait(slots))
        try:
            await asyncio.wait({stopping, ending, done}, return_when=asyncio.FIRST_COMPLETED)
            if not done.done():
                self._hang_up.set()
                await asyncio.wait({done}, timeout=_HANG_UP_S)
        finally:
            others = [*slots, stopping, ending, done]
            for task in others:
                task.cancel()
            await asyncio.wait(others)
            self._figures.finish()
        for slot in slots:
            if not slot.cancelled():
                slot.result()  # a caller's own fault must not look like a quiet gateway

    async def _end_of_time(self) -> None:
        """Wait until calls have had their time and what they need to finish; for ever without a duration."""
        if self._until == inf:
            await asyncio.Event().wait()
        await asyncio.sleep(self._until + FINISH_S - self._loop.time())

    async def _keep_calling(self, slot: int) -> None:
        kind = self._plan.kinds[slot % len(self._plan.kinds)]
        while True:
            if not await self._turn_to_call():
                return
            failed = await self._call(kind)
            if self._until == inf:
                return
            if failed and await self._hung_up_within(_AFTER_FAILURE_S):
                return

    async def _turn_to_call(self) -> bool:
        """Wait until the next call may begin. Returns False if none may any more."""
        at = max(self._next_at, self._loop.time())
        if at >= self._until:
            return False
        self._next_at = at + 1 / self._plan.per_second
        return not await self._hung_up_within(at - self._loop.time())

    async def _hung_up_within(self, seconds: float) -> bool:
        """Wait so long, or until all are to hang up, which is returned."""
        if seconds > 0 and not self._hang_up.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._hang_up.wait()
            except TimeoutError:
                return False
        return self._hang_up.is_set()

    async def _call(self, kind: CallerKind) -> bool:
        """Place a call, and return whether it failed."""
        figures = self._figures
        due = inf

        def tell(link: GatewayLink) -> None:
            nonlocal due
            figures.tell(kind, link, due)
            due = link.next_due

        figures.begin(kind)
        outcome, failure = None, ""
        try:
            outcome = await self._place[kind](
                self._caller[kind],
                self._start,
                tell=tell,
                limit_s=self._plan.limit_s,
                tells_barge_in=self._plan.tells_barge_in,
                hang_up=self._hang_up,
            )
            failure = outcome.failure or ""
        except Failed as error:
            failure = str(error)
        except Exception as error:  # noqa: BLE001  one caller's fault is counted, and what the others measure is kept
            failure = error_text(error)
        finally:
            left = self._hang_up.is_set() and (outcome is None or not outcome.answered)
            figures.end(kind, outcome, None if left else failure or None)
        return bool(failure)
