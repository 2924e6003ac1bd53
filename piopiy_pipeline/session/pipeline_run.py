"""A chain that runs: its pipecat worker, what is watched while it runs, and how it ends in bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

from loguru import logger
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    LLMMessagesAppendFrame,
    LLMRunFrame,
)
from pipecat.pipeline.capabilities import BotCapabilities
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_response_universal import (
    LLMAssistantAggregator,
    LLMUserAggregator,
)
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.utils.errors import ErrorCategory
from pipecat.workers.runner import WorkerRunner

from piopiy_pipeline.call import EndReason, Turn
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.services.switch import ServiceSwitch
from piopiy_pipeline.session.apology import canned_apology
from piopiy_pipeline.session.call import Call
from piopiy_pipeline.session.client_application import ClientApplication
from piopiy_pipeline.session.contracts import RunOptions
from piopiy_pipeline.session.failure_recovery import RecoveryAction
from piopiy_pipeline.session.monitor import CallMonitor
from piopiy_pipeline.session.pipeline_worker import CallWorker
from piopiy_pipeline.session.provider_clients import close_clients
from piopiy_pipeline.session.rtvi import RtviClient
from piopiy_pipeline.session.speech_drain import LONGEST_GOODBYE_S, SpeechDrain
from piopiy_pipeline.signaling.messages import Answer

__all__ = ["PipelineRun"]

TICK_S = 0.5
"""How often a call is looked at: is an answer overdue, has nobody spoken for too long?"""
CANCEL_S = 2.0
"""How long a pipeline may take to notice that it was cancelled."""
END_S = 5.0
"""How long the end may take to travel down a chain that has nothing left to say."""
INTERRUPT_S = 1.0
"""How long an interruption may take down the chain, before it is gone on without it."""
ECHO_S = 1.0
"""So long the further errors of an STT belong to the first."""
MAX_ERRORS = 200
"""A call with more errors than this ends at once: it costs the others their time."""
CLOSING_LINE = "I am sorry, this does not work at the moment. Please call again later."


def _why(task: asyncio.Task[None]) -> str:
    if task.cancelled():
        return "it was cancelled"
    error = task.exception()
    return f"{type(error).__name__}: {error}"[:500]


class PipelineRun:
    """One run of one chain. `run()` returns when the pipeline has ended and is torn down."""

    def __init__(self, call: Call, chain: CallPipeline, options: RunOptions) -> None:
        self.chain = chain
        self._call = call
        self._idle_timeout_s = options.idle_timeout_s
        self._error_line = options.error_line
        self._tasks: set[asyncio.Task[Any]] = set()
        self._errors = 0
        self._transport = call.transport()
        monitor = self._transport.monitor
        assert isinstance(monitor, CallMonitor)
        self._monitor = monitor
        self._words = SpeechDrain(call, monitor, self._transport.output())
        self._worker = CallWorker(
            chain.freeze(),
            observers=options.observers,
            params=PipelineParams(
                audio_in_sample_rate=call.caller_rate,
                audio_out_sample_rate=call.bot_rate,
                enable_metrics=options.enable_metrics,
                enable_usage_metrics=options.enable_usage_metrics,
                send_initial_empty_metrics=False,
            ),
            cancel_timeout_secs=CANCEL_S,
        )
        self.client = ClientApplication(
            call._link,
            self._transport,
            self,
            typed=self._typed,
            told=lambda message: call._events.emit("message", message),
            leave=call.hangup,
            protocol=call._client_protocol,
        )
        self._worker.add_event_handler("on_pipeline_started", self._started)
        self._worker.add_event_handler("on_pipeline_error", self._provider_error)
        self._listen_to_context()
        self._listen_to_model()
        self._listen_to_tts()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Run something beside the pipeline. It ends with the run."""
        task = asyncio.create_task(work, name=f"{self._call.info.call_id}::{name}")
        self._tasks.add(task)
        task.add_done_callback(self._spawned_done)

    def _spawned_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.opt(exception=error).error("{} failed", task.get_name())

    # ------------------------------------------------------------------ from start to end

    async def run(self) -> None:
        """Run until the pipeline has ended by itself, or the call has."""
        runner = WorkerRunner(handle_sigint=False, check_dangling_tasks=False)
        await runner.add_workers(self._worker)
        running = asyncio.create_task(runner.run(), name=f"{self._call.info.call_id}::pipeline")
        self.spawn(self._watch(), "watch")
        try:
            waits: set[asyncio.Future[Any]] = {running, self._call._end}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if running.done() and not self._call.ended:
                if running.cancelled() or running.exception():
                    self._call._finish(EndReason.ERROR, f"the pipeline failed: {_why(running)}")
                elif self._call._answered_at is None:
                    self._call._finish(EndReason.ERROR, "the pipeline did not start")
                else:
                    self._call._finish(EndReason.AGENT_HANGUP, "the bot hung up")
        finally:
            await self._tear_down(running)

    async def _tear_down(self, running: asyncio.Task[None]) -> None:
        for task in list(self._tasks):
            task.cancel()
        if not running.done():
            # Straight into the pipeline: worker.cancel() would queue behind an EndFrame that a stage
            # has swallowed, and never be read.
            await self._worker.cancel(reason="the call has ended")
            await self._worker.pipeline.queue_frame(CancelFrame(reason="the call has ended"))
            await asyncio.wait({running}, timeout=CANCEL_S)
        if not running.done():
            logger.error("the pipeline did not end when it was cancelled: a stage holds it up")
            running.cancel()
            await asyncio.wait({running}, timeout=CANCEL_S)
        self._monitor.live.close()
        self.client.close()
        await close_clients(self._services())

    async def _started(self, worker: PipelineWorker, frame: Frame) -> None:
        """The chain can hear and speak."""
        self._transport.open()
        self._call._post(Answer(call_id=self._call.info.call_id))
        self._monitor.spoke_at = self._call._now()
        self._call._answered()

    async def drain(self, drain_s: float) -> None:
        """Hang up when the bot has said what it had to say."""
        await self._words.finished(drain_s)
        if self._call._care.busy and not self._call._care.tools_running:
            await self.interrupt()  # the end would queue behind an answer that does not begin
        await self._worker.queue_frame(EndFrame(reason="the bot hung up"))
        loop = asyncio.get_running_loop()
        ending = quiet_since = loop.time()
        while (now := loop.time()) - quiet_since < END_S:  # cancelled when the pipeline has ended
            if self._words.is_heard and now - ending < LONGEST_GOODBYE_S:
                quiet_since = now  # a TTS that was slow to begin says its last words before the end passes
            await asyncio.sleep(0.1)
        logger.error("a stage has swallowed the end of the call")
        self._call._finish(EndReason.AGENT_HANGUP, "the bot hung up; a stage held the end up")

    async def finish_speaking(self) -> None:
        """Wait until what the bot is saying was heard, in bounded time."""
        await self._words.spoken()

    # ------------------------------------------------------------------ what is watched

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK_S)
            now = loop.time()
            if self._call._control.on_hold:  # what the bot says waits, and nothing is heard of the caller
                self._call._care.on_hold(now)
            if self._call._control.on_hold or self._call._control.transferring:
                self._monitor.spoke_at = now  # somebody is waited for, and they are not
            culprit = self._call._care.overdue(now)
            if culprit is not None and not self._monitor.speaking:
                patience = self._call._care.patience_s
                await self._deal_with(culprit, f"no progress for {patience:g} s", stuck=True)
            if self._idle_timeout_s and now - self._monitor.spoke_at >= self._idle_timeout_s:
                self._call._finish(EndReason.IDLE_TIMEOUT, f"nobody spoke for {self._idle_timeout_s:g} s")
                return

    async def _provider_error(self, worker: PipelineWorker, frame: ErrorFrame) -> None:
        stage = frame.processor
        if isinstance(stage, TTSService):
            culprit = "tts"
        elif isinstance(stage, STTService):
            culprit = "stt"
        else:
            culprit = next((n for n in self.chain.names if self.chain[n] is stage), str(stage))
        self._errors += 1
        if self._errors == MAX_ERRORS:
            self._call._finish(
                EndReason.ERROR, f"{culprit}: {self._errors} errors, the last: {frame.error[:400]}"
            )
        if frame.category is ErrorCategory.APPLICATION:
            # A tool has raised, say: the model is told, and its answer is what the caller hears.
            logger.warning("{}: {}", culprit, frame.error)
            self._call._failed(culprit, frame.error)
            return
        hopeless = stage is not None and not stage.is_usable and not self._has_another(stage)
        await self._deal_with(culprit, frame.error, hopeless=hopeless)

    def _has_another(self, service: FrameProcessor) -> bool:
        """Whether a switch can go on with another service."""
        for name in self.chain.names:
            stage = self.chain[name]
            if isinstance(stage, ServiceSwitch) and service in stage.services:
                return any(other.is_usable for other in stage.services)
        return False

    async def _deal_with(
        self, culprit: str, message: str, *, stuck: bool = False, hopeless: bool = False
    ) -> None:
        """A provider failed: apologise and try once more, or say that it does not work and hang up."""
        call = self._call
        remedy = call._care.failed(call._now(), hopeless=hopeless)
        if (
            remedy is RecoveryAction.NOTHING
        ):  # an echo: a provider that fails in a loop must not flood anybody
            logger.debug("{} failed again: {}", culprit, message)
            return
        logger.warning("{} failed: {} ({})", culprit, message, remedy.value)
        call._failed(culprit, message)
        if stuck or culprit == "tts":  # what hangs is cancelled by an interruption, and by nothing else
            await self.interrupt()
        if self._error_line is not None:
            await self._apologise(
                culprit, self._error_line if remedy is RecoveryAction.RETRY else CLOSING_LINE
            )
        if remedy is RecoveryAction.END:
            self.spawn(self._give_up(f"{culprit}: {message}"), "give_up")
        elif culprit == "stt":  # its next utterance is its retry
            self.spawn(self._count_again(), "count_again")
        else:
            await self._retry()

    async def interrupt(self) -> None:
        """Cut off all that is under way; what is queued afterwards is not."""
        self._monitor.interruption.clear()
        await self._worker.pipeline.queue_frame(InterruptionFrame())
        try:
            async with asyncio.timeout(INTERRUPT_S):
                await self._monitor.interruption.wait()
        except TimeoutError:
            logger.warning("a stage does not let an interruption pass")

    async def _retry(self) -> None:
        """Once more: what the TTS did not say, or else the model's answer."""
        lines = self._call._lines.take_unsaid()
        self._call._care.retrying(self._call._now(), answer=not lines)
        for line in lines:
            self._call._speak(line)
        if not lines:
            await self.respond()

    async def _count_again(self) -> None:
        await asyncio.sleep(ECHO_S)
        self._call._care.retrying(self._call._now(), answer=False)

    async def cut_in(self) -> None:
        """Cut off all that is under way, and return when the context knows what was heard of it."""
        await self.interrupt()
        try:
            async with asyncio.timeout(INTERRUPT_S):
                await self._worker.flush_pipeline()
        except TimeoutError:  # speech that must not be interrupted goes on, say
            logger.debug("something is still under way behind an interruption")

    async def queue(self, *frames: Frame) -> None:
        """Put frames in at the beginning of the chain."""
        await self._worker.queue_frames(frames)

    @property
    def capabilities(self) -> BotCapabilities:
        """What a client may expect of this call."""
        return self._worker.capabilities

    def tell_client(self, client: RtviClient) -> None:
        """From now on, a client that speaks RTVI is told what happens."""
        self._monitor.tell_client(client)

    async def respond(self, note: str | None = None) -> None:
        """Have the model answer the conversation as it stands; behind a note, when nobody is speaking."""
        if note is None:
            await self._worker.queue_frame(LLMRunFrame())
            return
        told = LLMMessagesAppendFrame(messages=[{"role": "developer", "content": note}], run_llm=True)
        told.interruptible = False  # what has happened has happened
        assistant = self.chain.find(LLMAssistantAggregator)
        if assistant is None:
            await self._worker.queue_frame(told)
        else:  # this side of the context knows who is speaking, and waits for them
            await assistant.queue_frame(told)

    async def _apologise(self, culprit: str, line: str) -> None:
        speaks = any(isinstance(service, TTSService) for service in self._services())
        if culprit == "tts" or not speaks:  # it cannot speak for itself
            await self._transport.output().queue_frame(canned_apology())
        else:
            self._call._say(line, into_context=False)

    async def _give_up(self, detail: str) -> None:
        """End with what was said heard, in bounded time; somebody who is being called may still take over."""
        if self._call._control.on_hold:
            self._call.hold(False)
        await self._words.apologised()
        await self._call._control.settled()
        self._call._finish(EndReason.ERROR, detail[:500])

    # ------------------------------------------------------------------ what is written down

    def _listen_to_context(self) -> None:
        user = self.chain.find(LLMUserAggregator)
        assistant = self.chain.find(LLMAssistantAggregator)
        if isinstance(user, LLMUserAggregator):
            user.add_event_handler("on_user_turn_stopped", self._user_turn)
            user.add_event_handler("on_before_process_frame", self._monitor.live.reaches_context)
            user.add_event_handler("on_before_push_frame", self._monitor.live.leaves_context)
        if isinstance(assistant, LLMAssistantAggregator):
            assistant.add_event_handler("on_assistant_turn_stopped", self._bot_turn)

    def _listen_to_model(self) -> None:
        for service in self._services():
            if isinstance(service, LLMService):
                service.add_event_handler("on_before_push_frame", self._monitor.live.leaves_model)

    def _listen_to_tts(self) -> None:
        """Hear of a failure before the mark behind the text passes, which would count as heard."""

        async def failed(stage: FrameProcessor, error: ErrorFrame) -> None:
            self._call._lines.voice_failed()

        async def switched(switch: ServiceSwitch, service: FrameProcessor) -> None:
            self._call._lines.voice_changed()

        for service in self._services():
            if isinstance(service, TTSService):
                service.add_event_handler("on_error", failed)
        for name in self.chain.names:
            stage = self.chain[name]
            if isinstance(stage, ServiceSwitch) and isinstance(stage.active, TTSService):
                stage.add_event_handler("on_switched", switched)

    def _services(self) -> Iterator[FrameProcessor]:
        """All stages, and of a switch those in it."""
        for name in self.chain.names:
            stage = self.chain[name]
            yield from stage.services if isinstance(stage, ServiceSwitch) else (stage,)

    async def _user_turn(self, user: LLMUserAggregator, strategy: Any, message: Any) -> None:
        if message.content:
            self._call._care.user_turn(self._call._now())
            self._monitor.live.turn_over("user")
            self._call._add_turn(Turn("user", message.content, self._call._at()))
            self._call._checkpoint(user.context.get_messages())

    def _typed(self, text: str) -> None:
        self._call._care.user_turn(self._call._now())
        self._call._add_turn(Turn("user", text, self._call._at()))

    async def _bot_turn(self, assistant: LLMAssistantAggregator, message: Any) -> None:
        if message.content:
            self._monitor.live.turn_over("bot")
            turn = Turn("bot", message.content, self._call._at(), interrupted=message.interrupted)
            self._call._add_turn(turn)
            self._call._checkpoint(assistant.context.get_messages())
