"""The routes where carriers ask what to do with a call. The answer makes them stream it to this gateway.

Tested with each carrier, in ``tests/gateway/carriers``.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from piopiy_pipeline.gateway.api.dependencies import SOON, ApiError, Deps, problems

__all__ = ["router"]

router = APIRouter(tags=["carriers"])

_DOCUMENT = {
    200: {
        "content": {"application/xml": {}, "application/json": {}},
        "description": "TwiML, TeXML, Plivo's XML, an NCCO, a PCMO, or an address: as the carrier wants it.",
    }
}
_ANSWERS = problems({404: "There is no such carrier or agent here."}) | _DOCUMENT
CarrierName = Annotated[str, Path(max_length=32)]


@router.get("/carrier/{carrier}/{agent_id}/answer", include_in_schema=False)
@router.post(
    "/carrier/{carrier}/{agent_id}/answer", summary="A carrier's call for an agent", responses=_ANSWERS
)
async def answer_for_agent(
    request: Request, deps: Deps, carrier: CarrierName, agent_id: Annotated[str, Path(max_length=128)]
) -> Response:
    """The document that makes the carrier stream a call to this gateway, with a ticket for this one call.

    The request has the carrier's own signature. Parameters after the ``?`` become metadata of the call.
    """
    return await _answer(request, deps, carrier, agent_id)


@router.get("/carrier/{carrier}/answer", include_in_schema=False)
@router.post(
    "/carrier/{carrier}/answer", summary="A carrier's call for its default agent", responses=_ANSWERS
)
async def answer_for_default(request: Request, deps: Deps, carrier: CarrierName) -> Response:
    """The same document, for the agent that the carrier's settings name."""
    return await _answer(request, deps, carrier, None)


async def _answer(request: Request, deps: Deps, carrier: str, agent_id: str | None) -> Response:
    if deps.carriers is None:
        raise ApiError(404, "this gateway takes no carriers' streams: it has no carriers")
    if deps.switchboard.drain.on:
        raise ApiError(503, deps.switchboard.drain.refusal, SOON)
    # The address exactly as it was sent, because the signature covers it.
    target = request.scope["raw_path"].decode("ascii")
    query = request.scope["query_string"].decode("latin-1")
    document = deps.carriers.answer(
        carrier,
        agent_id,
        request.method,
        f"{target}?{query}" if query else target,
        request.headers.get,
        await request.body(),
    )
    return Response(document.body, media_type=document.media_type)
