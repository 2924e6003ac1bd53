"""Finds the answers of a capture's network providers by the content of today's requests. Without I/O.

A request that was never made is a divergence, whose text says what is different in it. It is then answered
like the nearest captured request, if that one asked for the same thing (the same last words of the caller,
the same sentence to speak), so that the rest of the call can be compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from piopiy_pipeline.capture.format import ExchangeLine, Kind

__all__ = ["AnswerBook", "Divergence", "Part", "RecordedAnswer", "difference_from", "same_up_to_a_cut"]

WHOLE_TEXT, BEFORE_CHANGE, OF_TEXT = 120, 30, 100
"""A text of so many characters is shown as a whole. Of a longer one so many before its change are shown, and so many in
all.
"""
CUT_WORDS = 4
"""How many words earlier or later an answer may be cut off and still be the same."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an answer, which came `after_s` seconds after the request.

    `number` is that of its line in the capture; 0 if there is none.
    """

    after_s: float
    kind: str
    data: dict[str, Any]
    number: int = 0


@dataclass(slots=True)
class RecordedAnswer:
    """What a provider answered to one request.

    `cut` is True if the caller interrupted it, and `whole` if the answer was complete. It was either `over_s` seconds
    after the request. An answer that is neither was under way, or did not come, when the call ended.
    """

    number: int
    content: dict[str, Any]
    parts: list[Part] = field(default_factory=list)
    cut: bool = False
    whole: bool = False
    used: int = 0
    over_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Divergence:
    """A request that was not made in the capture. `at` is in seconds since the answer of the call."""

    at: float
    stage: str
    what: str

    def __str__(self) -> str:
        return f"{self.stage} was asked what it had not been asked: {self.what}"


class AnswerBook:
    """The provider answers of one capture.

    Args:
        exchanges: The lines of the capture's exchanges.
        now: Returns the time in seconds since the answer of the call.
        normalize: Returns content as it would have been written into the capture.
        ended_at: When the call ended, in seconds. What was complete only then had been given up.
    """

    def __init__(
        self,
        exchanges: Iterable[ExchangeLine],
        *,
        now: Callable[[], float],
        normalize: Callable[[Any], Any] = lambda content: content,
        ended_at: float = float("inf"),
    ) -> None:
        self.divergences: list[Divergence] = []
        self._now = now
        self._normalize = normalize
        self._answers: dict[str, list[RecordedAnswer]] = {"llm": answers_of(exchanges, "llm", ended_at)}
        self._answers["tts"] = answers_of(exchanges, "tts", ended_at)

    def llm(self, content: dict[str, Any]) -> RecordedAnswer | None:
        """Return the model's answer to a request, or None if no captured request is like it."""
        content = self._normalize(content)
        is_beside = "beside" in content
        answers = [each for each in self._answers["llm"] if ("beside" in each.content) == is_beside]
        if found := _next(each for each in answers if each.content == content):
            return found
        if found := _next(each for each in answers if _same_request(each.content, content)):
            return found
        nearest = _next(
            sorted(
                (each for each in answers if _question(each.content) == _question(content)),
                key=lambda each: _distance(each.content, content),
            )
        )
        self._diverged("the model", _difference(nearest, content) if nearest else _what_was_asked(content))
        return nearest

    def tts(self, content: dict[str, Any]) -> RecordedAnswer | None:
        """Return the voice's answer for a text, or None for a text that it never spoke."""
        content = self._normalize(content)
        answers = [each for each in self._answers["tts"] if each.parts or not each.whole]
        if found := _next(each for each in answers if each.content == content):
            return found
        nearest = _next(each for each in answers if each.content["text"] == content["text"])
        text = content["text"]
        self._diverged("the voice", _difference(nearest, content) if nearest else f"to say {text!r}")
        return nearest

    @property
    def voice(self) -> list[RecordedAnswer]:
        """Return all answers of the network voices, in order."""
        return self._answers["tts"]

    def normalized(self, content: Any) -> Any:
        """Return content as it would have been written into the capture."""
        return self._normalize(content)

    def note(self, stage: str, what: str) -> None:
        """Add another divergence: something that the capture cannot answer."""
        self._diverged(stage, what)

    def _diverged(self, stage: str, what: str) -> None:
        self.divergences.append(Divergence(round(self._now(), 3), stage, what))


def answers_of(
    exchanges: Iterable[ExchangeLine], stage: Kind, ended_at: float = float("inf")
) -> list[RecordedAnswer]:
    """Return the requests to a kind of provider, in order, with their answers.

    Args:
        exchanges: The lines of a capture's exchanges.
        stage: The kind of provider.
        ended_at: When the call ended, in seconds. What is complete only then was given up.
    """
    answers: dict[int, RecordedAnswer] = {}
    asked: dict[int, float] = {}
    for line in exchanges:
        if line.stage != stage or not line.id:
            continue
        if line.kind == "request":
            answers[line.id] = RecordedAnswer(line.id, dict(line.data["content"]))
            asked[line.id] = line.at
        elif line.id in answers:
            answer, after = answers[line.id], max(0.0, line.at - asked[line.id])
            if line.kind == "cut":
                answer.cut, answer.over_s = True, answer.over_s if answer.whole else after
            elif line.kind == "end":
                answer.whole, answer.over_s = line.at < ended_at, after
            elif line.kind == "done":  # which says only that a voice's whole turn is over
                answer.whole = True
            else:
                answer.parts.append(Part(after, line.kind, line.data, line.number))
    return list(answers.values())


