"""The report of `piopiy load`: one HTML page with plots. It loads nothing else, so that it can be kept and mailed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from piopiy_pipeline.cli.loading.figures import LoadFigures
from piopiy_pipeline.cli.loading.load_plots import Series, as_steps, by_second, over_time, shares, slices
from piopiy_pipeline.cli.loading.load_progress import MEASURES, advice
from piopiy_pipeline.cli.loading.thresholds import ThresholdResult

__all__ = ["load_page"]

_COLOURS = {"all": "a", "stream": "a", "sip": "b", "webrtc": "c"}
_KIND_WORDS = {"stream": "stream", "sip": "telephones (SIP)", "webrtc": "browsers (WebRTC)"}


def load_page(
    figures: LoadFigures, found: Mapping[str, Any], verdicts: Sequence[ThresholdResult], *, command: str
) -> str:
    """Return the page about one run.

    Args:
        figures: What was measured, with its times.
        found: The JSON of the run.
        verdicts: What its thresholds say.
        command: The command line, without keys.
    """
    seconds, target = float(found["seconds"]), f"{found['agent_id']} at {found['url']}"
    warning = (
        f'<section class="card warning"><p>{escape(advice())}</p></section>'
        if found["load_generator"]["measures_itself"]
        else ""
    )
    if found.get("why"):
        warning = f'<section class="card warning"><p>Failed: {escape(found["why"])}.</p></section>{warning}'
    plots = (
        _card("Voice to voice over time", _waits_over_time(figures, seconds))
        + _card("Voice to voice: which share of turns took at most how long", _distribution(figures))
        + _card("Answer over time", _answers_over_time(figures, seconds))
        + _card("Gaps, and silence after interruptions, over time", _faults_over_time(figures, seconds))
        + _card("Calls in progress", _active_over_time(figures, seconds))
        + _card("This machine’s own lag: the latest frame of each second", _lag(figures, seconds))
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Load: {escape(target)}</title><style>{_style()}</style></head><body><main>"
        f"<header><h1>Load on {escape(target)}</h1><p class='lead'>{_lead(found)}</p></header>"
        f"{_tiles(found)}{warning}{_thresholds(verdicts)}"
        f"{_measures(found)}<div class='plots'>{plots}</div>{_failures(found)}"
        f'<section class="card"><h2>How it was measured</h2><p class="legend">{_method(found)}</p>'
        f"<p class='legend'><code>{escape(command)}</code></p></section></main></body></html>\n"
    )


def _lead(found: Mapping[str, Any]) -> str:
    stopped = ", stopped by hand" if found["stopped"] else ""
    return escape(f"{found['began']}, {found['seconds']:g} s{stopped}")


def _tiles(found: Mapping[str, Any]) -> str:
    waits = found["voice_to_voice_ms"]
    tiles = [
        (str(found["most_at_once"]), "calls at a time at most", False),
        (f"{found['answered']} of {found['begun']}", "calls answered", found["answered"] < found["begun"]),
        (str(found["failed"]), "calls failed", found["failed"] > 0),
        (_value(waits["p50"]), "voice to voice, median", waits["p50"] is None),
        (_value(waits["p95"]), "voice to voice, p95", waits["p95"] is None),
        (f"{found['unanswered_turns']} of {found['turns']}", "turns without an answer", False),
    ]
    drawn = "".join(
        f'<div class="tile{" bad" if bad else ""}"><b>{escape(value)}</b><span>{words}</span></div>'
        for value, words, bad in tiles
    )
    return f'<div class="tiles">{drawn}</div>'


def _thresholds(verdicts: Sequence[ThresholdResult]) -> str:
    if not verdicts:
        return ""
    rows = "".join(
        f"<tr><td><code>{escape(one.text)}</code></td>"
        f'<td class="right">{"nothing was measured" if one.value is None else f"{one.value:g}"}</td>'
        f"<td>{_word('failed') if one.failed else _word('passed')}</td></tr>"
        for one in verdicts
    )
    head = '<tr><th>It fails if</th><th class="right">It is</th><th>Result</th></tr>'
    return _card(
        "Thresholds", f'<div class="scroll"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'
    )


def _word(outcome: str) -> str:
    return f'<span class="{outcome}-word">{outcome}</span>'


def _measures(found: Mapping[str, Any]) -> str:
    rows = ""
    several = len(found["by_kind"]) > 1
    for name, words in MEASURES:
        for kind, measured in [("all", found), *(found["by_kind"].items() if several else ())]:
            values = measured[name]
            if not values["count"]:
                continue
            label = f"<b>{words}</b>" if kind == "all" else f"&emsp;{_KIND_WORDS[kind]}"
            cells = "".join(
                f'<td class="right">{_value(values[key])}</td>' for key in ("p50", "p95", "p99", "max")
            )
            rows += f'<tr><td>{label}</td>{cells}<td class="right">{values["count"]}</td></tr>'
    head = "".join(f'<th class="right">{name}</th>' for name in ("median", "p95", "p99", "longest", "count"))
    table = f"<table><thead><tr><th>Measure</th>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return _card(
        "Percentiles", f'<div class="scroll">{table}</div>' if rows else "<p>Nothing was measured.</p>"
    )


def _failures(found: Mapping[str, Any]) -> str:
    if not found["failures"]:
        return ""
    rows = "".join(
        f'<tr><td class="right">{count}</td><td>{escape(reason)}</td></tr>'
        for reason, count in found["failures"].items()
    )
    head = '<tr><th class="right">Calls</th><th>Why they failed</th></tr>'
    table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
    return _card("Failures", f'<div class="scroll">{table}</div>')


def _waits_over_time(figures: LoadFigures, seconds: float) -> str:
    waits = figures.all.voice_to_voice_ms
    series = [
        Series("one turn", "d", waits.kept, "dots"),
        Series("median", "a", slices(waits, 50, seconds)),
        Series("p95", "b", slices(waits, 95, seconds)),
    ]
    return over_time(series, seconds=seconds, unit="ms")


def _distribution(figures: LoadFigures) -> str:
    named = {_KIND_WORDS[kind]: one.voice_to_voice_ms for kind, one in figures.by_kind.items()}
    colours = {_KIND_WORDS[kind]: _COLOURS[kind] for kind in figures.by_kind}
    return shares(named, colours, unit="ms")


def _answers_over_time(figures: LoadFigures, seconds: float) -> str:
    kinds = [
        Series(_KIND_WORDS[kind], _COLOURS[kind], one.answer_ms.kept, "dots")
        for kind, one in figures.by_kind.items()
    ]
    return over_time(kinds, seconds=seconds, unit="ms")


def _faults_over_time(figures: LoadFigures, seconds: float) -> str:
    series = [
        Series("the bot spoke on after an interruption", "a", figures.all.barge_in_ms.kept, "dots"),
        Series("a gap in its speech", "e", figures.all.gap_ms.kept, "dots"),
    ]
    return over_time(series, seconds=seconds, unit="ms")


def _active_over_time(figures: LoadFigures, seconds: float) -> str:
    active = Series("calls in progress", "d", as_steps(by_second(figures.active_over_time)), "area")
    return over_time([active], seconds=seconds, unit="calls")


def _lag(figures: LoadFigures, seconds: float) -> str:
    return over_time(
        [Series("latest frame", "e", by_second(figures.lateness.worst()))], seconds=seconds, unit="ms"
    )


def _method(found: Mapping[str, Any]) -> str:
    machine = found["load_generator"]
    return escape(
        "Answer: from dialling until the call is answered; of browsers until the page is connected."
        " Voice to voice: from the end of a caller’s speech to the first sound of the bot’s answer, as it arrives."
        " Gaps: where a telephone with a buffer of 60 ms would have had nothing to play within the bot’s speech."
        f" The load generator sent its frames late by {_value(machine['late_ms']['p99'])} at p99,"
        f" with {machine['core']:.2f} of a core and {machine['peak_mb']} MB."
    )


def _card(title: str, inside: str) -> str:
    return f'<section class="card"><h2>{escape(title)}</h2>{inside}</section>'


def _value(ms: float | None) -> str:
    return "none" if ms is None else f"{ms:.0f} ms"


def _style() -> str:
    common = files("piopiy_pipeline.testing.report").joinpath("report.css").read_text(encoding="utf-8")
    return common + files("piopiy_pipeline.cli.loading").joinpath("load_page.css").read_text(encoding="utf-8")
