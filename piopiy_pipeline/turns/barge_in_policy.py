"""Decides whether a sound of the caller over the bot's speech is an interruption. Without I/O.

The bot is silent while it is decided, so a caller who interrupts has what they want already, and there is time to
listen. What the caller says decides first: "no, wait" is an interruption, "mhm" is none, and who speaks on for a second
and has said a word so far that is no listener's means to speak. Where there are no words, the sound does: what is over
soon is a cough or a door, and what lasts is speech. A "yeah, okay, right" and a laugh last longer than a second, too.
Words that come after that still count.

Short sounds are what recognisers write nonsense for ("And then," for a hum). So the shorter a sound is, the surer its
words must be, and they must be more than words that mean nothing by themselves (`credible_words`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from piopiy_pipeline.arguments import check_language, check_seconds
from piopiy_pipeline.turns.backchannels import WordsOver, words_in, words_over
from piopiy_pipeline.turns.credible_words import (
    SHORT_S,
    HeardWords,
    doubt_of,
    looks_heard_wrong,
    means_nothing,
)

__all__ = ["BargeInPolicy", "BargeInVerdict", "Decision"]


class BargeInVerdict(StrEnum):
    """What becomes of the bot's speech."""

    INTERRUPT = "interrupt"
    """The caller has the floor: what the bot was saying is dropped."""
    RESUME = "resume"
    """The bot goes on."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict, and why."""

    verdict: BargeInVerdict
    reason: str


_SPOKEN = (WordsOver.STOP, WordsOver.OTHER)
"""Words that are no listener's."""
_INTERIM_WORDS = 3
"""So many words of an interim transcript are an interruption."""
_INTERIM_S = 0.6
"""An interim of a sound that is shorter is not believed: there is time for the next one."""

_SWELLS_S = 0.13
"""The next burst of a cough is loud for so many seconds before a VAD calls it a voice."""
_AS_LOUD = 0.25
"""It has at least this share of the power of the loudest voiced window before it: 6 dB less."""

_GOES_ON_S = 1.5
"""Who was not believed and says more within so many seconds is still saying the same."""


