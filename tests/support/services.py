"""Services that follow a script, behind pipecat's real base classes. They answer at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import numpy as np
from pipecat.frames.frames import (
    Frame,
    FunctionCallFromLLM,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.utils.time import time_now_iso8601

SECONDS_A_CHARACTER = 0.06

Reply = str | tuple[str, dict[str, Any]] | Exception | None
"""What the LLM does for one turn: says a text, calls a tool, fails, or (None) never answers."""


class ScriptedSTT(STTService):
    """Hears the next text of the script each time the VAD says that the caller stopped."""

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__(ttfs_p99_latency=0.0, settings=STTSettings(model=None, language=None))
        self._texts = list(texts)
        self.heard_bytes = 0

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        self.heard_bytes += len(audio)
        yield None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStoppedSpeakingFrame) and self._texts:
            self.request_finalize()
            self.confirm_finalize()
            await self.push_frame(TranscriptionFrame(self._texts.pop(0), "caller", time_now_iso8601()))


class ScriptedLLM(LLMService[Any]):
    """Gives the next reply of the script to each request, word by word."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        super().__init__(settings=NO_LLM_SETTINGS)
        self._replies = list(replies)
        self.asked: list[list[Any]] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            await self._answer(frame.context)
        else:
            await self.push_frame(frame, direction)

    async def _answer(self, context: LLMContext) -> None:
        self.asked.append(list(context.get_messages()))
        reply = self._replies.pop(0) if self._replies else "I have nothing more to say."
        await self.push_frame(LLMFullResponseStartFrame())
        try:
            match reply:
                case None:
                    await asyncio.Event().wait()
                case Exception():
                    await self.push_error(f"scripted failure: {reply}", exception=reply)
                case (name, arguments):
                    calls = [FunctionCallFromLLM(name, f"call-{len(self.asked)}", arguments, context)]
                    await self.run_function_calls(calls)
                case str():
                    for i, word in enumerate(reply.split(" ")):
                        await self._push_llm_text(word if i == 0 else f" {word}")
        finally:
            await self.push_frame(LLMFullResponseEndFrame())


class ToneTTS(TTSService):
    """A tone, 60 ms a character, all of it at once. With `words`, it tells when each word begins."""

    def __init__(self, *, words: bool = False, fail_first: int = 0) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            push_text_frames=not words,
            settings=TTSSettings(model=None, voice=None, language=None),
        )
        self._words = words
        self._failures_left = fail_first

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        if self._failures_left:
            self._failures_left -= 1
            await self.push_error("scripted failure of the TTS")
            return
        n = int(SECONDS_A_CHARACTER * len(text) * self.sample_rate)
        pcm = (8000 * np.sin(np.arange(n) * 2 * np.pi * 300 / self.sample_rate)).astype(np.int16).tobytes()
        if self._words:
            await self.add_word_timestamps(_word_times(text), context_id)
        step = self.sample_rate // 10 * 2
        for i in range(0, len(pcm), step):
            yield TTSAudioRawFrame(pcm[i : i + step], self.sample_rate, 1, context_id=context_id)


def _word_times(text: str) -> list[tuple[str, float]]:
    times, at = [], 0
    for word in text.split(" "):
        times.append((word, at * SECONDS_A_CHARACTER))
        at += len(word) + 1
    return times


NO_LLM_SETTINGS = LLMSettings(
    model=None,
    system_instruction=None,
    temperature=None,
    max_tokens=None,
    top_p=None,
    top_k=None,
    frequency_penalty=None,
    presence_penalty=None,
    seed=None,
    filter_incomplete_user_turns=None,
    user_turn_completion_config=None,
)
