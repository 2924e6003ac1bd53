"""The scripted services of the harness, with scripts as short as tests want them. They answer at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pipecat.frames.frames import Frame, TTSAudioRawFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService

from piopiy_pipeline import testing
from piopiy_pipeline.testing.scripted.faults import Fault

SECONDS_A_CHARACTER = 0.06

Reply = str | tuple[str, dict[str, Any]] | Exception | None
"""What the LLM does for one turn: says a text, calls a tool, fails, or (None) never answers."""


class ScriptedSTT(testing.ScriptedSTT):
    """Hears the next text of the script each time the VAD says that the caller stopped."""

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__(testing.Transcripts(texts=texts))
        self.heard_bytes = 0

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        self.heard_bytes += len(audio)
        async for frame in super().run_stt(audio):
            yield frame


class ScriptedLLM(testing.ScriptedLLM):
    """Gives the next reply of the script to each request, word by word, and keeps what it was asked."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        super().__init__(testing.Replies(otherwise=self._reply_to))
        self._left = list(replies)
        self.asked: list[list[Any]] = []

    def _reply_to(self, context: LLMContext) -> str | testing.Tool | Fault:
        self.asked.append(list(context.get_messages()))
        match self._left.pop(0) if self._left else "I have nothing more to say.":
            case None:
                return testing.Stalls()
            case Exception() as error:
                return Fails(error)
            case (name, arguments):
                tool = testing.Tool(name)
                tool.arguments = arguments  # as a model may send them: not always an object
                return tool
            case str() as text:
                return text


@dataclass(frozen=True, slots=True)
class Fails(Fault):
    """The request fails with this error."""

    reason: Exception

    @property
    def share(self) -> float:
        return 0.0

    @property
    def error(self) -> Exception:
        return self.reason


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
        self.failures_left = fail_first
        self.said: list[str] = []
        """What it was given to say."""

    def sound(self, text: str, rate: int) -> NDArray[np.int16]:
        """Return how a text sounds at a sample rate in Hz: int16 of shape ``[samples]``."""
        n = int(SECONDS_A_CHARACTER * len(text) * rate)
        return (8000 * np.sin(np.arange(n) * 2 * np.pi * 300 / rate)).astype(np.int16)

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        self.said.append(text)
        if self.failures_left:
            self.failures_left -= 1
            await self.push_error("scripted failure of the TTS")
            return
        pcm = self.sound(text, self.sample_rate).tobytes()
        if self._words:
            await self.add_word_timestamps(word_times(text), context_id)
        step = self.sample_rate // 10 * 2
        for i in range(0, len(pcm), step):
            yield TTSAudioRawFrame(pcm[i : i + step], self.sample_rate, 1, context_id=context_id)


def word_times(text: str) -> list[tuple[str, float]]:
    """Return each word of a text with the second in which it begins, as `ToneTTS` says it."""
    times, at = [], 0
    for word in text.split(" "):
        times.append((word, at * SECONDS_A_CHARACTER))
        at += len(word) + 1
    return times
