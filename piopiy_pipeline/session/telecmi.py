"""Piopiy's transport over a call's own: an author's raw pipeline with a `TelecmiTransport` runs as a chain.

    transport = TelecmiTransport(params=TelecmiParams(vad_analyzer=SileroVADAnalyzer()))
    pipeline = Pipeline([transport.input(), stt, context.user(), llm, tts, transport.output(), context.assistant()])
    await PipelineRunner().run(PipelineTask(pipeline))

It is run by `Call.run`, so that turns, events, recovery and the record of the call are as with a `VoiceAgent`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

from loguru import logger
from pipecat.audio.vad.vad_analyzer import VADAnalyzer
from pipecat.frames.frames import EndFrame, Frame, TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.transports.base_transport import BaseTransport, TransportParams
from pipecat.workers.runner import WorkerRunner

from piopiy_pipeline.call import CallEnd
from piopiy_pipeline.compat.created_aggregators import allow_created_aggregators
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.processors.vad import make_vad
from piopiy_pipeline.session.call import Call, current_call
from piopiy_pipeline.transports.bot_output import BotOutput
from piopiy_pipeline.transports.caller_input import CallerInput

__all__ = ["ChainRunner", "ChainTask", "TelecmiParams", "TelecmiTransport"]

_vad_of_call: ContextVar[VADAnalyzer | None] = ContextVar("telecmi_vad", default=None)

allow_created_aggregators()

MAX_WAITING = 100
"""So many queued frames wait, for the answer of the call or for speech that is being heard."""


class TelecmiParams(TransportParams):
    """Pipecat's parameters, and the VAD, which stood there in Piopiy's SDK.

    Attributes:
        vad_analyzer: The chain gets a VAD stage of it behind the transport's input.
    """

    vad_analyzer: VADAnalyzer | None = None


class TelecmiTransport(BaseTransport):
    """The call in which this runs, as a transport. Where the call is, the callback's context knows.

    Its event handlers are called with the transport first. `on_first_participant_joined`, `on_participant_connected`
    and `on_audio_track_subscribed` get the caller's number when the call is answered; `on_participant_disconnected`,
    `on_audio_track_unsubscribed` when it has ended. `on_connected` and `on_disconnected` get nothing more.

    Args:
        url: As in Piopiy's SDK; the call's own is used.
        token: As in Piopiy's SDK; the call's own is used.
        room_name: As in Piopiy's SDK; the call's own is used.
        params: See `TelecmiParams`.
        input_name: As in pipecat; the names of the call's stages are its own.
        output_name: As in pipecat.

    Raises:
        RuntimeError: This does not run in a callback.
        ValueError: The call's transport has no such parameter.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        room_name: str | None = None,
        params: TransportParams | None = None,
        input_name: str | None = None,
        output_name: str | None = None,
    ) -> None:
        super().__init__(input_name=input_name, output_name=output_name)
        call = current_call.get()
        if call is None:
            raise RuntimeError("a TelecmiTransport belongs to a call: make it inside create_session")
        self.call = call
        _vad_of_call.set(params.vad_analyzer if isinstance(params, TelecmiParams) else None)
        self._inner = call.transport(params)
        caller = call.info.from_number or ""
        for event, arguments in _EVENTS.items():
            self._register_event_handler(event)
            when = "end" if event.endswith(("disconnected", "unsubscribed")) else "answered"
            call.on(when, self._teller(event, (caller,) if arguments else ()))
        self._register_event_handler("on_data_received")
        call.on("message", lambda message: self._call_event_handler("on_data_received", message.data, caller))

    def _teller(self, event: str, arguments: tuple[str, ...]) -> Any:
        async def tell(_: object) -> None:
            await self._call_event_handler(event, *arguments)

        return tell

    def input(self) -> CallerInput:
        """Return the first stage of the pipeline."""
        return self._inner.input()

    def output(self) -> BotOutput:
        """Return the stage that speaks, behind the TTS."""
        return self._inner.output()

    @property
    def participant_id(self) -> str:
        """The call's id."""
        return self.call.info.call_id

    def get_participants(self) -> list[str]:
        """Return the number of the caller, who is the only participant."""
        return [self.call.info.from_number or ""]

    async def send_message(self, message: Any, participant_id: str | None = None) -> None:
        """Send the application at the caller's end a message: see `Call.send_message`."""
        await self.call.send_message(message if isinstance(message, dict) else {"message": message})

    async def mute_participant(self, participant_id: str) -> None:
        """Stop hearing the caller."""
        self.call.mute(True)

    async def unmute_participant(self, participant_id: str) -> None:
        """Hear the caller again."""
        self.call.mute(False)


_EVENTS = {
    "on_connected": 0,
    "on_disconnected": 0,
    "on_first_participant_joined": 1,
    "on_participant_connected": 1,
    "on_participant_disconnected": 1,
    "on_audio_track_subscribed": 1,
    "on_audio_track_unsubscribed": 1,
}


