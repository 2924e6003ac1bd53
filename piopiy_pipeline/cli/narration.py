"""What `piopiy call` prints while it calls: a conversation for people, or one JSON object a line for
programs.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from piopiy_pipeline.cli.call_report import CallOutcome, CallReport
from piopiy_pipeline.cli.gateway_link import GatewayLink
from piopiy_pipeline.cli.target import Target
from piopiy_pipeline.latency import PARTS
from piopiy_pipeline.text import printable_line, well_formed

__all__ = ["ForPeople", "ForPrograms", "Narrator"]

_REFRESH_S = 0.1
_WHY = {
    "agent_hangup": "the bot hung up",
    "caller_hangup": "the caller hung up",
    "idle_timeout": "neither side spoke",
    "max_duration": "the gateway's limit was reached",
    "no_agent": "no bot is connected",
    "busy": "every bot is busy",
    "setup_timeout": "the bot was not ready in time",
    "agent_lost": "the bot was lost",
    "gateway_lost": "the gateway was lost",
    "drained": "the bot was shut down, and has said goodbye",
    "transferred": "the caller was handed over",
    "error": "the bot failed",
    "shutdown": "gateway or bot was shut down",
}


class Narrator(Protocol):
    """Prints what happens in a call."""

    def begin(self, target: Target) -> None:
        """Print that the call to `target` begins."""

    def tell(self, link: GatewayLink) -> None:
        """Print what the link has to report since the last time."""

    def no_call(self, why: str, at: float) -> None:
        """Print why there was no call; `at` is in seconds since the beginning."""

    def close(self) -> None:
        """Finish the output, because the call is over."""


class ForPrograms:
    """Prints one JSON object a line on stdout, flushed at once. Errors of the conversation go to stderr.

    Every command that came as far as dialling prints `ended` once, as its last line.
    """

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._err = err or sys.stderr

    def begin(self, target: Target) -> None:
        """Do nothing, because `ringing` is the first line."""

    def tell(self, link: GatewayLink) -> None:
        for report in link.take_reports():
            if report.event == "error":
                print(f"piopiy: {printable_line(_error(report.data))}", file=self._err, flush=True)
            else:
                self._line({"event": report.event, "at": report.at, **report.data})

    def no_call(self, why: str, at: float) -> None:
        self._line({"event": "ended", "at": round(at, 3), "reason": "error", "detail": why})

    def close(self) -> None:
        """Do nothing, because every line was flushed."""

    def _line(self, event: dict[str, Any]) -> None:
        print(well_formed(json.dumps(event, ensure_ascii=False, default=str)), file=self._out, flush=True)


class ForPeople:
    """Prints the conversation. On a terminal it also shows a line that says who is speaking."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._refresh_at = 0.0
        if self.console.is_terminal:
            self._live = Live(Text(""), console=self.console, transient=True, auto_refresh=False)

    def begin(self, target: Target) -> None:
        agent = (_plain(target.agent_id), "bold")
        self.console.print(Text.assemble("calling ", agent, f" at {_plain(target.url)}"))
        if self._live is not None:
            self._live.start()

    def tell(self, link: GatewayLink) -> None:
        for report in link.take_reports():
            self._print(report, link.outcome)
        if self._live is not None and (now := link.now()) >= self._refresh_at:
            self._refresh_at = now + _REFRESH_S
            self._live.update(self._progress(link), refresh=True)

    def no_call(self, why: str, at: float) -> None:
        """Do nothing, because the command prints the reason on stderr."""

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _print(self, report: CallReport, outcome: CallOutcome | None) -> None:
        data = report.data
        match report.event:
            case "ringing":
                self._say(report, "dim", "", f"ringing ({data['call_id']})")
            case "waiting":
                self._say(report, "dim", "", "waiting for the bot")
            case "answered":
                self._say(report, "dim", "", "answered")
            case "lost":
                self._say(report, "red", "", "the bot was lost: no bot has the call")
            case "resumed":
                self._say(report, "dim", "", "a bot has the call again")
            case "user":
                self._say(report, "cyan", "you", data["text"])
            case "bot":
                self._say(
                    report, "green", "bot", data["text"] + (" — interrupted" if data["interrupted"] else "")
                )
            case "tool":
                arguments = data["arguments"]
                if isinstance(arguments, dict):
                    arguments = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
                self._say(report, "magenta", "tool", f"{data['name']}({arguments})")
            case "turn":
                self._say(report, "dim", "", _latency(data))
            case "latency":
                self._say(report, "dim", "", _parts(data))
            case "error":
                self._say(report, "red", "error", _error(data))
            case "ended" if outcome is not None:
                self.close()
                self.console.print(Text(_plain(_summary(outcome)), style="bold"))

    def _say(self, report: CallReport, style: str, who: str, text: str) -> None:
        at, said = (f"{report.at:6.1f}", "dim"), (f"{who:>5}  {_plain(text)}", style)
        self.console.print(Text.assemble(at, " ", said))

    def _progress(self, link: GatewayLink) -> Table | Text:
        speaking = link.progress()
        if speaking is None:
            return Text("   bot is speaking" if link.bot_speaking() else "   …", style="dim")
        name, said, length = speaking
        line = Table.grid(padding=(0, 1))
        times = Text(f"{said:.1f}/{length:.1f} s")
        line.add_row(Text(f"   you: {name}"), ProgressBar(total=length, completed=said, width=30), times)
        return line


def _plain(text: str) -> str:
    """Remove from a text of the other side everything that a terminal would interpret."""
    return "".join(c if c.isprintable() else " " for c in text)


def _latency(data: dict[str, Any]) -> str:
    milliseconds = data["voice_to_voice_ms"]
    text = "no answer" if milliseconds is None else f"voice to voice {milliseconds} ms"
    if data.get("barge_in_ms") is not None:
        text += f", silent {data['barge_in_ms']} ms after the interruption"
    return f"turn {data['turn']} ({data['name']}): {text}"


def _parts(data: dict[str, Any]) -> str:
    """Return the parts of an answer's latency, as the agent reports them."""
    parts = (f"{name} {round(data[f'{name}_s'] * 1000)}" for name in PARTS if data.get(f"{name}_s"))
    return f"at the bot {round(data.get('total_s', 0) * 1000)} ms = {' + '.join(parts)}"


def _error(data: dict[str, Any]) -> str:
    stage, message = data.get("stage"), data.get("message", "")
    return f"{stage}: {message}" if stage else str(message or "the bot reported an error")


def _summary(outcome: CallOutcome) -> str:
    why = "" if outcome.by_protocol else _WHY.get(outcome.reason.value, "")
    if outcome.detail and outcome.detail != why:
        why = f"{why}: {outcome.detail}" if why else outcome.detail
    parts = [f"ended: {outcome.reason.value}" + (f" ({why})" if why else "")]
    parts.append(f"{outcome.turns} turn{'' if outcome.turns == 1 else 's'}")
    if outcome.voice_to_voice_ms:
        ordered = sorted(outcome.voice_to_voice_ms)
        middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
        parts.append(f"voice to voice median {middle:.0f} ms, max {ordered[-1]} ms")
    if outcome.barge_in_ms:
        parts.append(f"barge-in max {max(outcome.barge_in_ms)} ms")
    if outcome.recoveries:
        times = "once" if outcome.recoveries == 1 else f"{outcome.recoveries} times"
        parts.append(f"the bot was lost {times}")
    parts.append(f"{outcome.duration_s:.1f} s")
    return " · ".join(parts)
