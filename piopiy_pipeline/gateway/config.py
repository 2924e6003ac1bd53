"""The gateway's configuration: a TOML file, the environment (``PIOPIY_GATEWAY_*``), or arguments.

The environment wins over the file. An unknown key is an error that names the file and the key, because a
setting that is silently ignored becomes an outage later. The environment is read here in a few lines, without
pydantic-settings, whose import would take a fifth of the gateway's start.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from piopiy_pipeline.audio.sound_cleaner import PACKAGE_MISSING, CleanSound, is_installed
from piopiy_pipeline.call import CallKind
from piopiy_pipeline.fault_text import TextForm, fault_key, fault_text
from piopiy_pipeline.gateway.carriers.config import CarriersConfig
from piopiy_pipeline.gateway.cloud.config import CloudConfig
from piopiy_pipeline.gateway.cluster.config import ClusterConfig
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.port_numbers import PortNumbers
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.webhooks.config import WebhookConfig
from piopiy_pipeline.gateway.webrtc.ice_addresses import IceAddresses

__all__ = ["ENV_PREFIX", "GatewayConfig", "IceServer"]

ENV_PREFIX = "PIOPIY_GATEWAY_"

Secret = Annotated[
    str,
    StringConstraints(min_length=1),
    TextForm(
        r"^[\x21-\x7e]+$", "has a character that may not be there: letters, digits and signs of ASCII may"
    ),
]
AgentId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128),
    TextForm(
        r"^[^\x00-\x1f\x7f]+$", "has a character that may not be there: a line break, or another control"
    ),
]
Origin = Annotated[
    str,
    StringConstraints(to_lower=True),
    TextForm(
        r"(?i)^[a-z][a-z0-9+.-]*://[^/?#*\s]+/?$", "expected the origin of a page, as https://shop.example"
    ),
]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _addresses(settings: list[str]) -> list[str]:
    IceAddresses.parse(settings)
    return settings


def _networks(settings: list[str]) -> list[str]:
    for text in settings:
        try:
            ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"{text!r} is no network: it looks like 10.0.0.0/8") from None
    return settings


class IceServer(BaseModel):
    """A STUN or TURN server, with the names that browsers use: RTCIceServer of the W3C's WebRTC."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    urls: list[Annotated[str, TextForm(r"^(stuns?|turns?):", "expected a server, as stun:stun.example:3478")]]
    username: str | None = None
    credential: str | None = Field(default=None, repr=False)


