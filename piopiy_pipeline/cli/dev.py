"""`piopiy dev` runs the gateway and a bot with one command, without keys and without an account.

The gateway runs in this process, and the bot in one of its own, from its own unchanged file: it runs the same
way in production with `piopiy gateway` and `piopiy start`. The console asks for no key, because only this
machine can reach it. The records and recordings of a bot's calls are kept in a folder for this bot's file, so
that the console shows the calls of one project and not those of all.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piopiy_pipeline.cli.bot_process import BotSupervisor
from piopiy_pipeline.cli.credentials import (
    CredentialsError,
    DevCredentials,
    remove_credentials,
    save_credentials,
)
from piopiy_pipeline.cli.errors import BadInput, Failed
from piopiy_pipeline.cli.options import LogFormatOption, choose_log_format, require_bot
from piopiy_pipeline.cli.signals import ends_at_once, stop_on_signals
from piopiy_pipeline.log import DEVELOPMENT, log_to_stderr
from piopiy_pipeline.signaling.agent_identity import identity_variables

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.server import Gateway
    from piopiy_pipeline.gateway.sip.config import SipConfig

__all__ = ["default_bot", "dev"]

HOST = "127.0.0.1"
DEFAULT_PORT = 7860
RING_S = 180.0
"""So long a caller rings at most while the bot is being started. It loads its models in about 10 s, in minutes where
the machine is full or a model is downloaded; if its process ends, nobody rings for it any longer."""
_WATCHED = frozenset({".py", ".yaml", ".yml"})
_CALL_WORKER = re.compile(r"-w\d+$")
"""What the instance id of a call worker ends with (docs/isolation.md)."""


def dev(
    bot: Annotated[
        Path | None,
        typer.Argument(metavar="[BOT.py]", help="The bot. [a restaurant's front desk]", show_default=False),
    ] = None,
    port: Annotated[int, typer.Option(help="The port of the gateway; 0 takes a free one.")] = DEFAULT_PORT,
    stt: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Speech to text, for bots that ask for it. [PIOPIY_STT]"),
    ] = None,
    tts: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Text to speech, for bots that ask for it. [PIOPIY_TTS]"),
    ] = None,
    llm: Annotated[
        str | None, typer.Option(metavar="NAME", help="The model, for bots that ask for it. [PIOPIY_LLM]")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record/--no-record", help="Record the calls, for the console to play.")
    ] = True,
    phone: Annotated[
        str | None,
        typer.Option(metavar="[HOST:]PORT", help="Let telephones call the bot, over SIP, at this address."),
    ] = None,
    log_format: LogFormatOption = None,
) -> None:
    """Run a gateway on this machine and a bot behind it; reload the bot when its file changes.

    Calls in progress go on with the new bot from their next pause on; they stay with the old one if the new one
    cannot take them. Ctrl-C ends both.

    Examples:

      piopiy dev

      piopiy dev my_bot.py --port 7900

      piopiy dev --phone 5060

      piopiy dev my_bot.py --stt deepgram --tts cartesia --llm openai
    """
    choose_log_format(log_format)
    if not 0 <= port <= 65535:
        raise BadInput(f"--port {port}: it is a number from 0 to 65535")
    path = default_bot() if bot is None else bot
    require_bot(path)
    _check_services(is_default=bot is None, stt=stt, tts=tts, llm=llm)
    chosen = {"PIOPIY_STT": stt, "PIOPIY_TTS": tts, "PIOPIY_LLM": llm}
    services = {name: value for name, value in chosen.items() if value is not None}
    asyncio.run(
        _dev(
            path.resolve(),
            port,
            services,
            is_default=bot is None,
            record=record,
            phone=None if phone is None else _phone_address(phone),
        )
    )


def _check_services(*, is_default: bool, **names: str | None) -> None:
    """Check the services before a call needs them: those that were named and, of the front desk, all.

    Raises:
        BadInput: A name is not known, an extra or a key is missing, or the files of a model are not the right ones.
    """
    from piopiy_pipeline.services.providers import Kind, ProviderError, check, chosen

    kinds: tuple[Kind, ...] = ("stt", "tts", "llm")
    for kind in kinds:
        named = names[kind]
        name = chosen(kind) if named is None and is_default else named
        try:
            problems = check(kind, name, read_files=True) if name is not None else []
        except ProviderError as error:
            raise BadInput(str(error)) from None
        if problems:
            option = f"--{kind} " if named else ""
            raise BadInput("\n".join(f"{option}{problem}" for problem in problems))


def default_bot() -> Path:
    """Return the path of the front desk: in the package if it was installed from a wheel, else in the
    checkout.

    Raises:
        BadInput: The installation has no example bot.
    """
    package = Path(__file__).parent.parent
    for folder in (package / "examples", package.parent / "examples"):
        if (path := folder / "front_desk.py").is_file():
            return path
    raise BadInput("this installation has no example bot; give the path of a bot")


async def _dev(
    path: Path,
    port: int,
    services: dict[str, str],
    *,
    is_default: bool,
    record: bool,
    phone: tuple[str, int] | None,
) -> None:
    with ends_at_once():
        from piopiy_pipeline.gateway.config import GatewayConfig
        from piopiy_pipeline.gateway.errors import GatewayError
        from piopiy_pipeline.gateway.server import Gateway

    log_to_stderr()
    credentials = DevCredentials.random(_agent_id(path))
    folder = _data_folder(path)
    gateway = Gateway(
        GatewayConfig(
            host=HOST,
            port=port,
            agents={credentials.agent_id: credentials.agent_token},
            caller_keys=[credentials.caller_key],
            callers_may_watch=True,
            console="open",
            data_folder=folder,
            record=record,
            sip=None if phone is None else _telephones(phone, credentials.agent_id),
        )
    )

    def registered() -> set[str]:
        """Return whose instances there are: all call workers of one agent's process count as one."""
        instances = gateway.switchboard.snapshot().instances
        return {_CALL_WORKER.sub("", instance.instance_id) for instance in instances}

    def ring(starting: bool) -> None:
        gateway.switchboard.instances.expect(credentials.agent_id, RING_S if starting else None)

    ring(starting=True)  # the first one is, as soon as the gateway listens
    with stop_on_signals() as stop:
        try:
            # Whoever reads that it listens can call it.
            await gateway.start(on_listening=lambda: save_credentials(credentials, gateway.port))
        except CredentialsError as error:
            await gateway.close()
            raise Failed(str(error)) from None
        except GatewayError as error:
            raise Failed(f"{error} ({'--port' if phone is None else '--port, --phone'})") from None
        loading = asyncio.create_task(_load(gateway))
        try:
            _say(f"gateway  {gateway.url}")
            _say(f"console  {gateway.console_url}")
            if phone is not None and gateway.phones is not None:
                _say(f"phone    sip:{credentials.agent_id}@{phone[0]}:{gateway.phones.port}")
            _say(f"records  {folder}{'' if record else ', without recordings'}")
            _say(f"dev      starting {path.name}: who calls now rings until it takes calls")
            keeper = BotSupervisor(
                path,
                _environment(credentials.agent_id, credentials.agent_token, gateway.url, services),
                registered=registered,
                say=lambda text: _say(f"dev      {text}"),
                on_ready=lambda: _say(_ready(path, gateway, is_default)),
                starting=ring,
            )
            try:
                await keeper.launch()
                await _reload_on_change(path, keeper.launch, stop)
                _say("dev      ending")
                loading.cancel()
                keeper.drain()  # before the gateway goes, so that no bot looks for a new one
                await gateway.close()
            finally:
                await keeper.close()
        finally:
            remove_credentials(credentials, gateway.port)
            loading.cancel()
            await asyncio.wait((loading,))
            await gateway.close()


