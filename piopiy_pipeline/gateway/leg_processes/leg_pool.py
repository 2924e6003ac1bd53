"""The leg processes of one kind: which of them takes the next leg, and who is told of what happens to each leg."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Protocol

from loguru import logger

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.leg_processes.leg_supervisor import LegSupervisor, ProcessKind
from piopiy_pipeline.gateway.leg_processes.shared_messages import Census, CensusTaken
from piopiy_pipeline.signaling.messages import Message

__all__ = ["LegPlace", "LegPool", "NoPlace", "PlacedLeg"]

AHEAD_S = 1.0
"""How long after a change it is looked at whether there are enough processes, in seconds."""
IDLE_S = 60.0
"""A process that is not needed any more ends after so many seconds."""
CENSUS_S = 10.0
"""How long processes may take to count their legs."""
INTERNAL_ERROR = "internal error of the gateway: see its log"


class NoPlace(Exception):
    """No process had a place in time, or the pool is closed."""


class PlacedLeg(Protocol):
    """The gateway's half of a leg whose connection is in a leg process."""

    @property
    def call_id(self) -> str:
        """The call's id, for logs."""

    def on_event(self, event: Message) -> None:
        """Handle an event of its connection."""

    def caller_audio(self, pcm: bytes) -> None:
        """Take what the caller said: PCM16 mono, in pieces of any length."""

    def process_lost(self) -> None:
        """Handle that the process has died, and the connection with it. The place is given back already."""

    def fail(self, reason: EndReason, detail: str) -> None:
        """End this call, after an error of its own."""


class LegPlace:
    """A leg's place in a leg process. What is sent once it is given back, or the process has died, is dropped.

    Args:
        process: Which process.
        number: As what the process knows the leg.
    """

    def __init__(self, process: _LegProcess, number: int) -> None:
        self.number = number
        self.leg: PlacedLeg | None = None
        """Who is told of events. Whoever took the place sets it."""
        self.frames_dropped = 0
        """Frames of audio that were dropped because the process does not read them."""
        self._process: _LegProcess | None = process

    def post(self, message: Message) -> None:
        """Send the connection a message."""
        if self._process is not None:
            self._process.supervisor.post(self.number, message)

    def send_audio(self, pcm: bytes) -> None:
        """Send the connection 20 ms of PCM16 mono, to be played at once."""
        if self._process is not None and not self._process.supervisor.send_audio(self.number, pcm):
            self.frames_dropped += 1

    def release(self) -> None:
        """Give the place back. May be called more than once."""
        process, self._process = self._process, None
        if process is not None:
            process.release(self.number)


class LegPool:
    """The processes. It needs a running event loop from `start` on.

    With a limit of legs for each there are always enough that the legs of any one have free places in the others, up to
    the greatest number. Those that are not needed any more end after a minute.

    Args:
        kind: What they are.
        processes: How many there are at least.
        most: How many there may be; None for no more than that.
        places: How many legs each takes; None for any number.
    """

    def __init__(
        self, kind: ProcessKind, *, processes: int, most: int | None = None, places: int | None = None
    ) -> None:
        self._kind = kind
        self._least = processes
        self._most = processes if most is None else most
        self._places = places
        self._numbers = count(1)  # of legs
        self._names = count(1)  # of processes
        self._processes: list[_LegProcess] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._look: asyncio.TimerHandle | None = None
        self._spare_since: float | None = None
        self._closed = False
        self._restarts = 0  # of processes that are not needed any more
        self._changed: asyncio.Event | None = None

    def start(self) -> None:
        """Start the processes in the background. They need a second."""
        self._changed = asyncio.Event()
        for _ in range(self._least):
            self._add()

    async def ready(self) -> None:
        """Wait until a process can take legs: one that never starts is not waited for."""
        assert self._changed is not None, "start it first"
        while not any(process.supervisor.ready for process in self._processes):
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        """Give no more places, and end all processes, within some seconds. May be called more than once."""
        self._closed = True
        if self._look is not None:
            self._look.cancel()
        self._on_change()  # whoever waits for a place is refused
        await asyncio.gather(*(process.supervisor.close() for process in self._processes), *self._ending)

    async def place(self, within_s: float) -> LegPlace:
        """Return a place in the process that has the fewest legs.

        Args:
            within_s: How long to wait for processes that are starting or full, in seconds.

        Raises:
            NoPlace: None had one in time, or the pool is closed.
        """
        try:
            async with asyncio.timeout(within_s):
                while not self._closed:
                    free = [process for process in self._processes if process.has_place]
                    if free:
                        return min(free, key=lambda process: len(process.places)).place(next(self._numbers))
                    if self._changed is None:
                        break
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            text = f"no {self._kind.name} leg process had a place within {within_s:g} s"
            raise NoPlace(text) from None
        raise NoPlace("it is closed, or was not started")

    @property
    def name(self) -> str:
        """What logs call the processes: the name of their kind."""
        return self._kind.name

    @property
    def restarts(self) -> int:
        """How often a process has died, or could not be started, and was started again."""
        return self._restarts + sum(one.restarts for one in self.supervisors)

    @property
    def supervisors(self) -> list[LegSupervisor]:
        """The processes, whether they run at the moment or not."""
        return [process.supervisor for process in self._processes]

    async def census(self) -> list[CensusTaken]:
        """Return what each process counts, for tests. Raises `TimeoutError` if one does not answer."""
        async with asyncio.timeout(CENSUS_S):
            return list(await asyncio.gather(*(process.census() for process in self._processes)))

    # ------------------------------------------------------------------ how many there are

    def _add(self) -> None:
        process = _LegProcess(next(self._names), self._kind, self._places, on_change=self._on_change)
        self._processes.append(process)
        process.supervisor.start()

    def _on_change(self) -> None:
        if self._changed is not None:
            self._changed.set()
        if self._places is not None and self._look is None and not self._closed:
            # Not at once: a call that has just taken its place has no CPU time to give away.
            self._look = asyncio.get_running_loop().call_later(AHEAD_S, self._keep_ahead)

    def _keep_ahead(self) -> None:
        """Start what is missing, and end what has not been needed for a while."""
        assert self._places is not None
        self._look = None
        spare_since, self._spare_since = self._spare_since, None
        free = sum(self._places - len(one.places) for one in self._processes if not one.supervisor.pauses)
        idle = [process for process in self._processes if not process.places]
        if free < self._places:
            if len(self._processes) < self._most:
                self._add()
        elif free >= 2 * self._places and len(self._processes) > self._least and idle:
            loop = asyncio.get_running_loop()
            self._spare_since = loop.time() if spare_since is None else spare_since
            if loop.time() - self._spare_since >= IDLE_S:
                self._end(idle[-1])
            self._look = loop.call_later(AHEAD_S, self._keep_ahead)

    def _end(self, process: _LegProcess) -> None:
        self._processes.remove(process)
        self._restarts += process.supervisor.restarts
        task = asyncio.create_task(process.supervisor.close(), name="end a leg process")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


