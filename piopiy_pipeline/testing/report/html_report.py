"""The report: one HTML page about simulated calls, for a person to read.

The page loads nothing else, so it can be kept with a build and be mailed. For each call it has both voices,
what was said, the latency of every answer with its parts, and the events; above the calls it shows all
answers at once. A section is made as soon as its call is over (`section`) and is plain data, so that the
worker processes of a test session can pass it on and nobody has to keep recordings. `page` puts the sections
together.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import soundfile
import soxr

from piopiy_pipeline.testing.report.figure import figure, milliseconds, parts_bar
from piopiy_pipeline.testing.report.flow_picture import flow_svg
from piopiy_pipeline.testing.report.flow_walks import walk_of, walks_of
from piopiy_pipeline.testing.report.simulated_call import PARTS, SimulatedCall, TurnResult
from piopiy_pipeline.text import well_formed

__all__ = ["Outcome", "Section", "page", "section", "write_report"]

Outcome = Literal["passed", "failed", ""]

LISTENING_RATE = 8000  # µ-law: 16 kB for a second of both voices; to listen to, not to measure
AUDIO_LIMIT_BYTES = 24_000_000
"""Bytes of audio that a page holds. Further calls have only their picture."""
_SHORTEST_SCALE_S = 1.0
_PART_MEANS = {
    "silence": "until the VAD has decided that the caller stopped",
    "stt": "until the transcript is there, as far as it is waited for",
    "turn": "until the turn is over",
    "llm": "until the model’s first word",
    "tts": "until the first audio is there",
    "playout": "until its first sample is heard",
}


@dataclass(slots=True)
class Section:
    """One call of the report: its line in the overview, and its HTML. It holds plain JSON values."""

    name: str
    outcome: Outcome
    duration_s: float
    end_reason: str
    lost: int
    latencies: list[dict[str, float]]
    """The parts of each answer's latency, and ``voice_to_voice``, in seconds."""
    html: str
    """The HTML without the audio; `page` decides whether there is room for that."""
    sound: str = field(default="", repr=False)
    """A WAV file in base64, or an empty text."""
    flow: dict[str, Any] | None = None
    """The flow that led the call and its steps, as `walk_of` makes it."""

    def to_json(self) -> str:
        """Return the section as JSON text, which another process reads with `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the section that `to_json` wrote."""
        return cls(**json.loads(text))


def section(
    call: SimulatedCall, *, name: str = "", outcome: Outcome = "", failure: str = "", sound: bool = True
) -> Section:
    """Make the section about one call.

    Args:
        call: The call.
        name: Its title. An empty text: the call's own name, or its seed.
        outcome: ``"passed"``, ``"failed"`` or an empty text, for the test that made the call.
        failure: A text that is shown with a failed call, such as a test's traceback.
        sound: Whether the section holds the audio of the call.
    """
    name = name or call.name or f"call with seed {call.seed}"
    lost = len(call.of("packet_lost"))
    return Section(
        name=name,
        outcome=outcome,
        duration_s=call.duration_s,
        end_reason=call.end_reason.value,
        lost=lost,
        latencies=[_latencies(turn) for turn in call.turns if turn.voice_to_voice is not None],
        html=_call(call, name, outcome, failure, lost),
        sound=_wav(call) if sound else "",
        flow=walk_of(call),
    )


def page(sections: Sequence[Section], *, title: str = "Simulated calls") -> str:
    """Return the whole page as HTML.

    Args:
        sections: The calls, in order. Only as many have their audio as `AUDIO_LIMIT_BYTES` allows, failed
            ones first.
        title: The title of the page.
    """
    left = AUDIO_LIMIT_BYTES
    audible = set()
    for index in sorted(range(len(sections)), key=lambda n: sections[n].outcome != "failed"):
        if 0 < len(sections[index].sound) <= left:
            left -= len(sections[index].sound)
            audible.add(index)
    articles = [
        f'<article class="card call" id="call-{n}">'
        + each.html.replace(_SOUND_HERE, _audio(each) if n in audible else "")
        + "</article>"
        for n, each in enumerate(sections)
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_resource('report.css')}</style></head><body><main>"
        f"<header><h1>{escape(title)}</h1><p class='lead'>{_summary(sections)}</p></header>"
        f"{_overview(sections)}{_flows(sections)}{''.join(articles)}"
        f"</main><script>{_resource('report.js')}</script></body></html>\n"
    )


def write_report(
    path: str | Path, calls: Iterable[SimulatedCall | Section], *, title: str = "Simulated calls"
) -> Path:
    """Write a page about calls to a file.

    Args:
        path: The file; an older one is replaced.
        calls: The calls, or their sections.
        title: The title of the page.

    Returns:
        The path.

    Raises:
        OSError: The file cannot be written.
    """
    sections = [each if isinstance(each, Section) else section(each) for each in calls]
    path = Path(path)
    path.write_text(well_formed(page(sections, title=title)), encoding="utf-8")
    return path


