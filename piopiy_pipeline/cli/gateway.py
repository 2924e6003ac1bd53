"""`piopiy gateway`: the gateway alone, for agents that run elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piopiy_pipeline.cli.errors import BadInput, Failed

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.config import GatewayConfig

__all__ = ["gateway"]


def gateway(
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A TOML file: agents and their tokens, caller_keys, limits."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="The port, whatever the file says. [7860]", show_default=False)
    ] = None,
) -> None:
    """Run the gateway until Ctrl-C or SIGTERM, with the settings of a file and of PIOPIY_GATEWAY_* variables.

    A file looks like this:

      port = 7860

      caller_keys = ["..."]

      [agents]

      front_desk = "the agent's token"

    Examples:

      piopiy gateway --config gateway.toml

      PIOPIY_GATEWAY_AGENTS='{"front_desk": "..."}' PIOPIY_GATEWAY_CALLER_KEYS='["..."]' piopiy gateway
    """
    from piopiy_pipeline.cli.loop import run
    from piopiy_pipeline.gateway.config import GatewayConfig
    from piopiy_pipeline.gateway.errors import GatewayError

    if port is not None and not 0 <= port <= 65535:
        raise BadInput(f"--port {port}: it is a number from 0 to 65535")
    try:
        settings = GatewayConfig.load(config)
    except GatewayError as error:
        raise BadInput(str(error)) from None
    if not settings.agents:
        raise BadInput(
            "the gateway has no agents: list them with their tokens under [agents] in --config FILE,"
            " or as JSON in PIOPIY_GATEWAY_AGENTS"
        )
    if port is not None:
        settings = settings.model_copy(update={"port": port})
    run(_serve(settings))


async def _serve(settings: GatewayConfig) -> None:
    from piopiy_pipeline.cli.signals import stop_on_signals
    from piopiy_pipeline.gateway.errors import GatewayError
    from piopiy_pipeline.gateway.server import Gateway
    from piopiy_pipeline.log import log_to_stderr

    log_to_stderr()
    server = Gateway(settings)
    with stop_on_signals() as stop:
        try:
            await server.start()
        except GatewayError as error:
            raise Failed(f"{error} (--port)") from None
        try:
            print(f"gateway  {server.url}", flush=True)
            await stop.wait()
        finally:
            await server.close()
