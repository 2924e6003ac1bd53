"""`SilenceGuard`: when a caller who waits has waited long enough in silence. Without I/O.

It is told when anybody was heard and when the caller began to wait. It says when to say a filler, once for each
turn of the caller, and when to make a small sound, as often as it takes. `SilenceFiller` carries it out.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["Filling", "SilenceGuard"]

SOUND_S = 1.7
"""The longest that a caller waits without any sound, in seconds; the sound itself takes a moment to leave."""
SAME_WAIT_S = 1.0
"""A wait that begins within this many seconds after another one is part of it."""
JUST_SPOKEN_S = 4.0
"""A bot that has spoken this recently need not say that it takes a moment."""


class Filling(Enum):
    """What the caller is to hear now."""

    NOTHING = "nothing"
    SENTENCE = "sentence"
    SOUND = "sound"


class SilenceGuard:
    """Follows one call. All times are seconds of one clock.

    Args:
        answer_s: A model of which nothing was ready for this long has the caller told so.
        tool_s: The same for a tool that runs.
        sentence: Whether there is a sentence to say.
        sound: Whether there is a sound to make.
    """

    def __init__(self, *, answer_s: float, tool_s: float, sentence: bool = True, sound: bool = True) -> None:
        self._answer_s = answer_s
        self._tool_s = tool_s
        self._sentence = sentence
        self._sound = sound
        self._quiet_since = 0.0
        self._spoke_at = float("-inf")
        self._waits = False
        self._waited_at = float("-inf")
        self._said = False
        self._caller_speaks = False
        self._tools: dict[str, float] = {}

    @property
    def caller_speaks(self) -> bool:
        """Whether the caller is speaking."""
        return self._caller_speaks

    @property
    def tools_running(self) -> bool:
        """Whether a tool runs whose result the caller waits for."""
        return bool(self._tools)

    # ------------------------------------------------------------------ what happens

    def call_began(self, now: float) -> None:
        """The call was answered."""
        self._quiet_since = self._waited_at = now

    def caller_began(self, now: float) -> None:
        """The caller speaks, so it is their turn."""
        self._caller_speaks = True
        self._waits = self._said = False
        self._quiet_since = now

    def caller_stopped(self, now: float) -> None:
        """The caller has stopped."""
        self._caller_speaks = False
        self._quiet_since = now

    def turn_over(self, now: float, stopped_at: float = float("inf")) -> None:
        """The caller has said something: an answer is owed. Tools that still run are not waited for any more.

        Args:
            now: The time.
            stopped_at: When the turn was over, if its words were written down later: a tool that has begun since is
                used because of it, and is waited for.
        """
        self._tools = {call: began for call, began in self._tools.items() if began >= stopped_at}
        if stopped_at > now:  # else the caller was told to wait already, or speaks again
            self._caller_speaks = self._said = False
            self._waits, self._waited_at = True, now
            self._quiet_since = now

    def asked(self, now: float) -> None:
        """The model was asked. Right behind a tool or a failure it is still the same wait."""
        if now - max(self._waited_at, self._quiet_since) > SAME_WAIT_S:
            self._said = False
            self._quiet_since = now
        self._waits, self._waited_at = True, now

    def heard(self, now: float, *, filling: bool) -> None:
        """The bot is heard, or its sound has just ended; `filling` if it is no part of an answer."""
        self._quiet_since = now
        if not filling:
            self._spoke_at = now

    def tool_started(self, call: str, now: float) -> None:
        """A tool has begun; `call` is the id of this use."""
        self._tools[call] = now

    def tool_ended(self, call: str) -> None:
        """A tool has returned or was cancelled."""
        self._tools.pop(call, None)

    # ------------------------------------------------------------------ what to do

    def check(self, now: float, *, waits: bool, ready: bool) -> Filling:
        """Decide what the caller is to hear now.

        Args:
            now: The time.
            waits: Whether it is the bot's turn, and it is silent.
            ready: Whether something to say is on its way to the voice.
        """
        self._waits = waits and not self._caller_speaks
        if self._waits:
            self._waited_at = now
        due = self._sentence_due(ready)
        if not self._waits:
            return Filling.NOTHING
        if self._sound and now >= self._quiet_since + SOUND_S:
            return Filling.SOUND  # a sentence would take its time
        if due is not None and now >= due:
            self._said = True
            return Filling.SENTENCE
        return Filling.NOTHING

    def due(self, *, ready: bool) -> float | None:
        """Return when `check` will have something to do, if nothing else happens until then."""
        if not self._waits:
            return None
        times = [self._sentence_due(ready), self._quiet_since + SOUND_S if self._sound else None]
        return min((time for time in times if time is not None), default=None)

    def _sentence_due(self, ready: bool) -> float | None:
        if not self._sentence or self._said or ready:
            return None
        due = self._quiet_since + self._answer_s
        if self._tools:
            due = min(due, max(self._quiet_since, min(self._tools.values())) + self._tool_s)
        return max(due, self._spoke_at + JUST_SPOKEN_S)
