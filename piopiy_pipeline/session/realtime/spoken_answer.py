"""`SpokenAnswer`: what a speech-to-speech model says, in the form that the stages behind it know from a voice.

A voice says sentence by sentence, and each comes with its text. A model that speaks itself writes its text down beside
the audio, in pieces that run ahead of it. So the text of an item of the conversation is one sentence here, which grows
while its audio comes; after an interruption the part of it that was heard is known in proportion, as of any sentence
without word times. Its audio bears the item's name, so that it is known how much of which item was heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from pipecat.frames.frames import (
    AggregatedTextFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    FunctionCallsStartedFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.utils.text.base_text_aggregator import TextType

from piopiy_pipeline.compat.frame_taps import watch_processed, watch_taken
from piopiy_pipeline.session.limits.stream_guards import StreamGuards
from piopiy_pipeline.session.realtime.bounded_wait import holds_within
from piopiy_pipeline.session.realtime.realtime_provider import RealtimeProvider
from piopiy_pipeline.transports.frames import CutAnswerEndFrame, MoreTextFrame, SpeechMarkFrame
from piopiy_pipeline.transports.text_timeline import heard_words

__all__ = ["SayingMark", "SpokenAnswer"]

CHARACTERS_A_S = 15
"""So much text a second of audio holds, if its length is not known: a voice that errs towards fewer words."""
ERROR_BEHIND_S = 0.05
"""An answer that has failed is told to be over, and why, so many seconds later at most."""
UNREAD_S = 2.0
"""What of a cut answer waits to be read, or is on its way, comes within so many seconds of pipecat's own end of it."""
END_S = 30.0
"""The end of the pipeline waits so long at most for the answer under way, in seconds, as pipecat's Gemini Live does."""
ITEMS = 16
"""So many items are remembered: of these some may not be heard to their end."""


class SayingMark(NamedTuple):
    """What a model is told to say.

    Attributes:
        number: The number of its mark.
        interruptible: Whether the caller can cut it off.
        into_context: Whether its words are part of the conversation.
    """

    number: int
    interruptible: bool
    into_context: bool = True


