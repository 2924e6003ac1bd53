"""`RoomLeg`: the leg of a caller of Piopiy's cloud, from the job that is offered to the end of the call.

A job is to be accepted within 400 ms, and that connects the caller. So the bot is asked at once, while the room is
joined, and the job is accepted when both are ready. The caller comes into the room a moment later: until then what the
bot says waits (`hears`), because what is said into an empty room nobody has heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from loguru import logger

from piopiy_pipeline.call import CallKind, EndReason
from piopiy_pipeline.gateway.cloud.cloud_actions import CloudActions
from piopiy_pipeline.gateway.cloud.room_port import CloudRoomError, CloudRoomListener, RoomPort
from piopiy_pipeline.gateway.core.leg import Leg, LegListener, TransferDone
from piopiy_pipeline.signaling.messages import ConversationEvent, Transfer

__all__ = ["RATE", "CloudJob", "RoomLeg"]

RATE = 16_000
"""The sample rate of both directions, in Hz."""
CALLER_S = 10.0
"""How long the caller may take into the room when the job was accepted, in seconds."""
MOST_KEYS = 64
SPARE_S = 0.05
"""A job that is accepted before its bot is ready is accepted so many seconds before it is too late."""
_REASONS = {
    EndReason.NO_AGENT: "AT_CAPACITY",
    EndReason.BUSY: "AT_CAPACITY",
    EndReason.SHUTDOWN: "SHUTTING_DOWN",
}
_HUNG_UP_ELSEWHERE = (EndReason.CALLER_HANGUP, EndReason.TRANSFERRED)


class CloudJob(Protocol):
    """A job as piopiy-agent has it: a call that is offered."""

    livekit_url: str
    access_token: str
    room_name: str

    @property
    def remaining_ms(self) -> int:
        """How long it may still be accepted, in milliseconds."""

    @property
    def settled(self) -> bool:
        """Whether it was accepted or rejected."""

    async def accept(self, *, participant_identity: str | None = None) -> bool:
        """Accept it. Returns False if that came too late."""

    async def reject(self, reason: str = "AT_CAPACITY", detail: str = "") -> None:
        """Turn it down."""


@dataclass(frozen=True, slots=True)
class _CallOver:
    reason: EndReason
    detail: str


class RoomLeg(Leg):
    """The leg of one job. `Leg` says what its methods mean; `serve` goes on until the call has ended.

    Args:
        job: The job.
        actions: What can be asked of the cloud about this call.
        room: Makes the room's port for whom it is given.
        fail: Ends the call, for a reason and with a detail: the room cannot be served, or the bot was too slow.
        early: Returns whether an instance has the call; then it is accepted at the last moment even if the bot is not
            ready. None: it is not.
    """

    kind: CallKind = "phone"

    def __init__(
        self,
        job: CloudJob,
        actions: CloudActions,
        *,
        room: Callable[[CloudRoomListener], RoomPort],
        fail: Callable[[EndReason, str], None],
        early: Callable[[], bool] | None,
    ) -> None:
        self.rate = RATE
        self._job = job
        self._actions = actions
        self._early = early
        self._loop = asyncio.get_running_loop()
        self._room = room(self)
        self._fail = fail
        self._listener: LegListener | None = None
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._end: asyncio.Future[_CallOver] = self._loop.create_future()
        self._there = False
        self._keys = ""  # that wait for the caller
        self._caller_timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------ from the call

    @property
    def hears(self) -> bool:
        return self._there

    @property
    def frames_dropped(self) -> int:
        return self._room.dropped

    def attach(self, listener: LegListener) -> None:
        self._listener = listener

    def ring(self, call_id: str) -> None:
        """Do nothing: the cloud lets the caller hear ringing until the job is accepted."""

    def answer(self) -> None:
        if not self._ready.done():
            self._ready.set_result(None)

    def send_audio(self, pcm: bytes) -> None:
        if not self._end.done():
            self._room.send_audio(pcm)

    def clear(self) -> None:
        self._room.clear()

    def conversation(self, event: ConversationEvent) -> None:
        """Do nothing: a telephone shows no text."""

    def dtmf(self, digits: str) -> None:
        room = MOST_KEYS - len(self._keys)
        if len(digits) > room:
            logger.warning("{} keys were not sent to the caller: too many wait for them", len(digits) - room)
        self._keys += digits[:room]
        self._press()

    def data(self, data: dict[str, Any]) -> None:
        """Do nothing: a telephone has no application."""

    def transfer(
        self,
        request: Transfer,
        done: TransferDone,
        *,
        from_number: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bool:
        self._actions.transfer(request, done, from_number=from_number, headers=headers)
        return True

    def end(self, reason: EndReason, detail: str) -> None:
        self._listener = None
        if not self._end.done():
            self._end.set_result(_CallOver(reason, detail))

    # ------------------------------------------------------------------ the job

    async def serve(self) -> None:
        """Join the room, accept the job, and leave the room when the call has ended.

        Being cancelled means that the cloud has withdrawn the job.
        """
        try:
            if await self._accepted():
                await self._serve_call()
        except asyncio.CancelledError:
            self._hang_up("Piopiy's cloud has withdrawn the call")
            raise
        finally:
            if self._caller_timer is not None:
                self._caller_timer.cancel()
            await asyncio.shield(self._close())

    async def _accepted(self) -> bool:
        """Return whether the call is this gateway's."""
        job = self._job
        if not self._end.done():
            joining = asyncio.create_task(
                self._room.join(job.livekit_url, job.access_token, job.remaining_ms / 1000)
            )
            try:
                await self._first_of(joining, self._end)
                if self._end.done():
                    joining.cancel()
                await joining
            except asyncio.CancelledError:
                joining.cancel()  # before the room is left: it would be joined behind that, and nobody would leave it
                await asyncio.gather(joining, return_exceptions=True)
                if not self._end.done():
                    raise
            except CloudRoomError as error:
                logger.warning("a call of Piopiy's cloud is not taken: the room: {}", error)
                await job.reject("ROOM_JOIN_FAILED", str(error)[:200])
                self._fail(EndReason.ERROR, f"the room: {error}")
                return False
        spare_s = 0.0 if self._early is None else SPARE_S
        await self._first_of(self._ready, self._end, timeout_s=max(0.0, job.remaining_ms / 1000 - spare_s))
        if self._end.done():
            end = self._end.result()
            detail = end.detail or end.reason.value
            await job.reject(_REASONS.get(end.reason, "CONFIG_ERROR"), detail[:200])
            return False
        if not self._ready.done() and not (self._early is not None and self._early()):
            why = "the bot could not hear and speak within the time that Piopiy's cloud gives"
            logger.warning(
                'a call is not taken: {}; accept = "joined" in [cloud] lets callers wait for it', why
            )
            await job.reject("CONFIG_ERROR", why)
            self._fail(EndReason.SETUP_TIMEOUT, why)
            return False
        if not await job.accept(participant_identity=self._room.identity):
            self._fail(EndReason.SETUP_TIMEOUT, "the call had gone to another worker before it was accepted")
            return False
        return True

    @staticmethod
    async def _first_of(*waits: asyncio.Future[Any], timeout_s: float | None = None) -> None:
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)

    async def _serve_call(self) -> None:
        if not self._there:
            self._await_caller(f"the caller did not come into the room within {CALLER_S:g} s")
        end = await self._end
        if end.reason not in _HUNG_UP_ELSEWHERE:
            await self._room.finish_speech()
            await self._actions.hang_up(end.reason, end.detail)

    async def _close(self) -> None:
        await self._room.leave()
        await self._actions.close()

    # ------------------------------------------------------------------ from the room

    def room_caller(self) -> None:
        self._there = True
        self._press()
        if self._caller_timer is not None:
            self._caller_timer.cancel()

    def room_lost(self) -> None:
        logger.warning("the room's process is lost: the room is joined again from another one")
        was_there, self._there = self._there, False
        if was_there:
            self._await_caller(f"the caller was not heard again within {CALLER_S:g} s")

    def room_audio(self, pcm: bytes) -> None:
        if self._listener is not None:
            self._listener.caller_audio(pcm)

    def room_keys(self, digits: str) -> None:
        if self._listener is not None:
            self._listener.caller_dtmf(digits)

    def room_message(self, topic: str, data: bytes) -> None:
        self._actions.room_message(topic, data)

    def room_left(self, detail: str) -> None:
        self._hang_up(detail)

    def room_failed(self, detail: str) -> None:
        self._fail(EndReason.ERROR, detail)

    def _await_caller(self, otherwise: str) -> None:
        """Take the caller for gone, with this detail, if they are not there in time."""
        if self._caller_timer is not None:
            self._caller_timer.cancel()
        self._caller_timer = self._loop.call_later(CALLER_S, self._hang_up, otherwise)

    def _press(self) -> None:
        """Press the keys that wait for a caller who was not there yet."""
        if self._there and self._keys and not self._end.done():
            keys, self._keys = self._keys, ""
            self._room.press(keys)

    def _hang_up(self, detail: str) -> None:
        """Tell the call that the caller is gone. It ends, and with it this leg."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.caller_hangup(self._loop.time(), detail)
