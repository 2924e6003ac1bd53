"""Lets the first sentence of an answer through to the voice, and keeps the rest back until it is wanted."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from pipecat.frames.frames import Frame, InterruptionFrame, LLMTextFrame, SystemFrame, TTSSpeakFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from piopiy_pipeline.compat.frame_taps import watch_pushes
from piopiy_pipeline.services.failover.answer_race import sentence_end

__all__ = ["FirstSentence", "Push"]

Push = Callable[[Frame, FrameDirection], Coroutine[Any, Any, None]]
Spawn = Callable[[Coroutine[Any, Any, Any], str], asyncio.Task[Any]]


class FirstSentence:
    """Stands between what a stage writes and what it pushes.

    A voice is paid by the character, so of an answer that may not be wanted it makes one sentence.

    Args:
        stage: The stage that writes: a model, or a switch of models. Before it runs.
        spawn: Runs a task of the call.
        other_speech: Awaited before something else to say passes while an answer is kept back. It gets the
            function that pushes a frame ahead of it.
    """

    def __init__(
        self,
        stage: FrameProcessor,
        *,
        spawn: Spawn,
        other_speech: Callable[[Push], Coroutine[Any, Any, None]],
    ) -> None:
        self._push = stage.push_frame
        self._spawn = spawn
        self._other_speech = other_speech
        self._ahead = self._full = False
        self._said = ""
        self._kept: deque[Frame] = deque()
        self._passing_on: asyncio.Task[Any] | None = None
        stage.push_frame = self._take  # type: ignore[method-assign]
        watch_pushes(stage, self._on_push, LLMTextFrame)

    def begin(self) -> None:
        """Keep back what follows the first sentence that comes from now on."""
        self._ahead, self._full, self._said = True, False, ""
        self._kept.clear()

    def release(self) -> None:
        """Pass on what was kept back, and what comes. Returns at once."""
        self._ahead = False
        if self._full and (self._passing_on is None or self._passing_on.done()):
            self._passing_on = self._spawn(self._pass_on(), "rest_of_answer")

    def drop(self) -> None:
        """Throw away what was kept back."""
        self._ahead = self._full = False
        self._kept.clear()

    async def _pass_on(self) -> None:
        while self._kept:
            await self._push(self._kept.popleft(), FrameDirection.DOWNSTREAM)
        self._full = False

    async def _take(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        if isinstance(frame, InterruptionFrame) and direction is FrameDirection.DOWNSTREAM:
            kept = [one for one in self._kept if not one.interruptible]
            self.drop()
            await self._push(frame, direction)
            for one in kept:
                await self._push(one, direction)
            return
        if direction is FrameDirection.UPSTREAM or isinstance(frame, SystemFrame):
            await self._push(frame, direction)
            return
        if isinstance(frame, TTSSpeakFrame) and self._ahead:
            await self._other_speech(self._push)
        if self._full and asyncio.current_task() is not self._passing_on:
            self._kept.append(frame)
        else:
            await self._push(frame, direction)

    def _on_push(self, stage: FrameProcessor, frame: LLMTextFrame) -> None:
        """Take note of text as it leaves the stage, without what was taken out of it as no speech."""
        if self._ahead and not self._full:
            self._said += frame.text
            end = sentence_end(self._said)
            self._full = end > 0 and bool(
                self._said[end:].strip()
            )  # a voice looks at the word behind it, too
