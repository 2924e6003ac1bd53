"""Listens to the stages that ask network providers: what they were asked, and what they answered, when.

No stage is added to the chain. A model and a recogniser tell by pipecat's own events around the
frames that they take and push. A voice's answers go through `append_to_audio_context`, in which the
base class gathers audio and words of all providers alike, so that is where one listens: before the
audio waits for its turn.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    FunctionCallsStartedFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
)
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.utils.context.word_timestamp_tracker import WordTimestamp

from piopiy_pipeline.capture.content import kind_of, llm_content, runs_locally, tts_content
from piopiy_pipeline.capture.format import StageLine
from piopiy_pipeline.capture.secrets import Scrubber, secrets_of
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.services.switch import ServiceSwitch

if TYPE_CHECKING:
    from piopiy_pipeline.capture.call_capture import CallCapture

__all__ = ["listen_to_providers", "services_in"]


def services_in(chain: CallPipeline) -> Iterator[tuple[str, FrameProcessor]]:
    """All stages with their names, and of a switch those that are in it."""
    for name in chain.names:
        stage = chain[name]
        for service in stage.services if isinstance(stage, ServiceSwitch) else (stage,):
            yield name, service


def listen_to_providers(chain: CallPipeline, recorder: CallCapture, scrubber: Scrubber) -> list[StageLine]:
    """Have `recorder` hear of every exchange with a network provider. Returns what the chain is made of."""
    stages = []
    for name, service in services_in(chain):
        network = kind_of(service) is not None and not runs_locally(service)
        stages.append(StageLine(name=name, stage=type(service).__name__, network=network))
        if not network:
            continue
        scrubber.learn(secrets_of(service))
        if isinstance(service, STTService):
            _Ear(service, recorder)
        elif isinstance(service, LLMService):
            _Mind(service, recorder)
        elif isinstance(service, TTSService):
            _Voice(service, recorder)
    return stages


class _Ear:
    """A recogniser: audio goes in all the time, transcripts come out."""

    def __init__(self, service: STTService, recorder: CallCapture) -> None:
        self._recorder = recorder
        self._name = type(service).__name__
        service.add_event_handler("on_before_push_frame", self._pushed)

    def _pushed(self, service: STTService, frame: Frame) -> None:
        match frame:
            case TranscriptionFrame() | InterimTranscriptionFrame():
                data: dict[str, Any] = {
                    "text": frame.text,
                    "final": isinstance(frame, TranscriptionFrame),
                    "finalized": getattr(frame, "finalized", False),
                    "language": None if frame.language is None else str(frame.language),
                    "position": self._recorder.caller_samples,
                }
                self._recorder.exchange("stt", self._name, 0, "transcript", data)
            case ErrorFrame() if frame.processor is service:
                self._recorder.exchange("stt", self._name, 0, "error", {"message": frame.error})


class _Mind:
    """A language model: a context goes in, text and calls of tools come out."""

    def __init__(self, service: LLMService[Any], recorder: CallCapture) -> None:
        self._recorder = recorder
        self._name = type(service).__name__
        self._request = 0  # that is being answered
        service.add_event_handler("on_before_process_frame", self._processing)
        service.add_event_handler("on_before_push_frame", self._pushed)

    def _processing(self, service: LLMService[Any], frame: Frame) -> None:
        if isinstance(frame, LLMContextFrame):
            self._request = self._recorder.new_request()
            self._tell("request", {"content": llm_content(service, frame.context)})
        elif isinstance(frame, InterruptionFrame) and self._request:
            self._tell("cut", {})
            self._request = 0

    def _pushed(self, service: LLMService[Any], frame: Frame) -> None:
        if not self._request:
            return
        match frame:
            case LLMTextFrame():
                self._tell("text", {"text": frame.text})
            case FunctionCallsStartedFrame() if self._first_sibling(frame):
                calls = [
                    {"name": call.function_name, "arguments": _plain(call.arguments)}
                    for call in frame.function_calls
                ]
                self._tell("tool_calls", {"calls": calls})
            case ErrorFrame() if frame.processor is service:
                self._tell("error", {"message": frame.error})
            case LLMFullResponseEndFrame():
                self._tell("end", {})
                self._request = 0

    def _first_sibling(self, frame: Frame) -> bool:
        """A frame that is broadcast is pushed twice, down and up: the first counts."""
        return frame.broadcast_sibling_id is None or frame.broadcast_sibling_id > frame.id

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        self._recorder.exchange("llm", self._name, self._request, kind, data)


class _Voice:
    """A voice: text goes in, audio and the times of words come out, at once or over a socket later."""

    def __init__(self, service: TTSService, recorder: CallCapture) -> None:
        self._recorder = recorder
        self._service = service
        self._name = type(service).__name__
        self._run_tts = service.run_tts
        self._append = service.append_to_audio_context
        self._contexts: dict[str, list[int]] = {}
        """The requests of each audio context, in order."""
        self._inline: dict[str, int] = {}
        """The request whose generator runs, by context: what comes now is its answer and nobody else's."""
        service.run_tts = self.run_tts  # type: ignore[method-assign]
        service.append_to_audio_context = self.append  # type: ignore[method-assign]
        service.add_event_handler("on_before_process_frame", self._processing)

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """The service's own, listened to."""
        request = self._recorder.new_request()
        if context_id not in self._contexts:
            self._forget()
            self._contexts[context_id] = []
        self._contexts[context_id].append(request)
        first = self._contexts[context_id][0]
        self._tell(request, "request", {"content": tts_content(self._service, text), "with": first})
        self._inline[context_id] = request
        spoke = False
        try:
            async for frame in self._run_tts(text, context_id):
                spoke = spoke or isinstance(frame, TTSAudioRawFrame)
                yield frame
            if spoke:
                self._tell(request, "end", {})
        finally:
            self._inline.pop(context_id, None)

    async def append(self, context_id: str | None, frame: Frame | WordTimestamp | None) -> None:
        """The service's own, listened to."""
        if context_id in self._contexts and self._service.audio_context_available(context_id):
            self._appended(context_id, frame)
        await self._append(context_id, frame)

    def _appended(self, context_id: str, frame: Frame | WordTimestamp | None) -> None:
        requests = self._contexts[context_id]
        inline = context_id in self._inline
        request = self._inline.get(context_id, requests[0])
        match frame:
            case TTSAudioRawFrame():
                place = self._recorder.speech(frame.audio, frame.sample_rate)
                self._tell(request, "audio", {**place, "inline": inline})
            case WordTimestamp():
                word = {"word": frame.word, "seconds": round(frame.timestamp, 4), "inline": inline}
                self._tell(request, "word", {**word, "spaced": frame.includes_inter_frame_spaces})
            case ErrorFrame():
                self._tell(request, "error", {"message": frame.error})
            case None:
                for each in self._contexts.pop(context_id):
                    self._tell(each, "done", {})

    def _processing(self, service: TTSService, frame: Frame) -> None:
        if isinstance(frame, InterruptionFrame):
            for requests in self._contexts.values():
                for request in requests:
                    self._tell(request, "cut", {})

    def _forget(self) -> None:
        """Contexts that an interruption has dropped end without a word."""
        for context_id in [
            each for each in self._contexts if not self._service.audio_context_available(each)
        ]:
            del self._contexts[context_id]

    def _tell(self, request: int, kind: str, data: dict[str, Any]) -> None:
        self._recorder.exchange("tts", self._name, request, kind, data)


def _plain(arguments: Any) -> Any:
    """Arguments as JSON: an object, unless the model wrote something else."""
    return dict(arguments) if isinstance(arguments, Mapping) else arguments
