"""STT, LLM and TTS that answer at once, on pipecat's own base classes and nothing else.

What is measured with them is the pipeline around them. They follow the same little script in every
pipeline: to a caller's first turn a long answer, to the next (a barge-in) a tool call and a short one.
They run in an environment that has stock pipecat only, too.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from pipecat.adapters.llm.base_llm_adapter import BaseLLMAdapter
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    Frame,
    FunctionCallFromLLM,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import FunctionCallParams, LLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.utils.time import time_now_iso8601

from benchmarks.instant_script import INSTRUCTIONS, LONG, SECONDS_A_CHARACTER, SHORT, Tally, voice

__all__ = ["INSTRUCTIONS", "InstantLLM", "InstantSTT", "InstantTTS", "Tally", "book_table"]


async def book_table(params: FunctionCallParams, people: int) -> None:
    """Book a table.

    Args:
        people: How many people come.
    """
    await params.result_callback({"booked": True, "people": people})


class InstantSTT(STTService):
    """Pushes a final transcript at the moment at which the VAD says that the caller stopped."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(settings=STTSettings(model=None, language=None), ttfs_p99_latency=0.0)
        self._tally = tally

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        yield None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            self._tally.utterances += 1
            self.request_finalize()
            self.confirm_finalize()
            await self.push_frame(TranscriptionFrame("A table for two.", "", time_now_iso8601()))


class _Adapter(BaseLLMAdapter[dict[str, Any]]):
    """The adapter that `LLMService` requires. pipecat's default would import the OpenAI SDK."""

    @property
    def id_for_llm_specific_messages(self) -> str:
        return "instant"

    async def get_llm_invocation_params(self, context: LLMContext, **kwargs: Any) -> dict[str, Any]:
        return {"messages": context.get_messages()}

    def to_provider_tools_format(self, tools_schema: ToolsSchema) -> list[Any]:
        return [schema.to_default_dict() for schema in tools_schema.standard_tools]

    def get_messages_for_logging(self, context: LLMContext) -> list[dict[str, Any]]:
        return [dict(message) for message in context.get_messages() if isinstance(message, Mapping)]


class InstantLLM(LLMService[Any]):
    """Streams the script's next answer word by word, without a pause."""

    adapter_class = _Adapter

    def __init__(self, tally: Tally) -> None:
        nothing: dict[str, Any] = dict.fromkeys(each.name for each in fields(LLMSettings) if each.init)
        super().__init__(settings=LLMSettings(**nothing))
        self._tally = tally
        self._turns = 0
        self._tool_called = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        await self.push_frame(LLMFullResponseStartFrame())
        try:
            await self._respond(frame.context)
        finally:
            await self.push_frame(LLMFullResponseEndFrame())

    async def _respond(self, context: LLMContext) -> None:
        after_tool, self._tool_called = self._tool_called, False
        self._turns += not after_tool
        if not after_tool and self._turns % 2 == 0:
            self._tally.tools += 1
            self._tool_called = True
            call = FunctionCallFromLLM("book_table", f"call_{self._turns}", {"people": 4}, context)
            await self.run_function_calls([call])
            return
        self._tally.answers += 1
        for word in re.findall(r"\S+\s*", SHORT if after_tool else LONG):
            await self.push_frame(LLMTextFrame(word))


class InstantTTS(TTSService):
    """Speaks with a recorded voice, 60 ms for each character: a sentence at once, in pieces of 100 ms."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            settings=TTSSettings(model=None, voice=None, language=None),
        )
        self._tally = tally

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        rate = self.sample_rate
        pcm = np.resize(voice(rate), int(SECONDS_A_CHARACTER * len(text) * rate)).tobytes()
        self._tally.spoken_s += len(pcm) / 2 / rate
        step = rate // 10 * 2
        for at in range(0, len(pcm), step):
            yield TTSAudioRawFrame(pcm[at : at + step], rate, 1, context_id=context_id)
