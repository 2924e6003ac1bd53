"""The picture of one call in the report: both voices on one time axis, and what happened between them.

It is HTML and SVG as text, and loads nothing. Positions are in percent of the call's length, so that the
picture is as wide as its reader's window. Its style is in ``report.css``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.testing.report.simulated_call import PARTS, Event, SimulatedCall, TurnResult

__all__ = ["figure", "milliseconds", "parts_bar"]

PIXELS_PER_SECOND = 22  # at least; a long call scrolls
_BUCKETS_PER_SECOND, _MOST_BUCKETS = 30, 4000
_TICKS_S = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300)
_TICK_PIXELS = 64
_LABEL_PIXELS = 6.6  # a letter
_MARK_ROWS = 2


class _Mark(NamedTuple):
    at: float
    kind: str
    label: str


_MARKS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "tool": lambda data: str(data["name"]),
    "interruption": lambda data: "barge-in",
    "error": lambda data: f"{data['stage']} failed",
    "gap": lambda data: f"gap {milliseconds(data['seconds'])}",
    "dtmf": lambda data: f"key {data['digits']}",
    "end": lambda data: str(data["reason"]).replace("_", " "),
}


def figure(call: SimulatedCall) -> str:
    """Return the picture of a call as HTML: marks, the caller's voice, the latencies, the bot's voice, and
    the time axis.
    """
    length = max(call.duration_s, call.caller_audio.size / call.rate, 0.1)
    lost = {
        direction: [e.at for e in call.of("packet_lost") if e.data["direction"] == direction]
        for direction in ("to_bot", "to_caller")
    }
    rows = [
        _marks(call.events, length),
        _lane(
            "caller",
            call.caller_audio,
            spans=[
                (e.data["start"], e.data["end"], f"speaks: {e.data['name']}") for e in call.of("user_speech")
            ],
            line=(
                "vad",
                "the VAD hears the caller",
                _pairs(call.events, "vad_started", "vad_stopped", length),
            ),
            lost=lost["to_bot"],
            length=length,
        ),
        _waits(call.turns, length),
        _lane(
            "bot",
            call.bot_audio,
            spans=[],
            line=("plays", "the bot is heard", _pairs(call.events, "bot_audio", "bot_stopped", length)),
            lost=lost["to_caller"],
            length=length,
        ),
        _axis(length),
        '<div class="playhead" hidden></div>',
    ]
    return (
        f'<div class="chart" tabindex="0" role="img" aria-label="{escape(_in_words(call, lost))}">'
        f'<div class="canvas" data-seconds="{length:.3f}" style="min-width:{length * PIXELS_PER_SECOND:.0f}px">'
        + "".join(rows)
        + "</div></div>"
    )


def parts_bar(turn: TurnResult, scale_s: float) -> str:
    """Return the latency of an answer as a bar of its parts.

    Args:
        turn: The turn whose answer it is.
        scale_s: The latency that fills the whole width of the bar, in seconds.

    Returns:
        HTML; empty if the turn has no answer.
    """
    if turn.parts is None or turn.voice_to_voice is None:
        return ""
    pieces = "".join(
        f'<i class="part {name}" style="width:{_percent(getattr(turn.parts, name), scale_s)}"></i>'
        for name in PARTS
    )
    numbers = " ".join(
        f'<span><i class="part {name}"></i>{name} {_ms(getattr(turn.parts, name))}</span>' for name in PARTS
    )
    return (
        f'<div class="bar" aria-hidden="true">{pieces}'
        f"<b>{milliseconds(turn.voice_to_voice)}</b></div>"
        f'<p class="numbers">{numbers} <span class="unit">ms</span></p>'
    )


def milliseconds(seconds: float) -> str:
    """Return a latency, given in seconds, in the form that people read."""
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f}"


def _in_words(call: SimulatedCall, lost: Mapping[str, list[float]]) -> str:
    gone = sum(map(len, lost.values()))
    words = f"Both voices over {call.duration_s:.1f} seconds"
    return words + (f", {gone} packets lost" if gone else "")


# ---------------------------------------------------------------------- voices


def _lane(
    who: str,
    pcm: NDArray[np.int16],
    *,
    spans: list[tuple[float, float, str]],
    line: tuple[str, str, list[tuple[float, float]]],
    lost: list[float],
    length: float,
) -> str:
    kind, title, stretches = line
    bands = "".join(_span("speech", begin, end, length, text) for begin, end, text in spans)
    bands += "".join(_span(kind, begin, end, length, title) for begin, end in stretches)
    ticks = "".join(f"M{at / length * 1000:.2f} 0v1" for at in lost)
    note = f'<em class="lost-count">{_count(len(lost), "packet")} lost</em>' if lost else ""
    lost_marks = (
        f'<svg class="lost" viewBox="0 0 1000 1" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="{ticks}"/></svg>'
        if lost
        else ""
    )
    name = f'<span class="who">{who.capitalize()}{note}</span>'
    voice = (
        f'<div class="voice">{bands}<svg class="wave" viewBox="0 -1 1000 2" preserveAspectRatio="none" '
        f'aria-hidden="true"><path d="{_envelope(pcm)}"/></svg></div>'
    )
    # The name and the lost packets stand on the outer side, so that neither covers the voice.
    inner = name + voice if who == "caller" else voice + name
    return f'<div class="lane {who}">{lost_marks}{inner}</div>'


def _envelope(pcm: NDArray[np.int16]) -> str:
    """Return the outline of a voice: a closed shape between its highest and lowest samples, scaled to the
    loudest.
    """
    if not pcm.size:
        return ""
    buckets = int(min(_MOST_BUCKETS, max(300, pcm.size / 16000 * _BUCKETS_PER_SECOND), pcm.size))
    edges = np.linspace(0, pcm.size, buckets, endpoint=False).astype(np.intp)
    loudest = max(float(np.abs(pcm.astype(np.int32)).max()), 1000.0)
    high = np.maximum.reduceat(pcm, edges) / loudest * 0.96
    low = np.minimum.reduceat(pcm, edges) / loudest * 0.96
    x = edges / pcm.size * 1000
    # Silence is drawn once at either end, not at every bucket: half the page would be zeros.
    keep = np.ones(buckets, bool)
    keep[1:-1] = (
        (high[1:-1] != high[:-2])
        | (high[1:-1] != high[2:])
        | (low[1:-1] != low[:-2])
        | (low[1:-1] != low[2:])
    )
    upper = [f"{a:.1f} {-b:.2f}" for a, b in zip(x[keep], high[keep], strict=True)]
    lower = [f"{a:.1f} {-b:.2f}" for a, b in zip(x[keep], low[keep] - 0.008, strict=True)]
    return "M" + "L".join(upper + lower[::-1]) + "Z"


def _pairs(events: Iterable[Event], begins: str, ends: str, length: float) -> list[tuple[float, float]]:
    """Return the stretches from each event of one kind to the next event of the other kind."""
    stretches: list[tuple[float, float]] = []
    since: float | None = None
    for event in events:
        if event.kind == begins and since is None:
            since = event.at
        elif event.kind == ends and since is not None:
            stretches.append((since, event.at))
            since = None
    if since is not None:
        stretches.append((since, length))
    return stretches


def _span(kind: str, begin: float, end: float, length: float, title: str) -> str:
    return (
        f'<i class="span {kind}" title="{escape(title)}" '
        f'style="left:{_percent(begin, length)};width:{_percent(end - begin, length)}"></i>'
    )


# ---------------------------------------------------------------------- what happened


def _waits(turns: Iterable[TurnResult], length: float) -> str:
    """Draw the time between the caller's last word and the bot's first word of each answer."""
    pieces = []
    for turn in turns:
        if turn.parts is None or turn.answered_at is None or turn.voice_to_voice is None:
            continue
        whole = max(turn.voice_to_voice, 1e-6)
        inner = "".join(
            f'<i class="part {name}" style="width:{_percent(getattr(turn.parts, name), whole)}"></i>'
            for name in PARTS
        )
        middle = turn.spoke_until + whole / 2
        pieces.append(
            f'<span class="wait" style="left:{_percent(turn.spoke_until, length)};'
            f'width:{_percent(whole, length)}">{inner}</span>'
            f'<span class="wait-ms" style="left:{_percent(middle, length)}">{milliseconds(whole)}</span>'
        )
    return f'<div class="waits">{"".join(pieces)}</div>'


def _marks(events: Iterable[Event], length: float) -> str:
    found = [
        _Mark(event.at, event.kind, _MARKS[event.kind](event.data))
        for event in events
        if event.kind in _MARKS
    ]
    pieces = []
    for mark, row in _rows(found, length):
        # Near the right edge the label stands to the left of its mark.
        side = " left" if mark.at > 0.75 * length else ""
        label = "" if row is None else f"<b>{escape(mark.label)}</b>"
        pieces.append(
            f'<span class="mark {mark.kind}{side}" style="left:{_percent(mark.at, length)};--row:{row or 0}" '
            f'title="{mark.at:.2f} s: {escape(mark.label)}">{label}</span>'
        )
    return f'<div class="marks">{"".join(pieces)}</div>'


def _rows(marks: list[_Mark], length: float) -> Iterator[tuple[_Mark, int | None]]:
    """Give each mark a row in which its label has room; None if there is none."""
    pixels = PIXELS_PER_SECOND
    taken: list[list[tuple[float, float]]] = [[] for _ in range(_MARK_ROWS)]
    for mark in marks:
        wide = len(mark.label) * _LABEL_PIXELS + 16
        at = mark.at * pixels
        begin, end = (at - wide, at + 8) if mark.at > 0.75 * length else (at - 8, at + wide)
        for row, used in enumerate(taken):
            if all(end <= a or begin >= b for a, b in used):
                used.append((begin, end))
                yield mark, row
                break
        else:
            yield mark, None


def _axis(length: float) -> str:
    step = next((s for s in _TICKS_S if s * PIXELS_PER_SECOND >= _TICK_PIXELS), _TICKS_S[-1])
    count = int(length / step + 1e-9)
    ticks = "".join(
        f'<span style="left:{_percent(n * step, length)}">{n * step:g}{" s" if n == 0 else ""}</span>'
        for n in range(count + 1)
    )
    return f'<div class="axis" aria-hidden="true">{ticks}</div>'


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.3f}%"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
