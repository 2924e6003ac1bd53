"""Stands where the TTS would, in a text chat: what the bot would say is shown, word for word as the model writes it.

To every other stage it is what was spoken: text that has left the transport was heard, which means shown here. So the
conversation has what the person has read, also of an answer that was cut off.
"""

from __future__ import annotations

import uuid

from pipecat.frames.frames import (
    AggregatedTextFrame,
    Frame,
    InterruptionFrame,
    LLMAssistantPushAggregationFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.utils.text.base_text_aggregator import TextType

from piopiy_pipeline.transports.frames import SpeechMarkFrame

__all__ = ["ShownText"]

MAX_SENTENCE = 2000
"""Characters after which a sentence counts as whole, in the messages to a client: a list has no full stop."""
_ENDS = frozenset(".!?…。！？।:\n")


class ShownText(FrameProcessor):
    """Makes shown text of what the model writes, and of what is to be said besides.

    Each piece is a `TTSTextFrame`, as a voice would report a word that it has spoken. Each whole sentence follows as
    an `AggregatedTextFrame`, which is no part of the conversation: clients that show sentences wait for it.
    """

    def __init__(self) -> None:
        super().__init__(name="shown_text")
        self._context_id: str | None = None
        self._sentence = ""
        self._waiting: list[TTSSpeakFrame | SpeechMarkFrame] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Show texts, and let every other frame pass."""
        await super().process_frame(frame, direction)
        if direction is FrameDirection.UPSTREAM:
            await self.push_frame(frame, direction)
            return
        match frame:
            case LLMFullResponseStartFrame():
                self._context_id = str(uuid.uuid4())
                await self.push_frame(frame)
            case LLMTextFrame():
                await self._show(frame.text, self._context_id, into_context=frame.append_to_context)
            case LLMFullResponseEndFrame():
                await self._end_sentence()
                self._context_id = None
                await self.push_frame(frame)
                waiting, self._waiting = self._waiting, []
                for each in waiting:
                    await self._say_or_pass(each)
            case TTSSpeakFrame() | SpeechMarkFrame():
                if self._context_id is None:
                    await self._say_or_pass(frame)
                else:  # behind the answer that is being written: between two of its words it would be part of it
                    self._waiting.append(frame)
            case InterruptionFrame():
                self._sentence, self._context_id = "", None
                kept = [each for each in self._waiting if not each.interruptible]
                self._waiting.clear()
                await self.push_frame(frame)
                for each in kept:
                    await self._say_or_pass(each)
            case _:
                await self.push_frame(frame)

    async def _say_or_pass(self, frame: TTSSpeakFrame | SpeechMarkFrame) -> None:
        if isinstance(frame, SpeechMarkFrame):
            await self.push_frame(frame)
            return
        known = frame.append_to_context is not False
        context_id = str(uuid.uuid4())
        started = TTSStartedFrame(context_id=context_id)
        started.append_to_context = known
        await self.push_frame(started)
        await self._show(frame.text, context_id, into_context=known)
        await self._end_sentence()
        await self.push_frame(TTSStoppedFrame(context_id=context_id))
        if known:
            await self.push_frame(LLMAssistantPushAggregationFrame())

    async def _show(self, text: str, context_id: str | None, *, into_context: bool) -> None:
        if not text:
            return
        ended = self._sentence.rstrip(" ")[-1:] in _ENDS and (
            text[0].isspace() or self._sentence[-1].isspace()
        )
        if self._sentence and (ended or len(self._sentence) > MAX_SENTENCE):
            await self._end_sentence()
        self._sentence += text
        shown = TTSTextFrame(text, TextType.TOKEN, context_id=context_id)
        shown.includes_inter_frame_spaces = True
        shown.append_to_context = into_context
        shown.skip_tts = True  # to a client: it waits for no voice
        await self.push_frame(shown)

    async def _end_sentence(self) -> None:
        sentence, self._sentence = self._sentence.strip(), ""
        if sentence:
            whole = AggregatedTextFrame(sentence, TextType.SENTENCE, context_id=self._context_id)
            whole.append_to_context = False
            whole.skip_tts = True
            await self.push_frame(whole)