class _LegProcess:
    """One process and its legs, by their numbers."""

    def __init__(
        self, number: int, kind: ProcessKind, most: int | None, *, on_change: Callable[[], None]
    ) -> None:
        self.places: dict[int, LegPlace] = {}
        self._most = most
        self._on_change = on_change
        self._censuses: list[asyncio.Future[CensusTaken]] = []
        self.supervisor = LegSupervisor(
            number,
            kind,
            on_event=self._on_event,
            on_caller_audio=self._on_caller_audio,
            on_ready=on_change,
            on_died=self._on_died,
        )

    @property
    def has_place(self) -> bool:
        return self.supervisor.ready and (self._most is None or len(self.places) < self._most)

    def place(self, number: int) -> LegPlace:
        place = self.places[number] = LegPlace(self, number)
        self._on_change()
        return place

    def release(self, number: int) -> None:
        if self.places.pop(number, None) is not None:
            self._on_change()

    async def census(self) -> CensusTaken:
        answer: asyncio.Future[CensusTaken] = asyncio.get_running_loop().create_future()
        self._censuses.append(answer)
        self.supervisor.post(0, Census())
        return await answer

    def _on_caller_audio(self, number: int, pcm: bytes) -> None:
        if (leg := self._leg(number)) is not None:
            try:
                leg.caller_audio(pcm)
            except Exception:  # noqa: BLE001  of one call; the others of this process go on
                logger.bind(call_id=leg.call_id).exception("audio of the caller could not be handled")
                leg.fail(EndReason.ERROR, INTERNAL_ERROR)

    def _on_event(self, number: int, event: Message) -> None:
        if isinstance(event, CensusTaken):
            for answer in self._censuses:
                if not answer.done():
                    answer.set_result(event)
            self._censuses.clear()
        elif (leg := self._leg(number)) is not None:
            try:
                with logger.contextualize(call_id=leg.call_id):
                    leg.on_event(event)
            except Exception:  # noqa: BLE001  as above
                logger.bind(call_id=leg.call_id).exception("an event of the leg could not be handled")
                leg.fail(EndReason.ERROR, INTERNAL_ERROR)

    def _leg(self, number: int) -> PlacedLeg | None:
        place = self.places.get(number)
        return None if place is None else place.leg

    def _on_died(self) -> None:
        lost = tuple(self.places.values())
        for place in lost:
            place.release()
        for place in lost:
            if (leg := place.leg) is not None:
                try:
                    with logger.contextualize(call_id=leg.call_id):  # its tasks inherit that
                        leg.process_lost()
                except Exception:  # noqa: BLE001  as above: the others are told, too
                    logger.bind(call_id=leg.call_id).exception("the loss of its process could not be handled")
                    # later: an error of this, too, keeps nobody else from being told
                    asyncio.get_running_loop().call_soon(leg.fail, EndReason.ERROR, INTERNAL_ERROR)
