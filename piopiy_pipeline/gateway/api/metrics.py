"""The route of the gateway's numbers, for Prometheus.

It stands on the one port, because that is where a gateway is reached. It is for operators, by an API key like all that
they may see; and without a key for `metrics_networks`, so that an API key, which can end calls and read what was said,
need not lie on the machine that scrapes. The address that counts is the peer's own: what a proxy says is not believed.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from piopiy_pipeline.gateway.access.networks import in_networks, parse_network
from piopiy_pipeline.gateway.api.dependencies import SOON, ApiError, Deps, check_operator, problems
from piopiy_pipeline.metrics.registry import CONTENT_TYPE

__all__ = ["router"]

router = APIRouter(tags=["metrics"])


@router.get(
    "/metrics",
    summary="Numbers for Prometheus",
    response_class=PlainTextResponse,
    responses=problems({503: "The gateway is not open yet."}),
)
async def get_metrics(request: Request, deps: Deps) -> Response:
    """Everything that this gateway counts, in Prometheus' text format. It needs an API key, but not from
    `metrics_networks`.
    """
    host = request.client.host if request.client else ""
    if not in_networks(host, [parse_network(text) for text in deps.config.metrics_networks]):
        check_operator(request, deps)
    if deps.metrics is None:
        raise ApiError(503, "this gateway counts nothing yet: ask again when it is open", SOON)
    return Response(deps.metrics.render(), media_type=CONTENT_TYPE)
