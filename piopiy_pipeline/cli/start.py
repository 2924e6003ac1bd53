"""`piopiy start` runs a production agent: the bot's file is the program of this process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from piopiy_pipeline.cli.errors import BadInput
from piopiy_pipeline.cli.loop import prefer_uvloop
from piopiy_pipeline.cli.options import UrlOption, require_bot
from piopiy_pipeline.cli.target import gateway_url
from piopiy_pipeline.log import log_to_stderr

__all__ = ["start"]


def start(
    bot: Annotated[Path, typer.Argument(metavar="BOT.py", help="The bot.", show_default=False)],
    url: UrlOption = None,
    agent_id: Annotated[
        str | None, typer.Option(metavar="ID", help="The agent's id. [AGENT_ID]", show_default=False)
    ] = None,
) -> None:
    """Run a bot against a gateway. SIGTERM lets it finish its calls and take no more.

    The agent's token is taken from AGENT_TOKEN, never from the command line, which others can see.
    The file is run as it is, with AGENT_ID and PIOPIY_URL in its environment.

    Example:

      AGENT_TOKEN=... piopiy start front_desk.py --url wss://voice.example.org --agent-id front_desk
    """
    require_bot(bot)
    agent_id = agent_id or os.environ.get("AGENT_ID")
    if not agent_id:
        raise BadInput("which agent is it? Give --agent-id or AGENT_ID")
    if not os.environ.get("AGENT_TOKEN"):
        raise BadInput("the agent's token is missing: set AGENT_TOKEN")
    os.environ["AGENT_ID"] = agent_id
    os.environ["PIOPIY_URL"] = gateway_url(url)
    from piopiy_pipeline.cli.run_bot import run_bot  # which is a program too: not loaded before it is run

    log_to_stderr()
    prefer_uvloop()
    run_bot(bot)
