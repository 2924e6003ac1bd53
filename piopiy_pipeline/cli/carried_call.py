"""Carries a call of a scripted caller: what its `GatewayLink` sends and hears, over whatever leads to the gateway.

The link decides everything. Here is its timer, and what the line must be able to do (`CallCarrier`): the WebSocket of
`place_call`, a telephone or a browser of `piopiy load`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from piopiy_pipeline.cli.call_report import CallOutcome
from piopiy_pipeline.cli.gateway_link import GatewayLink
from piopiy_pipeline.cli.stereo_recording import StereoRecording
from piopiy_pipeline.signaling.caller import LegEvent
from piopiy_pipeline.testing.line.callers import Caller, CallerLine

__all__ = ["CallCarrier", "CarriedCall"]

_SAVE_EVERY_S = 1.0


class CallCarrier(Protocol):
    """What leads from a caller to the gateway. Nothing in it waits but `close`, and it calls back from no method."""

    def post_text(self, message: str) -> object:
        """Send a message of `signaling.caller`: the start, keys, the hang-up."""

    def post_binary(self, data: bytes) -> object:
        """Send the caller's last 20 ms: PCM16 little-endian mono at the rate of the call."""

    async def close(self) -> None:
        """Close it. It takes a few seconds at most."""


class CarriedCall:
    """One call: its link, the route to the gateway, and the timer that sends the caller's frames.

    The route calls `on_event`, `on_audio`, `on_unreadable` and `on_lost` from `async with` on.

    Args:
        route: Leads to the gateway.
        link: Knows what is sent and heard.
        tell: Called after everything that happens, at least once a frame; it must be quick.
        recording: Where both sides are saved.
    """

    def __init__(
        self,
        route: CallCarrier,
        link: GatewayLink,
        tell: Callable[[GatewayLink], None],
        recording: StereoRecording | None = None,
    ) -> None:
        self._route = route
        self._link = link
        self._tell = tell
        self._recording = recording
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._save_at = self._loop.time() + _SAVE_EVERY_S

    async def __aenter__(self) -> Self:
        self._turn()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._route.close()
        if self._recording is not None:
            self._recording.save(self._link.take_sounds(), self._link.position)

    async def converse(self, caller: Caller, hang_up: asyncio.Event | None = None) -> CallOutcome:
        """Have the caller talk once the call is answered, wait for the end, and return how it went.

        Args:
            caller: What is said and done.
            hang_up: Setting it makes the caller hang up.

        Raises:
            CallerGaveUp: The caller waited for something that did not come.
        """
        ending = asyncio.ensure_future(self._wait_over())
        calling = asyncio.ensure_future(self._talk(caller))
        asked = asyncio.ensure_future((hang_up or asyncio.Event()).wait())
        try:
            await asyncio.wait({ending, calling, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                self._carry(self._link.hang_up)
            await ending
            if calling.done():
                calling.result()
        finally:
            for task in (asked, calling, ending):
                task.cancel()
            await asyncio.wait({asked, calling, ending})
        assert self._link.outcome is not None
        return self._link.outcome

    # ------------------------------------------------------------------ from the route

    def on_event(self, event: LegEvent) -> None:
        """Take a message of the gateway, or what says the same."""
        self._carry(partial(self._link.on_message, event))

    def on_audio(self, data: bytes) -> None:
        """Take audio of the bot: PCM16 little-endian mono at the rate of the call."""
        self._carry(partial(self._link.on_audio, data))

    def on_unreadable(self, detail: str) -> None:
        """Take note that something came that cannot be read."""
        self._carry(partial(self._link.on_unreadable, detail))

    def on_lost(self, detail: str) -> None:
        """Take note that the route is gone; `detail` is empty where the reason is not known."""
        self._carry(partial(self._link.on_lost, detail))

    # ------------------------------------------------------------------ within

    async def _wait_over(self) -> None:
        """Wait until the call has ended. An error that occurred meanwhile is raised here."""
        await asyncio.shield(self._over)

    async def _talk(self, caller: Caller) -> None:
        await self._link.answered.wait()
        await caller(CallerLine(self._link))

    def _turn(self) -> None:
        self._carry(self._link.tick)

    def _carry(self, happen: Callable[[], None]) -> None:
        """Call a method of the link, then send what the link wants to send."""
        if self._over.done():
            return
        try:
            now = self._loop.time()
            happen()
            for message in self._link.take_messages():
                if isinstance(message, str):
                    self._route.post_text(message)
                else:
                    self._route.post_binary(message)
            self._tell(self._link)
            self._save(now)
        except Exception as error:  # noqa: BLE001  raised where the call is awaited
            self._over.set_exception(error)
            return
        if self._timer is not None:
            self._timer.cancel()
        if self._link.over:
            self._over.set_result(None)
        else:
            self._timer = self._loop.call_at(self._link.next_due, self._turn)

    def _save(self, now: float) -> None:
        if now < self._save_at:
            return
        self._save_at = now + _SAVE_EVERY_S
        sounds = self._link.take_sounds()
        if self._recording is not None:
            self._recording.save(sounds, self._link.position).add_done_callback(self._saved)

    def _saved(self, future: asyncio.Future[None]) -> None:
        if not future.cancelled() and (error := future.exception()) and not self._over.done():
            self._over.set_exception(error)
