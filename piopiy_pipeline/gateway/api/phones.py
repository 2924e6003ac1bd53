"""The route of telephones: which are registered, which trunks are connected, and what the SIP port has counted."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from fastapi import APIRouter

from piopiy_pipeline.gateway.api.dependencies import SOON, ApiError, Deps, Operator, problems
from piopiy_pipeline.gateway.api.models import Model
from piopiy_pipeline.gateway.core.dialling import NoDialler

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.phones.phones import Phones

__all__ = ["PhonesInfo", "TrunkInfo", "router"]

router = APIRouter(tags=["phones"], dependencies=[Operator])


class TrunkInfo(Model):
    """A trunk. `registered` is None if the configuration asks for no registration there."""

    name: str
    host: str
    registered: bool | None


class PhonesInfo(Model):
    """The telephones and trunks as they are now. `seen` counts since the start of the gateway."""

    port: int
    tls_port: int | None
    registered: list[str]
    """The users whose phone is registered."""
    trunks: list[TrunkInfo]
    calls: int
    connections: int
    seen: dict[str, int]
    """Counts of messages, calls, wrong passwords, unknown numbers and dropped packets: see `gateway.sip`."""


@router.get(
    "/api/phones",
    summary="The telephone side",
    responses=problems({404: "This gateway has no telephones.", 503: "They are not open yet, or no more."}),
)
async def get_phones(deps: Deps) -> PhonesInfo:
    """Which phones are registered, with which trunks this gateway is registered, and counters for the operator."""
    config = deps.config.sip
    if config is None:
        raise ApiError(404, "this gateway has no telephones: it has no sip section")
    dialler = deps.switchboard.resources.dialler
    endpoint = None if isinstance(dialler, NoDialler) else cast("Phones", dialler).endpoint
    if endpoint is None:
        raise ApiError(503, "the telephones are not open just now", SOON)
    registrations = endpoint.registrations
    return PhonesInfo(
        port=endpoint.port,
        tls_port=endpoint.tls_port or None,
        registered=[user for user in config.users if endpoint.registered(user)],
        trunks=[
            TrunkInfo(name=name, host=trunk.host, registered=registrations.get(name))
            for name, trunk in config.trunks.items()
        ],
        calls=sum(1 for call in endpoint.calls if not call.ended),
        connections=endpoint.connections,
        seen=asdict(endpoint.stats),
    )
