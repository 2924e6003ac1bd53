"""The settings of a cluster: `[cluster]`. The gateway's settings import this module, so it imports nothing of it."""

from __future__ import annotations

from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from piopiy_pipeline.fault_text import TextForm
from piopiy_pipeline.gateway.cluster.nats_credentials import check_credentials
from piopiy_pipeline.url_parts import url_parts

__all__ = ["ClusterConfig"]

NATS_MISSING = "NATS' client is not installed: pip install 'piopiy-pipeline[cluster]'"
_SCHEMES = ("nats", "tls")


class ClusterConfig(BaseModel):
    """Where the other gateways are found, and who this one is among them."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    servers: Annotated[list[str], Field(min_length=1, max_length=32)]
    """The NATS servers, as ``nats://host:4222``, or all as ``tls://``: nothing is sent then that is not encrypted."""
    url: Annotated[str, StringConstraints(strip_whitespace=True)] | None = None
    """Where agents of other gateways reach this one, as ``ws://10.0.0.5:7860``. None: where it listens."""
    name: (
        Annotated[
            str,
            StringConstraints(min_length=1, max_length=64),
            TextForm(r"^[^\x00-\x1f\x7f]+$", "has a character that may not be there: a control character"),
        ]
        | None
    ) = None
    """What operators call this gateway: no other one has this name. None: the host and port of its address."""
    pages: Annotated[list[str], Field(max_length=16)] = Field(default_factory=list)
    """Where browsers reach the gateways, as ``https://calls-b.example``: the same list at all of them. A page whose own
    gateway is gone goes on at another one of these.
    """
    subject: Annotated[
        str, TextForm(r"^[A-Za-z0-9_-]{1,64}$", "expected 1 to 64 letters, digits, hyphens and underscores")
    ] = "piopiy"
    """What all subjects begin with: two clusters at the same servers need two of them."""
    user: str | None = None
    """The user name at the servers."""
    password: str | None = Field(default=None, repr=False)
    token: str | None = Field(default=None, repr=False)
    """A token at the servers, in place of a user."""
    credentials: Path | None = None
    """A file of credentials (``.creds``: a JWT and its key), in place of both."""

    @field_validator("servers")
    @classmethod
    def _are_servers(cls, servers: list[str]) -> list[str]:
        for server in servers:
            parts = url_parts(server)
            if parts.scheme not in _SCHEMES or not parts.hostname:
                raise ValueError("a server looks like nats://host:4222 or tls://host:4222")
            if "@" in parts.netloc:
                raise ValueError("leave user and password out of a server's address: set user and password")
        if len({urlsplit(server).scheme for server in servers}) > 1:
            raise ValueError(
                "give all servers as tls:// or all as nats://: whoever hears one of them would know what logs in at all"
            )
        return servers

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = url_parts(url)
        if parts.scheme not in ("ws", "wss") or not parts.hostname or "@" in parts.netloc:
            raise ValueError("the address of this gateway looks like ws://host:port or wss://host:port")
        if _is_everywhere(parts.hostname):
            raise ValueError(
                f"agents do not find host {parts.hostname!r}: give the one by which they reach it"
            )
        return url.rstrip("/")

    @field_validator("pages")
    @classmethod
    def _are_pages(cls, pages: list[str]) -> list[str]:
        for page in pages:
            parts = url_parts(page)
            if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
                raise ValueError(
                    "a page's address looks like https://calls-b.example, or https://calls.example/b"
                )
            if parts.query or parts.fragment or any(character in page for character in " ;,'\""):
                raise ValueError(
                    "a page's address has no query, and none of the characters ; , ' and the quotation mark"
                )
        return [page.rstrip("/") for page in pages]

    @property
    def page_origins(self) -> list[str]:
        """The origins of `pages`: what their browsers send as ``Origin``."""
        parts = [urlsplit(page) for page in self.pages]
        return sorted({f"{one.scheme}://{one.netloc}".lower() for one in parts})

    @model_validator(mode="after")
    def _one_way_to_log_in(self) -> Self:
        ways = [self.user is not None, self.token is not None, self.credentials is not None]
        if sum(ways) > 1:
            raise ValueError("user, token, credentials: give one of them")
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password: give both or neither")
        if self.credentials is not None and not self.credentials.is_file():
            raise ValueError(f"credentials: there is no file {str(self.credentials)!r}")
        if find_spec("nats") is None or (self.credentials is not None and find_spec("nkeys") is None):
            raise ValueError(NATS_MISSING)
        if self.credentials is not None:
            check_credentials(self.credentials)
        return self

    def gateway_name(self, url: str) -> str:
        """Return the name of the gateway whose address this is."""
        return self.name or urlsplit(url).netloc


def _is_everywhere(host: str) -> bool:
    """Return whether a host is an address to listen at, and none to go to."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False
