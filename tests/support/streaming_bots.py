"""Providers and stages that stream without end, and bots that have one of them.

As a program (``python -m tests.support.streaming_bots``) it is an agent, as `tests.support.bots` is one: the metadata
of a call says what streams.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    LLMThoughtTextFrame,
    OutputAudioRawFrame,
    StartFrame,
    TTSAudioRawFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings, TTSSettings
from pipecat.services.tts_service import TTSService

from piopiy_pipeline.call import CallEnd
from piopiy_pipeline.session import Call
from tests.support import bots
from tests.support.bots import BOTS

__all__ = ["EndlessLLM", "EndlessTTS", "Floods", "heard", "sound"]


class EndlessTTS(TTSService):
    """Makes sound without end for each text, and never waits."""

    def __init__(self, *, chunk: int = 3200) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            push_text_frames=True,
            settings=TTSSettings(model=None, voice=None, language=None),
        )
        self._chunk = b"\x00\x10" * (chunk // 2)
        self.made_s = 0.0

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        while True:
            self.made_s += len(self._chunk) / 2 / self.sample_rate
            yield TTSAudioRawFrame(self._chunk, self.sample_rate, 1, context_id=context_id)


class EndlessLLM(LLMService[Any]):
    """Writes without end, and never waits. With `stubborn`, it goes on for 4 s when it is cancelled."""

    def __init__(
        self, piece: str, *, thinks: bool = False, stubborn: bool = False, limit: int = 10**9
    ) -> None:
        fields = (
            "model system_instruction temperature max_tokens top_p top_k frequency_penalty presence_penalty seed "
            "filter_incomplete_user_turns user_turn_completion_config"
        )
        options: Any = dict.fromkeys(fields.split())
        super().__init__(settings=LLMSettings(**options))
        self._piece = piece
        self._thinks = thinks
        self._stubborn = stubborn
        self._limit = limit
        self.pushed = 0
        self.answers = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        self.answers += 1
        self._until = asyncio.get_running_loop().time() + 4
        await self.push_frame(LLMFullResponseStartFrame())
        try:
            while self.pushed < self._limit:
                try:
                    self.pushed += len(self._piece)
                    if self._thinks:
                        await self.push_frame(LLMThoughtTextFrame(self._piece))
                    else:
                        await self.push_llm(self._piece)
                except asyncio.CancelledError:
                    if not self._stubborn or asyncio.get_running_loop().time() > self._until:
                        raise
        finally:
            await self.push_frame(LLMFullResponseEndFrame())

    async def push_llm(self, text: str) -> None:
        await self.push_frame(LLMTextFrame(text))


class Floods(FrameProcessor):
    """Pushes frames in a loop from its first frame on, from a task of its own."""

    def __init__(self, make: Callable[[], Frame], *, waits: bool, tasks: bool = False) -> None:
        super().__init__()
        self._make = make
        self._waits = waits
        self._tasks = tasks
        self._flood: asyncio.Task[None] | None = None
        self.pushed = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self._flood = self.create_task(self._run())

    async def _run(self) -> None:
        while True:
            self.pushed += 1
            if self._tasks:
                self.create_task(self.push_frame(self._make()))
                await asyncio.sleep(0.001)
                continue
            await self.push_frame(self._make())
            if self._waits:
                await asyncio.sleep(0)


def sound() -> Frame:
    return OutputAudioRawFrame(b"\0\1" * 320, 16000, 1)


def heard() -> Frame:
    return InputAudioRawFrame(b"\0\1" * 320, 16000, 1)


async def _streams(call: Call, options: dict[str, Any]) -> CallEnd:
    """Have the voice, the model or a stage stream without end, as ``what`` says."""
    what = options["what"]
    tts = EndlessTTS() if what == "tts" else None
    extra = Floods(sound, waits=False) if what == "stage" else None
    agent = await bots.voice(
        call, tts=tts, extra=extra, greeting=None if what == "llm" else "Welcome to the museum."
    )
    if what == "llm":
        agent.pipeline.replace("llm", EndlessLLM("once upon a time " * 20, stubborn=True))
        bots.ask(agent)
    return await agent.start()


BOTS["streams"] = _streams

if __name__ == "__main__":
    asyncio.run(bots._main())