# ---------------------------------------------------------------------- all calls


def _summary(sections: Sequence[Section]) -> str:
    failed = sum(each.outcome == "failed" for each in sections)
    answers = sum(len(each.latencies) for each in sections)
    words = [_count(len(sections), "call"), _count(answers, "answer")]
    if any(each.outcome for each in sections):
        words.append(f'<span class="failed-word">{failed} failed</span>' if failed else "all passed")
    return ", ".join(words)


def _overview(sections: Sequence[Section]) -> str:
    if not sections:
        return ""
    rows = "".join(_row(number, each) for number, each in enumerate(sections))
    table = (
        '<section class="card"><div class="scroll"><table><thead><tr><th>Call</th><th>Result</th>'
        '<th class="right wide">Length</th><th class="right wide">Answers</th><th class="right">Slowest</th>'
        '<th class="right wide">Packets lost</th><th class="wide">Ended by</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )
    return _answers(sections) + (table if len(sections) > 1 else "")


def _row(number: int, each: Section) -> str:
    waits = [answer["voice_to_voice"] for answer in each.latencies]
    return (
        f'<tr><td class="name"><a href="#call-{number}">{_name(each.name)}</a></td><td>{_outcome(each.outcome)}</td>'
        f'<td class="right wide">{each.duration_s:.1f} s</td><td class="right wide">{len(waits)}</td>'
        f'<td class="right">{milliseconds(max(waits)) if waits else "none"}</td>'
        f'<td class="right wide">{each.lost}</td><td class="wide">{escape(_reason(each.end_reason))}</td></tr>'
    )


def _answers(sections: Sequence[Section]) -> str:
    """Draw every answer as a dot on one scale, with the percentiles of their latencies."""
    answers = [(each, answer) for each in sections for answer in each.latencies]
    if not answers:
        return ""
    waits = np.array([answer["voice_to_voice"] for _, answer in answers])
    scale = max(_SHORTEST_SCALE_S, float(np.ceil(waits.max() * 1.05 / 0.25) * 0.25))
    heights: dict[int, int] = {}
    dots = []
    for each, answer in sorted(answers, key=lambda pair: pair[1]["voice_to_voice"]):
        wait = answer["voice_to_voice"]
        column = int(wait / scale * 90)
        lift = heights[column] = heights.get(column, -1) + 1
        bad = " bad" if each.outcome == "failed" else ""
        dots.append(
            f'<i class="dot{bad}" title="{milliseconds(wait)}: {escape(each.name)}" '
            f'style="left:{100 * max(wait, 0) / scale:.2f}%;--lift:{min(lift, 8)}"></i>'
        )
    middle, high = (float(np.percentile(waits, p)) for p in (50, 95))
    rules = _rule(middle, scale, "median", "") + _rule(high, scale, "p95", " second")
    step = 0.25 if scale <= 1.5 else 0.5 if scale <= 3 else float(np.ceil(scale / 6))
    ticks = "".join(
        f'<span class="tick" style="left:{100 * n * step / scale:.2f}%">{n * step:g} s</span>'
        for n in range(int(scale / step + 1e-9) + 1)
    )
    rows = "".join(
        _part_row(part, np.array([answer[part] for _, answer in answers if part in answer])) for part in PARTS
    )
    rows += _part_row("voice_to_voice", waits)
    return (
        '<section class="card"><h2>From the caller’s last word to the bot’s first</h2><div class="overview">'
        f'<div class="strip">{ticks}{rules}{"".join(dots)}</div>'
        '<table><thead><tr><th>Part</th><th class="right">Median</th><th class="right">p95</th>'
        f'<th class="right">Slowest</th></tr></thead><tbody>{rows}</tbody></table></div>{_legend()}</section>'
    )


def _flows(sections: Sequence[Section]) -> str:
    """Draw each flow with what the calls have walked of it."""
    cards = []
    for walks in walks_of(each.flow for each in sections):
        head, *missing = walks.lines()
        rows = "".join(f"<li>{escape(line.strip())}</li>" for line in missing)
        cards.append(
            f'<section class="card flow"><h2>{escape(head[0].upper() + head[1:])}</h2>'
            f'<div class="scroll">{flow_svg(walks.graph, walks)}</div>{f"<ul>{rows}</ul>" if rows else ""}</section>'
        )
    return "".join(cards)


def _rule(value: float, scale: float, label: str, row: str) -> str:
    side = " left" if value > 0.7 * scale else ""
    return (
        f'<span class="rule{row}{side}" style="left:{100 * value / scale:.2f}%">'
        f"<b>{label} {milliseconds(value)}</b></span>"
    )


def _part_row(name: str, values: Any) -> str:
    if not len(values):
        return ""
    numbers = (float(np.percentile(values, 50)), float(np.percentile(values, 95)), float(values.max()))
    cells = "".join(f'<td class="right">{milliseconds(number)}</td>' for number in numbers)
    label = "<b>the whole</b>" if name == "voice_to_voice" else name
    return f"<tr><td>{label}</td>{cells}</tr>"


def _legend() -> str:
    parts = "".join(f'<span><i class="part {n}"></i><b>{n}</b> {_PART_MEANS[n]}</span>' for n in PARTS)
    lines = (
        "In the pictures: under the caller’s voice a line where the VAD heard it, over the bot’s where it was "
        "played, between them the wait for each answer, red strokes for lost packets."
    )
    return f'<div class="legend">{parts}</div><p class="legend">{lines}</p>'


# ---------------------------------------------------------------------- one call

_SOUND_HERE = "<!--sound-->"


def _call(call: SimulatedCall, name: str, outcome: Outcome, failure: str, lost: int) -> str:
    facts = [
        _outcome(outcome),
        f"{call.duration_s:.1f} s",
        f"ended by {escape(_reason(call.end_reason.value))}"
        + (f" ({escape(call.end_detail)})" if call.end_detail else ""),
        f"seed {call.seed}",
        f"{call.rate / 1000:g} kHz",
        f"{_count(lost, 'packet')} lost" if lost else "",
        f"simulated in {call.wall_s:.2f} s",
    ]
    scale = 1.25 * max([_SHORTEST_SCALE_S, *(turn.voice_to_voice or 0 for turn in call.turns)])
    shown = f'<pre class="failure">{escape(failure)}</pre>' if failure else ""
    return (
        f"<h2>{_name(name)}</h2>"
        f'<p class="facts">{"".join(f"<span>{fact}</span>" for fact in facts if fact)}</p>{shown}'
        f"{figure(call)}{_SOUND_HERE}"
        f'<h3>Conversation</h3><ol class="turns">{"".join(_turn(turn, scale) for turn in call.turns)}</ol>'
        f'<details class="events"><summary>{_count(len(call.events), "event")}</summary>'
        f"<pre>{escape(call.timeline())}</pre></details>"
    )


def _turn(turn: TurnResult, scale_s: float) -> str:
    at = turn.spoke_at if turn.number else turn.answered_at or 0.0
    words = []
    if turn.number:
        words.append(
            f'<p><span class="caller-word">Caller</span> {escape(turn.user) or _nothing("not understood")}</p>'
        )
    words += [
        f'<span class="tool-use">{escape(_shown_tool(tool.name, tool.arguments))}</span>'
        for tool in turn.tools
    ]
    cut = ' <span class="cut">(cut off)</span>' if turn.interrupted else ""
    words.append(f'<p><span class="bot-word">Bot</span> {escape(turn.bot) or _nothing("not heard")}{cut}</p>')
    took = parts_bar(turn, scale_s)
    if not took and turn.number:
        wait = turn.voice_to_voice
        took = _nothing("no answer" if wait is None else f"answered after {milliseconds(wait)}")
    return f'<li><span class="when">{at:.2f} s</span><div class="words">{"".join(words)}</div><div>{took}</div></li>'


def _nothing(what: str) -> str:
    return f'<span class="none">{what}</span>'


def _shown_tool(name: str, arguments: dict[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"


def _latencies(turn: TurnResult) -> dict[str, float]:
    assert turn.voice_to_voice is not None
    whole = {"voice_to_voice": turn.voice_to_voice}
    return whole if turn.parts is None else whole | {name: getattr(turn.parts, name) for name in PARTS}


def _wav(call: SimulatedCall) -> str:
    """Return both voices as a stereo WAV file in base64, with the caller on the left."""
    if not call.caller_audio.size:
        return ""
    both = np.column_stack((call.caller_audio, call.bot_audio)).astype(np.float32) / 32768
    both = np.clip(soxr.resample(both, call.rate, LISTENING_RATE), -1, 1)
    file = io.BytesIO()
    soundfile.write(file, both, LISTENING_RATE, format="WAV", subtype="ULAW")
    return base64.b64encode(file.getvalue()).decode("ascii")


def _audio(each: Section) -> str:
    return (
        f'<audio controls preload="metadata" aria-label="Both voices: the caller left, the bot right" '
        f'src="data:audio/wav;base64,{each.sound}"></audio>'
    )


def _name(name: str) -> str:
    """Mark where a test's name may be broken, because it is long and has no spaces."""
    return re.sub(r"(/|::|_|\[)", r"\1<wbr>", escape(name))


def _outcome(outcome: Outcome) -> str:
    return f'<span class="{outcome}-word">{outcome}</span>' if outcome else ""


def _reason(reason: str) -> str:
    return reason.replace("_", " ")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _resource(name: str) -> str:
    return files("piopiy_pipeline.testing.report").joinpath(name).read_text(encoding="utf-8")
