"""Finds the place of each text in the audio of the bot's speech, and how much of it was heard.

Speech is sent far ahead of the moment at which it is heard. A voice with word times says where each word
lies (`WordClock`); for one without, the words of a sentence are placed in proportion to its audio
(`SpokenSentence`). `TextTimeline` keeps both for the output transport. It has no clock and no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from pipecat.frames.frames import (
    AggregatedTextFrame,
    AggregatedTextProgressFrame,
    Frame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)

from piopiy_pipeline.compat.word_alignment import SPOKEN_PARTS, Parts
from piopiy_pipeline.transports.frames import HeardTextFrame, MoreTextFrame
from piopiy_pipeline.transports.spoken_contexts import HeardContext, SpokenContexts

__all__ = ["SpokenSentence", "TextTimeline", "WordClock", "heard_words"]

_WORD = re.compile(r"\S+\s*")
_TYPICAL_S_PER_CHARACTER = 1 / 15
"""The pace of a voice that is not known yet: slower than most, so that an estimate errs towards fewer words."""


def heard_words(text: str, fraction: float, parts: Parts | None = None) -> str:
    """Return the words of a sentence that had been said when a share of its audio had been heard.

    In proportion to the letters that were spoken. The word that was cut off is left out: it is the one word
    that may be missing, and no word is claimed that was not said.

    Args:
        text: The sentence.
        fraction: The share of its audio, 0.0 to 1.0.
        parts: What is said for each part of the sentence, if not all of it is said as it is written. Of a
            price that is cut off nothing was said.
    """
    if parts is None:
        return _words_before(text, max(0.0, min(1.0, fraction)) * len(text)).rstrip()
    left = max(0.0, min(1.0, fraction)) * sum(len(spoken) for _, spoken in parts)
    heard = ""
    for written, spoken in parts:
        if written == spoken:
            heard += _words_before(written, left)
        elif len(spoken.rstrip()) <= left:
            heard += written
        left -= len(spoken)
        if left <= 0:
            break
    return heard.rstrip()


def _words_before(text: str, end: float) -> str:
    """Return the words that end before a position, with the blanks behind them."""
    kept = 0
    for match in _WORD.finditer(text):
        if match.start() + len(match.group().rstrip()) > end:
            break
        kept = match.end()
    return text[:kept]


class SpokenSentence:
    """A sentence without word times, and where its audio lies.

    Args:
        text: The sentence.
        start: The position of its first sample.
        rate: Sample rate of the audio in Hz.
        parts: What is said for each part of the text. None: the text itself.
    """

    __slots__ = ("end", "parts", "rate", "start", "text")

    def __init__(self, text: str, start: int, rate: int, parts: Parts | None = None) -> None:
        self.text = text
        self.parts = parts
        self.start = start
        self.end: int | None = None  # not known while its audio is still being made
        self.rate = rate

    def said_again(self, position: int) -> None:
        """Note that an interruption at a position has not cut it off: what was not heard of it comes next."""
        self.start -= position
        self.end = None if self.end is None else self.end - position

    def heard(self, position: int, queued: int) -> str:
        """Return what was heard of the sentence when `position` of the `queued` samples had been played.

        While its audio is still being made its length is not known: it is then at least what is
        there, and at least what a voice needs for so many letters.
        """
        if position <= self.start:
            return ""
        if self.end is not None and position >= self.end:
            return self.text
        letters = len(self.text) if self.parts is None else sum(len(spoken) for _, spoken in self.parts)
        typical = int(letters * _TYPICAL_S_PER_CHARACTER * self.rate)
        length = self.end - self.start if self.end is not None else max(queued - self.start, typical)
        return heard_words(self.text, (position - self.start) / max(length, 1), self.parts)


class WordClock:
    """Converts a word's presentation time to its place in the audio.

    pipecat stamps words with the clock of the pipeline, counted from the moment at which the first
    audio of their context passed the TTS service, or from the last word before it if that is later
    (`WordTimestampTracker`). These times say nothing about the playout, but their distance from that
    origin is the word's place in the audio of its context. This class keeps the same origins, in
    nanoseconds of the pipeline's clock, and the position at which each context's audio began.

    Args:
        rate: Sample rate of the audio in Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._contexts: dict[str, tuple[int, int]] = {}
        self._last_pts = 0
        self._last_kept_pts = 0

    def audio(self, context: str | None, position: int, clock_ns: int) -> None:
        """Note that audio of a context begins, if it is the first.

        Args:
            context: The context.
            position: The position of its first sample.
            clock_ns: The time of the pipeline's clock in nanoseconds.
        """
        if context is not None and context not in self._contexts:
            self._contexts[context] = (position, max(self._last_pts, clock_ns))

    def word(self, context: str | None, pts: int, *, interruptible: bool = True) -> int | None:
        """Return the position at which a word has begun, or None in an unknown context.

        Args:
            context: The context of the word.
            pts: Its presentation time, in nanoseconds of the pipeline's clock.
            interruptible: Whether an interruption may drop it.
        """
        self._last_pts = max(self._last_pts, pts)
        if not interruptible:
            self._last_kept_pts = max(self._last_kept_pts, pts)
        return self.place(context, pts)

    def is_rest(self, pts: int) -> bool:
        """Return whether a text with this presentation time is no word that the voice has told of.

        pipecat tells the words that a voice has left out at the end of their context, with the time of the last one.
        """
        return pts <= self._last_pts

    def place(self, context: str | None, pts: int) -> int | None:
        """Return the position of something that is stamped `pts` and is no word, or None in an unknown
        context.
        """
        if context is None or context not in self._contexts:
            return None
        start, origin = self._contexts[context]
        return start + max(0, pts - origin) * self._rate // 1_000_000_000 + 1

    def ended(self, context: str | None) -> None:
        """Forget a context of which no more words will come."""
        if context is not None:
            self._contexts.pop(context, None)

    def interrupted(self) -> None:
        """Forget the contexts; words that may not be interrupted go on counting."""
        self._contexts.clear()
        self._last_pts = self._last_kept_pts


