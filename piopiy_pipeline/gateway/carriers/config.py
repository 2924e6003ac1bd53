"""The settings of carriers: secrets, audio formats, and which agent answers.

It imports nothing else of the gateway, so that the gateway's settings can contain it and a gateway
without carriers does not load them.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from piopiy_pipeline.fault_text import TextForm

__all__ = [
    "CARRIERS",
    "CarrierName",
    "CarriersConfig",
    "ExotelConfig",
    "PiopiyConfig",
    "PlivoConfig",
    "TelnyxConfig",
    "TwilioConfig",
    "VonageConfig",
]

CarrierName = Literal["twilio", "telnyx", "plivo", "exotel", "vonage", "piopiy"]
CARRIERS: tuple[CarrierName, ...] = get_args(CarrierName)

Secret = Annotated[
    str,
    StringConstraints(min_length=1),
    TextForm(
        r"^[\x21-\x7e]+$", "has a character that may not be there: letters, digits and signs of ASCII may"
    ),
]
AgentId = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class _Carrier(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    agent: AgentId | None = None
    """The agent that answers when the URL names none. None: the URL has to name one."""


def _http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("give an address as https://voice.example, without '?' and '#'")
    if parts.username is not None or parts.password is not None:
        raise ValueError("no user or password belongs in it")
    return url.rstrip("/")


class TwilioConfig(_Carrier):
    """Settings of Twilio, whose calls come as Media Streams."""

    auth_token: Secret = Field(repr=False)
    """What Twilio signs its requests with; also the password of its API."""
    account_sid: Secret | None = None
    """With it, calls that the bot ends are also ended over Twilio's API."""
    api_url: str = "https://api.twilio.com"
    """Set another one for another region or edge."""

    _check_api_url = field_validator("api_url")(_http_url)


class TelnyxConfig(_Carrier):
    """Settings of Telnyx, whose calls come by media streaming."""

    public_key: str
    """The account's public key, in base64: what its webhooks are verified with."""
    codec: Literal["PCMU", "PCMA", "L16"] = "PCMU"
    """The audio of both directions. L16 is at 16 kHz."""
    api_key: Secret | None = Field(default=None, repr=False)
    """With it, calls that the bot ends are also ended over Telnyx's API."""
    api_url: str = "https://api.telnyx.com"

    _check_api_url = field_validator("api_url")(_http_url)

    @field_validator("public_key")
    @classmethod
    def _is_a_key(cls, key: str) -> str:
        try:
            raw = base64.b64decode(key, validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if len(raw) != 32:
            raise ValueError("an Ed25519 public key has 32 bytes, in base64: the portal shows it")
        return key


class PlivoConfig(_Carrier):
    """Settings of Plivo, whose calls come as audio streams."""

    auth_token: Secret = Field(repr=False)
    """What Plivo signs its requests with; also the password of its API."""
    content_type: Literal["audio/x-mulaw;rate=8000", "audio/x-l16;rate=8000", "audio/x-l16;rate=16000"] = (
        "audio/x-mulaw;rate=8000"
    )
    """The audio of both directions."""
    auth_id: Secret | None = None
    """With it, calls that the bot ends are also ended over Plivo's API."""
    api_url: str = "https://api.plivo.com"

    _check_api_url = field_validator("api_url")(_http_url)


class ExotelConfig(_Carrier):
    """Settings of Exotel, whose calls come from its Voicebot applet."""

    user: Annotated[
        str,
        StringConstraints(min_length=1),
        TextForm(
            r"^[\x21-\x39\x3b-\x7e]+$",
            "has a character that may not be there: letters, digits and signs of ASCII may, but no colon",
        ),
    ]
    """The user in the URL that the applet has: ``wss://user:password@...``."""
    password: Secret = Field(repr=False)
    sample_rate: Literal[8000, 16000, 24000] = 8000
    """The sample rate that the stream's URL asks for, in Hz."""


class VonageConfig(_Carrier):
    """Settings of Vonage, whose calls come by its Voice API."""

    signature_secret: Secret = Field(repr=False)
    """What Vonage signs its webhooks with."""
    application_id: Secret | None = None
    """Take webhooks of this application only. None: of all that are signed with the secret."""
    sample_rate: Literal[8000, 16000, 24000] = 16000
    """The sample rate of both directions, in Hz."""


class PiopiyConfig(_Carrier):
    """Settings of Piopiy, whose calls come by its PCMO action ``stream``."""

    answer_key: Secret = Field(repr=False)
    """What the answer URL ends in: ``?key=...``. Piopiy signs nothing, so whoever knows it may call."""
    sample_rate: Literal[8000, 16000] = 8000
    """The sample rate of both directions, in Hz."""


class CarriersConfig(BaseModel):
    """The carriers of a gateway: one table for each."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    public_url: str
    """The URL at which carriers reach this gateway, such as ``https://voice.example``; behind a proxy, the proxy's.

    Signatures cover the URL that the carrier used, so it has to be exactly the one that the carrier was given.
    """
    twilio: TwilioConfig | None = None
    telnyx: TelnyxConfig | None = None
    plivo: PlivoConfig | None = None
    exotel: ExotelConfig | None = None
    vonage: VonageConfig | None = None
    piopiy: PiopiyConfig | None = None

    _check_public_url = field_validator("public_url")(_http_url)

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if all(getattr(self, name) is None for name in CARRIERS):
            raise ValueError(f"name a carrier: there are {', '.join(CARRIERS)}")
        return self

    def default_agents(self) -> dict[str, str]:
        """Return the agent that each table names, by the carrier."""
        tables = ((name, getattr(self, name)) for name in CARRIERS)
        return {name: table.agent for name, table in tables if table is not None and table.agent is not None}
