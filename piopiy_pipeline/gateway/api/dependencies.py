"""What every route needs: the objects of the gateway, errors as responses, and the check of API keys.

Tested with the routes: the check of keys in ``tests/gateway/api/test_guessing.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Security
from fastapi.security import HTTPBearer

from piopiy_pipeline.gateway.access.access import Access, AccessError, bearer_token
from piopiy_pipeline.gateway.access.client_tokens import ClientTokens
from piopiy_pipeline.gateway.access.failure_limiter import TOO_MANY, FailureLimiter
from piopiy_pipeline.gateway.api.console_link import ConsoleLink
from piopiy_pipeline.gateway.api.models import Problem
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.gateway.metrics.trends import Trends
from piopiy_pipeline.gateway.records import Records
from piopiy_pipeline.gateway.records.recent_calls import CallArchive, RecentCalls
from piopiy_pipeline.gateway.records.resumptions import Resumptions
from piopiy_pipeline.gateway.webrtc.browser_offers import BrowserCalls

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.carriers.carrier_gateway import CarrierGateway
    from piopiy_pipeline.gateway.metrics.gateway_metrics import GatewayMetrics

__all__ = [
    "PROBLEMS",
    "SOON",
    "ApiDependencies",
    "ApiError",
    "Deps",
    "KeyCheck",
    "Operator",
    "OperatorWithAnyToken",
    "add_routes",
    "check_operator",
]


@dataclass(frozen=True, slots=True)
class ApiDependencies:
    """The objects of the gateway that routes use.

    `browser` is None in a gateway that takes no calls from browsers, `carriers` in one that has no carriers.
    """

    config: GatewayConfig
    switchboard: Switchboard
    access: Access
    failures: FailureLimiter
    tokens: ClientTokens
    recent: RecentCalls
    archive: CallArchive
    browser: BrowserCalls | None
    link: ConsoleLink
    """The other gateways of the cluster, if there are any."""
    trends: Trends
    """What this gateway remembers of the day."""
    carriers: CarrierGateway | None = None
    problems: Callable[[], list[str]] = list
    """Returns why not everything is kept that should be, a sentence for each cause."""
    records: Records | None = None
    """The records of a gateway that keeps any: they hold what must outlive it."""
    metrics: GatewayMetrics | None = None
    """What the gateway has counted."""
    resumptions: Resumptions | None = None
    """Lets callers go on with conversations that were lost with a gateway. None: there are no records."""
    gone_receivers: Callable[[], frozenset[str]] = frozenset
    """Returns the addresses of webhooks that have answered 410, and are told no more."""

    def knows(self, name: str) -> bool:
        """Return whether the `sip` section has a contact or user of this name."""
        sip = self.config.sip
        return sip is not None and (name in sip.users or name in sip.contacts)

    def unknown_receiver_because(self, url: str) -> str | None:
        """Return why no webhook of the configuration tells an address of keys; None if one does."""
        if not any(one.url == url and "call.collection" in one.events for one in self.config.webhooks):
            return "no receiver of [[webhooks]] has this url, and events with 'call.collection'"
        return None

    def no_receiver_because(self, url: str) -> str | None:
        """Return why a receiver of webhooks would not be told of keys now; None if it is."""
        if (why := self.unknown_receiver_because(url)) is not None:
            return why
        if url in self.gone_receivers():
            return "this receiver has answered 410 (Gone), and is told no more until the gateway's restart"
        return None


SOON: Mapping[str, str] = {"Retry-After": "1"}
"""The headers of a refusal (503) that may be otherwise in a second."""


class ApiError(Exception):
    """Answers the request with a `Problem`.

    Args:
        status: The HTTP status.
        text: A sentence that says what was wrong and what to do.
        headers: Further headers of the answer.
        request_id: Of the transfer, or the prompts, in the way.
    """

    def __init__(
        self,
        status: int,
        text: str,
        headers: Mapping[str, str] | None = None,
        *,
        request_id: str | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = dict(headers or {})
        self.request_id = request_id


PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "No key or token, or one that is not valid."},
    403: {"model": Problem, "description": "A page of an origin, or an agent, that is not allowed."},
    413: {"model": Problem, "description": "The body is too large."},
    422: {"model": Problem, "description": "The body or a parameter is not as described."},
    429: {"model": Problem, "description": "Too many wrong keys came from this address."},
    500: {"model": Problem, "description": "A failure of the gateway's own."},
}
"""The errors that every route may answer."""


def problems(more: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    """Return `PROBLEMS` and the errors of one route, as FastAPI wants them: a description for each HTTP status."""
    return PROBLEMS | {status: {"model": Problem, "description": text} for status, text in more.items()}


def add_routes(app: FastAPI, router: APIRouter) -> None:
    """Add routes to an application as they are. `include_router` makes all of them anew when the first request comes,
    on the event loop, and callers hear that for a tenth of a second.
    """
    app.router.routes.extend(router.routes)


async def _deps(request: Request) -> ApiDependencies:
    # A coroutine, because FastAPI runs plain functions in a thread.
    deps = request.app.state.deps
    assert isinstance(deps, ApiDependencies)
    return deps


Deps = Annotated[ApiDependencies, Depends(_deps)]

_api_key = HTTPBearer(
    auto_error=False, scheme_name="API key", description="One of api_keys. An open console needs none."
)
client_token = HTTPBearer(
    auto_error=False,
    scheme_name="client token",
    description="From POST /api/tokens: good for calls, no more.",
)


class KeyCheck:
    """Limits how many wrong keys may come from one address. Make one before the key of a request is checked.

    Raises:
        AccessError: Too many wrong keys came from this address (429).
    """

    def __init__(self, request: Request, deps: ApiDependencies) -> None:
        self._failures = deps.failures
        self._shown = bearer_token(request.headers.get) is not None
        self._host = request.client.host if request.client else None
        self._now = asyncio.get_running_loop().time()
        if self._shown and self._failures.blocks(self._host, self._now):
            raise AccessError(429, TOO_MANY)

    def wrong(self) -> None:
        """Count the key of this request, if it has one, as wrong."""
        if self._shown:
            self._failures.failed(self._host, self._now)


def check_operator(request: Request, deps: ApiDependencies) -> None:
    """Raise `AccessError` if the request has no API key and needs one. A wrong one is counted."""
    key = KeyCheck(request, deps)
    try:
        deps.access.check_operator(request.headers.get)
    except AccessError:
        key.wrong()
        raise


async def _operator(request: Request, deps: Deps, _: Annotated[Any, Security(_api_key)]) -> None:
    check_operator(request, deps)


Operator = Depends(_operator)
"""A dependency of routes that only operators may use."""


async def _operator_with_any_token(
    request: Request, deps: Deps, _: Annotated[Any, Security(_api_key)]
) -> None:
    if not deps.access.is_open_to(request.headers.get):
        await _operator(request, deps, _)


OperatorWithAnyToken = Depends(_operator_with_any_token)
"""The same for clients that cannot do without a token: an open console, which needs none, takes any."""
