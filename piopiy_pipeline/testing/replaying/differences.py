"""Finds what differs between a captured call and its replay: what was said, when, which tools, how it ended.
Without I/O.

Turns and tools are aligned, so that one more turn is one difference and does not shift all turns after it.
Times are compared where a caller would notice them: from the end of the caller's speech to the beginning of
the answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal, TypeVar

from piopiy_pipeline.capture import CapturedCall
from piopiy_pipeline.testing.replaying.acts import Act, Stretch, stretches_of
from piopiy_pipeline.testing.replaying.answers import Divergence, same_up_to_a_cut

__all__ = [
    "ComparedTurn",
    "Difference",
    "Tolerance",
    "differences_between",
    "said_in",
    "tools_in",
    "truncations_in",
]

T = TypeVar("T")

What = Literal["user", "bot", "tool", "truncation", "answer", "end", "request", "caller", "stop"]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much later or earlier an answer may come, in seconds.

    Computation takes no time in a replay, so an answer may well come earlier than in the live call. A change
    of the bot
    that makes it quicker shows as more than that.
    """

    later_s: float = 0.3
    earlier_s: float = 1.5


@dataclass(frozen=True, slots=True)
class ComparedTurn:
    """One turn, as the text that was understood or heard."""

    at: float
    text: str
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between a capture and its replay.

    `at` is in seconds since the answer of the call: in the replay if the thing is there, else in the capture.
    `number` counts from 1 the turns of that side, the tools or the answers. `recorded` and `now` are what to
    show of both calls; None if there is nothing.
    """

    what: What
    at: float
    number: int
    recorded: str | None
    now: str | None

    def __str__(self) -> str:
        title = _TITLES[self.what].format(number=self.number)
        if self.what in ("request", "caller", "stop"):
            return f"{self.at:7.2f} s  {title}: {self.now}"
        lines = [f"{self.at:7.2f} s  {title}"]
        lines += [f"             recorded: {'-' if self.recorded is None else self.recorded}"]
        lines += [f"             now:      {'-' if self.now is None else self.now}"]
        return "\n".join(lines)


_TITLES: dict[What, str] = {
    "user": "what the caller was understood to say (turn {number})",
    "bot": "what the bot said (turn {number})",
    "tool": "tool {number}",
    "truncation": "how much the model was told was heard (cut {number})",
    "answer": "when answer {number} came",
    "end": "how the call ended",
    "request": "never recorded",
    "caller": "the caller waited in vain",
    "stop": "the replay ends here, and the rest of the call is not compared",
}


def said_in(capture: CapturedCall, role: Literal["user", "bot"]) -> list[ComparedTurn]:
    """Return what one side said, in order."""
    return [
        ComparedTurn(event.at, str(event.data["text"]), bool(event.data.get("interrupted", False)))
        for event in capture.events
        if event.kind == f"{role}_turn"
    ]


def tools_in(capture: CapturedCall) -> list[tuple[float, str]]:
    """Return the uses of tools: the time of each in seconds since the answer, and its name with its
    arguments.
    """
    return [
        (event.at, _tool(event.data["name"], event.data["arguments"]))
        for event in capture.events
        if event.kind == "tool"
    ]


def differences_between(
    before: CapturedCall,
    after: CapturedCall,
    *,
    acts: Sequence[Act],
    began: Sequence[float],
    divergences: Sequence[Divergence] = (),
    waits: Sequence[tuple[float, str]] = (),
    tolerance: Tolerance | None = None,
    stopped: str = "",
) -> list[Difference]:
    """Find all differences, in the order of their times.

    Args:
        before: The captured call.
        after: The capture of its replay.
        acts: What the caller did in the captured call.
        began: When each act began in the replay, in seconds since the answer.
        divergences: The requests to providers that the capture does not have.
        waits: When the caller waited in vain in the replay, and for what.
        tolerance: How much later or earlier an answer may come. None: the defaults.
        stopped: Why the replay could not go on, so that its end means nothing, nor that the rest is not there. Empty:
            it went on.
    """
    found: list[Difference] = []
    for role in ("user", "bot"):
        found += _said(before, after, role, whole=not stopped)
    found += _tools(before, after, whole=not stopped)
    found += _truncations(before, after, tolerance or Tolerance(), whole=not stopped)
    found += _answers(before, after, acts, began, tolerance or Tolerance())
    if not stopped:
        found += _ends(before, after)
    found += _requests(divergences)
    found += [Difference("caller", at, i, None, why) for i, (at, why) in enumerate(waits, 1)]
    if stopped:  # last, behind the request that has no answer
        end = _end(after)
        found.append(Difference("stop", end[0] if end else 0.0, 1, None, stopped))
    return sorted(found, key=lambda difference: difference.at)


def _said(
    before: CapturedCall, after: CapturedCall, role: Literal["user", "bot"], *, whole: bool
) -> list[Difference]:
    def same(one: ComparedTurn, other: ComparedTurn) -> bool:
        if one.interrupted and other.interrupted:
            return same_up_to_a_cut(one.text, other.text)
        return one.text == other.text  # if it was cut off at all, then in its last word

    return [
        Difference(role, (now or then).at, number, _quoted(then), _quoted(now))  # type: ignore[union-attr]
        for number, then, now in _changes(said_in(before, role), said_in(after, role), same, whole)
    ]


def _tools(before: CapturedCall, after: CapturedCall, *, whole: bool) -> list[Difference]:
    changes = _changes(tools_in(before), tools_in(after), lambda one, other: one[1] == other[1], whole)
    return [
        Difference("tool", (now or then or (0.0, ""))[0], number, then and then[1], now and now[1])
        for number, then, now in changes
    ]


def truncations_in(capture: CapturedCall) -> list[tuple[float, float]]:
    """Return how much a speech-to-speech model was told was heard of its answers.

    Returns:
        The time of each truncation in seconds since the answer, and the seconds that were heard.
    """
    return [
        (line.at, float(line.data["audio_end_ms"]) / 1000)
        for line in capture.exchanges
        if line.stage == "realtime"
        and line.kind == "sent"
        and line.data.get("type") == "conversation.item.truncate"
    ]


def _truncations(
    before: CapturedCall, after: CapturedCall, tolerance: Tolerance, *, whole: bool
) -> list[Difference]:
    then, now = truncations_in(before), truncations_in(after)
    changes = _changes(then, now, lambda one, other: abs(one[1] - other[1]) <= tolerance.later_s, whole)
    return [
        Difference("truncation", (new or old or (0.0, 0.0))[0], number, _seconds(old), _seconds(new))
        for number, old, new in changes
    ]


def _seconds(truncation: tuple[float, float] | None) -> str | None:
    return None if truncation is None else f"{truncation[1]:.2f} s"


def _answers(
    before: CapturedCall,
    after: CapturedCall,
    acts: Sequence[Act],
    began: Sequence[float],
    tolerance: Tolerance,
) -> list[Difference]:
    then, now = stretches_of(before), stretches_of(after)
    found: list[Difference] = []
    for number, (act, at) in enumerate(zip(acts, began, strict=False), 1):
        if act.kind != "speech":
            continue
        length = act.end - act.start
        until = acts[number].start if number < len(acts) else float("inf")
        until_now = began[number] if number < len(began) else float("inf")
        was = _first_after(then, act.start + length, until)
        is_now = _first_after(now, at + length, until_now)
        if was is None or is_now is None:
            continue  # then it is something that was said, or not
        latency, latency_now = was - act.start - length, is_now - at - length
        if latency_now - latency > tolerance.later_s or latency - latency_now > tolerance.earlier_s:
            found.append(
                Difference(
                    "answer", is_now, number, f"{latency:.2f} s after the caller", f"{latency_now:.2f} s"
                )
            )
    return found


def _first_after(stretches: Sequence[Stretch], start: float, until: float) -> float | None:
    return next((each.start for each in stretches if start <= each.start < until), None)


def _ends(before: CapturedCall, after: CapturedCall) -> list[Difference]:
    then, now = _end(before), _end(after)
    if then is None or now is None or then[1] == now[1]:
        return []
    return [Difference("end", now[0], 1, then[1], now[1] + (f" ({now[2]})" if now[2] else ""))]


def _end(capture: CapturedCall) -> tuple[float, str, str] | None:
    return next(
        (
            (event.at, str(event.data["reason"]), str(event.data.get("detail", "")))
            for event in capture.events
            if event.kind == "end"
        ),
        None,
    )


def _requests(divergences: Sequence[Divergence]) -> list[Difference]:
    """Return a difference for each kind of divergence, because a changed prompt is in every later request."""
    seen: dict[tuple[str, str], list[Divergence]] = {}
    for divergence in divergences:
        seen.setdefault((divergence.stage, divergence.what), []).append(divergence)
    return [
        Difference(
            "request",
            same[0].at,
            number,
            None,
            str(same[0]) + (f" (and in {len(same) - 1} requests more)" if len(same) > 1 else ""),
        )
        for number, same in enumerate(seen.values(), 1)
    ]


def _changes(
    before: Sequence[T], after: Sequence[T], same: Callable[[T, T], bool], whole: bool
) -> list[tuple[int, T | None, T | None]]:
    """Return what was changed, left out or added, with its number in the longer list.

    What is missing behind the last item of today is left out if the call is not there as a `whole`.
    """
    names: list[T] = []

    def name(item: T) -> int:
        """Give items that are the same the same number."""
        for i, known in enumerate(names):
            if same(known, item):
                return i
        names.append(item)
        return len(names) - 1

    matcher = SequenceMatcher(a=[name(i) for i in before], b=[name(i) for i in after], autojunk=False)
    changes: list[tuple[int, T | None, T | None]] = []
    for kind, start, end, start_now, end_now in matcher.get_opcodes():
        if kind == "equal":
            continue
        for i in range(max(end - start, end_now - start_now)):
            then = before[start + i] if start + i < end else None
            now = after[start_now + i] if start_now + i < end_now else None
            if now is None and end_now == len(after) and not whole:
                break
            number = (start_now + i if now is not None else start + i) + 1
            changes.append((number, then, now))
    return changes


def _quoted(utterance: ComparedTurn | None) -> str | None:
    if utterance is None:
        return None
    return json.dumps(utterance.text, ensure_ascii=False) + (" (cut off)" if utterance.interrupted else "")


def _tool(name: Any, arguments: Any) -> str:
    shown = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    return f"{name}({shown})"