class SpokenAnswer:
    """Stands around `push_frame` of one service.

    Args:
        service: The service, before it runs.
        provider: Its provider.
        done: Called when an answer is over.
    """

    def __init__(self, service: Any, provider: RealtimeProvider, *, done: Callable[[], None]) -> None:
        self._service = service
        self._provider = provider
        self._empty = True  # nothing of this answer has come, and it uses no tool
        self._late_end: asyncio.Task[None] | None = None
        self._ends_empty = False  # nothing will come of it, and it is still to be told
        self._push = service.push_frame
        self._done = done
        self._open = False
        self._drops_until = float("-inf")  # what still comes of an answer that was cut off
        self._ended = False  # a fatal error: nothing more is said
        self._passing: asyncio.Task[Any] | None = None  # in it an interruption goes through the service
        self._number = 0
        self._speaks = False  # audio of this answer has come
        self._spoken_s = 0.0
        self.too_long: Callable[[float, int | None], bool] = lambda seconds, mark: False
        """Takes how many seconds of this answer have come, and the number of its mark if the model was told to say it.
        Returns whether they are too many.
        """
        self.spoke = False
        """Whether the last answer that is over had audio, and was not cut off."""
        self._sentence: AggregatedTextFrame | None = None
        self._text = ""
        self._audio_s = 0.0  # of this sentence
        self.hides_errors = False
        """Whether errors are the business of whoever opens the session again."""
        self.hides_beside = False
        """Whether errors are those of a text that is written beside the conversation, and nobody's business."""
        self.hidden = ""
        """The last error that was hidden."""
        self.mark: SayingMark | None = None
        """What is said in this answer, if the model is told."""
        self.items: dict[str, int] = {}
        """The latest items with audio, and the part of each that is audio."""
        self.cut_item: str | None = None
        """The item that was being said when the last interruption came."""
        self.received_ms: dict[str, float] = {}
        """How much audio of them has come."""
        self.aside: asyncio.Future[str] | None = None
        """A text is being written that nobody is to hear."""
        self._aside_text = ""
        service.push_frame = self.push_frame
        watch_taken(service, self._interrupted, InterruptionFrame)
        watch_taken(service, self._ends, EndFrame)
        watch_processed(service, self._has_passed, InterruptionFrame)

    def bound_by(self, streams: StreamGuards) -> None:
        """Have the model's answers keep these bounds."""
        self.too_long = partial(streams.spoke, self._service)
        streams.cancel = self._give_up

    @property
    def _is_too_long(self) -> bool:
        return self.too_long(self._spoken_s, None if self.mark is None else self.mark.number)

    async def _give_up(self, _service: object) -> None:
        """Have the provider give up an answer that has become too long. What came of it before is heard."""
        self._provider.spares = False
        await self._provider.cancel()
        if (item := next(reversed(self.items), None)) is not None:
            await self._provider.truncate(item, self.items[item], int(self.received_ms[item]))

    @property
    def _drops(self) -> bool:
        return self._ended or self._now() < self._drops_until

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    @property
    def is_spared(self) -> bool:
        """Whether the answer under way must not be interrupted."""
        return self.mark is not None and not self.mark.interruptible

    @property
    def _is_known(self) -> bool:
        """Whether the words of the answer are part of the conversation."""
        return self.mark is None or self.mark.into_context

    @property
    def open(self) -> bool:
        """Whether an answer is under way, or its end is still to be told."""
        return self._open

    @property
    def comes(self) -> bool:
        """Whether an answer is under way of which more comes."""
        return self._open and not self._ends_empty

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        """Push what the service pushes, in the form that the stages behind it know."""
        if direction is FrameDirection.DOWNSTREAM:
            match frame:
                case LLMFullResponseStartFrame():
                    await self._end_at_last()
                    self._empty = self._empty or not self._open
                case LLMTextFrame() | TTSTextFrame() | TTSAudioRawFrame() | FunctionCallsStartedFrame():
                    self._empty = False
                case LLMFullResponseEndFrame() if self._open and self._empty and not self._late_end:
                    self._ends_empty = True
                    self._late_end = self._service.create_task(self._end_late(), "end of an empty answer")
                    return
        self._ended = self._ended or (isinstance(frame, ErrorFrame) and frame.fatal)
        await self._pass_on(frame, direction)
        if isinstance(frame, ErrorFrame):
            await self._end_at_last()

    async def _end_late(self) -> None:
        """End an answer that is empty. pipecat ends one that has failed, too, and tells the error behind it."""
        await asyncio.sleep(ERROR_BEHIND_S)
        self._late_end = None
        await self._end()

    async def _end_at_last(self) -> None:
        if await self._forget_late_end():
            await self._end()

    async def _forget_late_end(self) -> bool:
        task, self._late_end = self._late_end, None
        if task is not None:
            await self._service.cancel_task(task)
        return task is not None

    async def _pass_on(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, ErrorFrame) and (self.hides_errors or self.hides_beside):
            self.hidden = frame.error
            return
        if self.aside is not None and isinstance(frame, (LLMTextFrame, LLMFullResponseEndFrame)):
            await self._write_aside(frame)
            return
        if (
            isinstance(frame, InterruptionFrame)
            and self._passing is None
            and (self._drops or not self._provider.cuts_by_itself)
        ):
            if direction is FrameDirection.DOWNSTREAM:  # it confirms that it has given up its answer
                self._drops_until = float("-inf")
            return
        if direction is FrameDirection.UPSTREAM:
            await self._push(frame, direction)
            return
        match frame:
            case LLMFullResponseStartFrame():
                if not (self._drops or self._provider.opens_only):
                    await self._start(frame)
            case LLMFullResponseEndFrame():
                await self._end()
            case TTSStartedFrame() | TTSStoppedFrame():
                pass  # pipecat sends one for several items, and none after a pause
            case TTSAudioRawFrame():
                await self._audio(frame)
            case TTSTextFrame():
                await self._more_text(frame.text)
            case LLMTextFrame():
                if not self._drops and self._is_known:
                    await self._push(frame, direction)
            case _:
                await self._push(frame, direction)

    async def _write_aside(self, frame: Frame) -> None:
        if isinstance(frame, LLMTextFrame):
            self._aside_text += frame.text
            return
        written, self.aside = self.aside, None
        text, self._aside_text = self._aside_text, ""
        if written is not None and not written.done():
            written.set_result(text)
        self._done()

    def session_is_new(self) -> None:
        """Take note that nothing more comes of what was cut off: it was another session's."""
        self._drops_until = float("-inf")

    def unsaid_of(self, text: str) -> str:
        """Return what has not come of a text that the model is told to say."""
        seconds = self._spoken_s if self._open else 0.0
        return text[len(heard_words(text, CHARACTERS_A_S * seconds / max(len(text), 1))) :].strip()

    async def lost(self, *, goes_on: bool = False) -> None:
        """End the answer that is under way, because no more of it comes. What is to be said `goes_on` in another."""
        if self.aside is not None:
            await self._write_aside(LLMFullResponseEndFrame())
        self._leave_unsaid()
        await self._forget_late_end()
        self._drops_until = float("-inf")
        if self._open and self._empty:  # that is no answer without words
            self._open = False
            await self._push(CutAnswerEndFrame())
        await self._end(goes_on=goes_on)

    def _leave_unsaid(self) -> None:
        """Keep of the text, which runs ahead of the audio, what was said when the audio has broken off."""
        self._text = heard_words(self._text, CHARACTERS_A_S * self._audio_s / max(len(self._text), 1))

    # ------------------------------------------------------------------ an answer

    async def _start(self, frame: Frame) -> None:
        await self._end_sentence()  # another item of the same answer
        if not self._open:
            self._open, self._ends_empty, self._spoken_s = True, False, 0.0
            self._number += 1
            await self._say(frame)

    async def _end(self, *, goes_on: bool = False) -> None:
        if self._drops:
            ours = self._passing is not None and self._passing is asyncio.current_task()
            self._drops_until = min(self._drops_until, self._now() + UNREAD_S) if ours else float("-inf")
        else:
            if self._provider.breaks_off:
                self._leave_unsaid()
            await self._end_sentence()
            if self._speaks:
                await self._say(TTSStoppedFrame())
            if self._open:
                await self._say(LLMFullResponseEndFrame())
            if self.mark is not None and not goes_on:
                await self._say(SpeechMarkFrame(number=self.mark.number))
        self.spoke = self._speaks
        self._open = self._speaks = False
        self.mark = None
        self._done()

    async def _audio(self, frame: TTSAudioRawFrame) -> None:
        if self._drops:
            return
        name, part = self._provider.item() or (f"answer-{self._number}", 0)
        seconds = len(frame.audio) / 2 / frame.num_channels / frame.sample_rate
        self._spoken_s += seconds
        if self._is_too_long:
            return
        if name not in self.items:
            self.items[name] = part
            self.received_ms[name] = 0.0
            for old in list(self.items)[:-ITEMS]:
                del self.items[old], self.received_ms[old]
        self.received_ms[name] += seconds * 1000
        if not self._speaks:
            self._speaks = True
            await self._say(TTSStartedFrame(context_id=name))
        await self._begin_sentence()
        self._audio_s += seconds
        frame.context_id = name
        await self._say(frame)

    async def _ends(self, _service: Any, _frame: Frame) -> None:
        """Have the answer under way come to its end before the service ends: with it ends the session."""
        await holds_within(
            lambda: not (self._open or self._provider.answers) or not self._provider.connected, END_S
        )

    # ------------------------------------------------------------------ its text

    async def _begin_sentence(self) -> None:
        if self._sentence is None and self._is_known:
            self._text, self._audio_s = "", 0.0
            sentence = AggregatedTextFrame("", TextType.SENTENCE)
            sentence.append_to_context = False
            sentence.will_be_spoken = True
            self._sentence = sentence
            await self._say(sentence)

    async def _more_text(self, text: str) -> None:
        if self._drops or self._is_too_long or not self._is_known:
            return
        await self._begin_sentence()
        assert self._sentence is not None
        self._text += text
        await self._say(MoreTextFrame(segment_id=self._sentence.id, text=text))

    async def _end_sentence(self) -> None:
        sentence, self._sentence = self._sentence, None
        if sentence is None:
            return
        said = TTSTextFrame(self._text.strip(), TextType.SENTENCE, segment_id=sentence.id)
        await self._say(said)

    async def _say(self, frame: Frame) -> None:
        if self.is_spared:
            frame.interruptible = False
        await self._push(frame)

    # ------------------------------------------------------------------ interruptions

    async def _interrupted(self, _service: Any, _frame: Frame) -> None:
        """Drop what still comes of the answer. What was heard of it, the output transport knows."""
        self._passing = asyncio.current_task()
        if self.is_spared:
            return
        await self._forget_late_end()
        if self._provider.goes_stale and self.aside is None:
            self._drops_until = self._now() + self._provider.stale_s
        self.cut_item = next(reversed(self.items), None) if self._drops and self._speaks else None
        self._sentence, self.mark, self._speaks, self.spoke = None, None, False, False
        if self._open:
            self._open = False
            await self._push(CutAnswerEndFrame())

    def _has_passed(self, _service: Any, _frame: Frame) -> None:
        self._passing = None
