"""``/v3``: a facade of Piopiy's REST API, for its clients and for programs that were written with them.

It is a translator and no more: each request becomes one of our own API, which is carried out as if it had come over
the wire, with the same keys, limits, idempotency keys and, in a cluster, at the gateway that has the call. What a
client may do is what our API lets it do. Answers have the words that Piopiy's clients read (`call_id`, `request_id`,
`status`, `error`); Piopiy has published no schema of them. Errors are those of `rest_v3_error`.

Tested in ``tests/gateway/api/test_rest_v3.py`` and, with Piopiy's own clients and a telephone, in
``tests/piopiy/test_rest_clients.py``.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Body, FastAPI, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from piopiy_pipeline.fault_text import fault_text
from piopiy_pipeline.gateway.access.access import AccessError
from piopiy_pipeline.gateway.api.collected_answer import CollectedAnswer
from piopiy_pipeline.gateway.api.dependencies import (
    SOON,
    ApiDependencies,
    Deps,
    OperatorWithAnyToken,
    add_routes,
)
from piopiy_pipeline.gateway.api.models import Model
from piopiy_pipeline.gateway.api.placed_once import KEY_HEADER
from piopiy_pipeline.gateway.api.request_limits import INTERNAL_ERROR, App, refusal_headers
from piopiy_pipeline.gateway.api.rest_v3_error import BadOrder, NotHere, v3_error
from piopiy_pipeline.gateway.api.rest_v3_meaning import (
    AgentCalls,
    Transfers,
    call_of,
    calls_of,
    transfer_of,
    transfers_of,
)
from piopiy_pipeline.gateway.api.rest_v3_models import (
    AiCallBody,
    BlindTransferBody,
    FlowCallBody,
    HangupBody,
    LegHangupBody,
    PcmoCallBody,
    PcmoTransferBody,
    TransferBody,
)

__all__ = ["ANSWER_S", "build_v3"]

ANSWER_S = 8.0
"""An order to call somebody is answered within so many seconds: Piopiy's client waits for 10, and then asks again,
which would dial again.
"""

_NOT_SENT_ON = frozenset({"content-length", "content-type", "transfer-encoding"})
_REASONS = {"declined": "rejected", "refused": "call_barred", "failed": "network_error"}
"""Outcomes of a transfer that Piopiy has another word for."""

router = APIRouter(dependencies=[OperatorWithAnyToken])

_NO_CAUSE = LegHangupBody()

CallPath = Annotated[str, Path(max_length=128)]


class Refusal(Exception):
    """Answers a request of ``/v3`` with an error.

    Args:
        status: The HTTP status.
        code: A word for programs.
        text: A sentence that says what was wrong and what to do.
        more: Further keys of the answer.
        headers: Further headers.
    """

    def __init__(
        self,
        status: int,
        code: str,
        text: str,
        *,
        more: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.body = v3_error(status, text, code, more)
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """What our own API has answered."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        return str(self.body.get("error", ""))


def content_of(order: Model) -> bytes:
    """Return an order for our own API as JSON, without what is the default: another gateway of the cluster may be of an
    older version, and refuse the name of what it does not know.
    """
    return order.model_dump_json(by_alias=True, exclude_defaults=True).encode()


async def _own(request: Request, method: str, path: str, body: Model | None = None) -> OwnAnswer:
    """Ask our own API, as whoever has sent `request`. Raises `Refusal` for what is wrong in any of its routes."""
    own: App = request.app.state.own
    content = b"" if body is None else content_of(body)
    deps: ApiDependencies = request.app.state.deps
    left_out = _NOT_SENT_ON | ({"authorization"} if deps.access.is_open_to(request.headers.get) else set())
    headers = [pair for pair in request.scope["headers"] if pair[0].decode("latin-1").lower() not in left_out]
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": request.scope["scheme"],
        "path": path,
        "raw_path": quote(path).encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [*headers, (b"content-type", b"application/json")],
        "client": request.scope.get("client"),
        "server": request.scope.get("server"),
    }
    collected = CollectedAnswer()
    await own(scope, collected.receive_of(content), collected.send)
    content_back = json.loads(collected.body) if collected.body else {}
    answer = OwnAnswer(collected.status, content_back, collected.headers)
    if answer.status in (401, 403):
        raise Refusal(answer.status, "unauthorized" if answer.status == 401 else "forbidden", answer.text)
    if answer.status == 429:
        raise Refusal(429, "rate_limited", answer.text, headers=answer.headers)
    if answer.status in (500, 502, 504):
        raise Refusal(answer.status, "gateway_error", answer.text)
    return answer


