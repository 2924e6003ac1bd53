"""`PipelineRun`: a pipeline that runs, what is watched meanwhile, and how it ends in bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loguru import logger
from pipecat.frames.frames import CancelFrame, ErrorFrame, Frame
from pipecat.observers.base_observer import BaseObserver
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregator, LLMUserAggregator
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.tts_service import TTSService
from pipecat.workers.runner import WorkerRunner

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.compat.frame_taps import watch_pushes
from piopiy_pipeline.compat.tool_runs import guard_tools
from piopiy_pipeline.error_text import error_text
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.processors.keys import KeysToText
from piopiy_pipeline.services.failover.model_switch import ModelSwitch
from piopiy_pipeline.services.realtime_services import is_realtime
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.caller_turns import CallerTurns, share_late_keys
from piopiy_pipeline.session.client_application import ClientApplication
from piopiy_pipeline.session.context_turns import ContextTurns
from piopiy_pipeline.session.default_lines import language_of, phrases_in
from piopiy_pipeline.session.departure import Departure
from piopiy_pipeline.session.flow.flow_setup import FlowSetup
from piopiy_pipeline.session.hand_off.hand_off_setup import hand_offs_of, voice_change_of
from piopiy_pipeline.session.hand_off.hand_offs import HandOffs
from piopiy_pipeline.session.hand_off.persona import Persona
from piopiy_pipeline.session.held_turns import TurnListener
from piopiy_pipeline.session.limits.stream_guards import StreamGuards
from piopiy_pipeline.session.limits.stream_limits import StreamLimits
from piopiy_pipeline.session.live_events import MODEL_WRITES
from piopiy_pipeline.session.missing_tools import tell_missing_tools
from piopiy_pipeline.session.model.asked_ahead import never_ahead
from piopiy_pipeline.session.model.eager_answers import EagerAnswers
from piopiy_pipeline.session.model.heard_first import HeardFirst
from piopiy_pipeline.session.model.model_output import ModelOutput
from piopiy_pipeline.session.model.model_requests import requests_of
from piopiy_pipeline.session.monitor import CallMonitor
from piopiy_pipeline.session.pending_hangup import PendingHangup
from piopiy_pipeline.session.pipeline_worker import CallWorker
from piopiy_pipeline.session.providers.provider_clients import close_clients
from piopiy_pipeline.session.providers.provider_failures import ProviderFailures
from piopiy_pipeline.session.providers.provider_watches import ProviderWatches
from piopiy_pipeline.session.providers.stage_errors import services_of
from piopiy_pipeline.session.providers.usage_meter import UsageMeter
from piopiy_pipeline.session.realtime import realtime_run_of
from piopiy_pipeline.session.repeated_tools import repeat_tools
from piopiy_pipeline.session.silence_filler import Filler, SilenceFiller
from piopiy_pipeline.session.speaker import Speaker
from piopiy_pipeline.session.speech_end import SpeechEnd
from piopiy_pipeline.signaling.messages import Answer
from piopiy_pipeline.transports.media_stream import MediaStreamTransport
from piopiy_pipeline.turns.caller_pauses import CallerPauses

__all__ = ["PipelineRun", "RunOptions"]

POLL_S = 0.5
"""How often a call is looked at: is an answer overdue, has nobody spoken for too long?"""
LEAST_POLL_S = 0.02
CANCEL_S = 2.0
"""How long a pipeline may take to notice that it was cancelled."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of a run, as `Call.run` describes them."""

    idle_timeout_s: float | None
    error_line: str | None
    enable_metrics: bool
    enable_usage_metrics: bool
    observers: Sequence[BaseObserver]
    tool_timeout_s: float
    filler: Filler | None
    idle: Sequence[str] | bool
    limits: StreamLimits
    flow: FlowSetup | None = None
    personas: Mapping[str, Persona] = field(default_factory=dict)


