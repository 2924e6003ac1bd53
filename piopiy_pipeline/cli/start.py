"""`piopiy start` runs a production agent: the bot's file is the program of this process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from piopiy_pipeline.cli.agent_settings import apply_options
from piopiy_pipeline.cli.errors import BadInput
from piopiy_pipeline.cli.loop import prefer_uvloop
from piopiy_pipeline.cli.options import LogFormatOption, choose_log_format, require_bot
from piopiy_pipeline.cli.target import DEFAULT_URL, gateway_url
from piopiy_pipeline.log import log_to_stderr
from piopiy_pipeline.signaling.agent_identity import (
    ID_VARIABLES,
    TOKEN_VARIABLES,
    identity_fault,
    identity_variables,
    read_first,
)

__all__ = ["start"]

UrlsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--url",
        help="The gateway; may be repeated, for others when it is lost. [PIOPIY_URL, else ws://127.0.0.1:7860]",
        show_default=False,
    ),
]


def start(
    bot: Annotated[Path, typer.Argument(metavar="BOT.py", help="The bot.", show_default=False)],
    url: UrlsOption = None,
    agent_id: Annotated[
        str | None, typer.Option(metavar="ID", help="The agent's id. [AGENT_ID]", show_default=False)
    ] = None,
    capacity: Annotated[
        str | None,
        typer.Option(
            metavar="N|auto",
            help="Calls at once, at most; auto: as many as its load allows. [PIOPIY_CAPACITY, else auto]",
            show_default=False,
        ),
    ] = None,
    load_threshold: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="How busy a process may be before it refuses new calls. [PIOPIY_LOAD_THRESHOLD, else 0.85]",
            show_default=False,
        ),
    ] = None,
    isolation: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="task or process: where calls run. [PIOPIY_ISOLATION, else task]",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(
            metavar="N|auto|call",
            help="With process: how many processes, one a core, or one a call. [PIOPIY_WORKERS, else auto]",
            show_default=False,
        ),
    ] = None,
    memory_mb: Annotated[
        int | None,
        typer.Option(
            metavar="MB",
            help="With process: what each may have of its own. [PIOPIY_MEMORY_MB, else no limit]",
            show_default=False,
        ),
    ] = None,
    drain: Annotated[
        str | None,
        typer.Option(
            metavar="finish|move",
            help="At SIGTERM, calls finish here, or move to other instances. [PIOPIY_DRAIN, else finish]",
            show_default=False,
        ),
    ] = None,
    drain_s: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="Seconds until those that are left hear a goodbye. [PIOPIY_DRAIN_S, else never]",
            show_default=False,
        ),
    ] = None,
    metrics_port: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT",
            help="Let Prometheus read what the agent counts. [PIOPIY_METRICS_PORT, else nowhere]",
            show_default=False,
        ),
    ] = None,
    cloud: Annotated[
        bool | None,
        typer.Option(
            "--cloud",
            help="Serve Piopiy's cloud, over a gateway that is started for it. [PIOPIY_CLOUD, else not]",
            show_default=False,
        ),
    ] = None,
    log_format: LogFormatOption = None,
) -> None:
    """Run a bot against a gateway. SIGTERM lets it finish its calls and take no more.

    The agent's token is taken from AGENT_TOKEN, never from the command line, which others can see.
    The file is run as it is, with AGENT_ID and PIOPIY_URL in its environment. With --isolation process, its calls
    run in processes of their own; what its Agent(...) says itself goes first.

    With --cloud it takes the calls of Piopiy's cloud: AGENT_ID and AGENT_TOKEN are those of Piopiy's dashboard
    (docs/cloud.md).

    Example:

      AGENT_TOKEN=... piopiy start front_desk.py --url wss://voice.example.org --agent-id front_desk
    """
    require_bot(bot)
    choose_log_format(log_format)
    agent_id = agent_id or read_first(ID_VARIABLES)
    if not agent_id:
        raise BadInput("which agent is it? Give --agent-id or AGENT_ID")
    if not (agent_token := read_first(TOKEN_VARIABLES)):
        raise BadInput("the agent's token is missing: set AGENT_TOKEN")
    if fault := identity_fault(agent_id, agent_token):
        raise BadInput(fault)
    os.environ.update(identity_variables(agent_id, agent_token))
    if cloud and url:
        raise BadInput(
            "--cloud starts a gateway of its own: leave --url out, or set [cloud] at the gateway there"
        )
    os.environ["PIOPIY_URL"] = ",".join(_addresses(url))
    log_to_stderr()  # before anything loads pipecat, which greets then
    apply_options(
        {
            "PIOPIY_CAPACITY": capacity,
            "PIOPIY_LOAD_THRESHOLD": load_threshold,
            "PIOPIY_ISOLATION": isolation,
            "PIOPIY_WORKERS": workers,
            "PIOPIY_MEMORY_MB": memory_mb,
            "PIOPIY_DRAIN": drain,
            "PIOPIY_DRAIN_S": drain_s,
            "PIOPIY_METRICS_PORT": metrics_port,
            "PIOPIY_CLOUD": "1" if cloud else None,
        }
    )
    # A program too: it is not loaded before it is run.
    from piopiy_pipeline.cli.run_bot import check_connected, run_bot

    prefer_uvloop()
    run_bot(bot)
    check_connected(bot)


def _addresses(given: list[str] | None) -> list[str]:
    """Return the addresses that were given, or those of the environment, as `gateway_url` does. Raises `BadInput`."""
    if not all(text.strip() for text in given or ()):
        raise BadInput("--url is empty: give the gateway's address, or leave it out")
    variable = os.environ.get("PIOPIY_URL")
    try:
        return [gateway_url(each) for text in given or [variable or DEFAULT_URL] for each in text.split(",")]
    except BadInput as error:
        raise BadInput(f"PIOPIY_URL: {error}" if variable and not given else str(error)) from None