# ------------------------------------------------------------------ calls


@router.post("/voice/ai/call")
@router.post("/voice/agent/call")
async def ai_call(deps: Deps, request: Request, body: AiCallBody) -> dict[str, Any]:
    """Call somebody with an agent."""
    return await _call(deps, request, call_of(body, deps.knows))


@router.post("/voice/pcmo/call")
async def pcmo_call(deps: Deps, request: Request, body: PcmoCallBody) -> dict[str, Any]:
    """Call somebody, and connect them with the first agent that has a place."""
    # Whether a receiver is gone meanwhile is asked behind the idempotency key, where a repeated order is answered.
    return await _call(deps, request, calls_of(body, deps.knows, deps.unknown_receiver_because))


@router.post("/voice/flow/call")
async def flow_call(_: FlowCallBody) -> None:
    """Say that flows are made in Piopiy's cloud."""
    raise NotHere("flow_id: flows of Piopiy's dashboard run in its cloud; call with an agent: /voice/ai/call")


async def _call(deps: ApiDependencies, request: Request, calls: AgentCalls) -> dict[str, Any]:
    answer: OwnAnswer | None = None
    agent_id = ""
    for order in calls.tries:
        agent_id = order.agent_id or ""
        answer = None
        try:
            async with asyncio.timeout(
                ANSWER_S / len(calls.tries)
            ):  # nobody is dialled before a place is found
                answer = await _own(request, "POST", "/api/calls", order)
        except TimeoutError:
            continue
        about_key = answer.text.startswith(f"{KEY_HEADER}:")
        if answer.status == 503 and about_key:  # whether somebody was dialled is not known
            raise Refusal(503, "gateway_error", answer.text, headers=answer.headers)
        used_for_another = (
            answer.status == 422 and about_key
        )  # which may be the next: that agent was free then
        if answer.status not in (404, 503) and not used_for_another:
            break
    if answer is not None and answer.status == 201:
        call_id = answer.body["call_id"]
        return _with_warnings(
            {"message": "queued", "call_id": call_id, "request_id": call_id}, calls.warnings
        )
    if answer is None or answer.status == 503:
        if agent_id and not _runs(deps, agent_id):
            text = answer.text if answer is not None else f"no instance of agent {agent_id!r} is connected"
            raise Refusal(403, "ai_agent_not_running", text)
        if answer is None:
            raise Refusal(503, "at_capacity", "no instance has a place", headers=SOON)
        raise Refusal(503, "at_capacity", answer.text, headers=answer.headers)
    codes = {404: "ai_agent_not_found", 409: "not_possible", 422: "invalid_request"}
    raise Refusal(answer.status, codes.get(answer.status, "refused"), answer.text)


def _runs(deps: ApiDependencies, agent_id: str) -> bool:
    """Return whether an agent can be asked again: here, at another gateway, or when this one drains no more."""
    board = deps.switchboard
    return bool(
        board.drain.on or board.instances.of(agent_id) or board.resources.summoner.elsewhere(agent_id)
    )


# ------------------------------------------------------------------ a call under way


@router.post("/voice/call/hangup")
@router.post("/voice/ai/hangup")  # of older clients
async def hang_up(request: Request, body: HangupBody) -> dict[str, Any]:
    """End a call."""
    return await _hang_up(request, body.call_id, body.cause, body.reason)


