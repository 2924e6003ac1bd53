"""The ``sip`` section of the configuration: ports, who may call, and which number reaches which agent.

It imports nothing of the user agent, so that the gateway's configuration can hold it, and a gateway without
telephones starts without their code.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from piopiy_pipeline.fault_text import TextForm
from piopiy_pipeline.gateway.port_numbers import PortNumbers
from piopiy_pipeline.gateway.sip.sdp.negotiation import CodecName
from piopiy_pipeline.gateway.sip.syntax.digest import Credentials
from piopiy_pipeline.gateway.sip.syntax.phone_numbers import NumberPattern, dialled_number, matches
from piopiy_pipeline.gateway.sip.syntax.uri import SipUri

__all__ = ["SipConfig", "SipRoute", "SipTrunk"]

Transport = Literal["udp", "tcp", "tls"]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
User = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128),
    TextForm(
        r"^[A-Za-z0-9_.!~*'()&=+$,;?/#-]+$",
        "has a character that may not be there: letters and digits may, and the signs of a SIP user (RFC 3261)",
    ),
]
Password = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Host = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253),
    TextForm(r"^[A-Za-z0-9.:_-]+$", "expected the name or the address of a host, without port"),
]


class SipRoute(BaseModel):
    """A number or a range of numbers, and the agent that answers them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: NumberPattern
    """A number or name as it is dialled; with ``*`` at its end it stands for all that begin so."""
    agent: Annotated[str, StringConstraints(min_length=1, max_length=128)]

    def matches(self, number: str) -> bool:
        """Return whether `number` belongs to this route."""
        return matches(self.to, number)


