"""Tells words that a recogniser sends again from words that the caller says again. Without I/O.

Some recognisers send a final transcript twice, or an interim one behind its final. Taken for the caller's, such words
are a turn of their own, and the bot answers the same again. Who says "no" twice, though, has made the sound of it
twice: with voice since the first, or, where the recogniser is late, with speech before it that had room for both.
"""

from __future__ import annotations

from rapidfuzz import fuzz

from piopiy_pipeline.turns.backchannels import words_in

__all__ = ["RepeatedWords"]

REPEATED_S = 3.0
"""Words that come again so long after the last time are a recogniser's no more: the VAD may have missed some."""
WORD_S = 0.45
"""Speech that is shorter for each of its words has no room for words that are said twice."""
FASTEST_S = 0.15
"""Nobody says a word of several in less: in a shorter sound since the first time they were not said again."""
SHORT_WORDS = 2
"""Of so few words, each speech of several may be one of its own: "no" and "no", or the digits of a number."""
_LIKE = 75.0
"""Least likeness of letters, 0 to 100, of an interim transcript and the final one that it was on the way to."""


class RepeatedWords:
    """Follows the transcripts of one recogniser. Times are seconds of one clock.

    Without a VAD nothing is known of the caller's voice, and no words are taken for repeated ones.
    """

    def __init__(self) -> None:
        self._has_vad = False
        self._since: float | None = None  # the speech under way
        self._voice_at = float("-inf")
        self._voiced_s, self._speeches = 0.0, 0  # since the last words
        self._words: list[str] = []
        self._words_at = self._seen_at = float("-inf")
        self._room_s, self._room_speeches = 0.0, 0
        self._times = 1

    def speech_began(self, now: float) -> None:
        """Note that the VAD hears speech, which began at `now`."""
        self._has_vad = True
        self._since = now
        self._speeches += 1

    def speech_ended(self, now: float) -> None:
        """Note that the VAD has found the end of speech, at `now`."""
        self._has_vad = True
        if self._since is not None:
            self._voiced_s += max(0.0, now - max(self._since, self._words_at))
        self._since = None
        self._voice_at = now

    def final(self, text: str, now: float) -> bool:
        """Take a final transcript. Returns whether it is the last one again, which the caller has not said again."""
        words = words_in(text)
        if not words:
            return False
        said_since_s = self._voiced_s + self._under_way_s(now)
        if len(words) > SHORT_WORDS:
            not_said = self._is_soon(now) and said_since_s < len(words) * FASTEST_S
        else:
            not_said = self._silent_since_words(now)
        if words == self._words and not_said:
            self._seen_at = now
            self._times += 1
            room_s = self._times * len(words) * WORD_S
            several = len(words) <= SHORT_WORDS and self._room_speeches >= self._times
            return self._room_s < room_s and not several
        self._room_s, self._room_speeches = said_since_s, self._speeches
        self._voiced_s, self._speeches = 0.0, 0
        self._words, self._times = words, 1
        self._words_at = self._seen_at = now
        return False

    def interim(self, text: str, now: float) -> bool:
        """Take an interim transcript. Returns whether it is one on the way to the final one that has come already."""
        words = words_in(text)
        if not words or not self._words or not self._silent_since_words(now):
            return False
        said, final = " ".join(words), " ".join(self._words[: len(words)])
        return (
            said == final or fuzz.ratio(said, final) >= _LIKE or f" {said} " in f" {' '.join(self._words)} "
        )

    def _under_way_s(self, now: float) -> float:
        return 0.0 if self._since is None else now - max(self._since, self._words_at)

    def _is_soon(self, now: float) -> bool:
        return self._has_vad and now - self._seen_at <= REPEATED_S

    def _silent_since_words(self, now: float) -> bool:
        """Whether the caller has made no sound since the last words, which came just now."""
        return self._is_soon(now) and self._since is None and self._voice_at <= self._words_at
