"""The routes of all gateways: who is there, which calls are where, what the day was like, and the drain of agents.

A gateway that is alone answers them as a cluster of one.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Body, Path, Query, Request
from pydantic import ValidationError

from piopiy_pipeline.gateway.api.cluster_models import (
    AgentHome,
    AnsweredIn,
    CallElsewhere,
    ClusterCallList,
    ClusterInfo,
    ClusterTrends,
    DrainedAgents,
    DrainOrder,
    DrainState,
    GatewayInfo,
    TrendCounts,
)
from piopiy_pipeline.gateway.api.dependencies import SOON, ApiDependencies, ApiError, Deps, Operator, problems
from piopiy_pipeline.gateway.api.models import Switch
from piopiy_pipeline.gateway.cluster.console_messages import GatewayHealth
from piopiy_pipeline.gateway.cluster.directory_messages import GatewayPresence
from piopiy_pipeline.gateway.cluster.own_calls import entry_of
from piopiy_pipeline.gateway.cluster.own_health import MOST_TOLD, OwnHealth
from piopiy_pipeline.gateway.metrics.trends import BOUNDS_S, BUCKET_S, TrendBucket, merged, quantile

__all__ = ["router"]

router = APIRouter(tags=["cluster"], dependencies=[Operator])

_ON = Switch()

MOST_ASKED = 16
"""So many gateways are asked for their numbers at a time."""


@router.get("/api/drain", summary="Whether this gateway drains", responses=problems({}))
async def get_drain(deps: Deps) -> DrainState:
    """Whether this gateway takes new calls, and how many it has."""
    return DrainState(draining=deps.switchboard.drain.on, calls=deps.switchboard.call_count)


@router.post("/api/drain", summary="Drain this gateway", responses=problems({}))
async def drain_gateway(deps: Deps, switch: Annotated[Switch, Body()] = _ON) -> DrainState:
    """Take no new calls, or take them again. Calls in progress go on; in a cluster, agents find another home."""
    deps.switchboard.drain.switch(on=switch.on)
    return await get_drain(deps)


@router.get("/api/cluster", summary="All gateways and agents", responses=problems({}))
async def get_cluster(deps: Deps) -> ClusterInfo:
    """The gateways that this one knows, itself among them, and the agents at home at each. The first question makes the
    others tell how they are, and waits for that, 1.5 s at most: `whole` says whether all have.
    """
    health, cluster = _health(deps), deps.link.cluster
    whole = cluster is None or await cluster.calls.look_first()
    now = asyncio.get_running_loop().time()
    own = health.tell()
    gateways = [_gateway(health.name, own, 0.0, here=True)]
    agents = [
        AgentHome(agent_id=one, gateway=health.name, **his.model_dump()) for one, his in own.agents.items()
    ]
    if cluster is not None:
        others = cluster.others
        for one in others.there(now):
            their = cluster.calls.elsewhere.health(one.gateway)
            gateways.append(_gateway(one.gateway, their or one, others.heard_ago_s(one.gateway, now)))
            agents += _homes(one, their)
        gateways += [_gateway(one.gateway, one, ago_s, lost=True) for ago_s, one in others.lost(now)]
    return ClusterInfo(
        gateway=health.name,
        clustered=cluster is not None,
        problem="" if cluster is None else cluster.problem,
        whole=whole,
        gateways=sorted(gateways, key=lambda one: one.gateway),
        agents=sorted(agents, key=lambda one: (one.agent_id, one.gateway)),
        configured=list(deps.config.agents),
    )


def _health(deps: ApiDependencies) -> OwnHealth:
    if deps.link.health is None:
        raise ApiError(503, "this gateway has not begun to listen yet: ask again in a moment", SOON)
    return deps.link.health


def _gateway(
    name: str,
    one: GatewayHealth | GatewayPresence,
    heard_s: float,
    *,
    here: bool = False,
    lost: bool = False,
) -> GatewayInfo:
    health = one if isinstance(one, GatewayHealth) else None
    draining = health is not None and health.draining
    return GatewayInfo(
        gateway=name,
        here=here,
        state="lost" if lost else "draining" if draining else "serving",
        heard_s=round(heard_s, 1),
        url=one.url,
        version=one.version,
        started_at=None if health is None else health.started_at,
        calls=one.calls,
        max_calls=None if health is None else health.max_calls,
        busy=None if health is None else health.busy,
        dials=health is not None and health.dials,
        problems=[] if health is None else health.problems,
    )


def _homes(one: GatewayPresence, health: GatewayHealth | None) -> list[AgentHome]:
    known = {} if health is None else health.agents
    return [
        AgentHome(agent_id=agent_id, gateway=one.gateway, **his.model_dump())
        for agent_id, his in known.items()
    ] + [
        AgentHome(
            agent_id=agent_id,
            gateway=one.gateway,
            instances=places.instances,
            active=places.active,
            capacity=places.active + places.places,
        )
        for agent_id, places in one.agents.items()
        if agent_id not in known and (health is None or len(known) >= MOST_TOLD)  # else it has gone meanwhile
    ]


# ------------------------------------------------------------------ calls


@router.get("/api/cluster/calls", summary="Calls under way everywhere", responses=problems({}))
async def list_cluster_calls(
    deps: Deps,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 200,
    agent_id: Annotated[str | None, Query(max_length=128, description="Calls of this agent only.")] = None,
) -> ClusterCallList:
    """The calls under way at all gateways. The first question makes the others tell theirs: ask again in a second."""
    board, link, now = deps.switchboard, deps.link, asyncio.get_running_loop().time()
    unix_now, name = board.event_bus.wall(), _health(deps).name
    own = [call for call in board.calls if agent_id in (None, call.info.agent_id)]
    latest = heapq.nlargest(limit, own, key=lambda call: call.placed_at)
    found = [(name, entry_of(call, unix_now, now)) for call in latest]
    total, whole = len(own), True
    if link.cluster is not None:
        calls = link.cluster.calls
        calls.look()
        total += calls.elsewhere.count(agent_id)
        found += calls.elsewhere.latest(limit, agent_id)
        whole = calls.elsewhere.knows({one.gateway for one in link.cluster.others.there(now)})
    found.sort(key=lambda one: (one[1].placed_at, one[1].call_id), reverse=True)
    return ClusterCallList(
        calls=[CallElsewhere(gateway=gateway, **entry.model_dump()) for gateway, entry in found[:limit]],
        total=total,
        whole=whole,
    )


# ------------------------------------------------------------------ the day


@router.get("/api/cluster/trends", summary="The last day", responses=problems({}))
async def get_trends(
    request: Request,
    deps: Deps,
    hours: Annotated[float, Query(gt=0, le=24, description="How far back.")] = 24,
    own: Annotated[bool, Query(description="Of this gateway alone.")] = False,
) -> ClusterTrends:
    """How many calls there were, how they ended, and how fast bots answered, in ten minutes each, of all gateways."""
    since = deps.switchboard.event_bus.wall() - 3600 * hours
    buckets, name = deps.trends.buckets(since), _health(deps).name
    answered, several = [name], [buckets]
    missing: list[str] = []
    if not own and deps.link.cluster is not None:
        now = asyncio.get_running_loop().time()
        names = [one.gateway for one in deps.link.cluster.others.there(now)]
        for gateway, their in zip(names, await _their_trends(request, deps, names, hours), strict=True):
            (missing if their is None else answered).append(gateway)
            several.append(their or [])
    return ClusterTrends(
        bucket_s=BUCKET_S,
        bounds_s=list(BOUNDS_S),
        gateways=sorted(answered),
        missing=sorted(missing),
        counts=[_counts(one) for one in merged(several)],
    )


async def _their_trends(
    request: Request, deps: ApiDependencies, gateways: Sequence[str], hours: float
) -> list[list[TrendBucket] | None]:
    relay = deps.link.relay
    assert relay is not None, "the routes stand behind it"
    at_a_time = asyncio.Semaphore(MOST_ASKED)

    async def ask(gateway: str) -> list[TrendBucket] | None:
        async with at_a_time:
            answer = await relay.ask(
                gateway, request.headers.get, "GET", "/api/cluster/trends", query=f"own=true&hours={hours:g}"
            )
        if answer.status != 200:
            return None
        try:
            their = ClusterTrends.model_validate_json(answer.body)
        except ValidationError:
            return None
        return [_bucket(one) for one in their.counts] if their.bounds_s == list(BOUNDS_S) else None

    return list(await asyncio.gather(*(ask(gateway) for gateway in gateways)))


def _bucket(counts: TrendCounts) -> TrendBucket:
    bucket = TrendBucket(counts.at, counts.placed, counts.most, errors=counts.errors)
    bucket.ended.update(counts.ended)
    bucket.answers = counts.buckets
    return bucket


def _counts(one: TrendBucket) -> TrendCounts:
    answered = AnsweredIn(
        answers=sum(one.answers), p50_s=quantile(one.answers, 0.5), p95_s=quantile(one.answers, 0.95)
    )
    return TrendCounts(
        at=one.at,
        placed=one.placed,
        most=one.most,
        ended=dict(one.ended),
        errors=one.errors,
        voice_to_voice=answered,
        buckets=one.answers,
    )


# ------------------------------------------------------------------ agents


@router.post(
    "/api/agents/{agent_id}/drain",
    summary="Let instances take no new calls",
    responses=problems({404: "No such instance is at home at this gateway."}),
)
async def drain_agent(
    deps: Deps, agent_id: Annotated[str, Path(max_length=128)], order: DrainOrder
) -> DrainedAgents:
    """Let instances of an agent that are at home at this gateway take no new calls, or take them again. Calls in
    progress go on, and the process runs on. It holds while the gateway runs, over new connections of an instance, too;
    and its end is also for those that are not connected just now.
    """
    board = deps.switchboard
    meant = board.instances.hold_back(agent_id, on=order.on, instance_id=order.instance_id)
    if meant is None:
        who = f"agent {agent_id!r}" if order.instance_id is None else f"instance {order.instance_id!r}"
        raise ApiError(404, f"{who} is not at home at this gateway")
    board.resources.summoner.changed(agent_id)
    board.resources.waiting.look_again(agent_id, asyncio.get_running_loop().time())
    return DrainedAgents(
        gateway=_health(deps).name,
        instances=[one.instance_id for one in meant],
        active=sum(one.active for one in meant),
    )
