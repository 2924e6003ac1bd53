"""Client tokens: what a browser or an app shows to begin a call. JSON Web Tokens (RFC 7519), HS256.

An operator's own server asks for one (``POST /api/tokens``) and hands it to its page; so no page ever
holds an API key. A token binds the agent, the caller's identity, the metadata and an expiry. PyJWT is
loaded at its first use, which is not at the gateway's start.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import uuid
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from piopiy_pipeline.gateway.access.access import AccessError
from piopiy_pipeline.gateway.access.strict_json import check_json
from piopiy_pipeline.gateway.api.models import TokenGrant, TokenRequest
from piopiy_pipeline.gateway.webrtc.browser_offers import TokenClaims

__all__ = ["METADATA_LIMIT", "ClientTokens"]

AUDIENCE = "piopiy-call"
METADATA_LIMIT = 4 << 10
"""How many bytes a token's metadata may have as JSON: a token travels in a header."""
_REQUIRED = ["aud", "exp", "iat", "jti", "sub", "agent"]


class _Payload(BaseModel):
    """What is signed. Signed by us, or by whoever else was given the secret: so it is checked."""

    model_config = ConfigDict(extra="forbid", strict=True)

    aud: str
    exp: int
    iat: int
    jti: str
    sub: str
    agent: str
    to: str | None = None
    metadata: dict[str, Any] | None = None


class ClientTokens:
    """Makes client tokens and verifies them. `wall` is Unix time in seconds."""

    def __init__(self, secret: str | None, agents: Collection[str], *, wall: Callable[[], float]) -> None:
        # HS256 wants 32 bytes (RFC 7518, 3.2), and the same words may be used elsewhere for something else.
        words = secret or secrets.token_urlsafe(32)
        self._key = hashlib.sha256(b"piopiy client token\0" + words.encode()).digest()
        self._agents = agents
        self._wall = wall

    def grant(self, request: TokenRequest) -> TokenGrant:
        """A new token. Raises `AccessError` for an agent that there is not, or too much metadata."""
        import jwt

        if request.agent_id not in self._agents:
            raise AccessError(404, f"this gateway has no agent {request.agent_id!r}")
        if len(json.dumps(request.metadata).encode()) > METADATA_LIMIT:
            raise AccessError(
                422, f"metadata: at most {METADATA_LIMIT} bytes as JSON: send a key to more of it"
            )
        now = int(self._wall())
        payload = {
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + request.ttl_s,
            "jti": str(uuid.uuid4()),
            "sub": request.identity,
            "agent": request.agent_id,
            "to": request.to_number,
            "metadata": request.metadata,
        }
        return TokenGrant(
            token=jwt.encode(payload, self._key, algorithm="HS256"),
            agent_id=request.agent_id,
            expires_at=datetime.fromtimestamp(now + request.ttl_s, UTC),
        )

    def verify(self, token: str | None, *, agent_id: str | None = None) -> TokenClaims:
        """What a token says, if it is one of ours and `agent_id` (if given) is its agent.

        Its expiry is another question: see `check_fresh`. Raises `AccessError`.
        """
        import jwt

        if token is None:
            raise AccessError(401, "send 'Authorization: Bearer <client token>': POST /api/tokens makes one")
        try:
            # Expiry is asked for by `check_fresh`, on the clock that was given to us.
            options: Any = {"require": _REQUIRED, "verify_exp": False, "verify_iat": False}
            decoded = jwt.decode(token, self._key, algorithms=["HS256"], audience=AUDIENCE, options=options)
            check_json(json.dumps(decoded))
            payload = _Payload.model_validate(decoded)
        except (jwt.PyJWTError, ValueError, RecursionError):  # pydantic's errors are ValueErrors
            raise AccessError(
                401,
                "this is no client token of this gateway: it is incomplete, or was signed by somebody else",
            ) from None
        if agent_id is not None and agent_id != payload.agent:
            raise AccessError(
                403, f"this client token is for agent {payload.agent!r}, not for {agent_id!r:.200}"
            )
        if payload.agent not in self._agents:
            raise AccessError(403, f"this client token is for agent {payload.agent!r}, which is not here")
        return TokenClaims(
            token_id=payload.jti,
            agent_id=payload.agent,
            identity=payload.sub,
            to_number=payload.to,
            metadata=payload.metadata,
            expires_at=payload.exp,
        )

    def check_fresh(self, claims: TokenClaims) -> None:
        """Refuse a token whose time is over: a new call needs a new one. Raises `AccessError`."""
        if self._wall() >= claims.expires_at:
            raise AccessError(401, "this client token has expired: ask for a new one with POST /api/tokens")
