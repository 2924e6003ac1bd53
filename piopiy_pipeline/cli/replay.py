"""`piopiy replay` runs today's bot against a recorded call, and prints only what differs."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piopiy_pipeline.cli.errors import BadInput, Failed
from piopiy_pipeline.cli.options import require_bot, require_seconds, require_writable
from piopiy_pipeline.cli.signals import unwinds_when_ended
from piopiy_pipeline.log import log_to_stderr
from piopiy_pipeline.text import printable_line, well_formed

if TYPE_CHECKING:
    from piopiy_pipeline.capture import CapturedCall
    from piopiy_pipeline.testing.replaying.replay import Replay

__all__ = ["replay"]


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE.zip", help="The recorded call.", show_default=False)],
    bot: Annotated[
        Path, typer.Argument(metavar="BOT.py", help="The bot, as it is today.", show_default=False)
    ],
    tolerance: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="So much later an answer may come, or earlier, if it is more than 1.5 s."
        ),
    ] = 0.3,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line, one for each difference.")
    ] = False,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE.zip", help="Keep the replay, as a recording of its own.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="The longest that the replay may take.")
    ] = 120.0,
) -> None:
    """Replay a recorded call against a bot, in virtual time, and print what differs.

    The caller does again what they did, each time after what they had waited for. Network providers
    are not asked: their answers are in the recording. The bot's tools run, and do what they do. That
    nothing differs is said on stderr. The exit status is 0 then, 1 if something differs or the replay
    failed, 2 when something typed is wrong. Calls are recorded by an agent with
    PIOPIY_RECORD=FOLDER, or Agent(record=...).

    Examples:

      piopiy replay calls/20261122T171034-521039bf.zip front_desk.py

      piopiy replay call.zip front_desk.py --json --record today.zip
    """
    require_bot(bot)
    if record is not None:
        if record.suffix != ".zip":
            raise BadInput(f"--record {record}: the name of a recording ends in .zip")
        require_writable("--record", record)
    require_seconds("--tolerance", tolerance)
    require_seconds("--timeout", timeout)
    log_to_stderr(quiet=True)  # before pipecat is imported, which greets its reader
    from piopiy_pipeline.capture import CapturedCall, CaptureError

    try:
        capture = CapturedCall(file)
        _ = capture.events, capture.exchanges
    except CaptureError as error:
        raise BadInput(str(error)) from None
    if not capture.meta.complete or capture.meta.problem:
        why = f" ({printable_line(capture.meta.problem)})" if capture.meta.problem else ""
        what = (
            "not all of the call is in it"
            if capture.meta.complete
            else "the call was not recorded to its end"
        )
        print(f"{file}: {what}{why}", file=sys.stderr)
    if scripted := _scripted_in(capture):
        print(
            f"{file}: scripted in that call: {', '.join(scripted)}. A service of the bot that asks a provider gets "
            "what was scripted; one that runs on this machine computes anew",
            file=sys.stderr,
        )
    outcome = _run(capture, bot, tolerance, record, timeout)
    for difference in outcome.differences:
        if json_lines:
            print(well_formed(json.dumps(asdict(difference), ensure_ascii=False)))
        else:
            print("\n".join(map(printable_line, str(difference).split("\n"))))
    if outcome.differences:
        raise typer.Exit(1)
    print(f"{file}: nothing differs", file=sys.stderr)


def _scripted_in(capture: CapturedCall) -> list[str]:
    """Return the names of the stages in whose place a simulation had put scripted ones."""
    from piopiy_pipeline.testing.scripted.scripted_llm import ScriptedLLM
    from piopiy_pipeline.testing.scripted.scripted_stt import ScriptedSTT
    from piopiy_pipeline.testing.scripted.scripted_tts import ScriptedTTS

    classes = {each.__name__ for each in (ScriptedSTT, ScriptedLLM, ScriptedTTS)}
    return [stage.name for stage in capture.meta.stages if stage.stage in classes]


@unwinds_when_ended()
def _run(capture: CapturedCall, bot: Path, tolerance: float, record: Path | None, timeout: float) -> Replay:
    from piopiy_pipeline.capture import CaptureError
    from piopiy_pipeline.testing.replaying.differences import Tolerance
    from piopiy_pipeline.testing.replaying.replay import replay as run_replay
    from piopiy_pipeline.testing.virtual_time.virtual_loop import SimulationError

    try:
        # What a bot prints is not a difference.
        with _progress(capture.path.name) as progress, contextlib.redirect_stdout(sys.stderr):
            return run_replay(
                capture,
                bot,
                tolerance=Tolerance(later_s=tolerance, earlier_s=max(tolerance, Tolerance().earlier_s)),
                record=record,
                wall_limit_s=timeout,
                progress=progress,
            )
    except CaptureError as error:
        raise BadInput(str(error)) from None
    except SimulationError as error:
        raise Failed(f"the replay did not come to its end: {error}") from None
    except (TypeError, ValueError) as error:
        raise BadInput(str(error)) from None
    except (SyntaxError, ImportError) as error:
        raise BadInput(f"{bot}: {error}") from None


@contextlib.contextmanager
def _progress(name: str) -> Iterator[Callable[[float], None] | None]:
    """Show a progress bar if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"replaying {name}", total=1.0)
        yield lambda share: bar.update(task, completed=share)
