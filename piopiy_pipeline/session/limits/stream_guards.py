"""`StreamGuards`: the bounds of everything that streams in one call, and what becomes of it when one is met.

Each stage has a `StageGuard`, each voice a `VoiceGuard`, and `ModelOutput` asks for the budget of each model's
answer. What is too much is cut and put on record. What goes on when it was cut ends the call.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from itertools import pairwise
from typing import Any, Protocol

from loguru import logger
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_input import BaseInputTransport

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.compat.frame_taps import guard_pushes
from piopiy_pipeline.compat.pipecat import cancel_answer
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.services.failover.switch import ServiceSwitch
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.limits.answer_budget import AnswerBudget
from piopiy_pipeline.session.limits.stage_flow import LoopShare
from piopiy_pipeline.session.limits.stage_guard import StageGuard
from piopiy_pipeline.session.limits.stream_limits import StreamLimits
from piopiy_pipeline.session.limits.voice_guard import VoiceGuard

__all__ = ["StreamGuards"]

STOPS_S = 3.0
"""What was cut off has to stop within so many seconds."""
_PACED = (LLMService, TTSService, ServiceSwitch, BaseInputTransport)
"""They have bounds of their own, or push what others have made."""


class StreamFailures(Protocol):
    """Deals with what the guards find. `ProviderFailures` does."""

    def name_of(self, stage: FrameProcessor | None) -> str:
        """Return the name of a stage."""

    def report(self, stage: FrameProcessor, message: str) -> None:
        """Put on record what is wrong with a stage."""

    def voice_failed(self, voice: TTSService, fault: str) -> None:
        """Cut a voice off, and try once more."""

    def stt_is_mute(self, service: STTService, fault: str, for_good: bool) -> None:
        """Go on with another STT, or without one."""


class StreamGuards:
    """Guards the stages of one pipeline. To be made before the pipeline runs.

    Args:
        state: The call.
        pipeline: The pipeline.
        limits: The limits of the call.
        failures: Is told what has failed.
        interrupt: Cuts off everything that is under way in the pipeline.
    """

    def __init__(
        self,
        state: CallState,
        pipeline: CallPipeline,
        limits: StreamLimits,
        *,
        failures: StreamFailures,
        interrupt: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self._state = state
        self._limits = limits
        self._failures = failures
        self._interrupt = interrupt
        self._share = LoopShare()
        self._cut: dict[FrameProcessor, float] = {}  # when what a stage made was cut off
        self._reported: set[tuple[str, str]] = set()
        self._voices: list[VoiceGuard] = []
        self._tools = 0
        self.cancel: Callable[[LLMService[Any]], Coroutine[Any, Any, None]] = cancel_answer
        """Cancels the answer that a model gives."""
        chain = [pipeline[name] for name in pipeline.names]
        guards = [self._guard(stage) for stage in chain]
        for before, behind in pairwise(guards):
            before.next, behind.previous = behind, before
        for stage in chain:
            for service in stage.services if isinstance(stage, ServiceSwitch) else (stage,):
                if service is not stage:
                    self._guard(service)
                if isinstance(service, TTSService):
                    self._voices.append(self._guard_voice(service))

    def close(self) -> None:
        """Let nothing wait any more, because the call is over."""
        for voice in self._voices:
            voice.close()

    # ------------------------------------------------------------------ stages

    def _guard(self, stage: FrameProcessor) -> StageGuard:
        guard = StageGuard(
            self._limits,
            self._share,
            now=self._state.now,
            ended=lambda: self._state.ended,
            too_long=partial(self._report, stage),
            floods=lambda: self._floods(stage, guard),
        )
        guard.flow.paced = isinstance(stage, _PACED)
        guard_pushes(stage, guard)
        return guard

    def _floods(self, stage: FrameProcessor, guard: StageGuard) -> None:
        rate = self._limits.frames_a_second
        fault = f"it pushes more than {rate:g} frames a second"
        now = self._state.now()
        if stage in self._cut:
            if now - self._cut[stage] >= STOPS_S:
                self._goes_on(stage, f"{fault}, although it was cut off")
            return
        self._cut[stage] = now
        guard.flow.flood_s = STOPS_S
        guard.flow.begin_anew(now)
        if isinstance(stage, STTService):
            self._failures.stt_is_mute(stage, fault, True)
            return
        self._report(stage, f"{fault}: cut off")
        self._state.spawn(self._interrupt(), "flood")

    # ------------------------------------------------------------------ voices and models

    def _guard_voice(self, voice: TTSService) -> VoiceGuard:
        return VoiceGuard(
            voice,
            self._limits,
            self._share,
            now=self._state.now,
            cut=partial(self._cut_voice, voice),
            failed=partial(self._failures.voice_failed, voice),
            goes_on=partial(self._goes_on, voice),
        )

    def _cut_voice(self, voice: TTSService, fault: str, mark: int | None) -> None:
        """A voice was cut: whoever waits for the utterance is told that its end was not heard."""
        if mark is not None:
            self._state.utterances.cut_short(mark)
        self._report(voice, fault)

    def budget(self) -> AnswerBudget:
        """Return the budget of a model's answers."""
        return AnswerBudget(self._limits)

    def too_many_tools(self, number: int) -> str | None:
        """Count a tool that a model wants to use. Returns why it does not run, as a sentence for the model, or None.

        Args:
            number: The number of the tool within its answer, from 1 on.
        """
        limits = self._limits
        if number > limits.tools_an_answer:
            fault = f"more than {limits.tools_an_answer} tools in one answer"
        elif self._tools >= limits.tools_a_call:
            fault = f"more than {limits.tools_a_call} tools in one call"
        else:
            self._tools += 1
            return None
        return f"The tool did not run: {fault}. Go on with the results that there are."

    def answer_overran(self, service: LLMService[Any], fault: str) -> None:
        """A model has written too much, and goes on: cut its answer off. To be called for each further piece."""
        now = self._state.now()
        cut_at = self._cut.get(service)
        if cut_at is None:
            self._cut[service] = now
            self._report(service, fault)
            self._state.spawn(self.cancel(service), "cancel_answer")
        elif now - cut_at > STOPS_S:
            self._goes_on(service, f"{fault}, and it goes on writing")

    def spoke(self, service: LLMService[Any], seconds: float, mark: int | None = None) -> bool:
        """Take how much speech the answer of a model has that speaks. Returns whether what comes is too much.

        Args:
            service: The model.
            seconds: How much there is.
            mark: The number of the utterance's mark, if the model was told to say it.
        """
        too_long = seconds > self._limits.answer_s
        if too_long:
            if mark is not None:
                self._state.utterances.cut_short(mark)
            self.answer_overran(service, f"an answer of more than {self._limits.answer_s:g} s: it was cut")
        return too_long

    def answer_ended(self, service: LLMService[Any]) -> None:
        """The answer of a model has ended."""
        self._cut.pop(service, None)

    # ------------------------------------------------------------------ on record

    def _report(self, stage: FrameProcessor, fault: str) -> None:
        if self._state.ended or (stage.name, fault) in self._reported or len(self._reported) > 50:
            return
        self._reported.add((stage.name, fault))
        logger.warning("{}: {}", stage, fault)
        self._failures.report(stage, fault)

    def _goes_on(self, stage: FrameProcessor, fault: str) -> None:
        if not self._state.ended:
            name = self._failures.name_of(stage)
            logger.error("{}: {}", stage, fault)
            self._failures.report(stage, fault)
            self._state.finish(EndReason.ERROR, f"{name}: {fault}")
