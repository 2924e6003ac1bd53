"""Makes a bot's network services answer from a capture: `put_recorded_providers(chain, ...)`.

The service that the bot's callback has made stays the same object, with its tools, event handlers, text
filters and settings. Only what its own class does, which is to talk to the provider, is replaced. So nothing
that holds the service notices a change, and nothing connects.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    FunctionCallFromLLM,
    InterimTranscriptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transcriptions.language import Language
from pipecat.utils.time import time_now_iso8601

from piopiy_pipeline.capture.content import beside_content, kind_of, llm_content, runs_locally, tts_content
from piopiy_pipeline.capture.format import Kind
from piopiy_pipeline.capture.provider_taps import services_in
from piopiy_pipeline.capture.realtime_tap import has_messages
from piopiy_pipeline.compat.pipecat import makes_text_frames, push_llm_text, user_id, wrap_audio_in_frames
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.services.realtime_services import is_gemini_live, is_realtime
from piopiy_pipeline.stage_error import StageError
from piopiy_pipeline.testing.replaying.answers import AnswerBook, Part, RecordedAnswer
from piopiy_pipeline.testing.replaying.order_of_parts import OrderOfParts
from piopiy_pipeline.testing.replaying.recorded_connection import CUT_WAIT_S, RecordedModel
from piopiy_pipeline.testing.replaying.recorded_gemini import RecordedGemini
from piopiy_pipeline.testing.replaying.replayed_speech import SpeechClip

__all__ = ["RecordedTranscripts", "put_recorded_providers"]

SECONDS_A_LETTER = 0.06
"""How many seconds a letter takes of a text that the voice never spoke."""
CHUNK_S = 0.2
IN_VAIN_S = 60.0
"""Who waits for an answer that has never come, or not to its end, gives up before so many seconds."""


class RecordedTranscripts:
    """Passes on the recogniser's captured transcripts when the replay's caller has said the same thing again."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Part], None]] = []

    def listen(self, listener: Callable[[Part], None]) -> None:
        """Call `listener` with each transcript."""
        self._listeners.append(listener)

    def tell(self, part: Part) -> None:
        """Pass a transcript to the listeners."""
        for listener in self._listeners:
            listener(part)


@dataclass(frozen=True, slots=True)
class _Script:
    """What the replayed services answer from."""

    book: AnswerBook
    transcripts: RecordedTranscripts
    order: OrderOfParts
    give_up: Callable[[str], None]


def put_recorded_providers(
    chain: CallPipeline,
    book: AnswerBook,
    transcripts: RecordedTranscripts,
    order: OrderOfParts,
    *,
    model: RecordedModel,
    gemini: RecordedGemini,
    give_up: Callable[[str], None],
) -> None:
    """Make the network services of a chain answer from a capture. Call it before the chain runs.

    Services that run locally stay as they are.

    Args:
        chain: The pipeline of the bot.
        book: The captured answers of models and voices.
        transcripts: The captured transcripts.
        order: Has the parts of answers come in their order.
        model: The captured provider of a model that hears and speaks itself, with OpenAI's protocol.
        gemini: The same, with Google's.
        give_up: Called with a sentence if the replay cannot go on, because the model got a question that the
            capture
            does not answer.

    Raises:
        StageError: A model hears and speaks itself, and has neither OpenAI's protocol nor Google's.
    """
    script = _Script(book, transcripts, order, give_up)
    for name, service in services_in(chain):
        kind = kind_of(service)
        if kind is None or runs_locally(service):
            continue
        if is_gemini_live(service):
            from piopiy_pipeline.compat import gemini_connection  # it imports the provider's client

            gemini_connection.connect_by(service, gemini.connect)
            continue
        if has_messages(service):
            from piopiy_pipeline.compat.realtime import connect_by  # it imports a provider's service

            connect_by(service, model.connect)
            continue
        if is_realtime(service):
            raise StageError(
                f"a call of {type(service).__name__} cannot be replayed: of models that hear and speak "
                "themselves, those with OpenAI's or Google's protocol can, and of others the messages are not in the "
                "recording",
                name,
            )
        service.__class__ = _CLASSES[kind]
        service.replay_script = script  # type: ignore[attr-defined]  # its class has it now
        if isinstance(service, ReplayedTTS):
            service.take_over()


class ReplayedSTT(STTService):
    """Pushes the captured transcript of what was said, when it is said again."""

    replay_script: _Script
    _replay_queue: asyncio.Queue[Part] | None = None
    _replay_task: asyncio.Task[None] | None = None

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        if self._replay_task is None:
            queue: asyncio.Queue[Part] = asyncio.Queue()
            self._replay_queue = queue
            self.replay_script.transcripts.listen(queue.put_nowait)
            self._replay_task = self.create_task(self._transcribe(queue))

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        yield None

    async def _transcribe(self, queue: asyncio.Queue[Part]) -> None:
        while True:
            part = await queue.get()
            if part.kind == "error":
                await self.push_error(str(part.data["message"]))
                continue
            await self.push_frame(self._frame(part.data))

    def _frame(self, data: dict[str, Any]) -> Frame:
        language = Language(data["language"]) if data["language"] in set(Language) else None
        if not data["final"]:
            return InterimTranscriptionFrame(data["text"], user_id(self), time_now_iso8601(), language)
        return TranscriptionFrame(
            data["text"],
            user_id(self),
            time_now_iso8601(),
            language,
            result=data.get("result"),
            finalized=bool(data["finalized"]),
        )

    async def stop(self, frame: EndFrame) -> None:
        await super().stop(frame)
        await self._stop_replay()

    async def cancel(self, frame: CancelFrame) -> None:
        await super().cancel(frame)
        await self._stop_replay()

    async def cleanup(self) -> None:
        await super().cleanup()
        await self._stop_replay()

    async def _stop_replay(self) -> None:
        task, self._replay_task = self._replay_task, None
        if task is not None:
            await self.cancel_task(task)


