"""`CloudWorker`: the gateway as a worker of Piopiy's cloud. It takes jobs, and makes a call of each.

Registration, heartbeats and messages are piopiy-agent's. A job for which no instance has a place is turned down
at once, so that the cloud asks another worker.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any

from loguru import logger

from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.gateway.cloud.cloud_actions import CloudActions
from piopiy_pipeline.gateway.cloud.cloud_registration import CloudRegistration
from piopiy_pipeline.gateway.cloud.config import CloudConfig
from piopiy_pipeline.gateway.cloud.hosted_room import HostedRoom
from piopiy_pipeline.gateway.cloud.room_leg import RATE, RoomLeg
from piopiy_pipeline.gateway.cloud.room_messages import RoomSettings, parse_from_rooms
from piopiy_pipeline.gateway.cloud.room_port import CloudRoomListener, RoomPort
from piopiy_pipeline.gateway.core.gateway_call import GatewayCall, PlaceCall
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.gateway.leg_processes.leg_pool import LegPool
from piopiy_pipeline.gateway.leg_processes.leg_supervisor import LegSupervisor, ProcessKind
from piopiy_pipeline.gateway.leg_processes.shared_messages import CensusTaken

if TYPE_CHECKING:
    from piopiy_agent import Job

__all__ = ["CloudWorker"]

CLOSE_S = 8.0
"""How long jobs may take to leave their rooms when the gateway closes, in seconds."""
SENT_S = 0.1
"""How long the last messages may take to leave, in seconds."""
AGAIN_S = 30.0
"""After an error that nobody foresaw the gateway registers again in so many seconds."""
MOST_METADATA = 64
"""So many variables, and so many headers, of a call reach its bot."""
MAX_ID = 64
PING_S, STUCK_S = 1.0, 4.0
"""A process of rooms is asked for a sign of life this often, and is killed when it has given none for so long, in
seconds: sooner than browsers' processes, because its calls go on elsewhere."""
STANDING = 2
"""So many processes of rooms wait for the first call: one for it, and one for the case that the other is lost."""


class CloudWorker:
    """The worker. Let it `look_again` whenever instances have changed, and `close` it when its calls have ended.

    Args:
        config: The settings.
        switchboard: Who is in which call.
        place: Places calls.
    """

    def __init__(self, config: CloudConfig, switchboard: Switchboard, place: PlaceCall) -> None:
        self._config = config
        self._switchboard = switchboard
        self._place = place
        self._jobs: set[asyncio.Task[None]] = set()
        self._running: asyncio.Task[None] | None = None
        self._registration = CloudRegistration(config, self._on_job)
        self.pool = LegPool(
            ProcessKind(
                name="cloud",
                module="piopiy_pipeline.gateway.cloud.room_program",
                settings=RoomSettings(rate=RATE),
                parse=parse_from_rooms,
                ping_s=PING_S,
                stuck_s=STUCK_S,
            ),
            processes=STANDING,
            most=max(STANDING, ceil(config.max_calls / config.calls_per_process) + 1),
            places=config.calls_per_process,
        )
        self.pool.start()
        switchboard.drain.on_change.append(self._drain)
        self.look_again()

    def look_again(self) -> None:
        """Register as soon as an instance of the agent is there: before that, each job would be turned down."""
        if self._running is None and not self._switchboard.drain.on and self._has_place():
            self._start()

    def _start(self) -> None:
        logger.info("registering at Piopiy's cloud as {}, at {}", self._config.agent_id, self._config.address)
        self._running = asyncio.create_task(self._run(), name="Piopiy's cloud")

    async def _run(self) -> None:
        await self.pool.ready()  # a job that came before would be turned down
        while True:
            try:
                await self._registration.run()
            except Exception:
                logger.exception(
                    "Piopiy's cloud is not served any more: it is tried again in {:g} s", AGAIN_S
                )
            else:
                return
            await asyncio.sleep(AGAIN_S)

    @property
    def processes(self) -> list[LegSupervisor]:
        """The processes that have the rooms, whether they run at the moment or not."""
        return self.pool.supervisors

    async def census(self) -> list[CensusTaken]:
        """Return what each process counts, for tests. Raises `TimeoutError` if one does not answer."""
        return await self.pool.census()

    def _drain(self, on: bool) -> None:
        """Take no more jobs, while calls in progress go on; or take jobs again."""
        if self._running is None:  # it has not registered yet
            self.look_again()
            return
        task = asyncio.create_task(self._registration.switch_drain(on=on), name="drain Piopiy's cloud")
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        if not on and self._running.done():
            self._start()

    async def close(self) -> None:
        """Leave all rooms, and the cloud. The calls have ended before."""
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=CLOSE_S)
            await asyncio.sleep(SENT_S)
        late = tuple(self._jobs)
        for job in late:
            job.cancel()
        if late:
            await asyncio.wait(late, timeout=SENT_S)
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
        await self.pool.close()

    async def _on_job(self, job: Job) -> None:
        """Serve a job in a task of its own, which the worker's is there for."""
        task = asyncio.current_task()
        assert task is not None
        self._jobs.add(task)
        try:
            await self._serve(job)
        finally:
            self._jobs.discard(task)

    async def _serve(self, job: Job) -> None:
        call_id = job.call.call_uuid if 0 < len(job.call.call_uuid) <= MAX_ID else str(uuid.uuid4())
        refusal = self._refusal(call_id)
        if refusal is not None:
            await job.reject(*refusal)
            return
        with logger.contextualize(call_id=call_id):
            placed: list[GatewayCall] = []

            def early() -> bool:
                return any(call.phase in (Phase.SETUP, Phase.LIVE) for call in placed)

            def fail(reason: EndReason, detail: str) -> None:
                for call in placed:
                    call.end(asyncio.get_running_loop().time(), reason, detail)

            leg = RoomLeg(
                job,
                CloudActions(job.call.call_uuid, token=self._config.token, api_url=self._config.api_url),
                room=partial(self._room, call_id),
                fail=fail,
                early=early if self._config.accept == "joined" else None,
            )
            placed.append(self._place(self._info(job, call_id), leg))
            await leg.serve()

    def _room(self, call_id: str, listener: CloudRoomListener) -> RoomPort:
        return HostedRoom(listener, self.pool, call_id)

    def _refusal(self, call_id: str) -> tuple[str, str] | None:
        """Return why a job is turned down, in the cloud's word and in a sentence; None if it is not."""
        board = self._switchboard
        if board.drain.on:
            return "SHUTTING_DOWN", "the gateway drains"
        if board.call(call_id) is not None:
            return "CONFIG_ERROR", "this call is in progress here already"
        if not self._has_place():
            return "AT_CAPACITY", "no instance of the agent is connected and free"
        return None

    def _has_place(self) -> bool:
        """Return whether an instance of the agent is free, here or at another gateway."""
        agent_id, board = self._config.agent_id, self._switchboard
        return board.instances.any_free(agent_id) or board.resources.summoner.has_place(agent_id)

    def _info(self, job: Job, call_id: str) -> CallInfo:
        call = job.call
        metadata: dict[str, Any] = dict(list(call.variables.items())[:MOST_METADATA])
        if call.sip_headers:
            metadata["sip"] = dict(list(call.sip_headers.items())[:MOST_METADATA])
        if call.direction:
            metadata.setdefault("direction", call.direction)
        return CallInfo(
            agent_id=self._config.agent_id,
            call_id=call_id,
            from_number=call.from_number or None,
            to_number=call.to_number or None,
            metadata=metadata or None,
            kind="phone",
        )
