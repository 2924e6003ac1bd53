"""Notes what network providers were asked, and what they answered and when.

No stage is added to the chain. An LLM and an STT are observed by pipecat's own events around the frames
that they take and push. A TTS puts its answers through `append_to_audio_context`, where pipecat's base
class gathers the audio and words of all providers. The tap listens there, before the audio waits for its
turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

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
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.utils.context.word_timestamp_tracker import WordTimestamp

from piopiy_pipeline.capture.capture_log import CaptureLog
from piopiy_pipeline.capture.content import beside_content, kind_of, llm_content, runs_locally, tts_content
from piopiy_pipeline.capture.format import VERSION, StageLine
from piopiy_pipeline.capture.gemini_tap import GeminiTap
from piopiy_pipeline.capture.realtime_tap import RealtimeTap, has_messages
from piopiy_pipeline.capture.secrets import Scrubber, secrets_of
from piopiy_pipeline.compat.frame_taps import watch_pushes, watch_taken
from piopiy_pipeline.compat.pipecat import intercept_tts
from piopiy_pipeline.error_text import error_text
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.services.failover.switch import ServiceSwitch
from piopiy_pipeline.services.realtime_services import is_gemini_live

__all__ = ["services_in", "tap_providers"]


def services_in(chain: CallPipeline) -> Iterator[tuple[str, FrameProcessor]]:
    """Yield the name and the stage of everything in `chain`; for a switch, the services in it."""
    for name in chain.names:
        stage = chain[name]
        for service in stage.services if isinstance(stage, ServiceSwitch) else (stage,):
            yield name, service


def tap_providers(chain: CallPipeline, log: CaptureLog, scrubber: Scrubber) -> list[StageLine]:
    """Write every exchange with a network provider into `log`.

    Args:
        chain: The chain, before it runs.
        log: Where the exchanges are noted.
        scrubber: Learns the secrets that the services hold.

    Returns:
        What the chain is made of, a line a service.
    """
    stages = []
    for name, service in services_in(chain):
        network = kind_of(service) is not None and not runs_locally(service)
        stages.append(StageLine(name=name, stage=type(service).__name__, network=network))
        if not network:
            continue
        scrubber.learn(secrets_of(service))
        if has_messages(service):
            log.set_version(VERSION)
            (GeminiTap if is_gemini_live(service) else RealtimeTap)(service, log)
        elif isinstance(service, STTService):
            _STTTap(service, log)
        elif isinstance(service, LLMService):
            _LLMTap(service, log)
        elif isinstance(service, TTSService):
            _TTSTap(service, log)
    return stages


class _STTTap:
    """An STT: audio goes in all the time, and transcripts come out."""

    def __init__(self, service: STTService, log: CaptureLog) -> None:
        self._log = log
        self._name = type(service).__name__
        watch_pushes(service, self._pushed, TranscriptionFrame, InterimTranscriptionFrame, ErrorFrame)

    def _pushed(self, service: STTService, frame: Frame) -> None:
        match frame:
            case TranscriptionFrame() | InterimTranscriptionFrame():
                data: dict[str, Any] = {
                    "text": frame.text,
                    "final": isinstance(frame, TranscriptionFrame),
                    "finalized": getattr(frame, "finalized", False),
                    "language": None if frame.language is None else str(frame.language),
                    "position": self._log.caller_samples,
                }
                if result := _turn_result(frame.result):
                    data["result"] = result
                self._log.exchange("stt", self._name, 0, "transcript", data)
            case ErrorFrame() if frame.processor is service:
                self._log.exchange("stt", self._name, 0, "error", {"message": frame.error})


def _turn_result(result: object) -> dict[str, Any]:
    """Return the part of a transcript's result by which turns end (`turns/turn_words.py`)."""
    if not isinstance(result, Mapping) or not isinstance(result.get("words"), list | tuple):
        return {}
    last = [[str(word), float(sure)] for word, sure in result["words"][-1:]]
    return {"comma": result.get("comma") is True, "words": last}


class _LLMTap:
    """An LLM: a context goes in, and text and tool calls come out."""

    def __init__(self, service: LLMService[Any], log: CaptureLog) -> None:
        self._log = log
        self._name = type(service).__name__
        self._request = 0  # that is being answered
        self._service = service
        self._ask_beside = service.run_inference
        service.run_inference = self.run_inference  # type: ignore[method-assign]
        watch_taken(service, self._processing, LLMContextFrame, InterruptionFrame)
        watch_pushes(
            service,
            self._pushed,
            LLMTextFrame,
            FunctionCallsStartedFrame,
            ErrorFrame,
            LLMFullResponseEndFrame,
        )

    async def run_inference(self, context: LLMContext, *given: Any, **options: Any) -> str | None:
        """Do what the service's own method does, beside the conversation, and note it."""
        request = self._log.new_request()

        def tell(kind: str, data: dict[str, Any]) -> None:
            self._log.exchange("llm", self._name, request, kind, data)

        tell("request", {"content": beside_content(self._service, context, *given, **options)})
        try:
            text = await self._ask_beside(context, *given, **options)
        except Exception as error:
            tell("error", {"message": error_text(error)})
            raise
        tell("text", {"text": text or ""})
        tell("end", {})
        return text

    def _processing(self, service: LLMService[Any], frame: Frame) -> None:
        if isinstance(frame, LLMContextFrame):
            self._request = self._log.new_request()
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
        """Return whether this frame counts, because a broadcast frame is pushed twice, downstream and
        upstream.
        """
        return frame.broadcast_sibling_id is None or frame.broadcast_sibling_id > frame.id

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        self._log.exchange("llm", self._name, self._request, kind, data)


