"""A registered phone as the gateways of a cluster tell each other of it, and where they find it.

It stands here and not in `cluster`, which is above the telephones. A gateway that is alone has no `PhoneDirectory`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Protocol

from pydantic import ConfigDict, Field

from piopiy_pipeline.signaling.json_messages import Message

__all__ = ["PhoneDirectory", "RegisteredPhone"]

_Text = Annotated[str, Field(min_length=1, max_length=1024)]


class RegisteredPhone(Message):
    """A phone that is registered at a gateway. Times are in seconds since 1970. Unknown keys, of a newer gateway, are
    left out.
    """

    model_config = ConfigDict(extra="ignore")

    gateway: _Text
    """The name of the gateway where it is registered."""
    contact: _Text
    """Its Contact: the Request-URI of calls to it."""
    transport: Literal["udp", "tcp", "tls"]
    host: _Text
    """Where its REGISTER came from."""
    port: Annotated[int, Field(ge=0, le=65535)]
    path: _Text
    """The URI that leads to it through its gateway (RFC 3327)."""
    registered_at: float
    expires_at: float


class PhoneDirectory(Protocol):
    """What the telephones of one gateway ask of its cluster."""

    @property
    def gateway(self) -> str:
        """The name of this gateway."""

    def keep_phones(self, user: str, phones: Sequence[RegisteredPhone]) -> None:
        """Tell all gateways, in the background, which phones of a user are registered here. None of them: no phone."""

    async def find_phone(self, user: str) -> RegisteredPhone | None:
        """Return the phone of a user that registered last, at whichever gateway.

        It takes half a second at most. None: there is none, or the directory cannot be asked.
        """

    def is_there(self, gateway: str) -> bool:
        """Return whether another gateway was heard of in the last seconds."""
