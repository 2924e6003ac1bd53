"""`ProviderFailures`: what the caller hears, and what the call does, when a provider fails or hangs.

The shell of `FailureRecovery`, which decides: this carries out the apology, the retry and the end.
"""

from __future__ import annotations

import asyncio
import wave
from functools import lru_cache, partial
from importlib.resources import files

from loguru import logger
from pipecat.frames.frames import ErrorFrame, OutputAudioRawFrame
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.utils.errors import ErrorCategory

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.compat.pipecat import leave_empty_turn
from piopiy_pipeline.compat.tool_runs import OF_TOOL
from piopiy_pipeline.error_text import error_text
from piopiy_pipeline.metrics.agent_counts import COUNTS
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.services.failover.model_switch import ModelSwitch
from piopiy_pipeline.services.failover.service_names import count_failover, kind_of, provider_name
from piopiy_pipeline.services.failover.switch import OF_ATTEMPT, ServiceSwitch
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.client_application import ClientApplication
from piopiy_pipeline.session.events import CallError
from piopiy_pipeline.session.failure_recovery import RecoveryAction
from piopiy_pipeline.session.model.eager_answers import EagerAnswers
from piopiy_pipeline.session.model.model_requests import ModelRequests
from piopiy_pipeline.session.monitor import CallMonitor
from piopiy_pipeline.session.pipeline_worker import CallWorker
from piopiy_pipeline.session.providers.stage_errors import StageErrors, services_of
from piopiy_pipeline.session.providers.voice_progress import VoiceProgress
from piopiy_pipeline.session.speaker import Speaker
from piopiy_pipeline.session.speech_end import SpeechEnd
from piopiy_pipeline.transports.bot_output import BotOutput

__all__ = ["CLOSING_LINE", "DEFAULT_ERROR_LINE", "ProviderFailures"]

ECHO_S = 1.0
"""Further errors of an STT belong to the first one for this long, in seconds."""
MAX_ERRORS = 200
"""A call with this many errors ends at once: it takes CPU time from the others."""
MAX_EARLY = 10
"""So many different errors are reported of the time before the call is answered."""
TOOL_POLL_S = 0.1
DEFAULT_ERROR_LINE = "I am sorry, something went wrong. One moment, please."
CLOSING_LINE = "I am sorry, this does not work at the moment. Please call again later."