def _phone_address(text: str) -> tuple[str, int]:
    """Parse ``PORT`` or ``HOST:PORT``. Raises `BadInput`."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise BadInput(f"--phone {text}: it is a port, or HOST:PORT with an address of this machine")
    return host.strip("[]") or HOST, int(port)


def _telephones(address: tuple[str, int], agent_id: str) -> SipConfig:
    """Return SIP settings with which everyone who reaches the address may call the bot, whatever number they
    dial.

    The bot may call phones by their address, but only if the address is on loopback, where nobody else can
    make it do
    that.
    """
    from piopiy_pipeline.gateway.sip.config import SipConfig

    host, port = address
    at_home = host in ("127.0.0.1", "::1", "localhost")
    return SipConfig(host=host, port=port, callers="anyone", default_agent=agent_id, allow_uris=at_home)


async def _load(gateway: Gateway) -> None:
    """Tell the user if a part of the gateway is missing. Calls over a WebSocket work without it."""
    from piopiy_pipeline.gateway.errors import GatewayError

    try:
        await gateway.ready()
    except GatewayError as error:
        _say(f"dev      {error}")


def _data_folder(path: Path) -> Path:
    """Return the folder of this bot's records, in this user's data and named after the bot's file."""
    from platformdirs import user_data_path

    return (
        user_data_path("piopiy") / "dev" / f"{_agent_id(path)}-{sha256(str(path).encode()).hexdigest()[:8]}"
    )


