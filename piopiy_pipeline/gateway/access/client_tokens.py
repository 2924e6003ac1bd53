"""Client tokens: what a browser or an app shows to begin a call. They are JSON Web Tokens (RFC 7519), HS256.

An operator's own server asks the gateway for a token (``POST /api/tokens``) and hands it to its page, so
that no page ever holds an API key. A token binds the agent, the caller's identity, the metadata and an
expiry. `TokenClaims` is the one model of what a token says: its field names are used in this code, its
aliases are the names of the claims in the token.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import uuid
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from jwt import PyJWS, PyJWTError
from pydantic import BaseModel, ConfigDict, Field

from piopiy_pipeline.gateway.access.access import AccessError
from piopiy_pipeline.gateway.access.strict_json import read_json

__all__ = ["METADATA_LIMIT", "ClientTokens", "TokenClaims", "TokenGrant", "TokenRequest", "check_metadata"]

METADATA_LIMIT = 4 << 10
"""How many bytes a client's metadata may have as JSON, in a token or beside it: a token travels in a header."""

_ALGORITHM = "HS256"
_SIGNATURES = PyJWS(algorithms=[_ALGORITHM])


class TokenRequest(BaseModel):
    """A request for a client token: who may call whom, and for how long the token can be used to begin a
    call.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    agent_id: Annotated[str, Field(min_length=1, max_length=128)]
    identity: Annotated[str, Field(min_length=1, max_length=128)] = "browser"
    """Who calls: the bot gets it as `from_number`."""
    to_number: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """The bot's `to_number`. None: the agent's id."""
    metadata: dict[str, Any] | None = None
    ttl_s: Annotated[int, Field(ge=1, le=86_400)] = 600


class TokenGrant(BaseModel):
    """A client token: send it as ``Authorization: Bearer <token>`` with the offer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: str
    agent_id: str
    expires_at: datetime


class TokenClaims(BaseModel):
    """The claims of a client token, signed by this gateway or by somebody else who was given the secret.

    The order of the fields is the order of the claims in a token.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_by_name=True, validate_by_alias=True
    )

    audience: Annotated[Literal["piopiy-call"], Field(alias="aud")]
    issued_at: Annotated[int, Field(alias="iat")]
    """Unix time in seconds."""
    expires_at: Annotated[int, Field(alias="exp")]
    """Unix time in seconds. A token can begin a call until then; a call in progress may outlast it."""
    token_id: Annotated[str, Field(alias="jti")]
    identity: Annotated[str, Field(alias="sub")]
    """The caller: the bot's `from_number`."""
    agent_id: Annotated[str, Field(alias="agent")]
    to_number: Annotated[str | None, Field(alias="to")] = None
    """The bot's `to_number`. None: the agent's id."""
    metadata: dict[str, Any] | None = None


def check_metadata(metadata: dict[str, Any] | None) -> None:
    """Refuse metadata of a client that are too large.

    Raises:
        AccessError: As JSON they have more than `METADATA_LIMIT` bytes (422).
    """
    if len(json.dumps(metadata).encode()) > METADATA_LIMIT:
        raise AccessError(422, f"metadata: at most {METADATA_LIMIT} bytes as JSON: send a key to more of it")


class ClientTokens:
    """Makes client tokens and verifies them.

    Args:
        secret: What tokens are signed with, of any length. Gateways that share it accept each other's
            tokens. None: a new random secret, so that tokens end with this process.
        agents: The ids of the agents that tokens may be made for.
        wall: The clock that people read: Unix time in seconds.
    """

    def __init__(self, secret: str | None, agents: Collection[str], *, wall: Callable[[], float]) -> None:
        # HS256 wants 32 bytes (RFC 7518, 3.2), and the same words may be used elsewhere for something else.
        words = secret or secrets.token_urlsafe(32)
        self._key = hashlib.sha256(b"piopiy client token\0" + words.encode()).digest()
        self._agents = agents
        self._wall = wall

    def grant(self, request: TokenRequest) -> TokenGrant:
        """Make a new token.

        Raises:
            AccessError: There is no such agent (404), or the metadata is too large (422).
        """
        if request.agent_id not in self._agents:
            raise AccessError(404, f"this gateway has no agent {request.agent_id!r}")
        check_metadata(request.metadata)
        now = int(self._wall())
        claims = TokenClaims(
            audience="piopiy-call",
            issued_at=now,
            expires_at=now + request.ttl_s,
            token_id=str(uuid.uuid4()),
            identity=request.identity,
            agent_id=request.agent_id,
            to_number=request.to_number,
            metadata=request.metadata,
        )
        payload = claims.model_dump_json(by_alias=True).encode()
        return TokenGrant(
            token=_SIGNATURES.encode(payload, self._key, algorithm=_ALGORITHM),
            agent_id=request.agent_id,
            expires_at=datetime.fromtimestamp(claims.expires_at, UTC),
        )

    def verify(self, token: str | None, *, agent_id: str | None = None) -> TokenClaims:
        """Read a token. Its expiry is not looked at here: `check_fresh` does that.

        Args:
            token: The token, or None if the request had none.
            agent_id: The agent that is meant. None: whichever the token names.

        Raises:
            AccessError: It is no token of this gateway's (401), or it is for another agent (403).
        """
        if token is None:
            raise AccessError(401, "send 'Authorization: Bearer <client token>': POST /api/tokens makes one")
        try:
            payload = _SIGNATURES.decode(token, self._key, algorithms=[_ALGORITHM])
            read_json(payload)
            claims = TokenClaims.model_validate_json(payload, by_alias=True, by_name=False)
        except (PyJWTError, ValueError, RecursionError):  # pydantic's errors are ValueErrors
            raise AccessError(
                401,
                "this is no client token of this gateway: it is incomplete, or was signed by somebody else",
            ) from None
        if agent_id is not None and agent_id != claims.agent_id:
            raise AccessError(
                403, f"this client token is for agent {claims.agent_id!r}, not for {agent_id!r:.200}"
            )
        if claims.agent_id not in self._agents:
            raise AccessError(403, f"this client token is for agent {claims.agent_id!r}, which is not here")
        return claims

    def check_fresh(self, claims: TokenClaims) -> None:
        """Refuse a token that has expired: a new call needs a new one.

        Raises:
            AccessError: The token has expired (401).
        """
        if self._wall() >= claims.expires_at:
            raise AccessError(401, "this client token has expired: ask for a new one with POST /api/tokens")