class SipTrunk(BaseModel):
    """A provider or PBX: calls go out through it, and those from its addresses need no password."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    host: Host
    """Its host name or address."""
    port: Annotated[int, Field(ge=1, le=65535)] = 5060
    transport: Transport = "udp"
    user: User | None = None
    """Our user there; also the number that is shown by calls that name none."""
    password: Password | None = Field(default=None, repr=False)
    register_there: bool = False
    """Whether to register as `user`, so that calls reach us there."""
    expires_s: Annotated[int, Field(ge=60, le=86_400)] = 600
    """How long a registration is to last, in seconds."""
    sources: list[str] = Field(default_factory=list)
    """Addresses or networks (``203.0.113.0/24``) that its calls come from. An address in `host` counts, too."""
    prefixes: list[
        Annotated[str, TextForm(r"^\+?[0-9*#]{1,32}$", "expected the beginning of a number, as +49")]
    ] = Field(default_factory=list)
    """The beginnings of the numbers that are called through it; of several trunks, the one with the longest beginning
    that fits is used. Empty: any number."""
    caller_ids: list[NumberPattern] = Field(default_factory=list)
    """The numbers that calls through it may show; the first one, in full, replaces every other.
    Empty: calls may show any number."""

    @property
    def credentials(self) -> Credentials | None:
        """How requests of ours answer a challenge there; None: they cannot."""
        return Credentials(self.user, self.password) if self.user and self.password else None

    @field_validator("caller_ids")
    @classmethod
    def _first_in_full(cls, caller_ids: list[str]) -> list[str]:
        if caller_ids and dialled_number(caller_ids[0].removesuffix("*")) != caller_ids[0]:
            raise ValueError(
                f"the first is shown as it is, so it has to be a whole number, not {caller_ids[0]!r}"
            )
        return caller_ids

    @model_validator(mode="after")
    def _registers_as_somebody(self) -> Self:
        if self.register_there and self.user is None:
            raise ValueError("register_there: as whom? Set user")
        for source in self.sources:
            try:
                ipaddress.ip_network(source, strict=False)
            except ValueError:
                raise ValueError(f"sources: {source!r} is no address or network: 203.0.113.0/24") from None
        return self


class SipConfig(BaseModel):
    """The telephone side of a gateway. A gateway without this section has no telephones."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    host: str = "127.0.0.1"
    """The address of the interface to listen on, for SIP and for RTP."""
    port: Annotated[int, Field(ge=0, le=65535)] = 5060
    """The port for UDP and TCP; 0 takes any that is free."""
    transports: Annotated[list[Literal["udp", "tcp"]], Field(min_length=1)] = ["udp", "tcp"]
    tls_port: Annotated[int, Field(ge=0, le=65535)] = 5061
    """The port for TLS, which is on when there is a certificate."""
    tls_certificate: Path | None = None
    """A PEM file with the certificate and its chain."""
    tls_key: Path | None = None
    """A PEM file with the certificate's key; None: it is in the same file."""
    external_host: Host | None = None
    """The address by which others reach this machine, when a NAT or cloud gives it another one."""
    rtp_ports: PortNumbers = (16_384, 32_766)
    """The ports for RTP, two a call: ``"16384-32766"``."""
    media_timeout_s: Seconds = 30.0
    """A call ends after so many seconds without audio of the phone, unless it is on hold."""
    codecs: Annotated[list[CodecName], Field(min_length=1)] = ["PCMU", "PCMA", "G722", "opus"]
    """The allowed codecs, in the order in which our calls offer them."""
    users: dict[User, Password] = Field(default_factory=dict, repr=False)
    """Phones that may register and call, with the password of each. A user's name is the bot's ``from_number``."""
    caller_ids: dict[User, list[NumberPattern]] = Field(default_factory=dict)
    """The numbers and names that the phone of a user may show instead of the user's name, as in
    ``caller_ids = { anna = ["+4930123456"] }``; ``*`` at the end stands for all that begin so. Anything else that a
    phone shows is replaced by the user's name."""
    callers: Literal["known", "anyone"] = "known"
    """Who may call: phones with a password and trunks, or everybody who can reach the port."""
    realm: Annotated[
        str,
        StringConstraints(min_length=1, max_length=128),
        TextForm(
            r'^[^"\\\x00-\x1f]+$', "has a character that may not be there: a quotation mark, or a control"
        ),
    ] = "piopiy"
    """What phones show when they ask for the password."""
    digest_algorithms: Annotated[list[Literal["MD5", "SHA-256"]], Field(min_length=1)] = ["MD5"]
    """Which digests are asked for, the preferred one first. Many phones know only MD5."""
    trunks: dict[Annotated[str, StringConstraints(min_length=1, max_length=64)], SipTrunk] = Field(
        default_factory=dict
    )
    routes: list[SipRoute] = Field(default_factory=list)
    """Which number reaches which agent: the first that matches."""
    default_agent: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    """The agent for numbers without a route; None: they are refused with 404."""
    contacts: dict[Annotated[str, StringConstraints(min_length=1, max_length=128)], str] = Field(
        default_factory=dict
    )
    """Names under which agents and operators may call somebody: a user, a number or a ``sip:`` URI each.
    Capitals make no difference."""
    dial_allowed: list[NumberPattern] = Field(default_factory=lambda: ["*"])
    """The numbers that may be called beside the contacts: ``+49*`` allows those that begin so."""
    allow_uris: bool = False
    """Whether any ``sip:`` URI may be called, beside those of the contacts."""
    max_calls_per_source: Annotated[int, Field(gt=0)] = 100
    """Calls at once from one address."""
    max_pending_invites: Annotated[int, Field(gt=0)] = 500
    """Calls that ring at once."""
    max_transactions: Annotated[int, Field(gt=0)] = 10_000
    """SIP transactions at once in each direction; a quarter of them from one address."""
    max_connections: Annotated[int, Field(gt=0)] = 500
    """TCP and TLS connections at once; a quarter of them from one address, unless it is a trunk's."""
    max_refusals_per_minute: Annotated[int, Field(gt=0)] = 60
    """Wrong passwords and unknown numbers from one address; beyond that its requests are dropped for a while."""
    ring_timeout_s: Seconds = 60.0
    """How long a call of ours rings, in seconds."""
    session_expires_s: Annotated[int, Field(ge=90, le=86_400)] = 1800
    """The session interval in seconds for calls whose other side supports session timers (RFC 4028)."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        first, last = self.rtp_ports
        if first == last:
            raise ValueError(f"rtp_ports: a call takes two ports, and {first}-{last} is one")
        if self.tls_key is not None and self.tls_certificate is None:
            raise ValueError("tls_key: of no use without tls_certificate")
        return self

    @model_validator(mode="after")
    def _caller_ids_are_of_users(self) -> Self:
        for name in self.caller_ids:
            if name not in self.users:
                raise ValueError(f"caller_ids.{name}: users has nobody of this name")
        return self

    @model_validator(mode="after")
    def _contacts_can_be_called(self) -> Self:
        names: set[str] = set()
        for name, to in self.contacts.items():
            if name.casefold() in names:
                raise ValueError(f"contacts: {name!r} is there twice")
            names.add(name.casefold())
            if to in self.users or dialled_number(to) is not None:
                continue
            try:
                host = SipUri.parse(to).host
            except ValueError:
                host = ""
            if not host:
                raise ValueError(f"contacts.{name}: neither one of users, nor a number, nor a sip: URI")
        return self

    def may_show(self, user: str, number: str) -> bool:
        """Whether the phone of `user` may say that `number`, a number or a name, calls."""
        return number == user or any(matches(pattern, number) for pattern in self.caller_ids.get(user, ()))

    def is_of_a_user(self, number: str) -> bool:
        """Whether `number` is the name of a user, or a whole number that only some users may show."""
        return number in self.users or any(number in patterns for patterns in self.caller_ids.values())

    def agent_for(self, number: str) -> str | None:
        """Return the agent that answers `number`; None: no agent has that number."""
        return next((route.agent for route in self.routes if route.matches(number)), self.default_agent)