async def _reload_on_change(path: Path, launch: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """Start a new process whenever the bot's file, or a file beside it, has changed, until `stop` is set."""
    from watchfiles import Change, awatch

    def concerns_the_bot(_: Change, changed: str) -> bool:
        return Path(changed).suffix in _WATCHED

    watch = awatch(
        path.parent, watch_filter=concerns_the_bot, stop_event=stop, recursive=False, debounce=400, step=50
    )
    async for changes in watch:
        names = sorted({Path(changed).name for _, changed in changes})
        _say(f"dev      {', '.join(names)} changed: starting the bot anew")
        await launch()


def _environment(agent_id: str, agent_token: str, url: str, services: dict[str, str]) -> dict[str, str]:
    own = identity_variables(agent_id, agent_token) | {"PIOPIY_URL": url, DEVELOPMENT: "1", **services}
    # What a bot prints is to be seen when it prints it, in a pipe too.
    # pipecat greets at its import, before anybody could have set up the log.
    # A bot that is replaced gives its calls to the new one.
    usual = {"PYTHONUNBUFFERED": "1", "LOGURU_LEVEL": "WARNING", "PIOPIY_DRAIN": "move"}
    return {**usual, **os.environ, **own}


def _agent_id(path: Path) -> str:
    """Make an agent's id of the name of the bot's file, one that needs no quoting anywhere."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", path.stem)[:64] or "bot"


def _ready(path: Path, gateway: Gateway, is_default: bool) -> str:
    lines = [f"ready    {path.name} takes calls, at {gateway.console_url} or from another terminal:"]
    recordings = Path("tests/audio/booking")
    turns = (
        f"{recordings}/*.wav" if is_default and recordings.is_dir() else '--say "Hello, when are you open?"'
    )
    url = "" if gateway.port == DEFAULT_PORT else f" --url {gateway.url}"
    lines.append(f"         {_command()} call{url} {turns}")
    return "\n".join(lines)


def _command() -> str:
    """Return how this `piopiy` is called from the current folder."""
    own = Path(sys.executable).parent / "piopiy"
    on_path = shutil.which("piopiy")
    if on_path is not None and Path(on_path) == own:
        return "piopiy"
    if not own.exists():
        return "python -m piopiy_pipeline.cli"
    return str(own.relative_to(Path.cwd())) if own.is_relative_to(Path.cwd()) else str(own)


def _say(text: str) -> None:
    print(text, flush=True)
