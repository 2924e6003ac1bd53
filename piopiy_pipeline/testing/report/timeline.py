"""The timeline of a simulated call in words: shown when an assertion fails, and printed by `piopiy simulate`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from piopiy_pipeline.latency import PARTS
from piopiy_pipeline.testing.report.call_events import Event, TurnResult

__all__ = ["timeline_of"]

_LEFT_OUT = frozenset({"transcript", "llm_token", "usage"})
"""Marks of which latencies are made, and what providers count: neither is a step of the conversation."""


def timeline_of(events: Iterable[Event], turns: Iterable[TurnResult]) -> Iterator[str]:
    """Yield the events of a call, a line each, and then the answered turns with the parts of their latency."""
    yield from map(_line, _with_runs_of_loss(event for event in events if event.kind not in _LEFT_OUT))
    for turn in turns:
        if turn.parts is not None:
            shares = " + ".join(f"{name} {getattr(turn.parts, name) * 1000:.0f}" for name in PARTS)
            yield f"turn {turn.number}: answered after {turn.parts.voice_to_voice * 1000:.0f} ms = {shares}"


def _with_runs_of_loss(events: Iterable[Event]) -> Iterator[Event]:
    """Yield the events, with packets that were lost in a row joined into one event."""
    for kind, run in groupby(events, key=lambda event: event.kind):
        if kind != "packet_lost":
            yield from run
            continue
        lost: dict[str, list[Event]] = {}
        for event in run:
            lost.setdefault(str(event.data["direction"]), []).append(event)
        for direction, events_there in lost.items():
            numbers = ", ".join(_ranges(event.data["seq"] for event in events_there))
            yield Event(events_there[0].at, kind, {"direction": direction, "seq": numbers})


def _ranges(numbers: Iterable[int]) -> Iterator[str]:
    """Yield numbers as ranges: ``3, 4, 5, 9`` as ``3-5, 9``."""
    for _, run in groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0]):
        inside = [number for _, number in run]
        yield f"{inside[0]}" if len(inside) == 1 else f"{inside[0]}-{inside[-1]}"


def _line(event: Event) -> str:
    words = _WORDS.get(event.kind)
    who, what = words(event.data) if words else ("", f"{event.kind} {dict(event.data) or ''}")
    return f"{event.at:8.3f}  {who:>6}  {what}".rstrip()


_WORDS: dict[str, Callable[[Mapping[str, Any]], tuple[str, str]]] = {
    "answered": lambda _: ("", "the call is answered"),
    "agent_lost": lambda _: ("", "the agent is lost"),
    "agent_resumed": lambda _: ("", "the next agent goes on"),
    "user_speech": lambda d: ("caller", f"speaks {d['name']!r} ({d['end'] - d['start']:.2f} s)"),
    "typed": lambda d: ("caller", f"types {d['text']!r}"),
    "shown": lambda d: ("bot", f"shows {d['text']!r}"),
    "vad_started": lambda _: ("", "the VAD hears the caller"),
    "vad_stopped": lambda _: ("", "the VAD hears that the caller has stopped"),
    "turn_end": lambda _: ("caller", "has finished, by the sound"),
    "user_turn": lambda d: ("caller", f"is understood: {d['text']!r}"),
    "llm_started": lambda _: ("", "the model answers"),
    "llm_text": lambda d: ("", f"the first sentence: {d.get('text', '')!r}"),
    "tts_started": lambda _: ("", "there is speech to send"),
    "bot_audio": lambda _: ("bot", "is heard"),
    "bot_stopped": lambda _: ("bot", "has stopped"),
    "interruption": lambda _: ("caller", "cuts in"),
    "hold": lambda _: ("bot", "is held"),
    "resume": lambda _: ("bot", "goes on"),
    "barge_in": lambda d: ("", f"{d['verdict']}: {d['reason']}"),
    "backchannel": lambda d: ("caller", f"listens: {d['text']!r}"),
    "bot_turn": lambda d: ("bot", f"{d['text']!r}" + (" (cut off)" if d.get("interrupted") else "")),
    "tool": lambda d: ("bot", f"uses {d['name']}({_arguments(d['arguments'])})"),
    "tool_result": lambda d: ("", f"{d['name']} returns {d.get('result')!r}"),
    "flow": lambda d: (
        "",
        f"the flow goes to {d['node']!r}" + (f" by {d['function']}" if d["function"] else ""),
    ),
    "language": lambda d: ("", f"the call goes on in {d['language']}"),
    "summary": lambda d: ("", f"a summary stands for {d['messages']} messages"),
    "hand_off": lambda d: ("", f"{d['agent'] or 'the first one'} has the call now"),
    "error": lambda d: ("", _error(d["stage"], d["message"])),
    "collection": lambda d: ("bot", f"collects {d['name']}: {d['outcome']}{_value(d.get('value'))}"),
    "gap": lambda d: ("bot", f"was silent in mid-speech for {d['seconds'] * 1000:.0f} ms"),
    "packet_lost": lambda d: ("", f"lost on the way {d['direction'].replace('_', ' ')}: packet {d['seq']}"),
    "dtmf": lambda d: (str(d["direction"]), f"presses {d['digits']}"),
    "transfer": lambda d: ("bot", f"transfers the call to {d['to']}" + ("" if d["warm"] else " (blind)")),
    "transfer_result": lambda d: (
        "",
        f"{d['to']}: {d['outcome']}" + (f" ({d['detail']})" if d["detail"] else ""),
    ),
    "control": lambda d: ("bot", f"{d['what']} {'on' if d['on'] else 'off'}"),
    "end": lambda d: ("", f"the call ends: {d['reason']}" + (f" ({d['detail']})" if d.get("detail") else "")),
}


def _error(stage: str, message: str) -> str:
    return f"the event loop is {message}" if stage == "event loop" else f"{stage} fails: {message}"


def _value(value: Any) -> str:
    return "" if value is None else f" {value!r}"


def _arguments(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in arguments.items())
