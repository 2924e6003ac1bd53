"""What `piopiy load` shows while it runs and when it is over: on a terminal a live table, else a line now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from piopiy_pipeline.cli.loading.figures import LATE_MS, LoadFigures
from piopiy_pipeline.cli.loading.samples import PERCENTILES, Samples
from piopiy_pipeline.cli.loading.thresholds import ThresholdResult
from piopiy_pipeline.text import counted

__all__ = ["LoadProgress", "advice", "summary_table"]

_LIVE_S = 0.5
_LINE_S = 10.0
REASONS_SHOWN = 5
MEASURES = (
    ("answer_ms", "answer"),
    ("voice_to_voice_ms", "voice to voice"),
    ("barge_in_ms", "silent after an interruption"),
    ("gap_ms", "gap in the bot's speech"),
)
"""The measures by their names in JSON, with their words for people."""


class LoadProgress:
    """Shows how a run goes, on stderr, so that stdout has the results alone.

    Args:
        figures: What is shown.
        console: Where; None: stderr.
    """

    def __init__(self, figures: LoadFigures, console: Console | None = None) -> None:
        self._figures = figures
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)

    async def show(self) -> None:
        """Show it until cancelled."""
        if not self._console.is_terminal:
            while True:
                await asyncio.sleep(_LINE_S)
                self._console.print(self._line(), markup=False)
        with Live(self._table(), console=self._console, transient=True, auto_refresh=False) as live:
            while True:
                await asyncio.sleep(_LIVE_S)
                live.update(self._table(), refresh=True)

    def _line(self) -> str:
        figures = self._figures
        waits = figures.all.voice_to_voice_ms.summary()
        return (
            f"{figures.at:6.0f} s  {counted(figures.active, 'call')} now, {figures.all.begun} begun,"
            f" {figures.all.failed} failed, voice to voice p50 {_ms(waits['p50'])}, p95 {_ms(waits['p95'])}"
        )

    def _table(self) -> Table:
        figures = self._figures
        table = Table(title=Text(f"{figures.at:.0f} s"), title_justify="left", box=None, padding=(0, 2, 0, 0))
        for heading in ("", "now", "begun", "answered", "failed", "turns"):
            table.add_column(heading, justify="left" if not heading else "right")
        for kind, measured in [*figures.by_kind.items(), ("all", figures.all)]:
            now = measured.begun - measured.ended
            cells = (now, measured.begun, measured.answered, measured.failed, measured.turns)
            table.add_row(kind, *map(str, cells), style="bold" if kind == "all" else "")
        for name, words in MEASURES:
            samples: Samples = getattr(figures.all, name)
            if samples.count:
                found = samples.summary()
                shown = ", ".join(f"p{percent} {_ms(found[f'p{percent}'])}" for percent in PERCENTILES)
                table.add_row(Text(f"{words}: {shown}", style="cyan"))
        for reason, count in figures.failures.most_common(REASONS_SHOWN):
            table.add_row(Text(f"{count} x {reason}", style="red"))
        late = figures.lateness.summary()
        style = "red" if (late["p99"] or 0) > LATE_MS else "dim"
        table.add_row(Text(f"this machine's own lag: p99 {_ms(late['p99'])}", style=style))
        return table


def summary_table(found: Mapping[str, Any], verdicts: Sequence[ThresholdResult]) -> list[str]:
    """Return the results for people, line by line.

    Args:
        found: The JSON of the run.
        verdicts: What its thresholds say.
    """
    calls = f"{counted(found['begun'], 'call')}, {found['most_at_once']} at a time at most, in {found['seconds']:g} s:"
    lines = [
        f"{calls} {found['answered']} answered, {found['failed']} failed,"
        f" {counted(found['turns'], 'turn')}, {found['unanswered_turns']} of them without an answer",
        f"  {'ms':<30}{'p50':>7}{'p95':>7}{'p99':>7}{'max':>7}{'count':>8}",
    ]
    rows = [(found, "")]
    if len(found["by_kind"]) > 1:
        rows += [(measured, f"{kind}: ") for kind, measured in found["by_kind"].items()]
    for measured, prefix in rows:
        for name, words in MEASURES:
            values = measured[name]
            if values["count"]:
                cells = "".join(f"{values[key]:>7}" for key in ("p50", "p95", "p99", "max"))
                lines.append(f"  {prefix + words:<30}{cells}{values['count']:>8}")
    lines += [f"  {count} x {reason}" for reason, count in found["failures"].items()]
    machine = found["load_generator"]
    lines.append(
        f"  this machine: frames late by p99 {_ms(machine['late_ms']['p99'])}, {machine['core']:.2f} of a core,"
        f" {machine['peak_mb']} MB"
    )
    if machine["measures_itself"]:
        lines.append(f"  {advice()}")
    lines += [_judged(verdict) for verdict in verdicts]
    return lines


def advice() -> str:
    """Return what to do about a load generator that is too slow."""
    return (
        f"These figures are partly this machine's own: one in a hundred of its frames was later than {LATE_MS:g} ms."
        " Take fewer calls, or another machine."
    )


def _judged(verdict: ThresholdResult) -> str:
    value = "nothing was measured" if verdict.value is None else f"it is {verdict.value:g}"
    return f"  {'FAILED' if verdict.failed else 'passed'}  {verdict.text} ({value})"


def _ms(value: float | None) -> str:
    return "none yet" if value is None else f"{value:.0f} ms"