class ChainTask:
    """`PipelineTask` of a pipeline with a call's transport in it. Of any other pipeline, pipecat's own is made.

    Args:
        pipeline: The pipeline.
        params: Whether metrics and usage are measured. The sample rates are the call's.
        idle_timeout_secs: The call ends when neither side has spoken for so many seconds. None: never.
        options: Pipecat's other options, which belong to pipelines of its own.

    Raises:
        TypeError: There are other options.
    """

    def __new__(cls, pipeline: Pipeline, **options: Any) -> Any:
        if any(isinstance(stage, CallerInput) for stage in pipeline.processors):
            return super().__new__(cls)
        return PipelineWorker(pipeline, **options)

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        params: PipelineParams | None = None,
        idle_timeout_secs: float | None = 300,
        **options: Any,
    ) -> None:
        if options:
            raise TypeError(
                f"PipelineTask({next(iter(options))}=...) is not for the pipeline of a call: give `params` and "
                "`idle_timeout_secs`, or run a CallPipeline with call.run()"
            )
        call = current_call.get()
        if call is None:
            raise RuntimeError(
                "a pipeline with a TelecmiTransport belongs to a call: make it inside create_session"
            )
        self.call: Call = call
        self._params = params or PipelineParams()
        self._idle_timeout_secs = idle_timeout_secs
        self._stages = [stage for stage in pipeline.processors[1:-1] if isinstance(stage, FrameProcessor)]
        self._vad = _vad_of_call.get()
        self._waiting: list[Frame] = []
        self._answered = False
        self._sending: asyncio.Task[None] | None = None
        call.on("answered", self._on_answered)

    def chain(self) -> CallPipeline:
        """Return the stages as a chain, named after their classes, with the VAD of the transport's parameters."""
        names: dict[str, FrameProcessor] = {}
        for stage in self._stages:
            name = type(stage).__name__
            names[name if name not in names else f"{name}_{len(names)}"] = stage
        chain = CallPipeline(names.items())
        if self._vad is not None and (vad := make_vad(self._vad)) is not None:
            chain.insert(
                "vad", vad, after=next(name for name in names if isinstance(names[name], CallerInput))
            )
        return chain

    async def queue_frame(self, frame: Frame) -> None:
        """Queue a frame, as `queue_frames` does."""
        await self.queue_frames([frame])

    async def queue_frames(self, frames: Iterable[Frame]) -> None:
        """Queue frames; they are sent in order once the call is answered, each after the speech before it was heard.

        Args:
            frames: A `TTSSpeakFrame` is said as by `Call.say`, an `EndFrame` hangs up, others go through the chain. One
                that cannot be sent is logged, and those behind it are sent.

        Raises:
            RuntimeError: Too many frames wait.
        """
        frames = list(frames)
        if len(self._waiting) + len(frames) > MAX_WAITING:
            raise RuntimeError(f"more than {MAX_WAITING} queued frames wait to be sent")
        self._waiting += frames
        self._send()

    def _on_answered(self, _: object) -> None:
        self._answered = True
        self._send()

    def _send(self) -> None:
        """Send what waits, beside the stage or the handler that queued it: speech waits until it was heard."""
        if self._answered and self._waiting and (self._sending is None or self._sending.done()):
            self._sending = asyncio.create_task(
                self._send_all(), name=f"{self.call.info.call_id}::queued frames"
            )

    async def _send_all(self) -> None:
        while self._waiting:
            frame = self._waiting.pop(0)
            try:
                if isinstance(frame, EndFrame):
                    await self.call.hangup()
                elif isinstance(frame, TTSSpeakFrame):
                    known = frame.append_to_context is not False
                    await self.call.say(frame.text, interruptible=frame.interruptible, into_context=known)
                else:
                    await self.call.transport().input().queue_frame(frame)
            except Exception as error:  # noqa: BLE001  the frames behind it are sent all the same
                logger.error("{} was queued and not sent: {}", type(frame).__name__, error)

    async def cancel(self, **_: Any) -> None:
        """End the call."""
        await self.call.hangup()

    async def stop_when_done(self) -> None:
        """End the call when what the bot is saying was heard."""
        await self.call.hangup()

    async def run(self) -> CallEnd:
        """Run the chain until the call has ended."""
        try:
            return await self.call.run(
                self.chain(),
                idle_timeout_s=self._idle_timeout_secs,
                enable_metrics=self._params.enable_metrics,
                enable_usage_metrics=self._params.enable_usage_metrics,
            )
        finally:
            if self._sending is not None:
                self._sending.cancel()
                await asyncio.wait({self._sending})


class ChainRunner:
    """`PipelineRunner`: runs a `ChainTask` on its call, and any other task as pipecat does.

    Args:
        options: Pipecat's, for tasks of its own.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options

    async def run(self, task: Any) -> None:
        """Run the task to its end.

        Args:
            task: A `ChainTask`, or a worker of pipecat's.
        """
        if isinstance(task, ChainTask):
            await task.run()
            return
        runner = WorkerRunner(**self._options)
        await runner.add_workers(task)
        await runner.run()
