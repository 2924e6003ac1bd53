"""What applies to every request: limits of its body, the check of its origin, headers of the response,
failures.

It is a plain ASGI middleware, because all of it must also hold for answers that FastAPI itself makes.
Tested in ``tests/gateway/api/test_app.py``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from fastapi.middleware.cors import CORSMiddleware
from loguru import logger

from piopiy_pipeline.gateway.access.access import Access, AccessError, Header, header_of
from piopiy_pipeline.gateway.access.strict_json import read_json
from piopiy_pipeline.gateway.api.rest_v3_error import v3_error

__all__ = ["BODY_LIMIT", "BODY_S", "RequestLimits", "refusal_headers"]

BODY_LIMIT = 64 << 10
"""How many bytes the body of a request may have."""
BODY_S = 10.0
"""How long a client may take to send the body."""

INTERNAL_ERROR = "internal error: the gateway's log has it"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

# `data:` is for the icons in the style sheets, `blob:` for recordings that the page fetched with a key.
_CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; object-src 'none';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SELF = "'self'"
_EVERYWHERE = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_NO_STORE = (b"cache-control", b"no-store")
_REVALIDATE = (b"cache-control", b"no-cache")


class _Disconnected(Exception):
    """The client has closed the connection: there is nobody to answer."""


class RequestLimits:
    """ASGI middleware that checks the origin, reads the body within its limits, and answers failures. Whatever answers
    behind it, pages of the allowed origins can read that.

    Args:
        app: The ASGI application behind it.
        access: Decides which origins are allowed.
        origins: Those of them that are not the gateway's own: their pages get the CORS headers.
        pages: The origins of other gateways of the cluster: a page whose own gateway is gone goes on there.
    """

    def __init__(
        self, app: App, access: Access, origins: Sequence[str] = (), pages: Sequence[str] = ()
    ) -> None:
        self._app = app
        self._access = access
        self._behind_origins: App = self._limited
        if origins:
            self._behind_origins = CORSMiddleware(
                self._limited,
                allow_origins=origins,
                allow_methods=["GET", "POST", "PATCH"],
                allow_headers=["Authorization", "Content-Type", "Range", "Idempotency-Key", "Last-Event-ID"],
                expose_headers=["Retry-After", "Idempotent-Replayed"],
                max_age=600,
            )
        policy = _CONTENT_POLICY
        if pages:
            sockets = [f"ws{page.removeprefix('http')}" for page in pages]
            policy += f"; connect-src {' '.join([_SELF, *pages, *sockets])}"
        self._everywhere = [*_EVERYWHERE, (b"content-security-policy", policy.encode())]

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Handle an HTTP request, by the ASGI interface."""
        is_page = not _is_api(scope["path"])

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                caching = _REVALIDATE if is_page else _NO_STORE
                message["headers"] = [*message.get("headers", ()), *self._everywhere, caching]
            await send(message)

        try:
            self._access.check_origin(_header(scope))
        except AccessError as error:
            await _answer(send_with_headers, error.status, error.text, scope["path"])
        else:
            await self._behind_origins(scope, receive, send_with_headers)

    async def _limited(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Handle a request whose origin is allowed."""
        started = False

        async def noting_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            body = await _whole_body(scope, receive)
            _check_body(body, _header(scope))
            await self._app(scope, _replay(body, receive), noting_send)
        except AccessError as error:
            await _answer(noting_send, error.status, error.text, scope["path"])
        except _Disconnected:
            return
        except Exception:
            logger.exception("{} {} failed", scope["method"], _loggable(scope["path"]))
            if (
                not started
            ):  # if it has, the answer is complete, or uvicorn closes the connection in the middle of it
                await _answer(noting_send, 500, INTERNAL_ERROR, scope["path"])


def refusal_headers(status: int) -> dict[str, str]:
    """Return the headers that every answer of a status of 400 or more has."""
    if status == 401:
        return {"WWW-Authenticate": "Bearer"}
    return {"Retry-After": "60"} if status == 429 else {}  # wrong keys are counted by the minute


def _header(scope: MutableMapping[str, Any]) -> Header:
    return header_of([(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]])


def _is_api(path: str) -> bool:
    return path.startswith(("/api/", "/v3/", "/sessions/", "/carrier/")) or path in (
        "/start",
        "/openapi.json",
        "/metrics",
    )


def _loggable(path: str) -> str:
    """Return a path without the client token, which is part of a session's path."""
    first, _, rest = path.removeprefix("/").partition("/")
    return f"/sessions/.../{rest.partition('/')[2]}" if first == "sessions" else path


async def _whole_body(scope: MutableMapping[str, Any], receive: Receive) -> bytes:
    """Read the body. Raises `AccessError` if it is too large (413) or comes too slowly (408)."""
    too_large = AccessError(413, f"the body of a request may have {BODY_LIMIT} bytes")
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > BODY_LIMIT:
            raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Disconnected
                body += message.get("body", b"")
                if len(body) > BODY_LIMIT:
                    raise too_large
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise AccessError(408, f"the body of the request did not come within {BODY_S:g} s") from None


def _check_body(body: bytes, header: Header) -> None:
    """Raise `AccessError` (422) for JSON that others could not read. A body without a type is taken for JSON."""
    if not body or "json" not in (header("content-type") or "json").lower():
        return
    try:
        read_json(body)
    except ValueError as error:
        raise AccessError(422, f"body: no JSON that can be passed on: {error}") from None


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


async def _answer(send: Send, status: int, text: str, path: str) -> None:
    body = json.dumps(v3_error(status, text) if path.startswith("/v3/") else {"error": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in refusal_headers(status).items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
