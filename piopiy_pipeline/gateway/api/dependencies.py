"""What the routes hold in their hands: the gateway's parts, and who asks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from piopiy_pipeline.gateway.access.access import Access, AccessError, bearer_token
from piopiy_pipeline.gateway.access.client_tokens import ClientTokens
from piopiy_pipeline.gateway.access.failure_limiter import TOO_MANY, FailureLimiter
from piopiy_pipeline.gateway.api.models import Problem
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.gateway.records.recent_calls import CallArchive, RecentCalls
from piopiy_pipeline.gateway.webrtc.browser_offers import BrowserCalls

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.carriers.carrier_gateway import CarrierGateway

__all__ = ["PROBLEMS", "ApiDependencies", "ApiError", "KeyCheck", "Operator", "Parts"]


@dataclass(frozen=True, slots=True)
class ApiDependencies:
    """The gateway as the API sees it. `browser` is None in a gateway that takes no browsers' calls, and
    `carriers` in one that has none."""

    config: GatewayConfig
    switchboard: Switchboard
    access: Access
    failures: FailureLimiter
    tokens: ClientTokens
    recent: RecentCalls
    archive: CallArchive
    browser: BrowserCalls | None
    carriers: CarrierGateway | None = None


class ApiError(Exception):
    """An answer that is a `Problem`."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = dict(headers or {})


PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "No key or token, or one that is not valid."},
    403: {"model": Problem, "description": "A page of an origin, or an agent, that is not allowed."},
    413: {"model": Problem, "description": "The body is too large."},
    422: {"model": Problem, "description": "The body or a parameter is not as described."},
    429: {"model": Problem, "description": "Too many wrong keys came from this address."},
    500: {"model": Problem, "description": "A failure of the gateway's own."},
}
"""What every route may answer."""


def problems(more: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    """`PROBLEMS`, and those of one route."""
    return PROBLEMS | {status: {"model": Problem, "description": text} for status, text in more.items()}


async def _parts(request: Request) -> ApiDependencies:
    # Not a plain function: FastAPI would ask a thread each time.
    parts = request.app.state.parts
    assert isinstance(parts, ApiDependencies)
    return parts


Parts = Annotated[ApiDependencies, Depends(_parts)]

_api_key = HTTPBearer(
    auto_error=False, scheme_name="API key", description="One of api_keys. An open console needs none."
)
client_token = HTTPBearer(
    auto_error=False,
    scheme_name="client token",
    description="From POST /api/tokens: good for calls, no more.",
)


class KeyCheck:
    """A look at the key of a request, which guessers get only so many of. Raises `AccessError` for one more."""

    def __init__(self, request: Request, parts: ApiDependencies) -> None:
        self._failures = parts.failures
        self._shown = bearer_token(request.headers.get) is not None
        self._host = request.client.host if request.client else None
        self._now = asyncio.get_running_loop().time()
        if self._shown and self._failures.blocks(self._host, self._now):
            raise AccessError(429, TOO_MANY)

    def wrong(self) -> None:
        """It was no key, and nothing else of ours, if there was one at all."""
        if self._shown:
            self._failures.failed(self._host, self._now)


async def _operator(request: Request, parts: Parts, _: Annotated[Any, Security(_api_key)]) -> None:
    key = KeyCheck(request, parts)
    try:
        parts.access.check_operator(request.headers.get)
    except AccessError:
        key.wrong()
        raise


Operator = Depends(_operator)
"""A dependency of routes that are for operators alone."""
