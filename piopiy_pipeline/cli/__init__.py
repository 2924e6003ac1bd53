"""The command line, one verb a file. This file knows the verbs, and how they fail.

A user's mistake is one line on stderr and exit status 2, a command that failed one line and 1.
Verbs import what they need when they run, so that ``--help`` is there at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from piopiy_pipeline.cli.call import call as _call
from piopiy_pipeline.cli.check import check as _check
from piopiy_pipeline.cli.dev import dev as _dev
from piopiy_pipeline.cli.errors import CliError
from piopiy_pipeline.cli.gateway import gateway as _gateway
from piopiy_pipeline.cli.replay import replay as _replay
from piopiy_pipeline.cli.simulate import simulate as _simulate
from piopiy_pipeline.cli.start import start as _start

__all__ = ["app", "main"]

app = typer.Typer(
    name="piopiy",
    help="Voice agents for phone and browser, on your own machines.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _verb in (_dev, _call, _start, _gateway, _check, _simulate, _replay):
    app.command()(_verb)


@app.callback()
def _verbs() -> None:
    """Voice agents for phone and browser, on your own machines."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return the exit status; `arguments` are those of the process by default."""
    try:
        status = app(
            list(arguments) if arguments is not None else None, prog_name="piopiy", standalone_mode=False
        )
    except CliError as error:
        return _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        return _fail(error.format_message() or "see piopiy --help", error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:  # whoever read the output has seen enough
        sys.stderr.close()
        return 1
    return status if isinstance(status, int) else 0


def _fail(message: str, status: int) -> int:
    print(f"piopiy: {' '.join(message.split())}", file=sys.stderr)
    return status