class BargeInPolicy:
    """Follows the sounds of one caller. Every `now` is in seconds of one clock.

    Args:
        language: The language of the caller's words, by its code, where transcripts do not tell it.
        earliest_s: A sound that is over counts as none of speech after this many seconds at least.
        latest_s: By then it is decided.
        speech_s: A sound that is voiced for so many seconds is speech, whatever its words.
        quiet_s: A sound is over when it was not voiced for so many seconds.
        words_s: Words are waited for until so many seconds after the end of a sound, where the VAD took it for
            speech.
        answer_s: With so little of its speech left, a bot is answered by any words, and one that asks by a "yeah", too.

    Raises:
        ValueError: The times are in no order, or not positive.
        TypeError: A value is of the wrong kind.
    """

    def __init__(
        self,
        *,
        language: str = "en",
        earliest_s: float = 0.3,
        latest_s: float = 2.3,
        speech_s: float = 1.8,
        quiet_s: float = 0.2,
        words_s: float = 0.35,
        answer_s: float = 1.0,
    ) -> None:
        check_language("BargeInPolicy: language", language)
        for name, seconds in (
            ("earliest_s", earliest_s),
            ("latest_s", latest_s),
            ("speech_s", speech_s),
            ("quiet_s", quiet_s),
            ("words_s", words_s),
        ):
            check_seconds(f"BargeInPolicy: {name}", seconds)
        check_seconds("BargeInPolicy: answer_s", answer_s, zero=True)
        if not earliest_s <= latest_s <= 2.5:
            raise ValueError(
                f"earliest_s={earliest_s:g}, latest_s={latest_s:g}: they are more than 0, in this order, and 2.5 "
                "at most, because a gateway lets held speech go on after 3 s"
            )
        self.language = language
        self.words_s = words_s
        self._earliest_s = earliest_s
        self._latest_s = latest_s
        self._speech_s = speech_s
        self._quiet_s = quiet_s
        self._answer_s = answer_s
        self._began: float | None = None
        self._voiced_s = 0.0
        self._voiced_at = float("-inf")
        self._transcript_due = False
        self._loudest = 0.0  # power of its voiced windows
        self._was_loud = self._has_swelled = False  # since it was voiced
        self._swells_since = float("-inf")
        self._speaks = False  # by an interim of this sound
        self._doubted_s, self._doubted_at = 0.0, float("-inf")  # voiced, of words that were not believed

    @property
    def under_way(self) -> bool:
        """Whether a sound is being decided on."""
        return self._began is not None

    def begin(self, now: float, *, voiced_s: float = 0.0, power: float = 0.0) -> None:
        """Begin to decide: a sound has begun.

        Args:
            now: The time.
            voiced_s: How long it has been voiced already.
            power: Its mean power, 1.0 at full scale; 0.0 if that is not known.
        """
        self._loudest, self._was_loud, self._has_swelled, self._swells_since = (
            power,
            True,
            False,
            float("-inf"),
        )
        self._began, self._voiced_s, self._voiced_at = now, voiced_s, now
        self._transcript_due = self._speaks = False
        self._forget_doubts(now)

    def end(self) -> None:
        """Decide nothing any more. What is known of the sound is kept, for words that come later."""
        self._began = None

    def window(self, now: float, seconds: float, *, voiced: bool, power: float = 0.0) -> None:
        """Take a piece of the caller's audio that ends now.

        Args:
            now: The time.
            seconds: Its length.
            voiced: Whether it is taken for a voice.
            power: Its mean power, 1.0 at full scale; 0.0 if that is not known.
        """
        if self.under_way:
            self._swell(now, voiced=voiced, power=power)
        if voiced:
            if not self.under_way and now - self._voiced_at > 2 * self._quiet_s:
                self._voiced_s = 0.0  # another sound, that nobody asks about
                self._forget_doubts(now)
            self._voiced_s += seconds
            self._voiced_at = now

    def _swell(self, now: float, *, voiced: bool, power: float) -> None:
        """Follow whether the sound becomes loud again behind its end, which it may do once before it is voiced."""
        loud = power > 0 and power >= _AS_LOUD * self._loudest
        if voiced:
            self._loudest, self._has_swelled = max(self._loudest, power), False
        elif loud and not self._was_loud and not self._has_swelled:
            self._has_swelled, self._swells_since = True, now
        if voiced or not loud:
            self._swells_since = float("-inf")
        self._was_loud = voiced or loud

    def speech(self) -> None:
        """Note that the VAD has reported speech: a transcript will follow."""
        self._transcript_due = True

    def sounds(self, now: float) -> bool:
        """Return whether the caller is making a sound."""
        return now - self._voiced_at < self._quiet_s

    def decide(self, now: float) -> Decision | None:
        """Return what is known by the sound alone, or None if it is still to be seen."""
        if self._began is None:
            return None
        sound = f"a sound of {self._voiced_s:.2f} s"
        if self._voiced_s >= self._speech_s or (self._speaks and self._voiced_s >= SHORT_S):
            return Decision(BargeInVerdict.INTERRUPT, sound)
        waited = now - self._began + 0.001
        quiet = now - self._voiced_at + 0.001
        if waited >= self._latest_s:
            speaks = quiet < self._quiet_s and self._voiced_s >= self._latest_s / 2
            return Decision(BargeInVerdict.INTERRUPT if speaks else BargeInVerdict.RESUME, sound)
        if now - self._swells_since < _SWELLS_S:
            return None
        if waited >= self._earliest_s and quiet >= (self.words_s if self._transcript_due else self._quiet_s):
            return Decision(BargeInVerdict.RESUME, sound)
        return None

    def interim(self, text: str, *, language: str | None = None) -> Decision | None:
        """Take an interim transcript. Returns a decision to interrupt, or None if it is still to be seen.

        While the bot is silent because of the sound, the final one is waited for, because nobody tells how sure an
        interim is; but who has said a word so far that is no listener's has spoken when the sound is long enough.
        """
        if self.under_way:
            self._speaks = words_over(text, language or self.language) in _SPOKEN and not looks_heard_wrong(
                words_in(text), language or self.language
            )
            return None
        if 0 < self._voiced_s < _INTERIM_S:
            return None
        meaning = words_over(text, language or self.language)
        if meaning is WordsOver.OTHER and (
            len(text.split()) < _INTERIM_WORDS or means_nothing(words_in(text))
        ):
            return None
        if meaning in _SPOKEN:
            return Decision(BargeInVerdict.INTERRUPT, f"said {text.strip()[:40]!r}")
        return None

    def final(
        self,
        text: str,
        *,
        confidence: float = 1.0,
        heard: HeardWords = (),
        language: str | None = None,
        bot_left_s: float | None = None,
        bot_asks: bool = True,
    ) -> Decision:
        """Take a final transcript, of the sound that is decided on or of an earlier one.

        Args:
            text: The words.
            confidence: Of the least certain of them, 0 to 1.
            heard: Each word with a confidence of its own, where the recogniser tells them.
            language: Their language by its code, if it is known.
            bot_left_s: How many seconds of its speech the bot has left; None if that is not known yet.
            bot_asks: Whether its speech ends with a question, which a "yeah" may answer.

        Returns:
            A decision. `RESUME` says that the words are no turn.
        """
        said = f"said {text.strip()[:40]!r}"
        meaning = words_over(text, language or self.language)
        self._transcript_due = False
        match meaning:
            case WordsOver.NOTHING:
                return Decision(BargeInVerdict.RESUME, "no words")
            case WordsOver.BACKCHANNEL if not bot_asks:
                return Decision(BargeInVerdict.RESUME, said)
            case _ if bot_left_s is not None and bot_left_s <= self._answer_s:
                return Decision(BargeInVerdict.INTERRUPT, f"{said} as an answer")
            case WordsOver.BACKCHANNEL:
                return Decision(BargeInVerdict.RESUME, said)
        if self._voiced_s == 0.0:  # nothing is known of the sound: the VAD missed it, or there is none
            return Decision(BargeInVerdict.INTERRUPT, said)
        voiced_s = self._voiced_s + self._doubted_s
        doubt = doubt_of(heard or ((text, confidence),), voiced_s, language or self.language)
        if doubt is not None:
            self._doubted_s, self._doubted_at = voiced_s, self._voiced_at
            return Decision(BargeInVerdict.RESUME, f"{said}, {doubt}")
        return Decision(BargeInVerdict.INTERRUPT, said)

    def _forget_doubts(self, now: float) -> None:
        if now - self._doubted_at > _GOES_ON_S:
            self._doubted_s = 0.0
