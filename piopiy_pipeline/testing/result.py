"""A simulated call in words: what an assertion shows when it fails, and `piopiy simulate` prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from piopiy_pipeline.testing.values import PARTS, Event, SimulatedCall

__all__ = ["timeline"]


def timeline(call: SimulatedCall) -> str:
    """The events of `call`, a line each, and its turns with the parts of their latency."""
    head = f"{call.name or 'the call'}: {call.duration_s:.2f} s, seed {call.seed}"
    lines = [
        f"{head}, ended with {call.end_reason.value}" + (f" ({call.end_detail})" if call.end_detail else "")
    ]
    lines += [_line(event) for event in call.events]
    for turn in call.turns:
        if turn.parts is not None:
            shares = " + ".join(f"{name} {getattr(turn.parts, name) * 1000:.0f}" for name in PARTS)
            lines.append(
                f"turn {turn.number}: answered after {turn.parts.voice_to_voice * 1000:.0f} ms = {shares}"
            )
    return "\n".join(lines)


def _line(event: Event) -> str:
    words = _WORDS.get(event.kind)
    who, what = words(event.data) if words else ("", f"{event.kind} {dict(event.data) or ''}")
    return f"{event.at:8.3f}  {who:>6}  {what}".rstrip()


_WORDS: dict[str, Callable[[Mapping[str, Any]], tuple[str, str]]] = {
    "answered": lambda _: ("", "the call is answered"),
    "user_speech": lambda d: ("caller", f"speaks {d['name']!r} ({d['end'] - d['start']:.2f} s)"),
    "vad_started": lambda _: ("", "the VAD hears the caller"),
    "vad_stopped": lambda _: ("", "the VAD hears that the caller has stopped"),
    "user_turn": lambda d: ("caller", f"is understood: {d['text']!r}"),
    "llm_started": lambda _: ("", "the model answers"),
    "llm_text": lambda d: ("", f"the first sentence: {d.get('text', '')!r}"),
    "tts_started": lambda _: ("", "there is speech to send"),
    "bot_audio": lambda _: ("bot", "is heard"),
    "bot_stopped": lambda _: ("bot", "has stopped"),
    "interruption": lambda _: ("caller", "cuts in"),
    "bot_turn": lambda d: ("bot", f"{d['text']!r}" + (" (cut off)" if d.get("interrupted") else "")),
    "tool": lambda d: ("bot", f"uses {d['name']}({_arguments(d['arguments'])})"),
    "tool_result": lambda d: ("", f"{d['name']} returns {d.get('result')!r}"),
    "error": lambda d: ("", f"{d['stage']} fails: {d['message']}"),
    "gap": lambda d: ("bot", f"was silent in mid-speech for {d['seconds'] * 1000:.0f} ms"),
    "packet_lost": lambda d: ("", f"packet {d['seq']} {d['direction']} was lost"),
    "dtmf": lambda d: (str(d["direction"]), f"presses {d['digits']}"),
    "end": lambda d: ("", f"the call ends: {d['reason']}" + (f" ({d['detail']})" if d.get("detail") else "")),
}


def _arguments(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in arguments.items())