class TextTimeline:
    """Keeps the texts that belong to one call's outgoing speech.

    Positions are samples of the speech in the current epoch; `queued` is the position after everything
    that was said so far.

    Args:
        rate: Sample rate of the speech in Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._words = WordClock(rate)
        self._sentences: dict[int, tuple[AggregatedTextFrame, SpokenSentence]] = {}
        """Sentences without word times that were not heard to their end, by the id of their frame, in order."""
        self._not_for_context: set[str | None] = set()
        """The contexts whose words the model is not to know."""
        self._voice_failed = False
        self._contexts = SpokenContexts()
        self.on_cut: Callable[[dict[str, HeardContext]], None] | None = None
        """Called once behind each interruption with how much was heard of each context of the speech before it."""

    def audio(self, context_id: str | None, queued: int, clock_ns: int, interruptible: bool = True) -> None:
        """Note that speech of this context comes next, at the position `queued`; `clock_ns` is the pipeline's
        clock. What is not `interruptible` is never cut off.
        """
        self._words.audio(context_id, queued, clock_ns)
        self._contexts.audio(context_id if interruptible else None, queued)

    def place(self, frame: Frame, queued: int, clock_ns: int) -> int | None:
        """Take note of a frame that is not audio.

        Args:
            frame: Any frame that goes to the output transport.
            queued: The position after everything that was said so far.
            clock_ns: The time of the pipeline's clock in nanoseconds.

        Returns:
            The position at which the frame is due, or None if it is due after everything said so far.
        """
        position: int | None = None
        match frame:
            case TTSTextFrame():
                if frame.pts is not None:  # the first words of a context come just ahead of its audio
                    if self._voice_failed and self._words.is_rest(frame.pts):
                        frame.append_to_context = False
                    self._words.audio(frame.context_id, queued, clock_ns)
                    position = self._words.word(
                        frame.context_id, frame.pts, interruptible=frame.interruptible
                    )
                self._end_sentence(frame, queued, by_words=position is not None)
            case MoreTextFrame():
                if frame.segment_id in self._sentences:
                    self._sentences[frame.segment_id][1].text += frame.text
            case AggregatedTextProgressFrame():
                if frame.pts is not None:
                    position = self._words.place(frame.context_id, frame.pts)
            case AggregatedTextFrame():
                if frame.pts is not None:  # the audio of this sentence may have come ahead of it
                    position = self._words.place(frame.context_id, frame.pts)
                if frame.will_be_spoken:
                    parts = frame.metadata.get(SPOKEN_PARTS)
                    self._sentences[frame.id] = frame, SpokenSentence(frame.text, queued, self._rate, parts)
            case TTSStartedFrame() if not frame.append_to_context:
                self._not_for_context.add(frame.context_id)
            case TTSStoppedFrame():
                self._words.ended(frame.context_id)
        return position

    def _end_sentence(self, frame: TTSTextFrame, queued: int, *, by_words: bool) -> None:
        """End a sentence, because its text has come after its audio or word by word, and no estimate is
        needed any more.
        """
        if frame.segment_id not in self._sentences:
            return
        if self._voice_failed and not by_words and self._sentences[frame.segment_id][1].start >= queued:
            frame.append_to_context = False
        if by_words:
            del self._sentences[frame.segment_id]
        else:
            announced, sentence = self._sentences[frame.segment_id]
            sentence.end = queued
            if not announced.text:  # it has grown, and is not all said if its audio has broken off
                sentence.text = frame.text

    def voice_failed(self) -> None:
        """Note that the TTS has reported an error: a sentence of which there is no audio was not said.

        Until the next interruption. Without an error, audio may still come behind its text.
        """
        self._voice_failed = True

    def sentence_progress(self, heard: int, queued: int) -> str | None:
        """Return how much was heard, by an estimate, of the sentence in progress.

        None if no sentence is under way whose words have no times, or if the model is not to know it.
        """
        if not self._sentences:
            return None
        frame, sentence = next(iter(self._sentences.values()))
        return None if frame.context_id in self._not_for_context else sentence.heard(heard, queued)

    def heard(self, frame: TTSTextFrame) -> None:
        """Note that this text was heard to its end."""
        if frame.segment_id is not None:
            self._sentences.pop(frame.segment_id, None)

    def stopped(self, frame: TTSStoppedFrame) -> None:
        """Note that the speech of a context was heard to its end."""
        self._not_for_context.discard(frame.context_id)

    def interrupted(self) -> None:
        """Note an interruption: the word times that come from now on belong to new speech."""
        self._voice_failed = False
        self._words.interrupted()

    def cut(self, position: int, queued: int, *, due: Iterable[Frame] = ()) -> list[HeardTextFrame]:
        """End an interruption: `position` of the `queued` samples were heard, and what is `due` is told to its end.

        Returns:
            What was heard of the sentences that had no word times, in order.
        """
        for said in due:
            if isinstance(said, TTSTextFrame):
                self.heard(said)
        contexts = self._contexts.cut(position, queued)
        if self.on_cut is not None:
            self.on_cut(contexts)
        parts = []
        for frame, sentence in self._sentences.values():
            if not frame.interruptible:
                sentence.said_again(position)
            elif text := sentence.heard(position, queued):
                parts.append(_heard_part(frame, text, known=frame.context_id not in self._not_for_context))
        self._sentences = {n: one for n, one in self._sentences.items() if not one[0].interruptible}
        return parts

    @property
    def goes_on(self) -> bool:
        """Whether a sentence is under way that an interruption has not cut off."""
        return bool(self._sentences)


def _heard_part(sentence: AggregatedTextFrame, text: str, *, known: bool) -> HeardTextFrame:
    heard = HeardTextFrame(text, sentence.text_type, context_id=sentence.context_id, segment_id=sentence.id)
    heard.will_be_spoken = True
    heard.append_to_context = known  # the announcement's own is always False
    return heard
