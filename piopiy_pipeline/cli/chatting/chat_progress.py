"""Whose turn it is in a chat, by what the client is told. No I/O: times are seconds of one clock."""

from __future__ import annotations

from typing import Any

__all__ = ["ChatProgress"]

QUIET_S = 0.25
"""A bot that has said nothing for this long, and has nothing under way, has finished."""
GREETING_S = 0.4
"""How long a bot may take to begin by itself."""
KEYS_S = 0.6
"""The same after keys."""
RESULT_S = 2.0
"""How long the model may take to begin its answer to what a tool has returned. Not every result is answered."""
ERROR_S = 3.0
"""After a failure the bot apologises and tries once more, or ends the chat."""
UNANSWERED_S = 5.0
"""A message of which nothing has come for so long is not going to be answered: another stage has kept it."""
ASKED_S = 30.0
"""How long the answer may take to a message that the bot has taken as a turn, or that comes while a provider fails. If
it is not reached within that time, the bot tells of it, or ends the chat."""


class ChatProgress:
    """Follows one chat.

    Args:
        now: When the bot was ready.
    """

    def __init__(self, now: float) -> None:
        self._event_at = now
        self._wait_s = GREETING_S
        self._writes = False
        self._tools: set[Any] = set()
        self._collects = False  # code asks the person for a value, and a tool that does so waits for them
        self._trouble_until = self._result_until = float("-inf")
        self._unanswered = self._fails = False

    def began(self, now: float) -> None:
        """Note that the bot is ready. What has failed before then still does."""
        self._event_at, self._wait_s = now, GREETING_S

    def sent(self, now: float) -> None:
        """Note that the person has sent a message: the bot has to answer it."""
        self._event_at, self._wait_s = now, ASKED_S if self._fails else UNANSWERED_S
        self._result_until = float("-inf")
        self._unanswered = True

    def pressed(self, now: float) -> None:
        """Note that keys were pressed: the bot may answer them."""
        self._event_at, self._wait_s = now, KEYS_S

    def words(self, now: float) -> None:
        """Note words of the bot."""
        self._lives(now)

    def message(self, kind: str, now: float) -> None:
        """Note an RTVI message of this type."""
        if kind == "bot-llm-started":
            self._writes = True
            self._fails = False
            self._result_until = float("-inf")
        elif kind in ("bot-llm-stopped", "bot-interrupted"):
            self._writes = False
            if self._unanswered:  # it is of what was before
                return
        else:
            return
        self._lives(now)

    def event(self, name: str, data: dict[str, Any], now: float) -> None:
        """Note an event of the conversation."""
        if name == "tool":
            self._tools.add(data.get("number"))
        elif name == "tool_result":
            self._tools.discard(data.get("number"))
            self._result_until = now + RESULT_S
        elif name == "collection":
            self._collects = data.get("outcome") == "begun"
            if self._unanswered or not self._collects:  # what follows is the answer
                return
        elif name == "user_turn":
            if self._unanswered:
                self._event_at, self._wait_s = now, ASKED_S
            return
        elif name == "error":
            if data.get("stage") == "event loop":  # it turns again, and all goes on
                return
            self._writes = False
            self._fails = data.get("stage") != "chat"
            self._trouble_until = now + ERROR_S
        elif name not in ("bot_turn", "transfer"):
            return
        self._lives(now)

    def _lives(self, now: float) -> None:
        self._event_at = now
        self._unanswered = False
        self._wait_s = max(QUIET_S, self._trouble_until - now)

    @property
    def busy(self) -> bool:
        """Whether the bot writes, or a tool of it runs that does not ask the person for a value."""
        return self._writes or (bool(self._tools) and not self._collects)

    def due(self) -> float:
        """Return when it is the person's turn, if nothing happens until then."""
        return float("inf") if self.busy else max(self._event_at + self._wait_s, self._result_until)
