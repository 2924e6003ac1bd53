"""Finds the answers of a capture's speech-to-speech model. Without I/O.

The provider keeps the conversation, so a request holds only what is new: what the client has told it since it last
asked, and how the answer is to be. Answers are found in their order by that. What comes without a request follows what
the caller did: that they were heard to speak, their words, answers that the provider begins by itself.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.capture.content import jsonable
from piopiy_pipeline.capture.format import ExchangeLine
from piopiy_pipeline.testing.replaying.answers import (
    AnswerBook,
    Part,
    RecordedAnswer,
    difference_from,
    same_up_to_a_cut,
)
from piopiy_pipeline.testing.replaying.gemini_book import OTHER_PROTOCOL, of_gemini

__all__ = ["RealtimeBook", "item_content"]

_REPLIES = (
    "session.",
    "conversation.item.truncated",
    "conversation.item.deleted",
    "conversation.item.retrieved",
)
"""How messages begin that the replay makes itself, when today's client asks for them."""


class RealtimeBook:
    """What the provider of one captured call has said.

    Args:
        exchanges: The lines of the capture's exchanges.
        speech: Returns all captured audio of a sample rate in Hz, int16 of shape ``[samples]``.
        book: Takes what differs, and normalizes what is compared.
    """

    def __init__(
        self,
        exchanges: Iterable[ExchangeLine],
        speech: Callable[[int], NDArray[np.int16]],
        book: AnswerBook,
    ) -> None:
        self.of_caller: list[ExchangeLine] = []
        """What came without a request."""
        self.cut_by_caller: set[str] = set()
        """The answers that were given up before they were complete."""
        self._speech = speech
        self._book = book
        self._answers: list[RecordedAnswer] = []
        self._updates: list[Any] = []
        self._updates_now = 0
        self._sessions: list[dict[str, Any]] = []
        reading = _Reading(self)
        lines = list(exchanges)
        others = of_gemini(lines)
        self._of_another = bool(others)
        for line in lines:
            if line.stage == "realtime" and line.id not in others:
                reading.read(line)

    def session(self) -> dict[str, Any]:
        """Return a session as the provider describes it."""
        return self._sessions[0] if self._sessions else {"type": "realtime", "id": "sess_replayed"}

    def updated(self, settings: Any) -> None:
        """Compare the settings of a session with the recorded ones."""
        number, self._updates_now = self._updates_now, self._updates_now + 1
        now = self._book.normalized(jsonable(settings))
        if number < len(self._updates) and self._updates[number] != now:
            what = difference_from(self._updates[number], now)
            self._book.note("the model", f"its session.{what}")

    def answer(self, given: list[Any], response: dict[str, Any]) -> RecordedAnswer | None:
        """Return the answer to a request, or None if there is none like it.

        Args:
            given: What the conversation has more since the last request, without names.
            response: What the client asks of the answer.
        """
        content = self._book.normalized(jsonable({"given": given, "response": response}))
        unused = [each for each in self._answers if not each.used]
        found = next((each for each in unused if _same(each.content, content)), None)
        if found is None:
            alike = (each for each in unused if _is_instructed(each.content) == _is_instructed(content))
            found = next(alike, None)
            what = _asked(content) if found is None else difference_from(found.content, content)
            if not self._answers and self._of_another:
                what = f"{what}; {OTHER_PROTOCOL}"
            self._book.note("the model", what)
        if found is not None:
            found.used += 1
        return found

    def message(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return a message as the provider sent it, with its audio."""
        place = data.get("audio")
        if not isinstance(place, dict):
            return data
        start = int(place["position"])
        pcm = self._speech(int(place["rate"]))[start : start + int(place["samples"])]
        message = {name: value for name, value in data.items() if name != "audio"}
        return {**message, "delta": base64.b64encode(pcm.astype("<i2").tobytes()).decode()}

    # ------------------------------------------------------------------ for the reading

    def add_answer(self, given: list[Any], response: dict[str, Any]) -> RecordedAnswer:
        """Add a request of the capture."""
        content = {"given": given, "response": response}
        self._answers.append(RecordedAnswer(len(self._answers) + 1, content))
        return self._answers[-1]

    def add_session(self, session: dict[str, Any]) -> None:
        """Add what the provider has said of a session."""
        self._sessions.append(session)

    def add_update(self, settings: Any) -> None:
        """Add the settings that a session was given."""
        self._updates.append(settings)


class _Reading:
    """Reads the messages in their order: which of them belong to which request."""

    def __init__(self, book: RealtimeBook) -> None:
        self._book = book
        self._given: list[Any] = []
        self._own: set[str] = set()  # items that the client has put into the conversation
        self._asked: tuple[RecordedAnswer, float] | None = None  # a request of which nothing has come
        self._answered: tuple[RecordedAnswer, float] | None = None  # the request that is being answered
        self._response = ""

    def read(self, line: ExchangeLine) -> None:
        if line.kind == "sent":
            self._sent(line)
        elif line.kind == "received":
            self._received(line)
        elif line.kind == "closed":
            self._add(self._answered or self._asked, line)
            self._asked = self._answered = None

    def _sent(self, line: ExchangeLine) -> None:
        match line.data.get("type"):
            case "session.update":
                self._book.add_update(line.data.get("session"))
            case "conversation.item.create":
                self._own.add(str(line.data["item"].get("id")))
                self._given.append(item_content(line.data["item"]))
            case "response.create":
                answer = self._book.add_answer(self._given, line.data.get("response") or {})
                self._given, self._asked = [], (answer, line.at)

    def _received(self, line: ExchangeLine) -> None:
        kind, data = str(line.data.get("type")), line.data
        if kind == "session.created":
            self._book.add_session(data["session"])
        if kind.startswith(_REPLIES):
            return
        if kind == "response.created":
            self._answered, self._asked = self._asked, None
            self._response = data["response"]["id"]
            self._add(self._answered, line)
        elif kind == "response.done":
            if data["response"].get("status") == "cancelled":
                self._book.cut_by_caller.add(data["response"]["id"])
            self._add(self._answered, line)
            self._answered = None
        elif kind.startswith("conversation.item.") and "item" in data:
            item = data["item"]
            if str(item.get("id")) not in self._own:
                self._add(self._answered if item.get("role") != "user" else None, line)
        elif kind == "error" or "text" in data:
            self._add(self._answered or self._asked, line)
        else:
            self._add(self._answered if "response_id" in data else None, line)

    def _add(self, request: tuple[RecordedAnswer, float] | None, line: ExchangeLine) -> None:
        if request is None:
            self._book.of_caller.append(line)
            return
        answer, asked_at = request
        answer.parts.append(Part(max(0.0, line.at - asked_at), line.kind, line.data))


def item_content(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item as it is compared: its own name is another one in each run."""
    return {name: value for name, value in item.items() if name not in ("id", "object", "status")}


def _is_instructed(content: dict[str, Any]) -> bool:
    """Return whether the model is told what to say."""
    return "instructions" in content["response"]


def _asked(content: dict[str, Any]) -> str:
    return (
        f"to follow {content['response']['instructions']!r}"
        if _is_instructed(content)
        else "to answer once more"
    )


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