def _next(candidates: Iterable[RecordedAnswer]) -> RecordedAnswer | None:
    """Return the first of the answers that were used least, so that a question that is asked twice gets both
    in turn.
    """
    found = min(candidates, key=lambda each: each.used, default=None)
    if found is not None:
        found.used += 1
    return found


# ---------------------------------------------------------------------- requests that are alike


def same_up_to_a_cut(one: str, other: str, *, words: int = CUT_WORDS) -> bool:
    """Return whether two texts differ only in where they were cut off: one begins with the other.

    Args:
        one: A text.
        other: The other text.
        words: How many words at the end of the shorter text may differ.
    """
    first, second = sorted((one.split(), other.split()), key=len)
    return second[: len(first)] == first and len(second) - len(first) <= words


def _same_request(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two requests differ only in where the bot was cut off, which is a matter of
    milliseconds.
    """
    if {**one, "messages": None} != {**other, "messages": None}:
        return False
    messages, others = one["messages"], other["messages"]
    return len(messages) == len(others) and all(map(_same_message, messages, others))


def _same_message(one: Any, other: Any) -> bool:
    if one == other:
        return True
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return False
    if one.get("role") != "assistant" or {**one, "content": None} != {**other, "content": None}:
        return False
    texts = (one.get("content"), other.get("content"))
    return all(isinstance(text, str) for text in texts) and same_up_to_a_cut(*map(str, texts))


def _question(content: dict[str, Any]) -> list[Any]:
    """Return what the model is asked: all messages since it last said something."""
    messages: Sequence[Any] = content["messages"]
    start = 0
    for i, message in enumerate(messages):
        if isinstance(message, dict) and message.get("role") == "assistant" and message.get("content"):
            start = i + 1
    since = [message for message in messages[start:] if not _is_role(message, "system")]
    return [_without_ids(message) for message in since]


def _is_role(message: Any, role: str) -> bool:
    return isinstance(message, dict) and message.get("role") == role


def _without_ids(message: Any) -> Any:
    """Return a message without the numbers of its tool calls, because they count earlier ones too."""
    if not isinstance(message, dict):
        return message
    message = {key: value for key, value in message.items() if key != "tool_call_id"}
    if isinstance(calls := message.get("tool_calls"), list):
        message["tool_calls"] = [
            {key: value for key, value in call.items() if key != "id"} if isinstance(call, dict) else call
            for call in calls
        ]
    return message


def _distance(one: dict[str, Any], other: dict[str, Any]) -> int:
    """Return how many messages two requests do not share."""
    first, second = one["messages"], other["messages"]
    same = sum(1 for a, b in zip(first, second, strict=False) if a == b)
    return int(len(first) + len(second) - 2 * same)


# ---------------------------------------------------------------------- what is different, in words


def _difference(answer: RecordedAnswer, content: dict[str, Any]) -> str:
    return difference_from(answer.content, content)


def difference_from(before: Any, content: Any) -> str:
    """Say what is different in a request.

    Args:
        before: The recorded one.
        content: Today's.
    """
    found = _first_difference(before, content, "")
    where, before, now = found or ("nothing", None, None)
    at = 0
    if isinstance(before, str) and isinstance(now, str) and max(len(before), len(now)) > WHOLE_TEXT:
        shorter = min(len(before), len(now))
        same = next((i for i in range(shorter) if before[i] != now[i]), shorter)
        at = max(0, same - BEFORE_CHANGE)
    return f"{where} was {_shown(before, at)}, and is {_shown(now, at)}"


_MISSING = object()


def _first_difference(before: Any, now: Any, where: str) -> tuple[str, Any, Any] | None:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*before, *now)):
            name = f"{where}.{key}" if where else str(key)
            found = _first_difference(before.get(key, _MISSING), now.get(key, _MISSING), name)
            if found:
                return found
        return None
    if isinstance(before, list) and isinstance(now, list):
        first, second = _by_name(before), _by_name(now)
        if (
            first and second
        ):  # tools: one more or less is told as itself, and not as a change of those behind it
            return _first_difference(first, second, where)
        for i in range(max(len(before), len(now))):
            one = before[i] if i < len(before) else _MISSING
            other = now[i] if i < len(now) else _MISSING
            role = next(
                (each["role"] for each in (other, one) if isinstance(each, dict) and "role" in each), ""
            )
            found = _first_difference(one, other, f"{where}[{i}]" + (f" ({role})" if role else ""))
            if found:
                return found
        return None
    return None if before == now else (where, before, now)


def _by_name(items: list[Any]) -> dict[str, Any]:
    """Return items by their names; empty if not each has a name of its own."""
    named = {str(each["name"]): each for each in items if isinstance(each, dict) and "name" in each}
    return named if len(named) == len(items) else {}


def _shown(value: Any, at: int = 0) -> str:
    """Return a value as text. A long one is shown from its character `at` on."""
    if value is _MISSING:
        return "not there"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= WHOLE_TEXT and not at:
        return repr(text)
    rest = "…" if at + OF_TEXT < len(text) else ""
    return f"{'…' if at else ''}{text[at : at + OF_TEXT]!r}{rest} ({len(text)} characters)"


def _what_was_asked(content: dict[str, Any]) -> str:
    question = _question(content)
    last = question[-1] if question else None
    text = last.get("content") if isinstance(last, dict) else None
    return f"to answer {_shown(text if text is not None else last)}"
