"""`WantedAnswers`: what a speech-to-speech model is to be asked for, in the order in which it is asked. Without I/O.

What the bot is told to say goes ahead of the answers that wait, and behind what it was told to say before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from piopiy_pipeline.session.realtime.spoken_answer import SayingMark, SpokenAnswer

__all__ = ["WantedAnswer", "WantedAnswers"]


@dataclass(frozen=True, slots=True)
class WantedAnswer:
    """An answer that the provider is to be asked for.

    Attributes:
        text: What the model is told to say. None: it answers the conversation.
        mark: The mark of the text.
        behind: Whether the text waits for the answers that were asked for before it.
    """

    text: str | None = None
    mark: SayingMark | None = None
    behind: bool = False


class WantedAnswers:
    """Those of one session. It is true while any wait."""

    def __init__(self) -> None:
        self._waiting: list[WantedAnswer] = []
        self._asked: WantedAnswer | None = None  # what was returned last

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def has_answer(self) -> bool:
        """Whether an answer to the conversation waits."""
        return any(one.text is None for one in self._waiting)

    @property
    def has_sayings(self) -> bool:
        """Whether something waits that the bot is told to say."""
        return any(one.mark for one in self._waiting)

    def say(self, text: str, mark: SayingMark, *, behind: bool = False) -> None:
        """Have a text said: behind what waits, or behind the texts that wait, and ahead of all else."""
        ahead = [number for number, one in enumerate(self._waiting) if one.mark is None or one.behind]
        place = len(self._waiting) if behind or not ahead else ahead[0]
        self._waiting.insert(place, WantedAnswer(text, mark, behind))

    def answer(self) -> None:
        """Have the conversation answered, behind what waits."""
        self._waiting.append(WantedAnswer())

    def drop_answers(self) -> None:
        """Wait for no answer to the conversation: it is asked for by somebody else."""
        self._waiting = [one for one in self._waiting if one.mark]

    def next(self) -> WantedAnswer:
        """Return what comes first, and wait for it no longer.

        Raises:
            IndexError: Nothing waits.
        """
        self._asked = self._waiting.pop(0)
        return self._asked

    def say_rest(self, answer: SpokenAnswer) -> bool:
        """Have said, before all else, what has not come of the text that the model was saying when its session ended.

        Args:
            answer: What has come.

        Returns:
            Whether there is any of it.
        """
        asked = self._asked
        if asked is None or asked.text is None or asked.mark is None or asked.mark is not answer.mark:
            return False
        if rest := answer.unsaid_of(asked.text):
            self._waiting.insert(0, replace(asked, text=rest))
        return bool(rest)

    def cut(self) -> None:
        """Give up what the caller may cut off: answers, and what they need not hear to its end."""
        self._waiting = [one for one in self._waiting if one.mark and not one.mark.interruptible]
