"""`ApiRelay`: a request of an operator for a call that is at another gateway is carried out there, and answered here.

It is one mechanism for all of the API: the request travels as it is, and the gateway that has the call runs it through
its own API, with its own checks. It stands before the routes, so that none of them knows of it. A request names the
gateway with ``?gateway=``, or a call that is somewhere else. Sound does not travel: recordings stay where they are.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlencode

from fastapi import Request

from piopiy_pipeline._version import __version__
from piopiy_pipeline.gateway.access.access import AccessError, Header, bearer_token, header_of
from piopiy_pipeline.gateway.access.request_seal import RequestSeal
from piopiy_pipeline.gateway.api.collected_answer import CollectedAnswer
from piopiy_pipeline.gateway.api.dependencies import SOON, ApiDependencies, check_operator
from piopiy_pipeline.gateway.api.request_limits import BODY_LIMIT, App, Receive, Send, refusal_headers
from piopiy_pipeline.gateway.cluster.console_messages import RelayedAnswer, RelayedRequest
from piopiy_pipeline.gateway.cluster.directory import GatewayGone
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.records.models import RecordsUnavailable

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.cluster.cluster import Cluster
    from piopiy_pipeline.gateway.cluster.directory_messages import GatewayPresence

__all__ = ["ApiRelay"]

RELAY_S = 8.0
"""How long another gateway may take to answer, in seconds: an order to call somebody waits for a free place."""
WAY_S = 0.5
"""So much longer the answer may be on its way."""
MOST_WAITING = 256
"""So many requests wait for other gateways at a time."""

_CALLS = ("/api/calls/", "/api/chats/")
_PATHS = ("/api/calls", "/api/chats", "/api/agents", "/api/phones", "/api/cluster", "/api/drain")
_ASKED = ("content-type", "idempotency-key")
_NOT_KNOWN = (404, 405, 422)
"""How a gateway refuses a route, a method or a field that it does not know."""
_ANSWERED = ("content-type", "idempotent-replayed", "retry-after")


class ApiRelay:
    """ASGI middleware before the routes, and what carries out the requests of other gateways. It is a `RequestRelay`.

    Args:
        app: The routes.
        deps: The objects of the gateway.
    """

    def __init__(self, app: App, deps: ApiDependencies) -> None:
        self._app = app
        self._deps = deps
        self._switchboard = deps.switchboard
        self._recent = deps.recent
        self._archive = deps.archive
        self._link = deps.link
        self._wall: Callable[[], float] = deps.switchboard.event_bus.wall
        self._seal = RequestSeal(deps.config.api_keys, is_open=deps.config.console == "open")
        self._waiting = 0

    @property
    def cluster(self) -> Cluster | None:
        """The cluster; None: the gateway is alone."""
        return self._link.cluster

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Handle an HTTP request, by the ASGI interface."""
        path: str = scope["path"]
        if self.cluster is None or not path.startswith(_PATHS):
            await self._app(scope, receive, send)
            return
        header = header_of([(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]])
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        named = next((value for name, value in query if name == "gateway"), None)
        try:
            check_operator(Request(scope), self._deps)  # here, so that no answer of the relay tells of a key
        except AccessError as refused:
            await _send_answer(send, _problem(refused.status, refused.text))
            return
        gateway = named or await self._gateway_of(scope["method"], path)
        if gateway is None or gateway == self.cluster.name:
            await self._app(scope, receive, send)
            return
        body = (await receive()).get("body", b"") if scope["method"] != "GET" else b""
        answer = await self._ask_or_none(
            gateway,
            header,
            scope["method"],
            path,
            query=urlencode([(name, value) for name, value in query if name != "gateway"]),
            body=body.decode(errors="replace"),
        )
        if answer is None and named is None and scope["method"] == "GET":
            await self._app(
                scope, receive, send
            )  # the records may have it, and else there is no such call any more
            return
        await _send_answer(send, answer or _problem(502, f"gateway {gateway[:64]!r} is gone"))

    async def _gateway_of(self, method: str, path: str) -> str | None:
        """Return which other gateway has the call that a request is about; None: none, or it is about none."""
        assert self.cluster is not None
        if not path.startswith(_CALLS):
            return None
        call_id = unquote(path.removeprefix(_CALLS[0]).removeprefix(_CALLS[1]).partition("/")[0])
        if not call_id or len(call_id) > 128 or self.has(call_id):
            return None
        known = self.cluster.calls.elsewhere.where(call_id)
        if known is None and method == "GET":
            try:
                detail = await self._archive.detail(call_id)
            except RecordsUnavailable:
                detail = None
            if detail is not None and detail.call.phase is Phase.ENDED:
                return None  # the gateways share their records
        return known or await self.cluster.calls.where(call_id)

    def has(self, call_id: str) -> bool:
        """Return whether a call is here, or was until a while ago."""
        return self._switchboard.call(call_id) is not None or self._recent.find(call_id) is not None

    # ------------------------------------------------------------------ asking another gateway

    async def ask(
        self, gateway: str, header: Header, method: str, path: str, *, query: str = "", body: str = ""
    ) -> RelayedAnswer:
        answer = await self._ask_or_none(gateway, header, method, path, query=query, body=body)
        return answer or _problem(502, f"gateway {gateway[:64]!r} is gone")

    async def _ask_or_none(
        self, gateway: str, header: Header, method: str, path: str, *, query: str = "", body: str = ""
    ) -> RelayedAnswer | None:
        """Do as `ask`; None: that gateway is gone, and nothing was carried out."""
        other = next((one for one in self._there() if one.gateway == gateway), None)
        if self.cluster is None or other is None:
            return _problem(502, f"there is no gateway {gateway[:64]!r} in the cluster just now")
        if self._waiting >= MOST_WAITING:
            return _problem(503, "too many requests wait for other gateways: ask again", SOON)
        request = RelayedRequest(
            gateway=gateway,
            request_id=secrets.token_hex(16),
            sent_at=self._wall(),
            deadline_ms=round(RELAY_S * 1000),
            method=method,
            path=path[:1024],
            query=query[:2048],
            body=body,
            headers={name: value[:512] for name in _ASKED if (value := header(name)) is not None},
        )
        key = bearer_token(header)
        if key is not None:
            request = request.model_copy(update={"seal": self._seal.make(key, request.sealed())})
        self._waiting += 1
        try:
            answer = await self.cluster.request(request, RELAY_S + WAY_S)
        except GatewayGone:
            return None
        finally:
            self._waiting -= 1
        if answer is None:
            text = f"gateway {gateway!r} did not answer: whether the request was carried out is not known"
            return _problem(504, text)
        if answer.status in _NOT_KNOWN and method != "GET" and other.version != __version__:
            return _of_another_version(answer, other)
        return answer

    def _there(self) -> list[GatewayPresence]:
        return [] if self.cluster is None else self.cluster.others.there(asyncio.get_running_loop().time())

    # ------------------------------------------------------------------ answering another gateway

    async def carry_out(self, request: RelayedRequest) -> RelayedAnswer:
        """Carry out a request that came to another gateway."""
        if self.cluster is None or request.gateway != self.cluster.name:
            return _problem(502, "this request is for another gateway")
        key = self._seal.key_of(
            request.seal,
            request.sealed(),
            request_id=request.request_id,
            sent_at=request.sent_at,
            unix_now=self._wall(),
        )
        if key is None:
            text = (
                f"gateway {self.cluster.name!r} does not accept the API key:"
                " give all gateways the same api_keys, and set their clocks"
            )
            return _problem(403, text)
        if not request.path.startswith(_PATHS) or len(request.body.encode(errors="replace")) > BODY_LIMIT:
            return _problem(400, "this request is not one that gateways answer for each other")
        if request.path.startswith(_CALLS) and request.path.endswith("/recording"):
            text = (
                f"recordings do not travel: this one is at gateway {self.cluster.name!r}, {self.cluster.url}"
            )
            return _problem(409, text)
        if request.path.startswith("/api/chats/") and request.path.endswith("/events"):
            text = f"a chat is read at its own gateway: that is {self.cluster.name!r}, {self.cluster.url}"
            return _problem(409, text)
        try:
            async with asyncio.timeout(request.deadline_ms / 1000):
                return await self._run(request, key)
        except TimeoutError:
            return _problem(504, f"gateway {self.cluster.name!r} was not ready with the request in time")

    async def _run(self, request: RelayedRequest, key: str) -> RelayedAnswer:
        headers = {name: value for name, value in request.headers.items() if name in _ASKED}
        headers["host"] = "127.0.0.1"  # an open console answers to this machine only, and its cluster
        if key:
            headers["authorization"] = f"Bearer {key}"
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": request.path,
            "raw_path": request.path.encode(errors="replace"),
            "query_string": request.query.encode("latin-1", "replace"),
            "root_path": "",
            "headers": [(n.encode("latin-1"), v.encode("latin-1", "replace")) for n, v in headers.items()],
            "client": None,
            "server": None,
        }
        answer = CollectedAnswer()
        body = request.body.encode(errors="replace")
        await self._app(scope, answer.receive_of(body), answer.send)
        return RelayedAnswer(
            status=answer.status,
            headers={name: value for name, value in answer.headers.items() if name in _ANSWERED},
            body=answer.body.decode(errors="replace"),
        )


def _of_another_version(answer: RelayedAnswer, other: GatewayPresence) -> RelayedAnswer:
    """Return the refusal of a gateway of another version, which says that what it does not know may be newer."""
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("error"), str):
        return answer
    body["error"] += (
        f" (gateway {other.gateway!r}, which has the call, is of version {other.version or 'unknown'}, and the one that"
        f" was asked of {__version__}: what only one of them knows works when both have the same)"
    )
    return answer.model_copy(update={"body": json.dumps(body)})


def _problem(status: int, text: str, headers: Mapping[str, str] | None = None) -> RelayedAnswer:
    return RelayedAnswer(
        status=status,
        headers={"content-type": "application/json", **refusal_headers(status), **(headers or {})},
        body=json.dumps({"error": text}),
    )


async def _send_answer(send: Send, answer: RelayedAnswer) -> None:
    body = answer.body.encode(errors="replace")
    headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in answer.headers.items()]
    if answer.status != 204:
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body if answer.status != 204 else b""})