class GatewayConfig(BaseModel):
    """The gateway's settings. In the environment, `agents` and `caller_keys` are JSON.

    `load` reads file and environment, and raises `GatewayError`. The constructor reads only its arguments, and
    raises pydantic's `ValidationError`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    host: str = "127.0.0.1"
    """The interface to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 7860
    """The one port of the gateway; 0 takes any free port."""
    agents: dict[AgentId, Secret] = Field(default_factory=dict, repr=False)
    """The agents that may register, and the token of each."""
    caller_keys: list[Secret] = Field(default_factory=list, repr=False)
    """The bearer keys of callers over a WebSocket."""
    callers_may_watch: bool = False
    """Whether a caller over a WebSocket is told what was said, which tools ran, and details of an end.

    Error messages and the arguments of tools are for whoever runs the bot: for `piopiy dev`, for tests.
    """
    offer_ms: Annotated[int, Field(ge=50, le=30_000)] = 400
    """How long an instance may take to accept a call."""
    setup_s: Seconds = 10.0
    """How long the instance may take after that until it can hear and speak."""
    ring_s: Annotated[float, Field(ge=2, le=300)] = 2.0
    """How long a caller rings while no instance of the agent is connected: as long as it takes to start one, where a
    single one is replaced."""
    drain_s: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    """How long calls in progress may go on after a SIGTERM, in seconds, while no new ones are taken."""
    max_duration_s: Seconds = 3600.0
    """The longest a call may last from its answer."""
    heartbeat_s: Seconds = 10.0
    """How often agents are asked for a sign of life. An agent that misses three is lost."""
    max_calls: Annotated[int, Field(gt=0)] = 200
    """More calls than this at once are refused as busy."""
    api_keys: list[Secret] = Field(default_factory=list, repr=False)
    """The bearer keys of operators: they make client tokens, see all calls, and end them."""
    console: Literal["key", "open"] = "key"
    """Whether the console asks for an API key. ``open`` asks nobody on this machine, and is refused on other hosts."""
    metrics_networks: Annotated[list[str], AfterValidator(_networks)] = Field(default_factory=list)
    """Networks, as ``10.0.0.0/8``, from which ``/metrics`` is read without an API key."""
    token_secret: Secret | None = Field(default=None, repr=False)
    """Signs client tokens. Without it, each start makes a new one, and older tokens are no longer valid."""
    allowed_origins: list[Origin] = Field(default_factory=list)
    """Web pages (as ``https://shop.example``) whose scripts may call; the console's own always may."""
    ice_servers: list[IceServer] = Field(default_factory=list)
    """STUN and TURN servers, for the gateway and for browsers."""
    webrtc_workers: Annotated[int, Field(ge=0, le=64)] = 1
    """Processes for browsers' calls; 0 takes none."""
    webrtc_addresses: Annotated[list[str], AfterValidator(_addresses)] = Field(default_factory=list)
    """This machine's addresses that browsers are told. Without any, all but loopback. Behind a one-to-one
    NAT, as most clouds have it, with the address that the world knows: ``10.0.0.5=203.0.113.7``."""
    webrtc_ports: PortNumbers | None = None
    """The UDP ports of browsers' audio, for a firewall: ``"20000-20999"``. A call takes one. None: the system's."""
    calls_per_token: Annotated[int, Field(gt=0)] = 4
    """How many calls one client token may have at a time, so that one client cannot take all of them."""
    webrtc_grace_s: Seconds = 8.0
    """A browser that sends nothing for this long has hung up: its tab was closed, or its network is gone."""
    data_folder: Path | None = None
    """Where records and recordings are kept. None: this user's own data folder."""
    database_url: str | None = Field(default=None, repr=False)
    """Where the records of calls are, as SQLAlchemy names it. None: an SQLite file in the data folder."""
    records: bool = True
    """Whether records are kept of who called, what was said and how it ended. Without: the last calls, in memory."""
    record: bool = False
    """Whether calls are recorded, in stereo, on disk: the caller left, the bot right."""
    clean_sound: CleanSound | dict[CallKind, CleanSound] = "off"
    """What is taken out of callers' audio: ``noise``, the ``echo`` of a speakerphone, ``both``; or a table by leg.

    Noise takes 1 ms of CPU a call-second, echo 7. Browsers do it themselves, so ``{ phone = "both" }`` is enough.
    """
    clean_sound_calls: Annotated[int, Field(ge=0, le=1000)] = 40
    """How many calls are cleaned at a time; one more goes on as it is. 40 with ``both`` take a third of a core."""
    keep_days: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Records and recordings of calls that ended longer ago are deleted. None: they are kept for ever."""

    prompts_folder: Path | None = None
    """Where the WAV files are that the gateway itself plays to callers. None: it plays none."""
    dials_per_minute: Annotated[int, Field(gt=0, le=6000)] = 60
    """How many calls an API key may have dialled (``POST /api/calls``) in any minute."""
    piopiy_rest: bool = True
    """Whether ``/v3`` is served, for clients of Piopiy's REST API: as ``/api``, with `api_keys`."""
    webhooks: Annotated[list[WebhookConfig], Field(max_length=8)] = Field(default_factory=list)
    """Addresses that receive the events of calls: a table each, ``[[webhooks]]``."""

    tls_certificate: Path | None = None
    """A PEM file with the certificate chain: the port then speaks TLS. Without TLS, browsers
    give the pages of other machines no microphone."""
    tls_key: Path | None = None
    """The PEM file of its private key, without a passphrase."""
    sip: SipConfig | None = None
    """Telephones: a table of its own. None: the gateway has none."""
    carriers: CarriersConfig | None = None
    """Carriers' media streams: a table of its own, with one for each carrier. None: the gateway takes none."""

    cloud: CloudConfig | None = None
    """Piopiy's cloud: a table of its own. None: the gateway takes no calls from there."""
    cluster: ClusterConfig | None = None
    """Other gateways that share its agents: a table of its own. None: this gateway is alone."""

    @model_validator(mode="after")
    def _others_find_it(self) -> Self:
        if self.cluster is not None and self.cluster.url is None and self.host in ("", "0.0.0.0", "::"):
            raise ValueError(
                f"cluster: agents of other gateways do not find host {self.host!r}: set cluster.url"
            )
        return self

    @model_validator(mode="after")
    def _open_only_at_home(self) -> Self:
        if self.console == "open" and self.host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError(
                f"console: 'open' asks nobody for a key, so not on host {self.host!r}: use 'key'"
            )
        return self

    @model_validator(mode="after")
    def _kept_days_of_records(self) -> Self:
        if self.keep_days is not None and not self.records:
            raise ValueError(
                "keep_days: without records nobody knows what is old: leave it out, or records on"
            )
        return self

    @model_validator(mode="after")
    def _clean_sound_is_installed(self) -> Self:
        if set(self.cleaned_kinds().values()) - {"off"} and not is_installed():
            raise ValueError(PACKAGE_MISSING)
        return self

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key: give both or neither")
        return self

    @model_validator(mode="after")
    def _agents_are_there(self) -> Self:
        for place, agent_id in self._named_agents():
            if agent_id not in self.agents:
                raise ValueError(f"{place}: agent {agent_id!r} is none of agents")
        return self

    def _named_agents(self) -> Iterator[tuple[str, str]]:
        """Go through the agents that calls are led to, each with the place where it is named."""
        if self.sip is not None:
            for number, route in enumerate(self.sip.routes):
                yield f"sip.routes.{number} (to {route.to!r})", route.agent
            if self.sip.default_agent is not None:
                yield "sip.default_agent", self.sip.default_agent
        if self.carriers is not None:
            for carrier, agent_id in self.carriers.default_agents().items():
                yield f"carriers.{carrier}.agent", agent_id
        if self.cloud is not None:
            yield "cloud.agent_id", self.cloud.agent_id

    @property
    def known_origins(self) -> list[str]:
        """The origins whose pages may use this gateway: those that are configured, and the cluster's own pages."""
        own = [] if self.cluster is None else self.cluster.page_origins
        return [*(origin.rstrip("/") for origin in self.allowed_origins), *own]

    def cleaned_kinds(self) -> Mapping[CallKind, CleanSound]:
        """Return what is cleaned in calls of each kind of leg."""
        if isinstance(self.clean_sound, str):
            return dict.fromkeys(get_args(CallKind), self.clean_sound)
        return self.clean_sound

    @classmethod
    def load(cls, path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Self:
        """Return the settings of the TOML file at `path`, if one is given, under those of the environment.

        Raises `GatewayError` with the file or variable, the key, and what was expected there.
        """
        from_file = {} if path is None else _read(path)
        variables = {name: name[len(ENV_PREFIX) :].lower() for name in environ if name.startswith(ENV_PREFIX)}
        from_environment = {key: _value(name, environ[name]) for name, key in variables.items()}
        try:
            return cls.model_validate({**from_file, **from_environment})
        except ValidationError as error:
            sources = {key: str(path) for key in from_file} | {key: name for name, key in variables.items()}
            raise GatewayError(_explain(error, sources)) from None


_TABLES: Mapping[tuple[int | str, ...], type[BaseModel]] = {
    (): GatewayConfig,
    ("sip",): SipConfig,
    ("carriers",): CarriersConfig,
    ("webhooks",): WebhookConfig,
    ("cluster",): ClusterConfig,
    ("cloud",): CloudConfig,
}


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors of Windows write the mark
    except UnicodeDecodeError as error:
        raise GatewayError(
            f"{path}: not a file in UTF-8 (byte {error.start + 1} is none): save it in that encoding"
        ) from None
    except OSError as error:
        raise GatewayError(f"{path}: cannot read the gateway's configuration: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise GatewayError(f"{path}: not valid TOML: {error}") from None


def _value(name: str, text: str) -> Any:
    """Return a variable's value: lists and tables are JSON, all else is text for pydantic to read.

    An empty one is a mistake of whoever fills it in: as a folder it would be the one of the process, as a host all.
    """
    if not text.strip():
        raise GatewayError(f"{name}: is empty: give a value, or do not set it")
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise GatewayError(f"{name}: not valid JSON: {error.msg} at character {error.pos}") from None


def _explain(error: ValidationError, sources: Mapping[str, str]) -> str:
    """Return a line for each problem: where it is, its key, what is wrong. Values are left out: some are secrets."""
    lines = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        source = sources.get(fault_key(problem), "settings")
        if problem["type"] == "extra_forbidden":
            table = tuple(part for part in problem["loc"][:-1] if isinstance(part, str))
            model = _TABLES.get(table)
            known = f" There are {', '.join(model.model_fields)}" if model else ""
            key = ".".join(str(part) for part in problem["loc"])
            lines.append(f"{source}: {key}: no such setting.{known}")
        else:
            lines.append(f"{source}: {fault_text(problem)}")
    return "\n".join(lines)