class _TTSTap:
    """A TTS: text goes in, and audio and word times come out, at once or later over a socket."""

    def __init__(self, service: TTSService, log: CaptureLog) -> None:
        self._log = log
        self._service = service
        self._name = type(service).__name__
        self._contexts: dict[str, list[int]] = {}
        """The requests of each audio context, in order."""
        self._inline: dict[str, int] = {}
        """The request whose generator runs, by context: what comes now is its answer and nobody else's."""
        self._answering: dict[asyncio.Task[Any] | None, int] = {}
        """The request whose generator runs, by the task in which it does."""
        self._halves: dict[str, bytes] = {}
        """The beginning of a sample, by context, whose rest comes with the next piece."""
        self._noted = 0  # the error that was noted as a part of an answer, before it is pushed
        self._run_tts, self._append = intercept_tts(service, run_tts=self.run_tts, append=self.append)
        watch_taken(service, self._cut, InterruptionFrame)
        watch_pushes(service, self._pushed, ErrorFrame)

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Do what the service's own method does, and note it."""
        request = self._log.new_request()
        if context_id not in self._contexts:
            self._forget()
            self._contexts[context_id] = []
        self._contexts[context_id].append(request)
        first = self._contexts[context_id][0]
        self._tell(request, "request", {"content": tts_content(self._service, text), "with": first})
        self._inline[context_id] = self._answering[task := asyncio.current_task()] = request
        spoke = False
        try:
            async for frame in self._run_tts(text, context_id):
                spoke = spoke or isinstance(frame, TTSAudioRawFrame)
                yield frame
            if spoke:
                self._tell(request, "end", {})
        except Exception as error:
            self._tell(request, "error", {"message": error_text(error)})
            raise
        finally:
            self._inline.pop(context_id, None)
            self._answering.pop(task, None)

    async def append(self, context_id: str | None, frame: Frame | WordTimestamp | None) -> None:
        """Do what the service's own method does, and note it."""
        if context_id in self._contexts and self._service.audio_context_available(context_id):
            self._appended(context_id, frame)
        await self._append(context_id, frame)

    def _appended(self, context_id: str, frame: Frame | WordTimestamp | None) -> None:
        requests = self._contexts[context_id]
        inline = context_id in self._inline
        request = self._inline.get(context_id, requests[0])
        match frame:
            case TTSAudioRawFrame():
                pcm = self._halves.pop(context_id, b"") + frame.audio
                whole = len(pcm) // 2 * 2  # providers cut their audio at any byte
                if whole < len(pcm):
                    self._halves[context_id] = pcm[whole:]
                if whole:
                    place = self._log.speech(pcm[:whole], frame.sample_rate)
                    self._tell(request, "audio", {**place, "inline": inline})
            case WordTimestamp():
                word = {"word": frame.word, "seconds": round(frame.timestamp, 4), "inline": inline}
                self._tell(request, "word", {**word, "spaced": frame.includes_inter_frame_spaces})
            case ErrorFrame():
                self._noted = frame.id
                self._tell(request, "error", {"message": frame.error})
            case None:
                self._halves.pop(context_id, None)
                for each in self._contexts.pop(context_id):
                    self._tell(each, "done", {})

    def _pushed(self, service: TTSService, frame: ErrorFrame) -> None:
        """Note an error that a provider's service reports while it answers, and does not put into the answer.

        pipecat itself reports in other tasks, as of a text before this one that has had no sound: a replay finds that
        out by itself.
        """
        request = self._answering.get(asyncio.current_task())
        if request is not None and frame.processor is service and frame.id != self._noted:
            self._tell(request, "error", {"message": frame.error})

    def _cut(self, service: TTSService, frame: InterruptionFrame) -> None:
        for requests in self._contexts.values():
            for request in requests:
                self._tell(request, "cut", {})

    def _forget(self) -> None:
        """Forget contexts that an interruption has dropped, because no frame ends them."""
        for context_id in [
            each for each in self._contexts if not self._service.audio_context_available(each)
        ]:
            del self._contexts[context_id]
            self._halves.pop(context_id, None)

    def _tell(self, request: int, kind: str, data: dict[str, Any]) -> None:
        self._log.exchange("tts", self._name, request, kind, data)


def _plain(arguments: Any) -> Any:
    """Return arguments as JSON: an object, unless the model wrote something else."""
    return dict(arguments) if isinstance(arguments, Mapping) else arguments