class ProviderFailures:
    """Deals with the failures of one pipeline's providers.

    Args:
        state: The call.
        pipeline: The pipeline of the call.
        worker: Runs the pipeline; an interruption cuts off a stage that hangs.
        speaker: Says the apology and asks the model once more.
        output: Plays the recorded apology, when the TTS is what fails.
        monitor: Knows whether the bot is heard.
        speech_end: Waits until the caller has heard the end of what the bot says.
        client: Is told of errors if it speaks RTVI.
        error_line: What the bot says before it tries once more; None for nothing.
        ask_again: The same for an STT that has failed, if the author has not chosen the line.
    """

    def __init__(
        self,
        state: CallState,
        pipeline: CallPipeline,
        worker: CallWorker,
        *,
        speaker: Speaker,
        output: BotOutput,
        monitor: CallMonitor,
        speech_end: SpeechEnd,
        client: ClientApplication,
        error_line: str | None,
        ask_again: str,
    ) -> None:
        self._state = state
        self._pipeline = pipeline
        self._worker = worker
        self._speaker = speaker
        self._output = output
        self._monitor = monitor
        self._speech_end = speech_end
        self._client = client
        self._error_line = error_line
        self.ask_again = ask_again
        self._errors = 0
        self._stages = StageErrors(pipeline)
        self._voice = VoiceProgress(state.now())
        self._asked_again_at = float("-inf")
        self._early: set[tuple[str, str]] = set()  # what has failed before the answer
        self.eager: EagerAnswers | None = None
        """Has answers begun ahead, whose failures nobody hears of."""
        self.requests: ModelRequests | None = None
        """Knows whether the model is asked already."""

    async def on_error(self, worker: PipelineWorker, frame: ErrorFrame) -> None:
        """Handle an error that a stage has reported (pipecat's `on_pipeline_error`)."""
        stage = frame.processor
        culprit = frame.metadata.get(OF_TOOL) or self.name_of(stage)
        self._errors += 1
        if self._errors == MAX_ERRORS:
            detail = f"{culprit}: {self._errors} errors, the last: {frame.error[:400]}"
            self._state.finish(EndReason.ERROR, detail)
        if stage is not None:
            await self._stages.raised(stage, frame)  # of a processor that stands in no pipeline
        message = self._stages.text_of(stage, frame.error)
        if frame.category is ErrorCategory.APPLICATION:
            # A tool has raised, for example: the model gets the error, and the caller hears its answer.
            if frame.metadata.get(OF_ATTEMPT):
                self._report_with_answer(culprit, message)
            else:
                self._report(culprit, frame.error if OF_TOOL in frame.metadata else message)
            return
        hopeless = stage is not None and not stage.is_usable and not self.has_another(stage)
        ahead = self.eager is not None and culprit in ("llm", "tts") and await self.eager.failed(frame.error)
        if not ahead or hopeless:
            await self._recover(culprit, message, service=stage, hopeless=hopeless, logged=True)
        elif stage is not None and not stage.is_usable:
            self._report(culprit, message)  # it has failed for good, and another one is in its place

    def check_overdue(self, now: float, *, opens: bool = False) -> None:
        """Treat an answer that makes no progress as a failure. Call this from time to time. Returns at once.

        Args:
            now: The time, in seconds.
            opens: Whether a session is being opened, in bounded time, without which nothing makes progress.
        """
        recovery = self._state.recovery
        if self._state.control.on_hold or recovery.is_recovering or opens:
            self._voice.reset(now)
        if opens:
            recovery.held(now)
        hangs = self._voice.overdue(
            now, pending=self._state.utterances.pending, patience_s=recovery.patience_s
        )
        culprit = recovery.overdue(now)
        if (culprit is not None and not self._monitor.speaking) or hangs:
            self._voice.reset(now)
            failing = self._recover(
                culprit or "tts", f"no progress for {recovery.patience_s:g} s", stuck=True, stalled=True
            )
            self._state.spawn(failing, "overdue")

    def voice_made(self, seconds: float) -> None:
        """Note that a voice has made so much sound, in seconds."""
        self._voice.made(seconds, self._state.now())

    def voice_failed(self, voice: FrameProcessor, fault: str) -> None:
        """A voice (a TTS, or a model that speaks) makes sound without end, or the like: cut it off, and try once more.
        Returns at once.
        """
        self._state.spawn(self._recover("tts", fault, service=voice, stuck=True), "voice_failed")

    def report(self, stage: FrameProcessor, message: str) -> None:
        """Report what is wrong with a stage to whoever watches the call, to the client and to the author."""
        self._report(self.name_of(stage), self._stages.text_of(stage, message))

    def answer_failed(self, stage: FrameProcessor, what: str, goes_on: bool) -> None:
        """An answer of a model has failed without an error. Returns at once.

        Args:
            stage: The model's service.
            what: What is wrong with the answer.
            goes_on: Whether the model still writes it, so that it has to be cut off.
        """
        for name in self._pipeline.names:
            switch = self._pipeline[name]
            if (
                isinstance(switch, ModelSwitch)
                and stage in switch.services
                and switch.attempt_failed(stage, what, goes_on=goes_on)
            ):
                self._report_with_answer(name, self._stages.text_of(stage, what))
                return
        if self.eager is None or not self.eager.answer_failed(what):
            self._state.spawn(self._recover(self.name_of(stage), what, stuck=goes_on), "answer_failed")

    async def on_answered(self, switch: ModelSwitch, service: FrameProcessor, trouble: str) -> None:
        """Put on record which model has answered, if it was not the first one, or not in time."""
        if service is not switch.active:
            count_failover(switch.active)
        if trouble:
            self._report_with_answer(self.name_of(service), f"{switch.name_of(service)} answers: {trouble}")

    def name_of(self, stage: FrameProcessor | None) -> str:
        """Return the name of a stage: of a service in a switch, that of the switch."""
        return self._stages.name_of(stage)

    def is_active(self, service: FrameProcessor) -> bool:
        """Return whether a service is in use: it stands in no switch, or is the active one there."""
        stages = (self._pipeline[name] for name in self._pipeline.names)
        switches = (
            stage for stage in stages if isinstance(stage, ServiceSwitch) and service in stage.services
        )
        return all(switch.active is service for switch in switches)

    def has_another(self, service: FrameProcessor) -> bool:
        """Return whether a switch can go on with another service."""
        for name in self._pipeline.names:
            stage = self._pipeline[name]
            if isinstance(stage, ServiceSwitch) and service in stage.services:
                return any(other.is_usable for other in stage.services if other is not service)
        return False

    def _report(self, culprit: str, message: str) -> None:
        """Report an error to whoever watches the call, to the client and to the author."""
        self._state.report("error", {"stage": culprit, "message": message[:500]})
        self._client.send_error(f"{culprit}: {message[:500]}")
        self._state.events.emit("error", CallError(culprit, message))

    def _report_with_answer(self, culprit: str, message: str) -> None:
        """Report an error that has not cost the answer: of an answer ahead only when that is said."""
        if self.eager is None:
            self._report(culprit, message)
        else:
            self.eager.when_said(partial(self._report, culprit, message))

    async def _recover(
        self,
        culprit: str,
        message: str,
        *,
        service: FrameProcessor | None = None,
        stuck: bool = False,
        stalled: bool = False,
        hopeless: bool = False,
        logged: bool = False,
    ) -> None:
        """Apologise and try once more, or say that it does not work and end the call."""
        is_voice, culprit = culprit == "tts", self._stages.blamed(culprit)
        if self._state.answered_at is None:
            self._fail_early(culprit, message, service=service, hopeless=hopeless)
            return
        if self.requests is not None and culprit != "stt":
            self.requests.failed()
        action = self._state.recovery.failed(self._state.now(), hopeless=hopeless)
        if (
            action is RecoveryAction.NOTHING
        ):  # an echo: a provider that fails in a loop must not flood anybody
            logger.debug("{} failed again: {}", culprit, message)
            return
        logger.warning("{} failed{} ({})", culprit, "" if logged else f": {message}", action.value)
        if not (hopeless and (culprit, message) in self._early):  # it was reported when it failed
            self._report(culprit, message)
        partly_said = self._state.recovery.partly_said
        if stuck:
            self._count_hanging(culprit, service)
        if stuck and is_voice:
            self._state.utterances.tts_failed()
        if stuck or is_voice:  # nothing but an interruption cancels a stage that hangs
            await self._worker.interrupt_and_settle()  # the model is to know of tools that have begun
        if stalled and action is RecoveryAction.RETRY:
            self._speaker.answer_stalled()
        replaced = action is RecoveryAction.RETRY and self._fail_over(culprit, service)
        if self._error_line is not None and not (replaced and is_voice):
            try:
                await self._apologise(culprit, action)
            except Exception as error:  # noqa: BLE001  what follows is what ends the call
                logger.opt(exception=error).error("the apology failed: {}", error_text(error))
        if action is RecoveryAction.END:
            self._state.spawn(self._give_up(f"{culprit}: {message}"), "give_up")
        elif culprit == "stt":  # the next utterance of the caller is its retry
            self._state.spawn(self._end_echo(), "end_echo")
        else:
            waits = partly_said and not stuck and not is_voice
            self._state.spawn(self._retry(when_heard=waits), "retry")

    def _fail_early(
        self, culprit: str, message: str, *, service: FrameProcessor | None, hopeless: bool
    ) -> None:
        """Deal with a failure before the call is answered, when nobody hears an apology and nothing was asked for.

        What is not given up yet is tried when it is first needed. What is given up ends the call, as soon as the
        caller can be told.
        """
        if (culprit, message) not in self._early and len(self._early) < MAX_EARLY:
            self._early.add((culprit, message))
            logger.warning("{} failed before the call is answered", culprit)
            self._report(culprit, message)
        if hopeless:
            self._state.spawn(self._end_when_answered(culprit, message, service), "failed_early")
        else:
            self._fail_over(culprit, service)

    async def _end_when_answered(self, culprit: str, message: str, service: FrameProcessor | None) -> None:
        await self._state.until_answered()
        await self._recover(culprit, message, service=service, hopeless=True, logged=True)

    def _count_hanging(self, culprit: str, service: FrameProcessor | None) -> None:
        """Count a provider that has reported no error, and whose answer does not come or end."""
        if service is None and culprit in self._pipeline:
            stage = self._pipeline[culprit]
            service = stage.active if isinstance(stage, ServiceSwitch) else stage
        if service is not None and (kind := kind_of(service)) is not None:
            COUNTS.provider_failed(kind, provider_name(service))

    def _fail_over(self, culprit: str, service: FrameProcessor | None) -> bool:
        """Give the work of a voice or an STT that has failed to the next one, if there is one.

        Without a `service`, the active one of the stage has failed.
        """
        if culprit not in self._pipeline:
            return False
        stage = self._pipeline[culprit]
        if not isinstance(stage, ServiceSwitch) or isinstance(stage, ModelSwitch):
            return False
        return stage.fail_over(service or stage.active)

    def stt_is_mute(self, service: STTService, fault: str, for_good: bool) -> None:
        """An STT says nothing while the caller speaks: ask the caller again, or go on with another. Returns at
        once.

        Args:
            service: The STT.
            fault: What is wrong.
            for_good: Whether the caller was asked often enough.
        """
        self._state.spawn(self._deal_with_mute(service, fault, for_good), "mute_stt")

    async def _deal_with_mute(self, service: STTService, fault: str, for_good: bool) -> None:
        if for_good or self.has_another(service):
            await service.set_usable(False)
            await service.push_error(fault, category=ErrorCategory.UNKNOWN)
            return
        logger.warning("{}: {}", self._stages.title_of(service), fault)
        self._report(self.name_of(service), self._stages.text_of(service, fault))
        if self._error_line is not None and not self._monitor.speaking:
            await self._apologise("stt", RecoveryAction.RETRY)

    async def _apologise(self, culprit: str, action: RecoveryAction) -> None:
        line = self._error_line or ""
        if culprit == "stt" and isinstance(user := self._pipeline.find(LLMUserAggregator), LLMUserAggregator):
            leave_empty_turn(user)
        if culprit == "stt" and action is RecoveryAction.RETRY:
            silent = self._monitor.caller_began_at == float("-inf") and any(
                stage == "stt" for stage, _ in self._early
            )
            if silent or self._monitor.caller_began_at < self._asked_again_at:
                return  # the caller has said nothing yet, or was asked when the STT was mute
            self._asked_again_at = self._state.now()
        if action is RecoveryAction.END:
            line = CLOSING_LINE
        elif culprit == "stt" and line == DEFAULT_ERROR_LINE:
            line = self.ask_again
        speaks = self._pipeline.typed or any(isinstance(s, TTSService) for s in services_of(self._pipeline))
        if culprit == "tts" or not speaks:  # the bot has no voice to apologise with
            await self._output.queue_frame(recorded_apology())
            return
        self._speaker.say(line, into_context=False)

    async def _retry(self, *, when_heard: bool) -> None:
        """Try once more what the TTS did not say, or else the answer of the model.

        A model whose answer was said in part is to know what the caller has heard (`when_heard`).
        """
        if when_heard:
            await self._speech_end.wait_until_spoken()
            if (
                self._state.utterances.has_unsaid
            ):  # the voice has failed meanwhile: what it holds back is void
                await self._worker.interrupt_and_settle()
        unsaid = []
        for utterance in self._state.utterances.take_unsaid():
            if utterance.into_context:
                unsaid.append(utterance)
            else:
                utterance.done(False)  # it was to bridge a silence, or an apology
        asked = self._is_asked  # a tool has returned meanwhile, for example
        waits = not (unsaid or asked) and self._waits_for_tool
        self._state.recovery.retrying(self._state.now(), answer=not (unsaid or waits or asked))
        for utterance in unsaid:
            self._speaker.repeat(utterance)
        if waits:
            asked = await self._asked_with_result()
        if not unsaid and not asked:
            await self._speaker.respond()

    @property
    def _is_asked(self) -> bool:
        """Whether the model was asked since the failure, and no interruption is on its way that will undo it.

        While one is, to ask once more is right: that request follows behind it, and is dropped if another has.
        """
        if self._state.own_interruption is not None:
            return False
        return self._state.recovery.answer_open or (self.requests is not None and self.requests.made)

    @property
    def _waits_for_tool(self) -> bool:
        return self.requests is not None and self.requests.result_due

    async def _asked_with_result(self) -> bool:
        """Wait for the tools of this turn, each of which has a deadline, because their results ask the model.

        Returns:
            Whether they have.
        """
        while self._waits_for_tool and not self._is_asked:  # noqa: ASYNC110  several things end the wait
            await asyncio.sleep(TOOL_POLL_S)
        await asyncio.sleep(TOOL_POLL_S)  # the result is on its way to the conversation
        return self._is_asked or (self.requests is not None and self.requests.owed)

    async def _end_echo(self) -> None:
        await asyncio.sleep(ECHO_S)
        self._state.recovery.retrying(self._state.now(), answer=False)

    async def _give_up(self, detail: str) -> None:
        """End the call when the caller has heard why. A transfer in progress may still succeed."""
        if self._state.control.on_hold and not self._state.ended:
            self._state.control.switch("hold", False)
        await self._speech_end.wait_until_apologised()
        if unsaid := self._state.utterances.take_unsaid():  # the voice has failed, too
            for utterance in unsaid:
                utterance.done(False)
            await self._output.queue_frame(recorded_apology())
            await self._speech_end.wait_until_apologised()
        await self._state.control.wait_for_transfer()
        self._state.finish(EndReason.ERROR, detail[:500])


@lru_cache(maxsize=1)
def _apology() -> tuple[bytes, int]:
    with (files(__package__) / "apology.wav").open("rb") as file, wave.open(file) as recording:
        return recording.readframes(recording.getnframes()), recording.getframerate()


def recorded_apology() -> OutputAudioRawFrame:
    """Return a recorded "I am sorry, something went wrong", for the call whose TTS fails: about 2 s, PCM16 mono."""
    pcm, rate = _apology()
    frame = OutputAudioRawFrame(pcm, rate, 1)
    frame.interruptible = False
    return frame
