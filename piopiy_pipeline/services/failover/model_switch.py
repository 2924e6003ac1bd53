"""`ModelSwitch`: several language models in one place of the chain: `Action(llm=[a, b])`.

The shell of `AnswerRace`, which decides: each answer is asked of the first model whose `CircuitBreaker` lets
it, and of the next one beside it when no word comes in time. One answer leaves this stage, and the tools of
one answer run: those of the winner. The request to the other is cancelled.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from loguru import logger
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    FunctionCallFromLLM,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMMarkerFrame,
    LLMTextFrame,
    LLMThoughtEndFrame,
    LLMThoughtStartFrame,
    LLMThoughtTextFrame,
    ServiceMetadataFrame,
    StartFrame,
    StopFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.utils.errors import ErrorCategory

from piopiy_pipeline.arguments import shown
from piopiy_pipeline.compat.llm_stream import chunks_of_answer
from piopiy_pipeline.compat.pipecat import is_cancelling
from piopiy_pipeline.services.failover.answer_cancels import AnswerCancels
from piopiy_pipeline.services.failover.answer_race import AnswerRace, Ask, Drop, Lost, Say, Step, Won
from piopiy_pipeline.services.failover.continuation import continued
from piopiy_pipeline.services.failover.sentence_end_frame import SentenceEndFrame
from piopiy_pipeline.services.failover.switch import OF_ATTEMPT, START_S, ServiceSwitch

__all__ = ["BETWEEN_TOKENS_S", "FIRST_TOKEN_S", "ModelSwitch"]

FIRST_TOKEN_S = 1.2
"""How long a model may take to its first word before the next one is asked beside it, in seconds."""
BETWEEN_TOKENS_S = 3.0
"""How long a model may take from one word to the next, in seconds."""
MAX_WAITING = 16
"""Requests that wait for the answer before them."""
_ANSWERS = (
    LLMTextFrame,
    LLMThoughtStartFrame,
    LLMThoughtTextFrame,
    LLMThoughtEndFrame,
    LLMMarkerFrame,
)
"""What a model writes between the beginning and the end of an answer."""
_FOR_ALL = (InterruptionFrame, EndFrame, CancelFrame, StopFrame)
"""Frames that each model gets that was started; one of them passes on."""


class ModelSwitch(ServiceSwitch):
    """An ordered set of language models, which give one answer to each request.

    The event `on_answered` is called with the model that has won, and with what went wrong before (a text,
    empty if the first model has answered in time).

    Args:
        services: The models, in the order in which they are asked.
        first_token_s: How long a model may take to its first word before the next one is asked beside it, in
            seconds.
        between_tokens_s: How long it may take from one word to the next, in seconds. The next model then goes
            on where the last whole sentence ended.

    Raises:
        ValueError: There is no service, one is in the list twice, or a time is not more than 0.
    """

    def __init__(
        self,
        services: Sequence[FrameProcessor],
        *,
        first_token_s: float = FIRST_TOKEN_S,
        between_tokens_s: float = BETWEEN_TOKENS_S,
    ) -> None:
        for name, seconds in (("first_token_s", first_token_s), ("between_tokens_s", between_tokens_s)):
            if not seconds > 0:
                raise ValueError(f"{name} must be more than 0 seconds, not {shown(seconds)}")
        super().__init__(services)
        self._register_event_handler("on_answered", sync=True)
        self._first_token_s = first_token_s
        self._between_tokens_s = between_tokens_s
        self._race: AnswerRace | None = None
        self._request: LLMContextFrame | None = None
        self._requests: deque[LLMContextFrame] = deque()
        self._speculating = False
        self._open = False  # the beginning of an answer has left this stage, and its end has not
        self._faults: list[str] = []
        self._begun: set[int] = set()  # who has begun to answer the request
        self._answered: FrameProcessor | None = None  # whose answer was the latest to win
        self._failed_after: FrameProcessor | None = None  # its tool calls cannot run: it comes last, once
        self._skips_tts: bool | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._chunks = 0
        self._cancels = AnswerCancels(self)
        self._via: dict[int, FrameProcessor] = {}
        for service in self.services:
            self._hold_tools(service)

    def replace(self, service: FrameProcessor, other: FrameProcessor) -> None:
        """Put another model in the place of one, before the switch is set up. See `ServiceSwitch.replace`."""
        super().replace(service, other)
        self._hold_tools(other)

    # ------------------------------------------------------------------ frames that come in

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Begin an answer, or pass a frame to the models."""
        if isinstance(frame, LLMContextFrame):
            await FrameProcessor.process_frame(self, frame, direction)
            await self._asked(frame)
        elif isinstance(frame, _FOR_ALL):
            await FrameProcessor.process_frame(self, frame, direction)
            route = self._route
            self._via[frame.id] = route
            if isinstance(frame, (InterruptionFrame, CancelFrame)):
                self._cut_off()
            for service in dict.fromkeys((*self._set_up, route)):  # before another answer can begin
                await service.queue_frame(frame, direction)
            if isinstance(frame, (InterruptionFrame, CancelFrame)):
                await self._close()
        elif self._route is self.active or isinstance(frame, StartFrame):
            await super().process_frame(frame, direction)
        else:
            await FrameProcessor.process_frame(self, frame, direction)
            await self._route.queue_frame(frame, direction)

    @property
    def _route(self) -> FrameProcessor:
        """The model that other frames pass through: they must not overtake the answer before them."""
        race = self._race
        return self.active if race is None or race.winner is None else self.services[race.winner]

    async def _asked(self, frame: LLMContextFrame) -> None:
        if frame.speculation:  # the model's own gate holds the answer, and no tools run
            self._speculating = True
            await self.active.queue_frame(frame)
            return
        self._speculating = False
        race = self._race
        if race is not None and race.winner is not None:
            if len(self._requests) == MAX_WAITING:
                logger.warning("{}: {} requests wait already, and the oldest is dropped", self, MAX_WAITING)
                self._requests.popleft()
            self._requests.append(frame)
            return
        if race is not None:  # nothing of its answer was said: this request knows more
            for who in race.asked:
                if race.runs(who):
                    self._drop(race, who, late=False)
        await self._begin(frame)

    async def _begin(self, frame: LLMContextFrame) -> None:
        self._request = frame
        self._faults = []
        self._begun = set()
        self._race = AnswerRace(
            self._order(), first_token_s=self._first_token_s, between_tokens_s=self._between_tokens_s
        )
        await self._do(self._race, self._race.begin(self._now()))

    def _order(self) -> list[int]:
        """Return the models that can be given work: those first whose breakers let them."""
        numbers = sorted(range(len(self.services)), key=lambda n: self.services[n] is not self.active)
        usable = [n for n in numbers if self.services[n].is_usable] or numbers
        now = self._now()
        last, self._failed_after = self._failed_after, None
        return sorted(
            usable, key=lambda n: (self.services[n] is last, not self._breaker(self.services[n]).allows(now))
        )

    def _first_choice(self) -> FrameProcessor:
        return self.active  # each request is asked anew who answers

    # ------------------------------------------------------------------ what the race decides

    async def _do(self, race: AnswerRace, steps: Sequence[Step]) -> None:
        """Carry out what a race has decided."""
        for step in steps:
            if race is not self._race:
                return  # an interruption has ended it, and cancels every request
            match step:
                case Ask(who, said):
                    self._breaker(self.services[who]).asked(self._now())
                    if len(race.asked) > 1:
                        self._note_late(race)
                    self.create_task(self._ask(race, who, said), f"{self}::ask")
                case Drop(who, late):
                    self._drop(race, who, late=late)
                case Won(who):
                    await self._won(who)
                case Say(text):
                    frame = LLMTextFrame(text)
                    frame.skip_tts = self._skips_tts
                    await self.push_frame(frame)
                    await self.push_frame(SentenceEndFrame())
                case Lost():
                    logger.warning("{}: no model is left that could answer", self)
        if race is self._race:
            self._set_deadline()
            if race.over:
                await self._finish()

    def _note_late(self, race: AnswerRace) -> None:
        before = self.services[race.asked[-2]]
        if race.runs(race.asked[-2]):
            self._faults.append(f"{self.name_of(before)} was late, and another was asked too")
        logger.info("{} is asked, too", self.name_of(self.services[race.asked[-1]]))

    async def _won(self, who: int) -> None:
        service = self._answered = self.services[who]
        self._breaker(service).succeeded()
        if trouble := "; ".join(self._faults):
            logger.warning("{} answers: {}", self.name_of(service), trouble)
        await self._call_event_handler("on_answered", service, trouble)
        self._faults = []

    def _drop(self, race: AnswerRace, who: int, *, late: bool) -> None:
        service = self.services[who]
        breaker = self._breaker(service)
        if late:
            breaker.failed(self._now())
            if race.winner is None:
                self._faults.append(f"{self.name_of(service)} fell silent in the middle of its answer")
        else:
            breaker.abandoned()
        self._cancels.begin(service)

    async def _ask(self, race: AnswerRace, who: int, said: str) -> None:
        service, request = self.services[who], self._request
        try:
            async with asyncio.timeout(START_S):
                await self._cancels.wait(service)
                if service not in self._ready:
                    await self._start(service)
        except Exception as error:  # noqa: BLE001  whatever a provider's set-up raises, the next may work
            fault = self.not_started(service, error)
            if race is self._race and not self.attempt_failed(service, fault):
                await self.push_error(f"{self.name_of(service)}: {fault}")
            return
        if race is not self._race or not race.runs(who) or request is None:
            return
        context = request.context if not said else continued(request.context, said)
        await service.queue_frame(LLMContextFrame(context))

    async def _finish(self) -> None:
        """The answer is over: end it, and begin the next one that waits."""
        self._race = self._request = None
        await self._close()
        if self._requests:
            await self._begin(self._requests.popleft())

    async def _close(self) -> None:
        if self._open:
            self._open = False
            await self.push_frame(LLMFullResponseEndFrame())

    def _cut_off(self) -> None:
        """An interruption or the end has come: nobody waits for this answer any more."""
        self._requests.clear()
        self._speculating = False
        race, self._race, self._request = self._race, None, None
        self._set_deadline()
        if race is not None:
            for who in race.asked:
                if race.runs(who):
                    self._breaker(self.services[who]).abandoned()

    # ------------------------------------------------------------------ what comes out of the models

    async def came_out(self, service: FrameProcessor, frame: Frame, direction: FrameDirection) -> None:
        """Pass on what a model has pushed, if it is the winner's, or no part of an answer."""
        if isinstance(frame, StartFrame):
            await super().came_out(service, frame, direction)
        elif isinstance(frame, _FOR_ALL):
            if self._via.get(frame.id) is service:
                del self._via[frame.id]
                await self.push_frame(frame, direction)
        elif isinstance(frame, ErrorFrame):
            await self._error_came(service, frame)
        elif isinstance(frame, ServiceMetadataFrame):
            if service is self.active:
                await self.push_frame(frame, direction)
        elif self._speculating or not isinstance(
            frame, (*_ANSWERS, LLMFullResponseStartFrame, LLMFullResponseEndFrame)
        ):
            await self.push_frame(frame, direction)
        else:
            await self._answer_came(service, frame, direction)

    async def _answer_came(self, service: FrameProcessor, frame: Frame, direction: FrameDirection) -> None:
        race, who = self._race, self.services.index(service)
        if race is None or not race.runs(who) or service in self._cancels:
            return  # of an answer that nobody waits for
        if isinstance(frame, LLMFullResponseStartFrame):
            self._begun.add(who)
        elif who not in self._begun:
            return  # the end of an answer that was cut off, to an earlier request
        match frame:
            case LLMFullResponseStartFrame():
                if not self._open:
                    self._open = True
                    await self.push_frame(frame, direction)
            case LLMFullResponseEndFrame():
                await self._do(race, race.ended(who, self._now()))
            case LLMTextFrame():
                self._skips_tts = frame.skip_tts
                await self._do(race, race.token(who, frame.text, self._now()))
            case LLMMarkerFrame():
                await self._do(race, race.claims(who, self._now()))
                await self.push_frame(frame, direction)
            case _:
                if race.winner == who:
                    await self.push_frame(frame, direction)

    async def _error_came(self, service: FrameProcessor, frame: ErrorFrame) -> None:
        """An error of one model is not a failure as long as another one can answer."""
        if frame.processor is service and frame.category is not ErrorCategory.APPLICATION:
            running = self._race is not None and self._race.runs(self.services.index(service))
            others = any(other.is_usable for other in self.services if other is not service)
            if running:
                covered = self.attempt_failed(service, frame.error)
            elif self._race is None and service is self._answered:
                covered = False  # its answer is complete and came to nothing: nobody is at it
                self._breaker(service).failed(self._now())
                self._failed_after = service
            else:
                covered = others
            if covered:
                frame.category, frame.metadata[OF_ATTEMPT] = ErrorCategory.APPLICATION, True
        await self.push_frame(frame, FrameDirection.UPSTREAM)

    def attempt_failed(self, service: FrameProcessor, fault: str, *, goes_on: bool = False) -> bool:
        """Note that the answer of a model is none, or has failed. Returns at once.

        Args:
            service: One of the set.
            fault: What is wrong.
            goes_on: Whether the model still writes it.

        Returns:
            Whether another model is at this answer now.
        """
        race, who = self._race, self.services.index(service)
        if race is None or not race.runs(who):
            return race is not None
        if race.winner == who and goes_on:
            return False  # what is wrong with it was said
        self._breaker(self.services[who]).failed(self._now())
        self._go_on_without(race, who, fault)
        if goes_on:
            self._cancels.begin(service)
        return not race.over

    def _go_on_without(self, race: AnswerRace, who: int, fault: str) -> None:
        self._faults.append(f"{self.name_of(self.services[who])}: {fault[:200]}")
        self.create_task(self._do(race, race.failed(who, self._now())), f"{self}::failed")

    async def switch_to(self, service: FrameProcessor) -> None:
        """Make a model the one that is asked first, from now on, and that goes on with the answer of the one before.
        See `ServiceSwitch.switch_to`.
        """
        chosen, race = self._replaced.get(service, service), self._race
        who = self.services.index(self.active)
        if chosen in self.services and chosen is not self.active and race is not None and race.runs(who):
            self._breaker(self.active).abandoned()  # it has not failed, and other calls go on with it
            race.prefer(self.services.index(chosen))
            self._go_on_without(race, who, "another model was chosen")
        await super().switch_to(service)

    def _hold_tools(self, service: FrameProcessor) -> None:
        """Let a model use tools only if its answer has won."""
        if not isinstance(service, LLMService):
            return
        run = service.run_function_calls

        async def run_if_won(function_calls: Sequence[FunctionCallFromLLM]) -> None:
            race = self._race
            if not self._speculating and function_calls:
                who = self.services.index(service)
                if race is None or not race.runs(who) or service in self._cancels:
                    return
                await self._do(race, race.claims(who, self._now()))
                if race.winner != who or race is not self._race:
                    return
                assert self._request is not None
                for call in function_calls:
                    call.context = self._request.context  # and not the copy that a model goes on with
            await run(function_calls)

        service.run_function_calls = run_if_won  # type: ignore[method-assign]

    # ------------------------------------------------------------------ time

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _set_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        due = None if self._race is None else self._race.due()
        if due is not None:
            self._deadline = asyncio.get_running_loop().call_at(due, self._over_deadline)

    def _over_deadline(self) -> None:
        self._deadline = None
        race = self._race
        if race is None or is_cancelling(self):
            return
        latest = race.winner if race.winner is not None else race.asked[-1]
        chunks = chunks_of_answer(self.services[latest])  # type: ignore[arg-type]
        if chunks != self._chunks and race.winner is not None:
            self._chunks = chunks
            race.alive(latest, self._now())
        if (due := race.due()) is not None and due > self._now():
            self._set_deadline()
            return
        self.create_task(self._do(race, race.overdue(self._now())), f"{self}::late")

    async def cleanup(self) -> None:
        """Clean up every model that was set up."""
        if self._deadline is not None:
            self._deadline.cancel()
        await self._cancels.close()
        await super().cleanup()
