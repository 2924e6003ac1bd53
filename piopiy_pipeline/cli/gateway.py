"""`piopiy gateway` runs the gateway alone, for agents that run elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from piopiy_pipeline.cli.errors import BadInput, Failed
from piopiy_pipeline.cli.loop import run
from piopiy_pipeline.cli.options import LogFormatOption, choose_log_format
from piopiy_pipeline.cli.signals import stop_on_signals
from piopiy_pipeline.log import log_to_stderr
from piopiy_pipeline.private_files import warn_if_others_can_read

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.config import GatewayConfig
    from piopiy_pipeline.gateway.server import Gateway
    from piopiy_pipeline.gateway.sip.config import SipConfig

__all__ = ["gateway"]


def gateway(
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A TOML file: agents and their tokens, caller_keys, limits."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="The port, whatever the file says. [7860]", show_default=False)
    ] = None,
    webrtc_workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            max=64,
            help="Processes for browsers' calls, whatever the file says; 0 takes none. [1]",
            show_default=False,
        ),
    ] = None,
    webrtc_ports: Annotated[
        str | None,
        typer.Option(
            metavar="FIRST-LAST",
            help="UDP ports of browsers' audio, whatever the file says: 20000-20999. [the system's]",
            show_default=False,
        ),
    ] = None,
    record: Annotated[
        bool | None,
        typer.Option(
            "--record/--no-record", help="Record calls, whatever the file says.", show_default=False
        ),
    ] = None,
    clean_sound: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="Take noise, echo or both out of callers' audio, or neither (off), whatever the file says. [off]",
            show_default=False,
        ),
    ] = None,
    drain_s: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0,
            max=86_400,
            help="At SIGTERM, how long calls in progress may go on while no new ones are taken. A second signal ends "
            "them. [0]",
            show_default=False,
        ),
    ] = None,
    log_format: LogFormatOption = None,
) -> None:
    """Run the gateway until Ctrl-C or SIGTERM, with the settings of a file and of PIOPIY_GATEWAY_* variables.

    Its console is at the address that it prints, for whoever has one of `api_keys`.

    A file looks like this:

      port = 7860

      caller_keys = ["..."]

      api_keys = ["..."]

      [agents]

      front_desk = "the agent's token"

    Tables of their own are [sip] for telephones (docs/phones.md), [carriers], and [cluster] for gateways that know each
    other (docs/cluster.md). Every setting is in docs/reference/gateway.md.

    Examples:

      piopiy gateway --config gateway.toml

      PIOPIY_GATEWAY_AGENTS='{"front_desk": "..."}' PIOPIY_GATEWAY_CALLER_KEYS='["..."]' piopiy gateway
    """
    from piopiy_pipeline.gateway.config import GatewayConfig
    from piopiy_pipeline.gateway.errors import GatewayError

    choose_log_format(log_format)
    if port is not None and not 0 <= port <= 65535:
        raise BadInput(f"--port {port}: it is a number from 0 to 65535")
    if config == Path():
        raise BadInput("--config is empty: give the path of a TOML file, or leave it out")
    try:
        settings = GatewayConfig.load(config)
    except GatewayError as error:
        raise BadInput(str(error)) from None
    if not settings.agents:
        raise BadInput(
            "the gateway has no agents: list them with their tokens under [agents] in --config FILE,"
            " or as JSON in PIOPIY_GATEWAY_AGENTS"
        )
    _check_cluster(settings)
    if clean_sound is not None:
        _check_clean_sound(clean_sound)
    chosen: dict[str, Any] = {
        "port": port,
        "webrtc_workers": webrtc_workers,
        "webrtc_ports": None if webrtc_ports is None else _ports(webrtc_ports),
        "record": record,
        "clean_sound": clean_sound,
        "drain_s": drain_s,
    }
    settings = settings.model_copy(update={key: value for key, value in chosen.items() if value is not None})
    run(_serve(settings, config))


def _ports(text: str) -> tuple[int, int]:
    """Return the first and the last port of a range. Raises `BadInput` if it is none."""
    from piopiy_pipeline.gateway.port_numbers import port_numbers

    try:
        return port_numbers(text)
    except ValueError:
        raise BadInput(f"--webrtc-ports {text!r}: it is a range from 1024 to 65535, as 20000-20999") from None


def _sip_address(sip: SipConfig, port: int) -> str:
    """Return where telephones reach the gateway; by an address of this machine where it listens on all of them."""
    host = sip.external_host or ("127.0.0.1" if sip.host in ("", "0.0.0.0", "::") else sip.host)
    return f"sip:[{host}]:{port}" if ":" in host else f"sip:{host}:{port}"


def _check_cluster(settings: GatewayConfig) -> None:
    """Raise `BadInput` if gateways of a cluster could not trust each other."""
    if settings.cluster is None:
        return
    if settings.token_secret is None:
        raise BadInput(
            "[cluster] needs token_secret, the same at all its gateways: a client token is good at each of them then"
        )
    if not settings.api_keys and settings.console != "open":
        raise BadInput(
            "[cluster] needs api_keys, the same at all its gateways: with them they carry out what others are asked for"
        )


def _check_clean_sound(what: str) -> None:
    """Raise `BadInput` if this is none of what can be cleaned, or the package is missing."""
    from piopiy_pipeline.audio.sound_cleaner import PACKAGE_MISSING, CleanSound, is_installed

    if what not in get_args(CleanSound):
        raise BadInput(f"--clean-sound {what}: it is one of {', '.join(get_args(CleanSound))}")
    if what != "off" and not is_installed():
        raise BadInput(PACKAGE_MISSING)


async def _serve(settings: GatewayConfig, file: Path | None) -> None:
    from piopiy_pipeline.gateway.errors import CannotListenError, GatewayError
    from piopiy_pipeline.gateway.server import Gateway

    log_to_stderr()
    for path, what in ((file, "the gateway's tokens and keys"), (settings.tls_key, "the private key of TLS")):
        if path is not None:
            warn_if_others_can_read(path, what)
    server = Gateway(settings)
    with stop_on_signals() as stop:
        try:
            await server.start()
        except GatewayError as error:
            option = " (--port)" if isinstance(error, CannotListenError) else ""
            raise Failed(f"{error}{option}") from None
        try:
            print(f"gateway  {server.url}\nconsole  {server.console_url}", flush=True)
            if settings.sip is not None and server.phones is not None:
                print(f"phones   {_sip_address(settings.sip, server.phones.port)}", flush=True)
            ready, stopped = asyncio.create_task(server.ready()), asyncio.create_task(stop.wait())
            try:
                await asyncio.wait((ready, stopped), return_when=asyncio.FIRST_COMPLETED)
                if ready.done():
                    await ready
                await stopped
            except GatewayError as error:
                raise Failed(str(error)) from None
            finally:
                ready.cancel()
                stopped.cancel()
                await asyncio.wait((ready, stopped))
            if settings.drain_s:
                await _drain(server, settings.drain_s)
        finally:
            await server.close()


async def _drain(server: Gateway, drain_s: float) -> None:
    """Let calls in progress end, until another signal comes."""
    with stop_on_signals() as again:
        tasks = asyncio.create_task(server.drain(drain_s)), asyncio.create_task(again.wait())
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
