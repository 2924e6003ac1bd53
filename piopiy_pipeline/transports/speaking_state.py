"""Decides whether the bot counts as speaking. Without I/O; time is a parameter, in seconds of one clock."""

from __future__ import annotations

from pipecat.frames.frames import (
    AggregatedTextFrame,
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)

__all__ = ["QUIET_S", "SPEAKING_EVERY_S", "SpeakingState"]

QUIET_S = 0.35
"""A bot that has nothing left to play, and did not say that its speech ended, has stopped after this."""
SPEAKING_EVERY_S = 1.0
"""How often `BotSpeakingFrame` tells that the bot still speaks."""
VOICE_S = 0.5
"""A voice that has brought no audio for so long has brought all of it."""
BETWEEN_S = 2.0
"""An answer whose next sentence takes longer than this is taken for one that has ended."""
_QUESTION, _STATEMENT = ("?", "？", "؟"), (".", "!", "。", "！", "।")
_EARLY_S = 0.001  # a timer that fires this early is on time


class SpeakingState:
    """Keeps what the playout reports, and what the pipeline was told of it."""

    def __init__(self) -> None:
        self.playing = False
        """Whether the playout has something to play, as it last reported."""
        self.speaking = False
        """Whether the pipeline was told that the bot speaks."""
        self.quiet_at: float | None = None
        """When a bot that has run dry counts as silent; None if it has not run dry."""
        self.asks = False
        """Whether the last sentence that there is to say is a question."""
        self._told_at = 0.0
        self._answering = self._synthesising = self._answered_aloud = False
        self._audio_at = self._ran_dry_at = float("-inf")

    def more_comes(self, now: float) -> bool:
        """Whether more speech may come behind what is there: an answer has begun and not ended, or a voice has
        brought audio a moment ago. Voices may tell their end late.
        """
        return self._answering or (self._synthesising and now - self._audio_at < VOICE_S)

    def in_answer(self, now: float) -> bool:
        """Whether an answer has begun to be said, and goes on: between two sentences of it, too."""
        return self._answering and self._answered_aloud and now - self._ran_dry_at < BETWEEN_S

    def note(self, frame: Frame) -> None:
        """Take note of a frame that may say that speech begins or ends, as it arrives."""
        match frame:
            case LLMFullResponseStartFrame():
                self._answering, self._answered_aloud = True, False
            case LLMFullResponseEndFrame():
                self._answering = False
            case TTSStartedFrame():
                self._synthesising = True
            case TTSStoppedFrame():
                self._synthesising = False
            case AggregatedTextFrame():
                self._note_end(frame.text.rstrip(" \n\"'”’»)*_"), words=isinstance(frame, TTSTextFrame))

    def _note_end(self, text: str, *, words: bool) -> None:
        """Take note of how a sentence ends. A voice may tell its words one by one, and without their marks."""
        if text.endswith(_QUESTION):
            self.asks = True
        elif text and (not words or text.endswith(_STATEMENT)):
            self.asks = False

    def audio_came(self, now: float) -> None:
        """Note that there is audio to play."""
        self._answered_aloud, self._audio_at = True, now

    def played(self, *, dry: bool, now: float) -> None:
        """Take a report of the playout; `dry` if it has nothing left to play."""
        self.playing = not dry
        if dry:
            self._ran_dry_at = now
        self.quiet_at = now + QUIET_S if dry and self.speaking else None

    def cleared(self) -> None:
        """Note that the playout was cleared, which it does not report as running dry."""
        self.playing = self._answering = self._synthesising = False

    @property
    def has_begun(self) -> bool:
        """Return whether the bot is heard and the pipeline was not told yet."""
        return self.playing and not self.speaking

    def goes_on(self, now: float) -> bool:
        """Return whether it is time to say once more that the bot speaks. True counts as said."""
        if not (self.playing and self.speaking) or now - self._told_at < SPEAKING_EVERY_S:
            return False
        self._told_at = now
        return True

    def is_quiet(self, now: float) -> bool:
        """Return whether the bot has been silent for so long that it has stopped."""
        return self.quiet_at is not None and self.quiet_at <= now + _EARLY_S

    def change(self, speaking: bool, now: float) -> bool:
        """Note that the bot has begun or stopped to speak. Returns False if the pipeline was told so already."""
        if speaking == self.speaking:
            return False
        self.speaking = speaking
        self._told_at = now
        self.quiet_at = None
        return True