class PipelineRun:
    """One run of one pipeline. `run()` returns when the pipeline has ended and is torn down.

    Args:
        state: The call.
        pipeline: The stages. They are checked and frozen here.
        transport: The transport of the call.
        monitor: The monitor that the transport reports to.
        options: How to run the pipeline.

    Raises:
        StageError: The pipeline cannot work.
    """

    def __init__(
        self,
        state: CallState,
        pipeline: CallPipeline,
        transport: MediaStreamTransport,
        monitor: CallMonitor,
        options: RunOptions,
    ) -> None:
        self._state = state
        self._pipeline = pipeline
        self._transport = transport
        if pipeline.turn_end is not None and state.resumed is not None:
            pipeline.turn_end.policy.pauses = CallerPauses(state.resumed.pauses)
        self._monitor = monitor
        self._tool_timeout_s = options.tool_timeout_s
        output = transport.output()
        self._worker = CallWorker(
            state,
            pipeline.freeze(),
            observers=options.observers,
            params=PipelineParams(
                audio_in_sample_rate=state.link.caller_rate,
                audio_out_sample_rate=state.link.bot_rate,
                enable_metrics=True,  # `UsageMeter` keeps back what the author has not asked for
                enable_usage_metrics=True,
                send_initial_empty_metrics=False,
            ),
            cancel_timeout_secs=CANCEL_S,
        )
        self.speaker = Speaker(state, pipeline, self._worker, output)
        self.client = ClientApplication(
            state, pipeline, self._worker, transport, monitor, hang_up=self.hang_up
        )
        self._speech_end = SpeechEnd(state, monitor, output)
        self._speech_end.unread = lambda: self.client.unread
        self._hangup = PendingHangup(state, self._worker, self._speech_end)
        services = services_of(pipeline)
        self._usage = UsageMeter(
            services, state.report_usage, times=options.enable_metrics, usage=options.enable_usage_metrics
        )
        state.close_usage, state.count_tokens = self._usage.close, self._usage.count_tokens
        voice = voice_change_of(state, pipeline)
        voice.watch(self.speak_in)
        phrases = self._phrases = phrases_in(voice.begins_in or language_of(services))
        self.departure = Departure(
            state,
            monitor,
            self.speaker,
            self._speech_end,
            is_free=self._has_nothing_to_do,
            is_typing=self._caller_types,
            messages=lambda: () if (source := state.checkpoints.source) is None else source.messages(),
            cut_off=self._worker.interrupt_and_settle,
            goodbye=phrases.drained,
        )
        self._failures = ProviderFailures(
            state,
            pipeline,
            self._worker,
            speaker=self.speaker,
            output=output,
            monitor=monitor,
            speech_end=self._speech_end,
            client=self.client,
            error_line=options.error_line,
            ask_again=phrases.ask_again,
        )
        self._silence = SilenceFiller(
            state,
            monitor,
            speaker=self.speaker,
            output=output,
            filler=options.filler,
            idle=options.idle if not isinstance(options.idle, bool) else phrases.idle if options.idle else (),
            idle_timeout_s=options.idle_timeout_s,
            phrases=phrases,
            has_voice=any(isinstance(service, TTSService) for service in services),
            model_speaks=any(is_realtime(service) for service in services),
        )
        self._idle_by_default = options.idle is True
        self._guard = monitor.guard
        self._eager: EagerAnswers | None = None
        self._realtime = realtime_run_of(
            state, pipeline, output, monitor, asked=self._asked, report=self._failures.report
        )
        self.speaker.realtime = self._realtime
        if self._realtime is None:
            self._failures.requests = requests_of(pipeline, state, monitor, output)
        self._requests = self._failures.requests
        self._worker.add_event_handler("on_pipeline_started", self._started)
        self._worker.add_event_handler("on_pipeline_error", self._failures.on_error)
        self._streams = StreamGuards(
            state, pipeline, options.limits, failures=self._failures, interrupt=self._worker.interrupt
        )
        if self._realtime is not None:
            self._realtime.bound_by(self._streams)
        ContextTurns(state, pipeline, monitor, self._hangup, rtvi=lambda: self.client.protocol)
        share_late_keys(state, pipeline)
        tell_missing_tools(pipeline, come_later=options.flow is not None or bool(options.personas))
        self._add_llm_handlers()
        self.flow = (
            None
            if options.flow is None
            else options.flow.begin_in(
                pipeline, state, worker=self._worker, speaker=self.speaker, hang_up=self.hang_up
            )
        )
        self.hand_offs: HandOffs | None = hand_offs_of(
            pipeline,
            state,
            worker=self._worker,
            speaker=self.speaker,
            speech_end=self._speech_end,
            known=options.personas,
            realtime=self._realtime,
            flow=self.flow,
        )
        self._watches = ProviderWatches(
            state, pipeline, failures=self._failures, monitor=monitor, output=output
        )

    # ------------------------------------------------------------------ from start to end

    async def run(self) -> None:
        """Run until the pipeline has ended by itself, or the call has."""
        state = self._state
        if state.ended:  # while the callback prepared: nobody would hear what is started now
            return await self._tear_down(None)
        runner = WorkerRunner(handle_sigint=False, check_dangling_tasks=False)
        await runner.add_workers(self._worker)
        running = asyncio.create_task(runner.run(), name=f"{state.info.call_id}::pipeline")
        state.spawn(self._watch(), "watch")
        try:
            waits: set[asyncio.Future[Any]] = {running, state.end}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if running.done() and not state.ended:
                if running.cancelled() or running.exception():
                    state.finish(EndReason.ERROR, f"the pipeline failed: {_failure_of(running)}")
                elif state.answered_at is None:
                    state.finish(EndReason.ERROR, "the pipeline did not start")
                else:
                    state.finish(EndReason.AGENT_HANGUP, "the bot hung up")
        finally:
            await self._tear_down(running)

    async def _tear_down(self, running: asyncio.Task[None] | None) -> None:
        self._state.cancel_spawned()
        self._streams.close()
        if running and not running.done() and not self._state.abandoned:
            # Straight into it: worker.cancel() would queue behind an EndFrame that a stage has swallowed.
            await self._worker.cancel(reason="the call has ended")
            await self._worker.pipeline.queue_frame(CancelFrame(reason="the call has ended"))
            await asyncio.wait({running}, timeout=CANCEL_S)
        if running and not running.done():
            if not self._state.abandoned:
                logger.error("the pipeline did not end when it was cancelled: a stage holds it up")
            running.cancel()
            await asyncio.wait({running}, timeout=CANCEL_S)
        self._watches.close()
        self._monitor.live.close()
        self._usage.close()
        self.client.close()
        await close_clients(services_of(self._pipeline))

    async def _started(self, worker: PipelineWorker, frame: Frame) -> None:
        """Answer the call, because the pipeline can hear and speak (pipecat's `on_pipeline_started`)."""
        self._transport.open()
        self._state.post(Answer(call_id=self._state.info.call_id))
        self._monitor.spoke_at = self._state.now()
        if self._guard is not None:
            self._guard.call_began(self._state.now())
        if self.flow is not None:
            await self.flow.restore()
        if self.hand_offs is not None:
            await self.hand_offs.restore()
        self._state.checkpoints.answered()
        self._state.answer()
        repeat_tools(self._state, self._pipeline)
        if self._realtime is not None:
            self._state.spawn(self._realtime.begin(), "realtime_session")
        if self._state.resumed is not None and (asked := self._state.resumed.hangup):
            self.hang_up(final=asked == "final")
        if self.flow is not None:
            self._state.spawn(self.flow.begin(), "flow")

    def speak_in(self, language: str | None) -> None:
        """Say in this language what the author has not worded. None: in the one that the call began with."""
        phrases = self._phrases if language is None else phrases_in(language)
        self._silence.speak_as(phrases, idle=self._idle_by_default)
        self._failures.ask_again = phrases.ask_again
        self.departure.goodbye = phrases.drained

    def hang_up(self, drain_s: float = 5, *, final: bool = True) -> None:
        """End the call when the bot has said what it begins to say within `drain_s` seconds. Returns at once.

        Unless it is `final`, the caller calls the end off by going on to speak.
        """
        self._hangup.begin(drain_s, final=final)

    def transfer_begins(self) -> None:
        """Call off an end that the bot has asked for and that is not final."""
        self._hangup.transfer_begins()

    async def wait_until_spoken(self) -> None:
        """Wait until what the bot is saying was heard, in bounded time."""
        await self._speech_end.wait_until_spoken()

    def _caller_types(self) -> bool:
        """Whether the caller is pressing keys that belong together."""
        keys, held = self._pipeline.find(KeysToText), self._state.held_turns
        return (isinstance(keys, KeysToText) and keys.typing) or (
            held is not None and held.listener.is_typing()
        )

    def hold_turns(self, listener: TurnListener, *, redact: bool) -> CallerTurns:
        """Give the caller's turns to a listener. See `Call.hold_turns`."""
        return CallerTurns(
            self._state,
            self._pipeline,
            self.speaker,
            self._monitor,
            interrupt=self._worker.interrupt,
            is_free=self._has_nothing_to_do,
            listener=listener,
            redact=redact,
            keeps_model=self._requests is not None,
            realtime=self._realtime,
        )

    async def _watch(self) -> None:
        control = self._state.control
        await self._silence.prepare()
        while True:
            due = self._silence.due()
            left_s = POLL_S if due is None else due - self._state.now()
            await asyncio.sleep(min(POLL_S, max(left_s, LEAST_POLL_S)))
            now = self._state.now()
            if control.on_hold:  # what the bot says waits, and the caller is not heard
                self._state.recovery.held(now)
            if control.on_hold or control.transferring:
                self._monitor.spoke_at = now  # caller and bot wait for somebody: that is not idle
            self._failures.check_overdue(now, opens=self._realtime is not None and self._realtime.opens)
            self._silence.check(now)
            if self._realtime is not None:
                self._realtime.check()
            if self._requests is not None:
                await self._requests.tell_news()

    # ------------------------------------------------------------------ models

    def _add_llm_handlers(self) -> None:
        output = ModelOutput(
            asked=self._asked if self._realtime is None else lambda: None,  # its provider tells
            cut=self._state.recovery.request_cut,
            written=self._written,
            failed=self._failures.answer_failed,
            may_be_silent=lambda: self._hangup.is_asked_for or self._state.control.transferring,
            guards=self._streams,
        )
        for service in services_of(self._pipeline):
            if isinstance(service, LLMService):
                guard_tools(
                    service,
                    timeout_s=self._tool_timeout_s,
                    record=self._state.checkpoints,
                    too_many=self._streams.too_many_tools,
                )
                output.watch(service, alone=self._pipeline.find(ModelSwitch) is None)
        for name in self._pipeline.names:
            stage = self._pipeline[name]
            if isinstance(stage, ModelSwitch):
                stage.add_event_handler("on_answered", self._failures.on_answered)
            if isinstance(stage, (LLMService, ModelSwitch)):  # of a switch, what leaves it
                wrote = () if self._answers_ahead(stage) else MODEL_WRITES
                watch_pushes(stage, self._model_wrote, *wrote, ErrorFrame)

    def _answers_ahead(self, stage: FrameProcessor) -> bool:
        """Let this stage begin answers ahead, if it is the one that does."""
        user = self._pipeline.find(LLMUserAggregator)
        turns = self._pipeline.eager
        if turns is None or self._eager is not None or not isinstance(user, LLMUserAggregator):
            return False
        assistant = self._pipeline.find(LLMAssistantAggregator)
        if isinstance(assistant, LLMAssistantAggregator):
            turns.heard_first = HeardFirst(user, assistant).written
        if obstacle := never_ahead(self._pipeline, stage, asked_for=turns.asked_for):
            turns.never(obstacle)
        self._eager = self._failures.eager = EagerAnswers(
            self._state,
            turns,
            user=user,
            stage=stage,
            output=self._transport.output(),
            live=self._monitor.live,
            wrote=self._model_wrote,
            asked=self._asked_ahead,
            written=self._state.recovery.answer_written,
            is_free=self._is_free,
        )
        self.speaker.before_speech = self._eager.make_way
        return True

    def _is_free(self) -> bool:
        """Whether the bot could answer at once."""
        state = self._state
        return state.held_turns is None and not state.control.on_hold and self._has_nothing_to_do()

    @property
    def between_turns(self) -> bool:
        """Whether neither side has a turn under way."""
        return self._has_nothing_to_do() and not (self._monitor.users_turn or self._monitor.speaking)

    def _has_nothing_to_do(self) -> bool:
        """Whether the bot says nothing, and nobody waits for it to; on hold as well, if no speech waits there."""
        state, output = self._state, self._transport.output()
        away = state.control.transferring or self._hangup.is_asked_for
        waits = state.recovery.busy or state.recovery.is_recovering or state.utterances.pending
        waits = waits or (self._realtime is not None and self._realtime.is_about_to_ask)
        return not (state.ended or away or waits or output.has_floor or output.has_unheard)

    def _written(self) -> None:
        if self._eager is None:
            self._state.recovery.answer_written()
        else:
            self._eager.written()

    def _asked_ahead(self) -> None:
        if self._requests is not None:
            self._requests.answered_ahead()
        self._asked(ahead=True)

    def _asked(self, *, ahead: bool = False) -> None:
        now = self._state.now()
        self._state.recovery.asked(now, ahead=ahead)
        self._monitor.live.model_asked()
        if self._guard is not None:
            self._guard.asked(now)

    def _model_wrote(self, stage: FrameProcessor, frame: Frame) -> None:
        self._monitor.live.on_model_output(stage, frame)
        self._state.recovery.model_wrote(frame, self._state.now())


def _failure_of(task: asyncio.Task[None]) -> str:
    error = None if task.cancelled() else task.exception()
    return error_text(error) if error else "it was cancelled"
