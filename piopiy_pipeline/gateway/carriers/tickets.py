"""Tickets: what a carrier's stream presents to be admitted. The answer to the carrier's webhook contains it.

A ticket is a JSON Web Token (RFC 7519, HS256) in the path of the stream's URL. It binds the carrier, the agent
and the call, is valid for two minutes, and admits one stream.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import uuid
from collections.abc import Callable
from typing import Any

import jwt
from pydantic import BaseModel, ConfigDict, ValidationError

from piopiy_pipeline.gateway.access.access import AccessError
from piopiy_pipeline.gateway.carriers.carrier import CarrierCall

__all__ = ["ReplayGuard", "Ticket", "Tickets"]

AUDIENCE = "piopiy-carrier-stream"
TTL_S = 120
"""How long a carrier may take from the webhook to the stream, in seconds."""
PARAMETERS_LIMIT = 1 << 10
"""The largest size of a call's parameters, in bytes of JSON. A ticket is part of a URL of at most 2,048."""
ONCE_LIMIT = 50_000
"""How many names are remembered at a time. More tickets in two minutes than this are refused."""
_REQUIRED = ["aud", "exp", "iat", "jti", "carrier", "agent"]


class Ticket(BaseModel):
    """The claims of a ticket, which ties a carrier's stream to the webhook before it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    aud: str
    exp: int
    iat: int
    jti: str
    carrier: str
    agent: str
    call_id: str = ""
    from_number: str | None = None
    to_number: str | None = None
    parameters: dict[str, str] = {}

    @property
    def call(self) -> CarrierCall:
        return CarrierCall(self.call_id, self.from_number, self.to_number)


class ReplayGuard:
    """Remembers names until their time is over, so that nothing is accepted twice."""

    def __init__(self, limit: int = ONCE_LIMIT) -> None:
        self._limit = limit
        self._until: dict[str, float] = {}

    def take(self, name: str, until: float, now: float) -> bool:
        """Remember a name until a time. Returns False if it is remembered already, or if there is no room for it."""
        if name in self._until and self._until[name] > now:
            return False
        if len(self._until) >= self._limit:
            self._until = {name: until for name, until in self._until.items() if until > now}
            if len(self._until) >= self._limit:
                return False
        self._until[name] = until
        return True


class Tickets:
    """Makes tickets and accepts each of them once."""

    def __init__(self, secret: str | None, *, wall: Callable[[], float]) -> None:
        # The same words sign other tokens: a key of its own for each kind (HS256 wants 32 bytes).
        words = secret or secrets.token_urlsafe(32)
        self._key = hashlib.sha256(b"piopiy carrier stream\0" + words.encode()).digest()
        self._wall = wall
        self._replays = ReplayGuard()

    def mint(self, carrier: str, agent: str, call: CarrierCall, parameters: dict[str, str]) -> str:
        """Make a ticket for one stream.

        Args:
            carrier: The carrier that may present it.
            agent: The agent that the call is for.
            call: The call, as the carrier's webhook describes it.
            parameters: The operator's own parameters.

        Returns:
            The ticket, a JSON Web Token.

        Raises:
            AccessError: There are too many parameters.
        """
        if len(json.dumps(parameters).encode()) > PARAMETERS_LIMIT:
            raise AccessError(422, f"the answer URL's parameters: at most {PARAMETERS_LIMIT} bytes as JSON")
        now = int(self._wall())
        payload: dict[str, Any] = {
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + TTL_S,
            "jti": str(uuid.uuid4()),
            "carrier": carrier,
            "agent": agent,
        }
        claims = {
            "call_id": call.call_id[:256],
            "from_number": call.from_number and call.from_number[:128],
            "to_number": call.to_number and call.to_number[:128],
            "parameters": parameters,
        }
        payload |= {name: value for name, value in claims.items() if value}
        return jwt.encode(payload, self._key, algorithm="HS256")

    def take(self, token: str, *, carrier: str, agent: str) -> Ticket:
        """Accept a ticket once, and return its claims.

        Args:
            token: The ticket.
            carrier: The carrier that presents it.
            agent: The agent that the stream's URL names.

        Raises:
            AccessError: 401 if it is not valid or was used, 403 if it is for another carrier or agent.
        """
        try:
            # The expiry is checked below, with the clock that was passed in.
            options: Any = {"require": _REQUIRED, "verify_exp": False, "verify_iat": False}
            decoded = jwt.decode(token, self._key, algorithms=["HS256"], audience=AUDIENCE, options=options)
            ticket = Ticket.model_validate(decoded)
        except (
            jwt.PyJWTError,
            ValidationError,
            RecursionError,
        ):  # the last of some PyJWTs, for nested headers
            raise AccessError(401, "this stream's ticket was not made by this gateway") from None
        if (ticket.carrier, ticket.agent) != (carrier, agent):
            raise AccessError(
                403, f"this stream's ticket is for agent {ticket.agent!r} over {ticket.carrier}"
            )
        now = self._wall()
        if now >= ticket.exp:
            raise AccessError(401, f"this stream's ticket is older than {TTL_S} s")
        if not self._replays.take(ticket.jti, ticket.exp, now):
            raise AccessError(401, "this stream's ticket was used before")
        return ticket
