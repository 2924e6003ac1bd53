"""The shell of the `ControlRequests`: it sends what the desk writes, keeps its deadline, and wakes whoever waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from piopiy_pipeline.call import CallEnd
from piopiy_pipeline.session.control_requests import ControlRequests, TransferOutcome
from piopiy_pipeline.signaling.messages import AgentMessage, Control, TransferResult

__all__ = ["CallControl"]


class CallControl:
    """Of one call. `post` sends to the gateway; `told` hears of every transfer's outcome, once."""

    def __init__(
        self,
        call_id: str,
        *,
        post: Callable[[AgentMessage], None],
        told: Callable[[TransferOutcome], None],
    ) -> None:
        self._desk = ControlRequests(call_id)
        self._post = post
        self._told = told
        self._waiting: asyncio.Future[TransferOutcome] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def on_hold(self) -> bool:
        """Whether the caller does not hear the bot, nor the bot the caller."""
        return self._desk.on_hold

    @property
    def transferring(self) -> bool:
        """Whether somebody is being called for a transfer."""
        return self._desk.transferring

    def transfer(
        self, to: str, *, warm: bool, summary: str, ring_timeout_s: float
    ) -> asyncio.Future[TransferOutcome]:
        """Ask for a transfer. The future is always resolved, in bounded time. Raises `ValueError`."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[TransferOutcome] = loop.create_future()
        wish = self._desk.transfer(
            to, warm=warm, summary=summary, ring_timeout_s=ring_timeout_s, now=loop.time()
        )
        if wish.refused is not None:
            outcome.set_result(wish.refused)
            self._told(wish.refused)
        elif wish.request is not None and self._desk.deadline is not None:
            self._waiting = outcome
            self._timer = loop.call_at(self._desk.deadline, self._due)
            self._post(wish.request)
        return outcome

    async def settled(self) -> None:
        """Wait until no transfer is under way."""
        if self._waiting is not None:
            await asyncio.shield(self._waiting)

    def switch(self, what: Literal["hold", "mute", "record"], on: bool) -> None:
        """Ask for hold, mute or a recording, or for their end."""
        self._post(self._desk.switch(what, on))

    def switched(self, control: Control) -> None:
        """The gateway tells what is on or off now."""
        self._desk.switched(control)

    def result(self, result: TransferResult) -> TransferOutcome | None:
        """The gateway has answered. The outcome of a transfer that was not asked for here: by an instance
        that had this call before, and whose place this one took; else None."""
        if not self._desk.awaits(result):
            return TransferOutcome(result.to, result.outcome, result.detail)
        self._resolve(self._desk.told(result))
        return None

    def over(self, end: CallEnd) -> None:
        """The call is over."""
        self._resolve(self._desk.over(end))

    def _due(self) -> None:
        self._timer = None
        self._resolve(self._desk.tick(asyncio.get_running_loop().time()))

    def _resolve(self, outcome: TransferOutcome | None) -> None:
        if outcome is None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(outcome)
        self._told(outcome)
