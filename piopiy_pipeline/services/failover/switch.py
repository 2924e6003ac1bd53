"""Several services in one place of the chain, of which one is active: `Action(stt=[a, b])`.

Pipecat's `ServiceSwitcher` is not used, because it starts every service, sends every frame to all of them,
and remembers each frame's id for ever (137 bytes a frame). Here a service is set up and started when it is
first needed, and the frames of a service that is not active are dropped.

A service that reports that it can no longer do its job is replaced by the next one in order, and so is one
that the session finds failing (`fail_over`). A call begins with the first one whose `CircuitBreaker` lets it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from loguru import logger
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    ManuallySwitchServiceFrame,
    StartFrame,
    StopFrame,
    SystemFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.processors.frame_processor import (
    FrameCallback,
    FrameDirection,
    FrameProcessor,
    FrameProcessorSetup,
)
from pipecat.utils.errors import ErrorCategory

from piopiy_pipeline.compat.pipecat import is_set_up, provider_of
from piopiy_pipeline.error_text import own_text
from piopiy_pipeline.services.failover.circuit_breaker import CircuitBreaker, breaker_of
from piopiy_pipeline.services.failover.service_names import count_failover, names_of

__all__ = ["OF_ATTEMPT", "ServiceSwitch"]

OF_ATTEMPT = "of_attempt"
"""In the metadata of an `ErrorFrame`: one service has failed, and another one answers."""
START_S = 10.0
"""How long a service may take to be set up when it is switched to."""


_OF_ONE_SERVICE = (
    SystemFrame,
    EndFrame,
    StopFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
"""Frames that a service which is not active any more may not pass on, although no interruption drops them."""
MAX_PASSING = 64
"""System frames that are remembered on their way through a service. An STT may keep audio to itself."""


class ServiceSwitch(FrameProcessor):
    """An ordered set of services of one kind, of which one is active. At first it is the first one.

    The event `on_switched` is called with the service that was switched to; `on_active`, before it is given any frame,
    with each service that has become active, also because the one before it has failed.

    Args:
        services: The services, in the order in which they replace each other.

    Raises:
        ValueError: There is no service, or one is in the list twice.
    """

    def __init__(self, services: Sequence[FrameProcessor]) -> None:
        super().__init__(enable_direct_mode=True)
        self._register_event_handler("on_switched", sync=True)
        self._register_event_handler("on_active", sync=True)
        if not services:
            raise ValueError("a switch needs at least one service")
        if len(set(services)) < len(services):
            raise ValueError("a service stands in this list twice")
        self.services = tuple(services)
        self.active = self.services[0]
        self._entry = self.active  # through which the beginning of the pipeline has passed
        self._proved: FrameProcessor | None = None  # the last one that was seen to work
        self._set_up: list[FrameProcessor] = []  # to be cleaned up, also if it failed in the middle
        self._ready: set[FrameProcessor] = set()
        self._starting: dict[FrameProcessor, asyncio.Lock] = {}  # two who need a service start it once
        self._start_frame: StartFrame | None = None
        self._switching = asyncio.Lock()
        self._failover: asyncio.Task[None] | None = None
        self._held: list[tuple[Frame, FrameDirection]] = []
        self._passing: dict[int, None] = {}  # system frames of others that are on their way through a service
        self._replaced: dict[FrameProcessor, FrameProcessor] = {}
        for service in self.services:
            self._connect(service)

    def _connect(self, service: FrameProcessor) -> None:
        _Port(self, service, FrameDirection.UPSTREAM).link(service)
        service.link(_Port(self, service, FrameDirection.DOWNSTREAM))

    def __contains__(self, service: object) -> bool:
        return service in self.services or service in self._replaced

    def replace(self, service: FrameProcessor, other: FrameProcessor) -> None:
        """Put another service in the place of one, before the switch is set up.

        `switch_to` still accepts the service that was replaced, so an author who holds it need not know.

        Args:
            service: One of the set.
            other: The service that takes its place.

        Raises:
            ValueError: `service` is not in the set.
            RuntimeError: The switch is set up already.
        """
        if service not in self.services:
            raise ValueError(f"{service} is not in this switch")
        if is_set_up(self):
            raise RuntimeError("the switch is set up: its services cannot be replaced any more")
        self.services = tuple(other if each is service else each for each in self.services)
        self._replaced[service] = other
        if self.active is service:
            self.active = other
        self._connect(other)

    def name_of(self, service: FrameProcessor) -> str:
        """Return what a service is called where a person reads of it: see `names_of`."""
        return names_of(self.services)[service]

    def not_started(self, service: FrameProcessor, error: Exception) -> str:
        """Log why a service did not start, and return it as a sentence about the service."""
        why = f"did not start: {own_text(error)}"
        logger.opt(exception=error).error("{} {}", self.name_of(service), why)
        return f"it {why}"

    @property
    def processors(self) -> list[FrameProcessor]:
        """The services, for pipecat's metrics."""
        return list(self.services)

    async def switch_to(self, service: FrameProcessor) -> None:
        """Make a service the active one, and start it if it is not started. The service before it is
        interrupted.

        Args:
            service: One of the set.

        Raises:
            ValueError: It is not in the set.
            TimeoutError: It did not start within `START_S`. The active service stays the same.
        """
        if await self._switch(service):
            await self._call_event_handler("on_switched", self.active)

    async def _switch(self, service: FrameProcessor) -> bool:
        service = self._replaced.get(service, service)
        if service not in self.services:
            raise ValueError(f"{service} is not in this switch")
        async with self._switching:
            if service is self.active:
                return False
            if is_set_up(self) and service not in self._ready:
                async with asyncio.timeout(START_S):
                    await self._start(service)
            before, self.active = self.active, service
            logger.info("switched from {} to {}", self.name_of(before), self.name_of(service))
            await self._call_event_handler("on_active", service)
            if before in self._set_up:
                await before.queue_frame(InterruptionFrame())
            return True

    async def _start(self, service: FrameProcessor) -> None:
        async with self._starting.setdefault(service, asyncio.Lock()):
            if service in self._ready:
                return
            if service not in self._set_up:
                self._set_up.append(service)
            await service.setup(self.processor_setup)
            self._ready.add(service)
            if self._start_frame is not None:
                await service.queue_frame(self._start_frame)

    # ------------------------------------------------------------------ the stage

    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]  # as pipecat's own
        """Set up the active service. The others are set up when they are first needed: when this one fails, say."""
        await super().setup(setup)
        first = self._first_choice()
        for service in dict.fromkeys((first, *self.services)):
            self._entry = self.active = service
            try:
                await self._start(service)
            except Exception as error:
                failure = await self._set_up_failed(service, error)
                if failure.category is not ErrorCategory.APPLICATION:
                    raise
                await self.push_error_frame(failure)
            else:
                return

    async def _set_up_failed(self, service: FrameProcessor, error: Exception) -> ErrorFrame:
        """Note that a service could not be set up, and return what is to be told: one attempt has failed, if another
        service can go on, or else the stage.
        """
        fault = self.not_started(service, error)
        self._breaker(service).failed(asyncio.get_running_loop().time())
        await service.set_usable(False)  # it is half built
        failure = ErrorFrame(fault, processor=service, category=ErrorCategory.UNKNOWN)
        if any(other.is_usable for other in self.services):
            count_failover(service)
            failure.category = ErrorCategory.APPLICATION
            failure.metadata[OF_ATTEMPT] = True
        return failure

    def _first_choice(self) -> FrameProcessor:
        """Return the service that a call begins with."""
        now = asyncio.get_running_loop().time()
        order = sorted(self.services, key=lambda service: service is not self.active)
        chosen = next((each for each in order if self._breaker(each).allows(now)), self.active)
        self._breaker(chosen).asked(now)
        return chosen

    def _breaker(self, service: FrameProcessor) -> CircuitBreaker:
        """Return the breaker of a service, which it shares with the same service of other calls."""
        provider = provider_of(service)
        before = self.services[: self.services.index(service)]
        return breaker_of((*provider, str(sum(provider_of(each) == provider for each in before))))

    def fail_over(self, broken: FrameProcessor) -> bool:
        """Switch from a service that fails to the next one, if there is one.

        Args:
            broken: The service.

        Returns:
            Whether another service is active, or is about to be.
        """
        if broken not in self.services:
            return False
        self._breaker(broken).failed(asyncio.get_running_loop().time())
        return broken is not self.active or self._fail_over(broken)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Pass a frame to the active service. Frames that arrive during a failover wait until it is over."""
        await super().process_frame(frame, direction)
        if isinstance(frame, ManuallySwitchServiceFrame):  # pipecat's word for `switch_to`
            if frame.service in self:
                await self.switch_to(frame.service)
            else:
                await self.push_frame(frame, direction)  # another switch's
            return
        if isinstance(frame, StartFrame):
            self._start_frame = frame
        if isinstance(frame, (EndFrame, CancelFrame, StopFrame)):
            for service in self._set_up:
                if service is not self.active:
                    await service.queue_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            self._held = [(held, way) for held, way in self._held if not held.interruptible]
        if self._failing_over and not isinstance(frame, SystemFrame):
            self._held.append((frame, direction))  # the one that is broken would swallow it
            return
        if isinstance(frame, SystemFrame):
            self._passing[frame.id] = None
            if len(self._passing) > MAX_PASSING:
                del self._passing[next(iter(self._passing))]
        await self.active.queue_frame(frame, direction)

    async def cleanup(self) -> None:
        """Clean up every service that was set up."""
        await super().cleanup()
        if self._failover is not None:
            await self.cancel_task(self._failover)
            self._failover = None
        set_up, self._set_up = self._set_up, []
        for service in set_up:
            try:
                await service.cleanup()
            except Exception as error:  # noqa: BLE001  the others have connections to close, too
                logger.opt(exception=error).error(
                    "{} was not cleaned up: {}", self.name_of(service), own_text(error)
                )

    async def came_out(self, service: FrameProcessor, frame: Frame, direction: FrameDirection) -> None:
        """Pass on a frame that a service has pushed, if the service is the active one.

        Args:
            service: The service that pushed the frame.
            frame: The frame.
            direction: Where the service pushed it.
        """
        passes = frame.id in self._passing and not isinstance(frame, StartFrame)
        self._passing.pop(frame.id, None)
        if service is not self.active:
            if passes or not (frame.interruptible or isinstance(frame, _OF_ONE_SERVICE)):
                await self.push_frame(frame, direction)  # a tool's result or its end, say, that was in it
            return
        if isinstance(frame, StartFrame) and frame is not self._start_frame:
            return
        if isinstance(frame, StartFrame) and service is not self._entry:
            return  # it was started late: the chain has started long ago
        if isinstance(frame, (TTSAudioRawFrame, TranscriptionFrame)) and service is not self._proved:
            self._proved = service
            self._breaker(service).succeeded()
        if isinstance(frame, ErrorFrame) and not service.is_usable:
            self._fail_over(service)
        await self.push_frame(frame, direction)

    def _fail_over(self, broken: FrameProcessor) -> bool:
        usable = [service for service in self.services if service.is_usable and service is not broken]
        if usable and not self._failing_over:
            now = asyncio.get_running_loop().time()
            usable.sort(key=lambda service: not self._breaker(service).allows(now))
            self._failover = self.create_task(self._switch_from(usable), f"{self}::failover")
            count_failover(broken)
        return self._failing_over

    @property
    def _failing_over(self) -> bool:
        return self._failover is not None and not self._failover.done()

    async def _switch_from(self, usable: list[FrameProcessor]) -> None:
        """Switch to the first of these services that starts within `START_S`. Frames that arrive meanwhile
        wait.
        """
        try:
            await self._take_first(usable)
        finally:
            while self._held:  # more may come while these are passed on
                frame, direction = self._held.pop(0)
                await self.active.queue_frame(frame, direction)

    async def _take_first(self, usable: list[FrameProcessor]) -> None:
        for service in usable:
            try:
                await self._switch(service)
            except Exception as error:  # noqa: BLE001  whatever a provider's set-up raises, the next may work
                late = isinstance(error, TimeoutError) and not str(error)
                fault = TimeoutError(f"not within {START_S:g} s") if late else error
                await self.push_error_frame(await self._set_up_failed(service, fault))
            else:
                return


class _Port(FrameProcessor):
    """One end of a service: it passes what the service pushes there to the switch."""

    def __init__(self, switch: ServiceSwitch, service: FrameProcessor, end: FrameDirection) -> None:
        super().__init__(enable_direct_mode=True)
        self._switch = switch
        self._service = service
        self._end = end

    async def queue_frame(
        self,
        frame: Frame,
        direction: FrameDirection = FrameDirection.DOWNSTREAM,
        callback: FrameCallback | None = None,
    ) -> None:
        if direction is self._end:
            await self._switch.came_out(self._service, frame, direction)
