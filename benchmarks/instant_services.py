"""STT, LLM and TTS that answer at once, behind pipecat's real base classes.

What is measured with them is the pipeline around them. They follow the same little script in every
pipeline: to a caller's first turn a long answer, to the next (a barge-in) a tool call and a short one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
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
from pipecat.services.llm_service import FunctionCallParams, LLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.utils.time import time_now_iso8601

from piopiy_pipeline.audio.wav import read_wav

__all__ = ["InstantLLM", "InstantSTT", "InstantTTS", "Tally", "book_table"]

VOICE = Path(__file__).parent.parent / "tests" / "audio" / "correction" / "01-book.wav"
SECONDS_A_CHARACTER = 0.06
LONG = (
    "Certainly. I can book a table for two people tomorrow evening. "
    "We have tables at six, at half past seven, and at nine. "
    "The one at half past seven is by the window, and it is the most popular."
)
SHORT = "No problem, four people it is."


@dataclass(slots=True)
class Tally:
    """What the services of a process have done: a measurement of calls in which nothing happened is none."""

    utterances: int = 0
    answers: int = 0
    tools: int = 0
    spoken_s: float = 0.0

    def since(self, earlier: Tally) -> dict[str, float]:
        """What has been added since `earlier`."""
        before = asdict(earlier)
        return {name: round(value - before[name], 2) for name, value in asdict(self).items()}


async def book_table(params: FunctionCallParams, people: int) -> None:
    """Book a table.

    Args:
        people: How many people come.
    """
    await params.result_callback({"booked": True, "people": people})


class InstantSTT(STTService):
    """Has a final transcript in the moment in which the VAD says that the caller stopped."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(ttfs_p99_latency=0.0, settings=STTSettings(model=None, language=None))
        self._tally = tally

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        yield None  # a streaming service: transcripts come by another way

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            self._tally.utterances += 1
            self.request_finalize()
            self.confirm_finalize()
            await self.push_frame(TranscriptionFrame("A table for two.", "caller", time_now_iso8601()))


class InstantLLM(LLMService[Any]):
    """Streams the script's next answer word by word, without a pause."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(
            settings=LLMSettings(
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
        )
        self._tally = tally
        self._asked = 0
        self._turns = 0
        self._tool_called = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            await self._answer(frame.context)
        else:
            await self.push_frame(frame, direction)

    async def _answer(self, context: LLMContext) -> None:
        self._asked += 1
        after_tool, self._tool_called = self._tool_called, False
        if not after_tool:
            self._turns += 1
        await self.push_frame(LLMFullResponseStartFrame())
        try:
            if after_tool:
                await self._say(SHORT)
            elif self._turns % 2:
                await self._say(LONG)
            else:
                self._tally.tools += 1
                self._tool_called = True
                call = FunctionCallFromLLM("book_table", f"call-{self._asked}", {"people": 4}, context)
                await self.run_function_calls([call])
        finally:
            await self.push_frame(LLMFullResponseEndFrame())

    async def _say(self, text: str) -> None:
        self._tally.answers += 1
        for i, word in enumerate(text.split(" ")):
            await self._push_llm_text(word if i == 0 else f" {word}")


class InstantTTS(TTSService):
    """Speaks with a recorded voice, 60 ms a character: a sentence at once, in pieces of 100 ms."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            settings=TTSSettings(model=None, voice=None, language=None),
        )
        self._tally = tally

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        rate = self.sample_rate
        pcm = np.resize(_voice(rate), int(SECONDS_A_CHARACTER * len(text) * rate)).tobytes()
        self._tally.spoken_s += len(pcm) / 2 / rate
        step = rate // 10 * 2
        for at in range(0, len(pcm), step):
            yield TTSAudioRawFrame(pcm[at : at + step], rate, 1, context_id=context_id)


@cache
def _voice(rate: int) -> NDArray[np.int16]:
    return read_wav(VOICE, rate)
