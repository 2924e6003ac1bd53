"""`piopiy simulate`: recordings and sentences call a bot in virtual time, without a gateway."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from piopiy_pipeline.call import ended_well
from piopiy_pipeline.cli.errors import BadInput, Failed
from piopiy_pipeline.cli.options import (
    RateOption,
    SentencesOption,
    choose_log_format,
    require_bot,
    require_rate,
    require_seconds,
    require_writable,
)
from piopiy_pipeline.cli.signals import unwinds_when_ended
from piopiy_pipeline.log import log_to_stderr
from piopiy_pipeline.text import counted, well_formed

if TYPE_CHECKING:
    from piopiy_pipeline.testing.line.callers import Caller
    from piopiy_pipeline.testing.line.line import Line
    from piopiy_pipeline.testing.report.simulated_call import Calls, SimulatedCall

__all__ = ["simulate"]

MOST_NOISE_DB = 100
MOST_JITTER_MS = 10_000
BURSTS_LOSE_LESS = 80
"""Bursts of `GilbertElliott.bursts` cannot lose so much, in percent."""


def simulate(
    bot: Annotated[Path, typer.Argument(metavar="BOT.py", help="The bot's file.", show_default=False)],
    wavs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[WAV]...", help="Turns to speak: 8 to 48 kHz.", show_default=False),
    ] = None,
    say: SentencesOption = None,
    text: Annotated[
        bool, typer.Option("--text", help="Type the turns and read the answers: a text chat, without sound.")
    ] = False,
    interrupt: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Speak this long into each answer, instead of after it."),
    ] = None,
    rate: RateOption = 16000,
    noise: Annotated[
        float | None,
        typer.Option(metavar="DB", help="Voices behind the caller, so many dB below the speech."),
    ] = None,
    jitter: Annotated[
        float, typer.Option(metavar="MS", help="The network delays packets by up to this, both ways.")
    ] = 0.0,
    loss: Annotated[
        float, typer.Option(metavar="PERCENT", help="The network loses packets, in bursts, both ways.")
    ] = 0.0,
    calls: Annotated[
        int, typer.Option(metavar="N", help="So many calls at the same time, each with the next seed.")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Decides on all that is left to chance.")] = 0,
    real_time: Annotated[
        bool, typer.Option("--real-time", help="By the clock on the wall: as long as the call takes.")
    ] = False,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line: events, turns, and a summary.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a page about the calls.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE.zip", help="Record the call, for `piopiy replay`.")
    ] = None,
    limit: Annotated[
        float, typer.Option(metavar="SECONDS", help="The longest that a call may last.")
    ] = 300.0,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="The longest that it may take, in real time.")
    ] = 120.0,
) -> None:
    """Have recordings and sentences call a bot, in virtual time.

    A minute takes about a second with services that do not compute, such as scripted ones. The offline models
    compute in real time, and a minute takes as long as they need for it.

    The bot's own callback runs, with its own services and tools; no gateway takes part. Each turn is
    spoken when the bot has finished; then the caller listens and hangs up. With --text, a turn is typed, and of a
    WAV the words in the .txt beside it. The exit status is 0 when
    every call was answered, and either side hung up or the bot handed the caller over. It is 1 when one
    failed, which the idle timeout is as well, or its callback did after the call, 2 when something typed is wrong.

    Examples:

      piopiy simulate examples/front_desk.py tests/audio/booking/*.wav

      piopiy simulate bot.py --say "When are you open?" --say "Goodbye." --rate 8000 --loss 5 --jitter 40

      piopiy simulate bot.py turn.wav --calls 20 --report calls.html

      piopiy simulate examples/front_desk.py --text --say "When are you open?"
    """
    _check(bot, rate, calls, record, limit, timeout)
    if report is not None:
        require_writable("--report", report)
    if interrupt is not None:
        require_seconds("--interrupt", interrupt, at_least=0)
    if text:
        _check_typed(noise, jitter, loss)
    else:
        _check_line(noise, jitter, loss)
    choose_log_format(None)
    log_to_stderr(quiet=True)  # before pipecat is imported, which greets its reader
    from piopiy_pipeline.cli.turns import load_script

    caller = load_script(wavs or [], say or [], rate, interrupt_s=interrupt, typed=text)
    options: dict[str, Any] = {
        "rate": rate,
        "line": _line(rate, noise, jitter, loss),
        "limit_s": limit,
        "record": record,
        "by": "text" if text else "voice",
    }
    made = _run(bot, caller, range(seed, seed + calls), "real" if real_time else "virtual", timeout, options)
    for call in made:
        for line in _as_json(call) if json_lines else [call.timeline()]:
            print(line)
    if not json_lines:
        _print_flows(made)
        print(_summary(made))
    if report is not None:
        _write_report(made, report)
    if failed := [fault for call in made if (fault := _fault(call))]:
        raise Failed(f"{len(failed)} of {counted(len(made), 'call')} failed: {failed[0]}")


def _fault(call: SimulatedCall) -> str:
    """Return why a call has failed, or "". It has, too, when its callback fails after a good end."""
    if not ended_well(call.end_reason):
        return call.end_detail or call.end_reason.value
    return next((str(e.data["message"]) for e in call.of("error") if e.data["stage"] == "callback"), "")


def _check(bot: Path, rate: int, calls: int, record: Path | None, limit: float, timeout: float) -> None:
    require_bot(bot)
    require_rate(rate)
    if not 1 <= calls <= 1000:
        raise BadInput(f"--calls {calls}: from 1 to 1000")
    if record is not None:
        if record.suffix != ".zip" or calls > 1:
            raise BadInput(f"--record {record}: one call, and a name that ends in .zip")
        require_writable("--record", record)
    require_seconds("--limit", limit)
    require_seconds("--timeout", timeout)


def _check_typed(noise: float | None, jitter: float, loss: float) -> None:
    for name, value in (("noise", noise), ("jitter", jitter), ("loss", loss)):
        if value:
            raise BadInput(f"--{name} is of a line with sound: leave it out, or --text")


def _check_line(noise: float | None, jitter: float, loss: float) -> None:
    """Raise `BadInput` for what a line cannot have, with the option and its unit."""
    if noise is not None and not abs(noise) <= MOST_NOISE_DB:
        raise BadInput(f"--noise {noise:g}: it is a number of dB from -{MOST_NOISE_DB} to {MOST_NOISE_DB}")
    if not 0 <= jitter <= MOST_JITTER_MS:
        raise BadInput(f"--jitter {jitter:g}: it is a number of milliseconds from 0 to {MOST_JITTER_MS}")
    if not 0 <= loss < BURSTS_LOSE_LESS:
        raise BadInput(f"--loss {loss:g}: it is a percentage from 0 to less than {BURSTS_LOSE_LESS}")


def _line(rate: int, noise: float | None, jitter: float, loss: float) -> Line:
    from piopiy_pipeline.testing.line.impairment import GilbertElliott, Impairment
    from piopiy_pipeline.testing.line.line import Line, Noise

    network = None
    if jitter or loss:
        network = Impairment(jitter_ms=jitter, loss=GilbertElliott.bursts(loss=loss / 100))
    return Line(
        codec="pcmu" if rate == 8000 else "linear",
        noise=None if noise is None else Noise("babble", snr_db=noise),
        network=network,
    )


@unwinds_when_ended()
def _run(
    bot: Path,
    caller: Caller,
    seeds: range,
    clock: Literal["virtual", "real"],
    timeout: float,
    options: dict[str, Any],
) -> Calls:
    from piopiy_pipeline.testing.simulation import Setting, run_calls
    from piopiy_pipeline.testing.virtual_time.virtual_loop import SimulationError

    try:
        # What a bot prints is not a result.
        with _progress(bot.name, len(seeds)) as progress, contextlib.redirect_stdout(sys.stderr):
            settings = [Setting(seed=seed, progress=progress, **options) for seed in seeds]
            return run_calls(bot, [(caller, setting) for setting in settings], clock, timeout)
    except (SimulationError, AssertionError) as error:
        print(error, file=sys.stderr)
        raise Failed(str(error).partition("\n")[0]) from None
    except (TypeError, ValueError, SyntaxError, ImportError) as error:
        raise BadInput(str(error)) from None


@contextlib.contextmanager
def _progress(name: str, calls: int) -> Iterator[Callable[[int, float], None] | None]:
    """Show how far the calls have come, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"simulating {name}", total=None, said="")
        far: dict[int, float] = {}

        def on_progress(seed: int, seconds: float) -> None:
            far[seed] = seconds
            bar.update(task, said=f"{sum(far.values()):.0f} s" + (f" of {calls} calls" if calls > 1 else ""))

        yield on_progress


def _as_json(call: SimulatedCall) -> Iterator[str]:
    def line(event: str, **data: Any) -> str:
        return well_formed(json.dumps({"event": event, **data}, ensure_ascii=False))

    for event in call.events:
        yield line(
            event.kind, at=event.at, seed=call.seed, **{k: v for k, v in event.data.items() if k != "event"}
        )
    for turn in call.turns:
        waited = turn.voice_to_voice
        yield line(
            "turn",
            seed=call.seed,
            turn=turn.number,
            user=turn.user,
            bot=turn.bot,
            interrupted=turn.interrupted,
            voice_to_voice_ms=None if waited is None else round(waited * 1000),
        )
    yield line(
        "call",
        seed=call.seed,
        reason=call.end_reason.value,
        detail=call.end_detail,
        duration_s=call.duration_s,
        wall_s=round(call.wall_s, 3),
        hash=call.event_hash(),
    )


def _print_flows(calls: Calls) -> None:
    from piopiy_pipeline.testing.report.flow_walks import walk_of, walks_of

    for walks in walks_of(map(walk_of, calls)):
        print("\n".join(walks.lines()))


def _summary(calls: Calls) -> str:
    seconds = sum(call.duration_s for call in calls)
    took = max(call.wall_s for call in calls)
    lines = [f"{len(calls)} call{'s' * (len(calls) > 1)}, {seconds:.1f} s, simulated in {took:.1f} s"]
    if calls.latencies():
        median, worst = (calls.percentile("voice_to_voice", p) * 1000 for p in (50, 100))
        lines.append(f"voice to voice: median {median:.0f} ms, longest {worst:.0f} ms")
    return "; ".join(lines)


def _write_report(calls: Calls, report: Path) -> None:
    from piopiy_pipeline.testing.report.html_report import write_report

    try:
        write_report(report, calls)
    except OSError as error:
        raise BadInput(f"--report {report}: {error.strerror or error}") from None
