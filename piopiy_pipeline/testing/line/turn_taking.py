"""Decides when a caller may speak, by one pacing rule for simulated calls and for `piopiy call`.

A caller knows what a person on the telephone would know: what is heard, and which turns were reported as
complete. The rule stands apart from the callers, without I/O and without a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import inf
from typing import Any

from piopiy_pipeline.arguments import check_seconds
from piopiy_pipeline.testing.line.speech_detector import SpeechDetector

__all__ = ["GATEWAYS_OWN", "Habits", "TurnTaking"]

_SIGNS_OF_LIFE = frozenset({"user_turn", "bot_turn", "tool", "tool_result", "error", "transfer"})
"""Events that show that the bot is at work. Partial words, for example, are not among them."""
GATEWAYS_OWN = frozenset({"hold", "nobody"})
"""Whose sound a caller hears who is on hold, or whose bot was lost: the gateway's own. They wait over it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """When a caller speaks and when they give up. All times are in seconds.

    Raises:
        TypeError: One is no number.
        ValueError: One is less than 0, or no finite number.

    Attributes:
        settle_s: The caller speaks this long after the bot's last sound, once its answer is complete.
        patience_s: If the answer is never reported as complete, they speak when nothing has happened for
            this long.
        no_greeting_s: The same at the beginning of the call, if the bot has said nothing at all.
        no_answer_s: The same later in the call, if the bot has not answered at all.
        until_s: They wait this long for words of the bot (`until`, `speech`).
        hangup_after_s: After the last step of a script they hang up when nobody has spoken for this long.
    """

    settle_s: float = 0.5
    patience_s: float = 2.5
    no_greeting_s: float = 4.0
    no_answer_s: float = 8.0
    until_s: float = 60.0
    hangup_after_s: float = 8.0

    def __post_init__(self) -> None:
        for each in fields(self):
            check_seconds(f"Habits: {each.name}", getattr(self, each.name), zero=True)


class TurnTaking:
    """Follows one call, and says whether it is the caller's turn. All times are seconds of one clock.

    Args:
        detector: Follows what the caller hears.
        answered_at: When the call was answered.
        habits: The caller's own times.
    """

    def __init__(self, detector: SpeechDetector, *, answered_at: float, habits: Habits) -> None:
        self.habits = habits
        self.answer_began_at: float | None = None
        """When the bot began its answer to what the caller did last; before that, its greeting."""
        self._detector = detector
        self._event_at = answered_at
        self._acted_until = -inf  # the caller's last speech ends then, or they pressed a key
        self._answered = False  # the bot has completed a turn since then
        self._tools: set[Any] = set()  # the numbers of those that run
        self._alone = False  # no bot hears the caller, and the gateway plays a sound

    def acts_until(self, at: float) -> None:
        """Note that the caller speaks until `at` (infinity if that is not known yet), or has acted at that
        time.
        """
        self._acted_until = at

    def takes_turn(self) -> None:
        """Note that the caller begins to speak or to act: what the bot did before is not an answer to it."""
        self._acted_until = inf
        self._answered = False
        self.answer_began_at = None
        self._tools.clear()

    def heard(self) -> None:
        """Audio was heard: see whether the answer begins with it. To be called at least every 20 ms."""
        began = self._detector.stretch_began_at
        if self.answer_began_at is None and began > self._acted_until:
            self.answer_began_at = began

    def noted(self, kind: str, data: dict[str, Any], now: float) -> None:
        """Note an event that shows that the conversation goes on.

        Args:
            kind: The kind of event: ``"bot_turn"``, ``"tool"``, ``"tool_result"`` and so on.
            data: Its data: `interrupted` of a turn, `number` of a tool, `of` of a sound.
            now: When it was told.
        """
        if kind == "sound":
            self._event_at, self._alone = now, data.get("of") in GATEWAYS_OWN
        if kind not in _SIGNS_OF_LIFE:
            return
        self._event_at = now
        if kind == "bot_turn":
            # A turn that was cut off is no answer, nor is one that ends while the caller still speaks.
            if not data.get("interrupted") and now >= self._acted_until:
                self._answered = True
        elif kind == "tool":
            self._tools.add(data.get("number"))
            self._answered = False  # the answer that knows the tool's result is still to come
        elif kind == "tool_result":
            self._tools.discard(data.get("number"))

    def may_speak(self, now: float) -> bool:
        """Return whether it is the caller's turn. It never is while they speak."""
        if now < self._acted_until or self._alone:
            return False
        if self._answered and self._detector.silent_for(now) >= self.habits.settle_s:
            return True
        if (self._answered or self.answer_began_at is not None) and not self._tools:
            wait_s = self.habits.patience_s
        elif self._acted_until == -inf:
            wait_s = self.habits.no_greeting_s
        else:
            wait_s = self.habits.no_answer_s
        return self.silent_for(now) >= wait_s

    def may_interrupt(self, now: float, after_s: float) -> bool:
        """Return whether the bot speaks, and has begun its answer at least `after_s` seconds ago."""
        began = self.answer_began_at
        return began is not None and self._detector.sounding(now) and now - began >= after_s

    def silent_for(self, now: float) -> float:
        """Return the seconds since either side spoke or the bot showed a sign of life; 0 while the caller speaks, and
        while no bot hears them.
        """
        if self._alone:
            return 0.0
        return max(0.0, now - max(self._acted_until, self._detector.last_sound_at, self._event_at))
