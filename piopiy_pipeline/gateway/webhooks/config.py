"""The settings of a webhook. The gateway's settings import this module, so it does not import the sender."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["WebhookConfig", "WebhookEvent"]

WebhookEvent = Literal[
    "call.placed", "call.answered", "call.ended", "call.transfer", "call.turn", "call.collection"
]
"""The events that a webhook may ask for: see docs/api.md."""

LONGEST_PART = 16
"""A part of a path with more characters is cut in logs."""
_PREFIX = "whsec_"
_HOW = f"{_PREFIX} and the base64 of 24 to 64 random bytes: echo {_PREFIX}$(openssl rand -base64 32)"


class WebhookConfig(BaseModel):
    """A receiver of messages about calls."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: Annotated[str, Field(max_length=2000, repr=False)]
    """The address that gets POST requests, ``http://`` or ``https://``. Redirections are not followed."""
    secret: Annotated[str, Field(repr=False)]
    """The key of the signatures: ``whsec_`` and the base64 of 24 to 64 random bytes."""
    events: Annotated[list[WebhookEvent], Field(min_length=1)] = [
        "call.placed",
        "call.answered",
        "call.ended",
        "call.transfer",
    ]
    """The events that it gets."""

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError(
                "an address has neither spaces nor letters beyond ASCII in it: write them as %xx"
            )
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an address begins with http:// or https:// and names a host")
        parts.hostname.encode("idna")  # a ValueError where a name is longer than names are
        _ = parts.port  # the same for a port
        return url

    @field_validator("secret")
    @classmethod
    def _is_a_secret(cls, secret: str) -> str:
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not secret.startswith(_PREFIX) or not 24 <= len(key) <= 64:
            raise ValueError(f"a secret is {_HOW}")
        return secret

    @property
    def key(self) -> bytes:
        """The key of the signatures as bytes."""
        return base64.b64decode(self.secret.removeprefix(_PREFIX))

    @property
    def receiver_id(self) -> str:
        """The receiver's name among saved items: a hash, because an address may be a secret."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]

    @property
    def origin(self) -> str:
        """The address without its path, for metrics: with some receivers the path is a secret."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        return (
            f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{parts.port}' if parts.port else ''}"
        )

    @property
    def name(self) -> str:
        """The address for logs: with its path, because one host may have several receivers, and without its query. A
        part of the path that is long may be a secret: its beginning is there alone.
        """
        parts = urlsplit(self.url).path.split("/")
        path = "/".join(f"{part[:4]}..." if len(part) > LONGEST_PART else part for part in parts)
        return self.origin + path
