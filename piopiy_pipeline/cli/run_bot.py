"""Runs a bot's file as Python would, except that some errors are printed without a traceback.

`piopiy start` runs a bot in its own process, and `piopiy dev` in a child process:
``python -m piopiy_pipeline.cli.run_bot BOT.py [FD]``. The file is not changed and does not notice. When the pipe FD
closes, because `piopiy dev` was killed, the bot ends.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from piopiy_pipeline.cli.agent_settings import check_environment
from piopiy_pipeline.cli.errors import BadInput, CliError, Failed
from piopiy_pipeline.log import log_to_stderr

__all__ = ["check_connected", "end_with", "run_bot"]

ORPHAN_S = 3.0
"""What a bot whose `piopiy dev` is gone has after each of two SIGTERMs, before its process group is killed."""

_WORDS_ARE_ENOUGH = (
    ("piopiy_pipeline.agent.agent", "AuthenticationError"),
    ("piopiy_pipeline.agent.agent_metrics", "MetricsError"),
    ("piopiy_pipeline.agent.own_gateway", "CloudError"),
    ("piopiy_pipeline.services.providers", "ProviderError"),
    ("piopiy_pipeline.services.playbook.model", "PlaybookError"),
)
"""Errors that tell a user what to do. A bot's own errors keep their traceback."""


def run_bot(bot: Path) -> None:
    """Run a bot's file as `__main__`, with its own folder first on the import path.

    Args:
        bot: The file.

    Raises:
        BadInput: A setting of the environment is wrong, by such an error.
        Failed: The bot has raised an error whose message is enough for its user, or a file of it is not Python.
        Exception: Whatever else the bot raises.
    """
    sys.argv = [str(bot)]
    sys.path.insert(0, str(bot.resolve().parent))
    try:
        runpy.run_path(str(bot), run_name="__main__")
    except Exception as error:
        if isinstance(error, tuple(_loaded())):
            if getattr(error, "is_setting", False):
                raise BadInput(str(error)) from None
            raise Failed(str(error)) from None
        if isinstance(error, ImportError) and (line := _line_of_import(error, bot)):
            raise Failed(f"line {line}: {error}") from None
        if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_file():
            what = (
                "not in UTF-8: save it in that encoding" if "codec can't decode" in error.msg else error.msg
            )
            raise Failed(f"{error.filename}, line {error.lineno}: {what}") from None
        raise


def check_connected(bot: Path) -> None:
    """Check that a bot whose file has run to its end had connected an agent.

    Args:
        bot: The file.

    Raises:
        Failed: No agent of this process was ever connected.
    """
    module = sys.modules.get("piopiy_pipeline.agent.agent")
    if module is None or not module.Agent.any_connected:
        raise Failed(
            f"{bot.name} has ended and had connected no agent: its last lines are to make an Agent with its function "
            "and run its connect(), as in asyncio.run(agent.connect())"
        )


def _line_of_import(error: ImportError, bot: Path) -> int:
    """Return the line of the bot that imports a module of ours that is not there, or 0 for any other error.

    What has moved since Piopiy's SDK, and which extra is missing, its message says.
    """
    if (error.name or "").partition(".")[0] != "piopiy":
        return 0
    line = 0
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == str(bot):
            line = number
    return line


def _loaded() -> list[type[Exception]]:
    """Return the error classes of modules that the bot has loaded. No other can have been raised."""
    modules = ((sys.modules.get(module), name) for module, name in _WORDS_ARE_ENOUGH)
    return [getattr(module, name) for module, name in modules if module is not None]


def end_with(pipe: int) -> None:
    """Wait until the other end of a pipe is closed, and end this process and what it has started."""
    while os.read(pipe, 1):
        pass
    for _ in range(2):  # the first one drains, the second one ends the calls
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ORPHAN_S)
    os.killpg(os.getpid(), signal.SIGKILL)


def _main() -> int:
    if len(sys.argv) not in (2, 3):
        raise BadInput("usage: python -m piopiy_pipeline.cli.run_bot BOT.py [FD]")
    bot = Path(sys.argv[1])
    if len(sys.argv) == 3:
        pipe = int(sys.argv[2])
        threading.Thread(target=end_with, args=(pipe,), name="piopiy dev is there", daemon=True).start()
    log_to_stderr()  # what is said before the bot makes its Agent is to be seen, too: which models it loads
    try:
        check_environment()
        run_bot(bot)
    except CliError as error:
        print(f"{bot.name}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(_main())
