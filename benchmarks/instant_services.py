"""STT, LLM and TTS that answer at once, behind pipecat's real base classes.

What is measured with them is the pipeline around them. They follow the same little script in every
pipeline: to a caller's first turn a long answer, to the next (a barge-in) a tool call and a short one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pipecat.frames.frames import Frame, TTSAudioRawFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService

from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.testing import Replies, ScriptedLLM, ScriptedSTT, Tool, Transcripts

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
    """What the services of a process have done. A measurement of calls in which nothing happened does not
    count.
    """

    utterances: int = 0
    answers: int = 0
    tools: int = 0
    spoken_s: float = 0.0

    def since(self, earlier: Tally) -> dict[str, float]:
        """Return what has been added since `earlier`."""
        before = asdict(earlier)
        return {name: round(value - before[name], 2) for name, value in asdict(self).items()}


async def book_table(params: FunctionCallParams, people: int) -> None:
    """Book a table.

    Args:
        people: How many people come.
    """
    await params.result_callback({"booked": True, "people": people})


class InstantSTT(ScriptedSTT):
    """Pushes a final transcript at the moment at which the VAD says that the caller stopped."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(Transcripts(texts=self._texts_of_turns(tally)))

    @staticmethod
    def _texts_of_turns(tally: Tally) -> Iterator[str]:
        while True:
            tally.utterances += 1
            yield "A table for two."


class InstantLLM(ScriptedLLM):
    """Streams the script's next answer word by word, without a pause."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(Replies(otherwise=self._reply))
        self._tally = tally
        self._turns = 0
        self._tool_called = False

    def _reply(self, context: LLMContext) -> str | Tool:
        after_tool, self._tool_called = self._tool_called, False
        self._turns += not after_tool
        if not after_tool and self._turns % 2 == 0:
            self._tally.tools += 1
            self._tool_called = True
            return Tool("book_table", people=4)
        self._tally.answers += 1
        return SHORT if after_tool else LONG


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
        pcm = np.resize(_voice(rate), int(SECONDS_A_CHARACTER * len(text) * rate)).tobytes()
        self._tally.spoken_s += len(pcm) / 2 / rate
        step = rate // 10 * 2
        for at in range(0, len(pcm), step):
            yield TTSAudioRawFrame(pcm[at : at + step], rate, 1, context_id=context_id)


@cache
def _voice(rate: int) -> NDArray[np.int16]:
    return read_wav(VOICE, rate)
