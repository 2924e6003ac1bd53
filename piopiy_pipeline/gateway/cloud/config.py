"""The settings of Piopiy's cloud: `[cloud]`. The gateway's settings import this module, so it imports nothing of it."""

from __future__ import annotations

import re
from contextlib import suppress
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from piopiy_pipeline.url_parts import url_parts

__all__ = ["CLOUD_MISSING", "CloudConfig"]

CLOUD_MISSING = "the clients of Piopiy's cloud are not installed: pip install 'piopiy-pipeline[cloud]'"
_PACKAGES = ("piopiy_agent", "livekit.rtc")


class CloudConfig(BaseModel):
    """As which agent the gateway takes calls of Piopiy's cloud, and how many."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    agent_id: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    """The agent's id in Piopiy's dashboard. It is one of `agents`, too: its instances here serve the calls."""
    token: str = Field(repr=False)
    """The agent's token in Piopiy's dashboard. What its instances here register with is in `agents`."""
    address: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = "register.piopiy.com"
    """Where workers register: a host, or ``host:port``."""
    tls: bool = True
    """Whether that is encrypted. Without, only an address of this machine or of a private network is taken."""
    api_url: str = "https://rest.piopiy.com/v3"
    """The REST API by which calls are transferred and hung up."""
    max_calls: Annotated[int, Field(ge=1, le=1000)] = 10
    """How many calls of the cloud there may be at once. One more is turned down, and goes to another worker."""
    calls_per_process: Annotated[int, Field(ge=1, le=100)] = 10
    """How many of them share a process, which has their LiveKit rooms: so many pause for a moment if it is lost. There
    are as many processes as that takes, and one more."""
    accept: Literal["ready", "joined"] = "ready"
    """When a call is accepted, which connects its caller: ``ready``, when the bot can hear and speak; or ``joined``,
    at the end of the time that the cloud gives (400 ms), if an instance has the call by then: callers of bots that take
    longer to get ready wait for them in silence, where they would be turned down otherwise."""

    @field_validator("token")
    @classmethod
    def _is_a_token(cls, token: str) -> str:
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise ValueError(
                "it is empty, or has a space or a letter that is not ASCII: copy it from Piopiy's dashboard"
            )
        return token

    @field_validator("address")
    @classmethod
    def _is_a_register(cls, address: str) -> str:
        with suppress(ValueError):
            parts = url_parts(address if "://" in address else f"https://{address}")
            rest = parts.path.rstrip("/") + parts.query + parts.fragment
            is_a_host = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            if is_a_host and not rest and "@" not in parts.netloc:
                return address
        raise ValueError(
            "it looks like register.piopiy.com or 10.1.2.3:50051: a host, and a port up to 65535"
        )

    @field_validator("api_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        parts = url_parts(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise ValueError("it looks like https://rest.piopiy.com/v3")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _keeps_the_token_secret(self) -> Self:
        if not self.tls and not _is_private(self.address):
            raise ValueError(
                f"tls = false would send the token in clear to {self.address!r}: that is for an address of this"
                " machine or of a private network, as 127.0.0.1:50051"
            )
        return self

    @model_validator(mode="after")
    def _packages_are_installed(self) -> Self:
        if not all(_is_there(package) for package in _PACKAGES):
            raise ValueError(CLOUD_MISSING)
        return self


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package in which it would be
        return False


def _is_private(address: str) -> bool:
    try:
        host = urlsplit(address if "://" in address else f"//{address}").hostname or ""
        return host == "localhost" or ip_address(host).is_private
    except ValueError:
        return False