class ReplayedLLM(LLMService[Any]):
    """Answers as the model had answered the same question, and as fast. Tools run."""

    replay_script: _Script

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            await self._replay(frame)
        else:
            await self.push_frame(frame, direction)

    async def run_inference(self, context: LLMContext, *given: Any, **options: Any) -> str | None:
        """Write beside the conversation what the model had written."""
        answer = self.replay_script.book.llm(beside_content(self, context, *given, **options))
        if answer is None:
            raise LookupError("what the model writes to this is not in the recording")
        text = ""
        async for part in _in_time(answer, self.replay_script.order):
            if part.kind == "error":
                raise RuntimeError(str(part.data["message"]))
            text += str(part.data["text"])
        return text

    async def _replay(self, frame: LLMContextFrame) -> None:
        answer = self.replay_script.book.llm(llm_content(self, frame.context))
        if answer is None:
            self.replay_script.give_up("the model's answer to this is not in the recording")
            return
        await self.push_frame(LLMFullResponseStartFrame())
        try:
            await self._give(answer, frame)
        finally:
            await self.push_frame(LLMFullResponseEndFrame())

    async def _give(self, answer: RecordedAnswer, frame: LLMContextFrame) -> None:
        async for part in _in_time(answer, self.replay_script.order):
            match part.kind:
                case "text":
                    await push_llm_text(self, str(part.data["text"]))
                case "tool_calls":
                    calls = [
                        FunctionCallFromLLM(
                            function_name=call["name"],
                            tool_call_id=f"replayed-{answer.number}-{answer.used}-{i}",
                            arguments=call["arguments"],
                            context=frame.context,
                        )
                        for i, call in enumerate(part.data["calls"])
                    ]
                    await self.run_function_calls(calls)
                case "error":
                    await self.push_error(str(part.data["message"]))
        if answer.cut and not answer.whole:
            self.replay_script.book.note(
                "the model", "for the rest of an answer that the caller cut off when it was recorded"
            )


class ReplayedTTS(TTSService):
    """Speaks a text with its captured audio, and a text that was never spoken with a tone."""

    replay_script: _Script
    _replay_spoken: dict[str, float]

    def take_over(self) -> None:
        """Let the base class push the frames around the audio, whoever pushed them before."""
        wrap_audio_in_frames(self)
        self._replay_spoken = {}

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        answer = self.replay_script.book.tts(tts_content(self, text))
        if answer is None:
            answer = _tone(text, self.sample_rate)
        start = self._replay_spoken.get(context_id, 0.0)
        async for part in _in_time(answer, self.replay_script.order):
            match part.kind:
                case "sound":
                    sound = part.data["sound"]
                    step = max(1, int(CHUNK_S * sound.rate))
                    for at in range(0, sound.pcm.size, step):
                        pcm = sound.pcm[at : at + step].tobytes()
                        self._replay_spoken[context_id] = (
                            self._replay_spoken.get(context_id, 0.0) + len(pcm) / 2 / sound.rate
                        )
                        yield TTSAudioRawFrame(pcm, sound.rate, 1, context_id=context_id)
                case "word" if not makes_text_frames(self):
                    word = [(str(part.data["word"]), start + float(part.data["seconds"]))]
                    spaced = bool(part.data.get("spaced"))
                    await self.add_word_timestamps(word, context_id, includes_inter_frame_spaces=spaced)
                case "error":
                    yield ErrorFrame(error=str(part.data["message"]))

    async def on_audio_context_interrupted(self, context_id: str) -> None:
        self._replay_spoken.pop(context_id, None)
        await super().on_audio_context_interrupted(context_id)

    async def on_audio_context_completed(self, context_id: str) -> None:
        self._replay_spoken.pop(context_id, None)
        await super().on_audio_context_completed(context_id)


_CLASSES: dict[Kind, type[FrameProcessor]] = {"stt": ReplayedSTT, "llm": ReplayedLLM, "tts": ReplayedTTS}


async def _in_time(answer: RecordedAnswer, order: OrderOfParts) -> AsyncGenerator[Part, None]:
    """Yield the parts of an answer, each at the time after the request at which it came, and end when it was over.

    One that was given up waits to be given up again: for as long as whoever did that may take today.
    """
    loop = asyncio.get_running_loop()
    asked = order.now()
    for part in answer.parts:
        await order.wait(asked, part)
        yield part
    patience_s = 0.0 if answer.whole else CUT_WAIT_S if answer.cut else IN_VAIN_S
    failed = any(part.kind == "error" for part in answer.parts)
    await asyncio.sleep(0.0 if failed else max(0.0, asked + answer.over_s + patience_s - loop.time()))


def _tone(text: str, rate: int) -> RecordedAnswer:
    """Make a tone as long as the text would take to speak, with the times of its words."""
    letters = max(1, len(text.strip()))
    time = np.arange(int(letters * SECONDS_A_LETTER * rate)) / rate
    pcm = (5000 * np.sin(2 * np.pi * 220 * time)).astype(np.int16)
    parts, at = [], 0
    for word in text.split():
        parts.append(Part(0.0, "word", {"word": word, "seconds": at * SECONDS_A_LETTER}))
        at += len(word) + 1
    parts.append(Part(0.0, "sound", {"sound": SpeechClip(pcm, rate)}))
    return RecordedAnswer(0, {}, parts, whole=True)
