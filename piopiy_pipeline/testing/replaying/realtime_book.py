"""Finds the answers of a capture's speech-to-speech model. Without I/O.

The provider keeps the conversation, so a request holds only what is new: what the client has told it since it last
asked, and how the answer is to be. Answers are found in their order by that. What comes without a request follows what
the caller did: that they were heard to speak, their words, answers that the provider begins by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from piopiy_pipeline.capture.content import jsonable
from piopiy_pipeline.capture.format import ExchangeLine
from piopiy_pipeline.testing.replaying.answers import RecordedAnswer, difference_from, same_up_to_a_cut
from piopiy_pipeline.testing.replaying.model_book import OTHER_PROTOCOL, AskedAnswer, ModelBook, of_gemini

__all__ = ["RealtimeBook", "item_content", "said_as_written"]

_REPLIES = (
    "session.",
    "conversation.item.truncated",
    "conversation.item.deleted",
    "conversation.item.retrieved",
)
"""How messages begin that the replay makes itself, when today's client asks for them."""


class RealtimeBook(ModelBook):
    """What the provider of one captured call has said."""

    @property
    def cut_by_caller(self) -> set[str]:
        """The answers that were given up before they were complete."""
        return self._reading.cut

    def session(self) -> dict[str, Any]:
        """Return a session as the provider describes it."""
        return next(iter(self._reading.sessions), {"type": "realtime", "id": "sess_replayed"})

    def updated(self, settings: Any) -> None:
        """Compare the settings of a session with the recorded ones."""
        now = self._book.normalized(jsonable(settings))
        recorded = next(self._updates, now)
        if recorded != now:
            self._book.note("the model", f"its session.{difference_from(recorded, now)}")

    def answer(self, given: list[Any], response: dict[str, Any]) -> RecordedAnswer | None:
        """Return the answer to a request, or None if there is none like it.

        Args:
            given: What the conversation has more since the last request, without names.
            response: What the client asks of the answer.
        """
        return self._find({"given": given, "response": response})

    def message(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return a message as the provider sent it, with its audio."""
        place = data.get("audio")
        if not isinstance(place, dict):
            return data
        message = {name: value for name, value in data.items() if name != "audio"}
        return {**message, "delta": self._audio(place)}

    def _read(self, lines: list[ExchangeLine]) -> None:
        self._reading = _Reading(self.add_answer, self.add_part)
        others = of_gemini(lines)
        self._of_another = bool(others)
        for line in lines:
            if line.id not in others:
                self._reading.read(line)
        self._updates = iter(self._reading.updates)

    def _same(self, recorded: dict[str, Any], content: dict[str, Any]) -> bool:
        return _same(recorded, content)

    def _alike(self, recorded: dict[str, Any], content: dict[str, Any]) -> bool:
        return (_instruction(recorded) is None) == (_instruction(content) is None)

    def _wanted(self, content: dict[str, Any]) -> str:
        instruction = _instruction(content)
        what = "to answer once more" if instruction is None else f"to follow {instruction!r}"
        return f"{what}; {OTHER_PROTOCOL}" if not self._answers and self._of_another else what


class _Reading:
    """Reads the messages in their order: which of them belong to which request."""

    def __init__(
        self,
        add: Callable[[dict[str, Any]], RecordedAnswer],
        put: Callable[[AskedAnswer | None, ExchangeLine], None],
    ) -> None:
        self.cut: set[str] = set()
        self.sessions: list[dict[str, Any]] = []
        """What the provider has said of each session."""
        self.updates: list[Any] = []
        """The settings that sessions were given."""
        self._add = add
        self._put = put
        self._given: list[Any] = []
        self._own: set[str] = set()  # items that the client has put into the conversation
        self._asked: AskedAnswer | None = None  # a request of which nothing has come
        self._answered: AskedAnswer | None = None  # the request that is being answered

    def read(self, line: ExchangeLine) -> None:
        """Take a line."""
        if line.kind == "sent":
            self._sent(line)
        elif line.kind == "received":
            self._received(line)
        elif line.kind == "closed":
            self._put(self._answered or self._asked, line)
            self._asked = self._answered = None

    def _sent(self, line: ExchangeLine) -> None:
        match line.data.get("type"):
            case "session.update":
                self.updates.append(line.data.get("session"))
            case "conversation.item.create" if (said := said_as_written(line.data["item"])) is not None:
                self._ask(said, line.at)
            case "conversation.item.create":
                self._own.add(str(line.data["item"].get("id")))
                self._given.append(item_content(line.data["item"]))
            case "response.create":
                self._ask(line.data.get("response") or {}, line.at)

    def _ask(self, response: dict[str, Any], at: float) -> None:
        answer = self._add({"given": self._given, "response": response})
        self._given, self._asked = [], (answer, at)

    def _received(self, line: ExchangeLine) -> None:
        kind, data = str(line.data.get("type")), line.data
        if kind == "session.created":
            self.sessions.append(data["session"])
        if kind.startswith(_REPLIES):
            return
        if kind == "response.created":
            self._answered, self._asked = self._asked, None
            self._put(self._answered, line)
        elif kind == "response.done":
            if data["response"].get("status") == "cancelled":
                self.cut.add(data["response"]["id"])
            self._put(self._answered, line)
            self._answered = None
        elif kind.startswith("conversation.item.") and "item" in data:
            item = data["item"]
            if str(item.get("id")) not in self._own:
                self._put(self._answered if item.get("role") != "user" else None, line)
        elif kind == "error" or "text" in data:
            self._put(self._answered or self._asked, line)
        else:
            self._put(self._answered if "response_id" in data else None, line)


def said_as_written(item: dict[str, Any]) -> dict[str, Any] | None:
    """Return the answer that an item asks for which has the model say a text as it is written, as Grok's protocol has
    it; None for an item of the conversation.
    """
    if item.get("type") != "force_message":
        return None
    return {"instructions": " ".join(str(part.get("text", "")) for part in item.get("content") or ())}


def item_content(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item as it is compared: its own name is another one in each run."""
    return {name: value for name, value in item.items() if name not in ("id", "object", "status")}


def _instruction(content: dict[str, Any]) -> str | None:
    """Return what the model is told to say; None: it answers the conversation."""
    response = content["response"]
    if (as_written := response.get("pre_generated_assistant_message")) is not None:
        return _text(as_written)
    instruction = response.get("instructions")
    return None if instruction is None else str(instruction)


def _same(one: Any, other: Any) -> bool:
    """Return whether two requests are the same but for the words at which the bot was cut off."""
    if isinstance(one, dict) and isinstance(other, dict):
        if one.get("role") == "assistant" and other.get("role") == "assistant":
            texts = [_text(each) for each in (one, other)]
            return same_up_to_a_cut(*texts)
        return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _text(item: dict[str, Any]) -> str:
    return " ".join(str(part.get("text", "")) for part in item.get("content") or ())
