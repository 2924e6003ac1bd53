"""Makes a call's turns of its events, and finds where the time of each answer went. Without I/O or clock.

The parts and what a missing mark means are `piopiy_pipeline.latency`, as in a live call. Here the end of
the caller's speech is that of the recording, to the sample.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from piopiy_pipeline.call import ToolUse
from piopiy_pipeline.latency import LatencyParts
from piopiy_pipeline.testing.report.call_events import Event, TurnResult

__all__ = ["turns_of"]

AT_ONCE_S = 0.1
"""A model that hears itself and is asked within so many seconds of the words is asked because of them."""


def turns_of(events: Sequence[Event]) -> list[TurnResult]:
    """Return the turns of a call. `events` are in the order of their times.

    Turn 0, if the bot spoke first, is what it said before the caller's first turn. In a chain that
    tells of no user turns, each stretch of the caller's speech is one.
    """
    speech = [event for event in events if event.kind == "user_speech"]
    ends = _ends_of_turns(events, speech)
    opening = events[: ends[0].position] if ends else events
    turns: list[TurnResult] = []
    if any(event.kind in ("bot_turn", "bot_audio") for event in opening):
        turns.append(_opening(opening))
    counted = 0  # stretches of speech that were a turn's as a whole
    for number, end in enumerate(ends, 1):
        until = ends[number].position if number < len(ends) else len(events)
        begun = [each for each in speech[counted:] if each.data["start"] < end.at]
        turns.append(
            _turn(
                number,
                end,
                begun or speech[:counted][-1:],
                events[: end.position],
                events[end.position : until],
                events[until:],
            )
        )
        counted += sum(each.data["end"] <= end.at for each in begun)
    return turns


class _End(NamedTuple):
    """The end of a turn of the caller: when, which events follow it, and what was said."""

    at: float
    position: int
    text: str


def _ends_of_turns(events: Sequence[Event], speech: Sequence[Event]) -> list[_End]:
    if ends := list(_ends_by_words(events)):
        return ends
    times = [event.at for event in events]
    return [_End(at := each.data["end"], bisect_left(times, at), str(each.data["name"])) for each in speech]


def _ends_by_words(events: Sequence[Event]) -> Iterator[_End]:
    """Yield the ends of the turns of which the words are known. The words may come later than the end: a model that
    hears itself is asked by the sound.
    """
    by_sound: tuple[int, Event] | None = None
    words_at = float("-inf")
    for i, event in enumerate(events):
        if event.kind == "turn_end" and event.at - words_at > AT_ONCE_S:
            by_sound = (i, event)
        elif event.kind == "user_turn":
            position, end = by_sound or (i, event)
            by_sound, words_at = None, event.at
            yield _End(end.at, position + 1, str(event.data["text"]))


def _opening(events: Sequence[Event]) -> TurnResult:
    heard = next((event.at for event in events if event.kind == "bot_audio"), None)
    return TurnResult(0, "", _said(events), _tools(events), _interrupted(events), 0.0, 0.0, heard, None)


def _turn(
    number: int,
    end: _End,
    speech: Sequence[Event],
    earlier: Sequence[Event],
    inside: Sequence[Event],
    later: Sequence[Event],
) -> TurnResult:
    """Make one turn of the caller's `speech`, the events `earlier` than its end, those `inside` the turn, and
    the `later` ones, among which is the result of a tool that has outlived its turn."""
    at = end.at
    stopped = _last(earlier, "vad_stopped", at)
    spoke_at = float(speech[0].data["start"]) if speech else at
    spoke_until = float(speech[-1].data["end"]) if speech else at
    if spoke_until > at:  # the VAD heard an end in mid-recording
        spoke_until = at if stopped is None else min(stopped, at)
    if stopped is not None and stopped < spoke_until:
        stopped = None
    answered_at = next((event.at for event in inside if event.kind == "bot_audio"), None)
    parts = None
    if answered_at is not None:
        parts = _parts(spoke_until, stopped, at, earlier, inside, answered_at)
    return TurnResult(
        number,
        end.text,
        _said(inside),
        _tools(inside, later),
        _interrupted(inside),
        spoke_at,
        spoke_until,
        answered_at,
        parts,
    )


def _parts(
    spoke_until: float,
    stopped: float | None,
    at: float,
    earlier: Sequence[Event],
    inside: Sequence[Event],
    answered_at: float,
) -> LatencyParts:
    text = _first(inside, "llm_text", answered_at)
    token = _first(inside, "llm_token", answered_at)
    return LatencyParts.between(
        spoke_until,
        answered_at,
        vad_stop=stopped,
        transcript=_last(earlier, "transcript", at),
        turn_end=at,
        token=text if token is None else token,
        audio=_first(inside, "tts_started", answered_at, since=text),
    )


def _first(events: Iterable[Event], kind: str, until: float, since: float | None = None) -> float | None:
    floor = float("-inf") if since is None else since
    return next((event.at for event in events if event.kind == kind and floor <= event.at <= until), None)


def _last(events: Sequence[Event], kind: str, until: float) -> float | None:
    return next((event.at for event in reversed(events) if event.kind == kind and event.at <= until), None)


def _said(events: Iterable[Event]) -> str:
    return " ".join(str(event.data["text"]) for event in events if event.kind == "bot_turn")


def _interrupted(events: Iterable[Event]) -> bool:
    return any(event.kind == "bot_turn" and bool(event.data.get("interrupted")) for event in events)


def _tools(events: Sequence[Event], later: Sequence[Event] = ()) -> tuple[ToolUse, ...]:
    uses: dict[int, ToolUse] = {}
    for event in events:
        if event.kind == "tool":
            data: dict[str, Any] = dict(event.data)
            uses[data["number"]] = ToolUse(data["name"], data["arguments"], number=data["number"])
    for event in (*events, *later):
        if event.kind == "tool_result" and (use := uses.get(event.data["number"])):
            uses[use.number] = replace(use, result=event.data["result"], returned=True)
    return tuple(uses.values())
