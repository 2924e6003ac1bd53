"""The verbs of the command line, and how they fail.

For a user's mistake it prints one line on stderr and exits with status 2, and for a command that failed with
1.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from piopiy_pipeline.cli.call import call as _call
from piopiy_pipeline.cli.chat import chat as _chat
from piopiy_pipeline.cli.check import check as _check
from piopiy_pipeline.cli.dev import dev as _dev
from piopiy_pipeline.cli.drain import drain as _drain
from piopiy_pipeline.cli.errors import BadInput, CliError
from piopiy_pipeline.cli.flow import flow as _flow
from piopiy_pipeline.cli.gateway import gateway as _gateway
from piopiy_pipeline.cli.load import load as _load
from piopiy_pipeline.cli.replay import replay as _replay
from piopiy_pipeline.cli.simulate import simulate as _simulate
from piopiy_pipeline.cli.start import start as _start
from piopiy_pipeline.fault_text import plain_words
from piopiy_pipeline.text import printable_line

__all__ = ["app", "run"]

app = typer.Typer(
    name="piopiy",
    help="Voice agents for phone and browser, on your own machines.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _verb in (_dev, _call, _chat, _load, _start, _gateway, _drain, _check, _flow, _simulate, _replay):
    app.command()(_verb)


@app.callback()
def _verbs() -> None:
    """Voice agents for phone and browser, on your own machines."""


def run(arguments: Sequence[str]) -> int:
    """Run a verb. Without one, print what ``--help`` prints, which is a mistake all the same.

    Args:
        arguments: The command line without the name of the program.

    Returns:
        The exit status.
    """
    try:
        status = app([*arguments] or ["--help"], prog_name="piopiy", standalone_mode=False)
    except CliError as error:
        return _fail(str(error), error.exit_code)
    except typer.TyperException as error:
        return _fail(plain_words(error.format_message()) or "see piopiy --help", error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:  # whoever read the output has seen enough
        sys.stderr.close()
        return 1
    if not arguments:
        return BadInput.exit_code
    return status if isinstance(status, int) else 0


def _fail(message: str, status: int) -> int:
    sentences = "; ".join(" ".join(line.split()) for line in message.splitlines() if line.strip())
    print(f"piopiy: {printable_line(sentences)}", file=sys.stderr)
    return status
