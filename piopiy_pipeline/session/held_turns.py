"""`HeldTurns`: the caller's turns and keys, given to code in the place of the model.

While they are held, what the caller says goes into the conversation as ever, and the model is not asked about it. What
tools return meanwhile waits. `ModelRequests` asks this object at each request, so that there is no stage for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loguru import logger

from piopiy_pipeline.arguments import check_kind, check_switches
from piopiy_pipeline.late_keys import LateKeys

__all__ = ["MAX_KEYS_AHEAD", "REDACTED", "HeldTurns", "KeysAhead", "TurnListener"]

REDACTED = "[redacted]"
"""What stands in the record and in the conversation for words that may hold a secret."""
MAX_KEYS_AHEAD = 64
"""So many keys wait for the next question; of more, the last are left out."""
_TEXTS = frozenset({"user_turn", "user_partial", "user_backchannel", "bot_turn", "bot_partial"})


@dataclass(frozen=True, slots=True)
class TurnListener:
    """What is told of the caller while their turns are held. Nothing in it waits.

    Attributes:
        on_turn: Called with the words of a turn, before the checkpoint of its end.
        on_backchannel: Called with what was said while the bot spoke on.
        on_keys: Called with keys, of 0-9, A-D, * and #.
        is_typing: Returns whether keys are being pressed that belong together.
    """

    on_turn: Callable[[str], None]
    on_backchannel: Callable[[str], None]
    on_keys: Callable[[str], None]
    is_typing: Callable[[], bool] = lambda: False


class KeysAhead:
    """Keys that the caller presses right behind an answer that was whole: they are the beginning of the next one, as in
    VoiceXML 2.0, 4.1.8.
    """

    def __init__(self) -> None:
        self._keys = ""
        self._left_out = False
        self._stop: Callable[[], None] | None = None
        self.late = LateKeys()
        """The keys that belong to the answer before, by the loop's clock."""

    def keep_until(self, stop: Callable[[], None]) -> None:
        """Note what ends the keeping before its time: somebody else has the turns."""
        self._stop = stop

    def stop_keeping(self) -> None:
        """Have no keys kept any more. Those that were kept stay."""
        stop, self._stop = self._stop, None
        if stop is not None:
            stop()

    def keep(self, keys: str) -> None:
        """Keep keys. The first that are left out are logged: only how many, because keys may be a secret."""
        keys = self._keys + keys
        self._keys = keys[:MAX_KEYS_AHEAD]
        if len(keys) > MAX_KEYS_AHEAD and not self._left_out:
            self._left_out = True
            logger.warning(
                "the caller has pressed more than {} keys ahead of a question: {} left out, and those that follow",
                MAX_KEYS_AHEAD,
                len(keys) - MAX_KEYS_AHEAD,
            )

    def take(self) -> str:
        """Return the keys, and forget them."""
        keys, self._keys = self._keys, ""
        self._left_out = False
        return keys


class HeldTurns:
    """Who has the turns of one call, and what the model may do meanwhile.

    Args:
        listener: Is told of the caller.
        redact: Whether what both sides say is kept out of the record and of the conversation.

    Raises:
        TypeError: One is of another kind.
    """

    def __init__(self, listener: TurnListener, *, redact: bool = False) -> None:
        check_kind("hold_turns: listener", listener, TurnListener, "a TurnListener")
        check_switches(redact=redact)
        self.listener = listener
        self.redact = redact
        self.waits_for_caller = True
        """Whether it is the caller's turn to speak, and nobody else is waited for."""
        self.heard_before: str | None = None
        """What the caller had heard of the text that code has said last when they began to speak. None: all of it, or
        nobody knows when they began.
        """
        self._asked = False
        self._heard: list[str] = []
        self._in_part = ""
        self._all_heard = True

    def let_model_answer(self, may: bool) -> None:
        """Let the model answer what it is asked from now on, but no turn of the caller's; or no more."""
        self._asked = may
        self.waits_for_caller = not may

    def model_may_answer(self, is_callers: bool) -> bool:
        """Return whether the model may be asked now. `is_callers`: about a turn of the caller."""
        return self._asked and not is_callers

    # ------------------------------------------------------------------ what the caller has heard

    @property
    def heard(self) -> str | None:
        """What the caller has heard by now of the text that code has said last. None: all of it."""
        return None if self._all_heard else " ".join([*self._heard, self._in_part])

    def begin_text(self, *, caller_speaks: bool) -> None:
        """Note that code has a text said: nothing of it was heard yet, and who speaks already has not heard it."""
        self._heard.clear()
        self._in_part, self._all_heard = "", False
        self.heard_before = "" if caller_speaks else None

    def text_heard(self, text: str) -> None:
        """Note that words were heard to their end."""
        if not self._all_heard:
            self._heard.append(text)
            self._in_part = ""

    def partly_heard(self, text: str) -> None:
        """Note how much was heard, by an estimate, of a sentence whose words have no times."""
        self._in_part = text

    def end_text(self) -> None:
        """Note that all of the text was heard."""
        self._all_heard = True

    def caller_began(self) -> None:
        """Note that the caller begins to speak."""
        self.heard_before = self.heard

    # ------------------------------------------------------------------ what is reported

    def redacted(self, event: str, data: dict[str, Any]) -> dict[str, Any]:
        """Return what is reported of an event of the conversation."""
        return {**data, "text": REDACTED} if self.redact and event in _TEXTS else data
