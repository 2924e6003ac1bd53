"""The API and the console as one ASGI application."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from piopiy_pipeline._version import __version__
from piopiy_pipeline.fault_text import fault_text
from piopiy_pipeline.gateway.access.access import AccessError
from piopiy_pipeline.gateway.api import (
    calls,
    carriers,
    chats,
    cluster,
    control,
    metrics,
    phones,
    prompts,
    transfers,
)
from piopiy_pipeline.gateway.api import pipecat_clients as clients
from piopiy_pipeline.gateway.api.dependencies import ApiDependencies, ApiError, add_routes
from piopiy_pipeline.gateway.api.idempotency import IdempotencyStore
from piopiy_pipeline.gateway.api.kept_chat import ChatShelf
from piopiy_pipeline.gateway.api.models import Hello, WatchedCall, WatchedEvent, WatchKey
from piopiy_pipeline.gateway.api.relay import ApiRelay
from piopiy_pipeline.gateway.api.request_limits import INTERNAL_ERROR, RequestLimits, refusal_headers
from piopiy_pipeline.gateway.api.rest_v3 import build_v3
from piopiy_pipeline.offload import offload

__all__ = ["WEB", "build_app"]

WEB = Path(__file__).parents[1] / "web"
"""The folder with the console's files."""

_PUBLISHED_NAMES = {"CandidatesAdded": "Added", "KeysOrder": "Keys", "StartedSession": "Session"}
"""Models whose classes have other names than their schemas, which clients may have been generated from."""
_WEBSOCKETS = ("/agent", "/call/", "/chat/", "/media/", "/carrier/", "/api/events")
_SUMMARY = "Calls of voice agents: begun, watched, controlled, looked up, and their recordings."
_EVENTS = """\
A WebSocket: what happens to calls, while it happens. The client's first message is a `WatchKey`, within 5
seconds; the answers are a `Hello`, a `WatchedCall` for each call under way, and from then on `WatchedCall` and
`WatchedEvent` as they happen. Closed with 1008 and a sentence where something is wrong."""


def build_app(deps: ApiDependencies) -> RequestLimits:
    """Return the ASGI application of one gateway."""
    app = FastAPI(
        title="piopiy gateway",
        version=__version__,
        summary=_SUMMARY,
        openapi_url=None,  # `_complete_openapi` adds it
        docs_url=None,  # those pages load their scripts from other hosts
        redoc_url=None,
    )
    app.state.deps = deps
    app.state.peer_owners = clients.PeerOwners()
    app.state.transfers = transfers.TransferLog(deps.switchboard.event_bus.wall)
    deps.switchboard.event_bus.subscribe(app.state.transfers.on_event)
    app.state.prompt_files = prompts.PromptFiles(deps.config.prompts_folder)
    app.state.idempotency = IdempotencyStore(deps.config.dials_per_minute, deps.records)
    app.state.chats = ChatShelf()
    for part in (
        clients,
        calls,
        control,
        chats,
        transfers,
        prompts,
        phones,
        cluster,
        carriers,
        metrics,
    ):
        add_routes(app, part.router)
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(AccessError, _api_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _failure)  # Starlette would answer in plain text
    relay = deps.link.relay = ApiRelay(app, deps)
    if deps.config.piopiy_rest:
        app.mount("/v3", build_v3(deps, relay))
    _complete_openapi(app)
    app.mount("/", StaticFiles(directory=WEB, html=True), name="console")
    pages = [] if deps.config.cluster is None else deps.config.cluster.page_origins
    return RequestLimits(relay, deps.access, deps.config.known_origins, pages)


def _problem(
    status: int, text: str, headers: dict[str, str] | None = None, request_id: str | None = None
) -> JSONResponse:
    more = {} if request_id is None else {"request_id": request_id}
    return JSONResponse({"error": text, **more}, status, {**refusal_headers(status), **(headers or {})})


async def _api_error(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, ApiError):
        return _problem(error.status, error.text, error.headers, error.request_id)
    assert isinstance(error, AccessError)
    return _problem(error.status, error.text)


async def _validation_error(_: Request, error: Exception) -> JSONResponse:
    """Answer with a sentence for each problem. What was sent is left out, because it may be a secret."""
    assert isinstance(error, RequestValidationError)
    lines = [_not_as_json(one) or fault_text(one) for one in error.errors()]
    return _problem(422, "; ".join(lines[:10]))


def _not_as_json(fault: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a body that is not said to be JSON. None: it is."""
    if tuple(fault["loc"]) == ("body",) and isinstance(fault.get("input"), bytes):
        return "body: expected JSON, and the header Content-Type: application/json"
    return None


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    text = str(error.detail)
    if error.status_code == 404:
        if request.url.path.startswith(_WEBSOCKETS):
            return _problem(426, f"at {request.url.path!r:.200} is a WebSocket", {"Upgrade": "websocket"})
        text = f"nothing is at {request.url.path!r:.200}: /openapi.json lists what there is"
    elif error.status_code == 405:
        text = f"{request.method} is not for {request.url.path!r:.200}: /openapi.json lists what there is"
    return _problem(error.status_code, text, dict(error.headers or {}))


async def _failure(_: Request, __: Exception) -> JSONResponse:
    return _problem(500, INTERNAL_ERROR)


def _complete_openapi(app: FastAPI) -> None:
    """Give models their published names, and describe the WebSocket of events, for which OpenAPI has no words."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = _with_published_names(generate())
            models = schema["components"]["schemas"]
            for model in (WatchKey, Hello, WatchedCall, WatchedEvent):
                own = model.model_json_schema(ref_template="#/components/schemas/{model}")
                models.update(own.pop("$defs", {}))
                models[model.__name__] = own
            schema["paths"]["/api/events"] = {
                "get": {
                    "tags": ["calls"],
                    "summary": "A WebSocket of events",
                    "description": _EVENTS,
                    "operationId": "watch_events",
                    "responses": {"101": {"description": "The connection is a WebSocket now."}},
                }
            }
            app.openapi_schema = schema
        return app.openapi_schema

    async def answer(_: Request) -> JSONResponse:
        # Half a second of work the first time, for which callers would wait.
        return JSONResponse(await offload(openapi))

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation extends it
    app.add_route("/openapi.json", answer, include_in_schema=False)


def _with_published_names(schema: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(schema)
    for name, published in _PUBLISHED_NAMES.items():
        text = text.replace(f'"#/components/schemas/{name}"', f'"#/components/schemas/{published}"')
    renamed: dict[str, Any] = json.loads(text)
    models = renamed["components"]["schemas"]
    for name, published in _PUBLISHED_NAMES.items():
        models[published] = models.pop(name) | {"title": published}
    renamed["components"]["schemas"] = dict(sorted(models.items()))
    return renamed