@router.post("/calls/{call_id}/actions/hangup")
async def hang_up_leg(
    request: Request, call_id: CallPath, body: Annotated[LegHangupBody, Body()] = _NO_CAUSE
) -> dict[str, Any]:
    """End a call, in the words of generation 2."""
    return await _hang_up(request, call_id, body.cause, body.reason)


class _HangupDetail(Model):
    detail: str


async def _hang_up(request: Request, call_id: str, cause: str, reason: str | None) -> dict[str, Any]:
    detail = f"hung up over the API: {cause}" + (f", {reason}" if reason else "")
    await _ask_of_call(request, call_id, "hangup", _HangupDetail(detail=detail))
    return {"message": "hung_up", "call_id": call_id, "request_id": secrets.token_hex(8)}


@router.post("/voice/pcmo/transfer")
async def pcmo_transfer(deps: Deps, request: Request, body: PcmoTransferBody) -> dict[str, Any]:
    """Hand the caller over at once, or end the call."""
    return await _transfer(
        request, body.call_id, transfers_of(body.pipeline, deps.knows, deps.no_receiver_because)
    )


@router.post("/calls/{call_id}/actions/transfer")
async def transfer_leg(
    deps: Deps, request: Request, call_id: CallPath, body: dict[str, Any]
) -> dict[str, Any]:
    """Hand the caller over when somebody has answered, or, with a pipeline, at once."""
    try:  # which of the two it is, one field says: what is wrong is told of that one
        if "pipeline" in body:
            blind = BlindTransferBody.model_validate(body)
            return await _transfer(
                request, call_id, transfers_of(blind.pipeline, deps.knows, deps.no_receiver_because)
            )
        warm = TransferBody.model_validate(body)
    except ValidationError as error:
        raise RequestValidationError(
            [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
        ) from None
    return await _transfer(request, call_id, transfer_of(warm, deps.knows))


async def _transfer(request: Request, call_id: str, wanted: Transfers) -> dict[str, Any]:
    order = wanted.prompt_order() if wanted.prompts else None
    if wanted.record:
        await _ask_of_call(request, call_id, "record")
    if order is not None:
        answer = await _ask_of_call(request, call_id, "prompts", order)
    elif wanted.order is None:
        return _with_warnings(await _hang_up(request, call_id, "NORMAL_CLEARING", None), wanted.warnings)
    else:
        answer = await _ask_of_call(request, call_id, "transfer", wanted.order)
    request_id = f"{call_id}-{answer.body['request_id']}"
    return _with_warnings(
        {"message": "queued", "call_id": call_id, "request_id": request_id}, wanted.warnings
    )


@router.post("/calls/{call_id}/actions/hold")
async def hold(request: Request, call_id: CallPath) -> dict[str, Any]:
    """Hold the caller."""
    return await _hold(request, call_id, on=True)


@router.post("/calls/{call_id}/actions/unhold")
async def unhold(request: Request, call_id: CallPath) -> dict[str, Any]:
    """End that."""
    return await _hold(request, call_id, on=False)


class _Switched(Model):
    on: bool


async def _hold(request: Request, call_id: str, *, on: bool) -> dict[str, Any]:
    await _ask_of_call(request, call_id, "hold", _Switched(on=on))
    message = "held" if on else "resumed"
    return {"message": message, "call_id": call_id, "request_id": secrets.token_hex(8)}


async def _ask_of_call(request: Request, call_id: str, what: str, body: Model | None = None) -> OwnAnswer:
    """Have our API do something with a call. Raises `Refusal` if it does not."""
    answer = await _own(request, "POST", f"/api/calls/{call_id}/{what}", body)
    if answer.status < 300:
        return answer
    running = answer.body.get("request_id")
    if running is not None:
        more = {"request_id": f"{call_id}-{running}", "call_id": call_id}
        raise Refusal(409, "transfer_in_progress", answer.text, more=more)
    codes = {404: "call_not_found", 409: "call_not_active", 422: "invalid_request"}
    raise Refusal(answer.status, codes.get(answer.status, "refused"), answer.text)


# ------------------------------------------------------------------ looking


@router.get("/calls/{call_id}")
async def get_call(request: Request, call_id: CallPath) -> dict[str, Any]:
    """Say how a call stands. One that is over is not there any more."""
    answer = await _own(request, "GET", f"/api/calls/{call_id}")
    if answer.status == 503:
        raise Refusal(503, "gateway_error", answer.text, headers=answer.headers)
    call = answer.body.get("call", {})
    if answer.status != 200 or call["phase"] == "ended":
        raise Refusal(404, "call_not_found", f"no call {call_id!r} is under way")
    return {
        "call_id": call_id,
        "status": call["phase"],
        "agent_id": call["agent_id"],
        "from_number": call["from_number"],
        "to_number": call["to_number"],
        "duration_sec": call["duration_s"],
        "variables": call["metadata"],
    }


@router.get("/transfers/{request_id}")
async def get_transfer(request: Request, request_id: Annotated[str, Path(max_length=200)]) -> dict[str, Any]:
    """Say how a transfer stands: `queued` while it rings, then `completed` or `failed`."""
    call_id, _, ticket = request_id.rpartition("-")
    answer = await _own(request, "GET", f"/api/calls/{call_id}/transfers/{ticket}")
    if answer.status == 503:
        raise Refusal(503, "gateway_error", answer.text, headers=answer.headers)
    if answer.status != 200:
        raise Refusal(404, "transfer_not_found", f"there is no transfer {request_id!r}, or it is forgotten")
    outcome = answer.body["outcome"]
    names = {"request_id": request_id, "call_id": call_id}
    if outcome is None:
        return {**names, "status": "queued"}
    if outcome == "bridged":
        return {**names, "status": "completed"}
    return {
        **names,
        "status": "failed",
        "reason": _REASONS.get(outcome, outcome),
        "message": answer.body["detail"],
    }


def _with_warnings(answer: dict[str, Any], warnings: list[str]) -> dict[str, Any]:
    return {**answer, "warnings": warnings} if warnings else answer


# ------------------------------------------------------------------ the application


def build_v3(deps: ApiDependencies, own: App) -> FastAPI:
    """Return the application of ``/v3``.

    Args:
        deps: The objects of the gateway.
        own: Our own API, as requests reach it that have passed the limits.
    """
    app = FastAPI(title="Piopiy's REST API, generation 3", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.deps = deps
    app.state.own = own
    add_routes(app, router)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(NotHere, _not_here)
    app.add_exception_handler(BadOrder, _bad_order)
    app.add_exception_handler(AccessError, _no_access)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _failure)
    return app


def _answer(status: int, code: str, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(v3_error(status, text, code), status, headers)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    headers = {name: value for name, value in error.headers.items() if name.lower() == "retry-after"}
    return JSONResponse(error.body, error.status, headers)


async def _not_here(_: Request, error: Exception) -> JSONResponse:
    return _answer(422, "not_supported", str(error))


async def _bad_order(_: Request, error: Exception) -> JSONResponse:
    return _answer(422, "invalid_request", str(error))


async def _no_access(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AccessError)
    return JSONResponse(v3_error(error.status, error.text), error.status, refusal_headers(error.status))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """Answer with a sentence for each problem. What was sent is left out, because it may be a secret."""
    assert isinstance(error, RequestValidationError)
    return _answer(422, "invalid_request", "; ".join([fault_text(one) for one in error.errors()][:10]))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code in (404, 405):
        text = f"{request.method} {request.url.path!r:.200} is nothing that /v3 has here: see docs/api.md"
        return _answer(error.status_code, "not_found", text)
    return _answer(error.status_code, "invalid_request", str(error.detail), dict(error.headers or {}))


async def _failure(_: Request, __: Exception) -> JSONResponse:
    return _answer(500, "gateway_error", INTERNAL_ERROR)
