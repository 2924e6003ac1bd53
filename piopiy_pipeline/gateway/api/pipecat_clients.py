"""The routes of clients: what the gateway offers, client tokens, and the WebRTC offers that begin a call.

Pipecat's client SDKs begin with ``/start`` and ``/sessions/{session_id}/api/offer`` when they know only the
address of a server. The gateway keeps no sessions: the id of a session is a client token.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Request, Security
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from piopiy_pipeline._version import __version__
from piopiy_pipeline.gateway.access.access import AccessError, bearer_token
from piopiy_pipeline.gateway.access.client_tokens import TokenClaims, TokenGrant, TokenRequest
from piopiy_pipeline.gateway.api.dependencies import (
    SOON,
    ApiDependencies,
    ApiError,
    Deps,
    KeyCheck,
    Operator,
    client_token,
    problems,
)
from piopiy_pipeline.gateway.api.models import AgentSummary, ServerInfo
from piopiy_pipeline.gateway.api.place_wait import wait_for_place
from piopiy_pipeline.gateway.config import GatewayConfig, IceServer
from piopiy_pipeline.gateway.core.gateway_drain import DRAINING
from piopiy_pipeline.gateway.core.snapshots import InstanceSnapshot
from piopiy_pipeline.gateway.port.router import GREETING
from piopiy_pipeline.gateway.records.models import RecordsUnavailable
from piopiy_pipeline.gateway.records.resumptions import TakenCheckpoint
from piopiy_pipeline.gateway.webrtc.browser_offers import (
    BrowserAnswer,
    BrowserCalls,
    BrowserCandidates,
    BrowserOffer,
    OfferRefused,
)

__all__ = ["router"]

OFFER_S = 15.0
"""How long the browser leg may take to answer an offer."""
MAX_NAMED = 5
"""So many silent or overloaded instances are named to the console, and of more how many there are."""
PEERS_KEPT = 10_000
"""How many peer connections are remembered with the token that began them."""

NOT_KEPT = "records or recordings of calls are being lost: the log and the console say why"
CUT_OFF = (
    "this gateway is cut off from its cluster, and goes on with the agents that it has: a NATS server: {}"
)
NOT_SHARED = (
    "what other gateways need to go on with calls of this one is not kept (JetStream): the log says why"
)
NOT_TOLD = "not everything reaches the other gateways of the cluster: the log and the console say why"
AT_ODDS = "the gateways of the cluster do not fit together: the log and the console say why"

router = APIRouter()
_TOO_FEW = {503: "Browsers' calls are not taken, or no more of them."}

ClientToken = Security(client_token)


class CandidatesAdded(BaseModel):
    """The response to candidates that were added."""

    status: str = "success"


class SessionRequest(BaseModel):
    """The request with which Pipecat's clients begin. Its other keys ask for other transports, and are
    ignored.
    """

    model_config = ConfigDict(extra="ignore")

    body: dict[str, Any] = Field(default_factory=dict)
    """`agent_id` names the agent; a gateway with one agent needs no name. All other keys become metadata."""


SessionBody = Annotated[SessionRequest | None, Body(title="Wish")]  # the published document has this title


class IceConfig(BaseModel):
    """ICE servers, named as in the W3C's RTCConfiguration."""

    iceServers: list[IceServer]  # the client's own name for it


class StartedSession(BaseModel):
    """The response that says where to send the offer: ``/sessions/{sessionId}/api/offer``."""

    sessionId: str
    iceConfig: IceConfig | None = None


# ------------------------------------------------------------------ the gateway itself


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", tags=["clients"], summary="Whether it lives", response_class=PlainTextResponse)
async def get_health(deps: Deps) -> str:
    """Whether the gateway is alive. Further lines say if it cannot keep records or recordings, does not reach its
    cluster, does not tell it everything, does not fit to it, or lacks its store: calls go on.
    """
    troubles = [NOT_KEPT] if deps.problems() else []
    if deps.switchboard.resources.summoner.problem:
        troubles.append(CUT_OFF.format(deps.switchboard.resources.summoner.cause))
    if deps.switchboard.resources.summoner.store_problems:
        troubles.append(NOT_SHARED)
    if deps.switchboard.resources.summoner.unsent:
        troubles.append(NOT_TOLD)
    if deps.switchboard.resources.summoner.at_odds:
        troubles.append(AT_ODDS)
    if deps.switchboard.drain.on:
        troubles.append(DRAINING)
    return "\n".join([GREETING, *troubles])


@router.get(
    "/readyz",
    tags=["clients"],
    summary="Whether it takes calls",
    response_class=PlainTextResponse,
    responses=problems({503: "It drains: calls go to another gateway."}),
)
async def get_readiness(deps: Deps) -> str:
    """Whether new calls may be sent to the gateway. One that drains lives, and does not take them."""
    if deps.switchboard.drain.on:
        raise ApiError(503, DRAINING)
    return "ready"


@router.get("/api/info", tags=["clients"], summary="What this gateway is", responses=problems({}))
async def get_info(request: Request, deps: Deps) -> ServerInfo:
    """Return what a page needs first. Operators get the agents, and clients with a token get the ICE servers."""
    key = KeyCheck(request, deps)
    operator = deps.access.is_operator(request.headers.get)
    may_call = operator or _may_call(request, deps, key)
    return ServerInfo(
        version=__version__,
        console=deps.config.console,
        authorized=operator,
        agents=_agents(deps) if operator else [],
        ice_servers=deps.config.ice_servers if may_call else [],
        pages=deps.config.cluster.pages if may_call and deps.config.cluster is not None else [],
        problems=[*deps.problems(), *_in_trouble(deps), *_cut_off(deps)] if operator else [],
    )


def _cut_off(deps: ApiDependencies) -> list[str]:
    summoner = deps.switchboard.resources.summoner
    return [
        one
        for one in (summoner.problem, *summoner.store_problems, *summoner.unsent, *summoner.at_odds)
        if one
    ]


def _agents(deps: ApiDependencies) -> list[AgentSummary]:
    instances, summoner = deps.switchboard.snapshot().instances, deps.switchboard.resources.summoner
    return [
        _summary(
            agent_id, [one for one in instances if one.agent_id == agent_id], summoner.elsewhere(agent_id)
        )
        for agent_id in deps.config.agents
    ]


def _summary(agent_id: str, instances: Sequence[InstanceSnapshot], elsewhere: int) -> AgentSummary:
    loads = [one.load for one in instances if one.load is not None]
    return AgentSummary(
        agent_id=agent_id,
        instances=len(instances),
        elsewhere=elsewhere,
        silent=sum(1 for one in instances if one.silent),
        overloaded=sum(load.takes != "all" for load in loads),
        active=sum(one.active for one in instances),
        capacity=sum(one.capacity for one in instances),
        busy=round(sum(load.busy for load in loads) / len(loads), 3) if loads else None,
        lag_p95_ms=max((load.lag_p95_ms for load in loads), default=None),
    )


def _in_trouble(deps: ApiDependencies) -> list[str]:
    """Return a sentence for each instance that is silent or overloaded, a few at most."""
    instances = deps.switchboard.snapshot().instances
    said = [
        f"Agent {one.agent_id}: instance {one.instance_id} is silent: {one.silent}."
        for one in instances
        if one.silent
    ]
    said += [
        f"Agent {one.agent_id}: instance {one.instance_id} takes no new calls beside its {one.active}: {one.load.why}."
        for one in instances
        if not one.silent and one.load is not None and one.load.takes != "all"
    ]
    more = len(said) - MAX_NAMED
    return said if more <= 0 else [*said[:MAX_NAMED], f"And so it is with {more} more instances."]


def _may_call(request: Request, deps: ApiDependencies, key: KeyCheck) -> bool:
    try:
        deps.tokens.check_fresh(_claims(request, deps, key))
    except AccessError:
        return False
    return True


def _claims(request: Request, deps: ApiDependencies, key: KeyCheck) -> TokenClaims:
    """Return the claims of the client token in the header. Raises `AccessError`, and counts a wrong token."""
    try:
        return deps.tokens.verify(bearer_token(request.headers.get))
    except AccessError:
        key.wrong()
        raise


# ------------------------------------------------------------------ tokens


@router.post(
    "/api/tokens",
    tags=["clients"],
    summary="A client token",
    dependencies=[Operator],
    responses=problems({404: "There is no such agent."}),
)
async def make_token(deps: Deps, token_request: TokenRequest) -> TokenGrant:
    """A token with which a browser or an app can call one agent until it expires. For the servers of operators."""
    return deps.tokens.grant(token_request)


@router.post(
    "/start",
    tags=["pipecat"],
    summary="Begin a session",
    response_model_exclude_none=True,
    responses=problems({404: "There is no such agent."}),
)
async def start_session(
    request: Request, deps: Deps, session: SessionBody = None, _: Any = ClientToken
) -> StartedSession:
    """Begin a session of Pipecat's clients. With a client token it is that token's session; operators need no
    token.
    """
    key = KeyCheck(request, deps)
    if deps.access.is_operator(request.headers.get):
        token = deps.tokens.grant(_token_request(deps.config, session.body if session else {})).token
    else:
        deps.tokens.check_fresh(_claims(request, deps, key))
        token = bearer_token(request.headers.get) or ""
    servers = deps.config.ice_servers
    return StartedSession(sessionId=token, iceConfig=IceConfig(iceServers=servers) if servers else None)


def _token_request(config: GatewayConfig, body: dict[str, Any]) -> TokenRequest:
    metadata = dict(body)
    agent_id = metadata.pop("agent_id", None)
    if agent_id is None and len(config.agents) == 1:
        (agent_id,) = config.agents
    if not isinstance(agent_id, str) or agent_id not in config.agents:
        raise ApiError(404, f"body.agent_id: name one of this gateway's agents, not {agent_id!r:.200}")
    return TokenRequest(agent_id=agent_id, metadata=metadata or None)


# ------------------------------------------------------------------ offers


class PeerOwners:
    """Keeps which token began which peer connection: no other token may renegotiate it or add candidates."""

    def __init__(self) -> None:
        self._token_ids: OrderedDict[str, str] = OrderedDict()

    def add(self, pc_id: str, caller: TokenClaims) -> None:
        self._token_ids[pc_id] = caller.token_id
        self._token_ids.move_to_end(pc_id)
        if len(self._token_ids) > PEERS_KEPT:
            self._token_ids.popitem(last=False)

    def knows(self, pc_id: str) -> bool:
        return pc_id in self._token_ids

    def check(self, pc_id: str, caller: TokenClaims) -> None:
        """Raise `AccessError` unless this caller's token began the peer connection."""
        if self._token_ids.get(pc_id) != caller.token_id:
            raise AccessError(403, "this peer connection was begun with another client token")


_offer_problems = problems(
    {
        400: "The session description cannot be used.",
        410: "There is no conversation to go on with for this `resume_token`.",
        504: "The browser leg did not answer in time.",
    }
    | _TOO_FEW
)
_candidate_problems = problems({404: "There is no such peer connection."} | _TOO_FEW)
AgentId = Annotated[
    str | None,
    Query(max_length=128, description="The agent that is meant: refused if the token is another's."),
]
SessionId = Annotated[str, Path(description="From POST /start.", max_length=16_000)]


@router.post(
    "/api/offer",
    tags=["clients"],
    summary="Begin a call from a browser",
    response_model_exclude_none=True,
    responses=_offer_problems,
)
async def offer(
    request: Request, deps: Deps, offered: BrowserOffer, agent_id: AgentId = None, _: Any = ClientToken
) -> BrowserAnswer:
    """The offer of a small-WebRTC client, with a client token. With `pc_id` it renegotiates the same call."""
    return await _answer(request, deps, bearer_token(request.headers.get), offered, agent_id)


@router.patch(
    "/api/offer", tags=["clients"], summary="Add trickled candidates", responses=_candidate_problems
)
async def add_candidates(
    request: Request, deps: Deps, added: BrowserCandidates, _: Any = ClientToken
) -> CandidatesAdded:
    """More ICE candidates of a small-WebRTC client, with the token of its offer."""
    return await _add(request, deps, bearer_token(request.headers.get), added)


@router.post(
    "/sessions/{session_id}/api/offer",
    tags=["pipecat"],
    summary="Begin a call in a session",
    response_model_exclude_none=True,
    responses=_offer_problems,
)
async def session_offer(
    request: Request, deps: Deps, session_id: SessionId, offered: BrowserOffer
) -> BrowserAnswer:
    """Do as ``POST /api/offer`` does, with the session instead of a token."""
    return await _answer(request, deps, session_id, offered, None)


@router.patch(
    "/sessions/{session_id}/api/offer",
    tags=["pipecat"],
    summary="Add trickled candidates in a session",
    responses=_candidate_problems,
)
async def session_candidates(
    request: Request, deps: Deps, session_id: SessionId, added: BrowserCandidates
) -> CandidatesAdded:
    """Do as ``PATCH /api/offer`` does, with the session instead of a token."""
    return await _add(request, deps, session_id, added)


async def _answer(
    request: Request, deps: ApiDependencies, token: str | None, offered: BrowserOffer, agent_id: str | None
) -> BrowserAnswer:
    caller = deps.tokens.verify(token, agent_id=agent_id)
    owners: PeerOwners = request.app.state.peer_owners
    if offered.pc_id is not None and owners.knows(offered.pc_id):
        owners.check(offered.pc_id, caller)  # a call in progress may outlast its token
    else:
        deps.tokens.check_fresh(caller)
        if offered.pc_id is not None and offered.resume_token is not None:
            raise ApiError(
                410, "this gateway does not know that connection: make a new one to resume the call"
            )
        # A gateway that was started again does not know the client's old connection: this is a new call.
        offered = offered.model_copy(update={"pc_id": None, "restart_pc": None})
        if deps.switchboard.drain.on:
            raise ApiError(503, deps.switchboard.drain.refusal, SOON)
    if offered.pc_id is None and offered.resume_token is not None:
        taken = await _take_checkpoint(deps, offered.resume_token, caller)
        try:
            async with _browser_leg(deps, "did not answer the offer") as leg:
                answer = await leg.offer(offered, caller, taken.state, taken.put_back)
        except BaseException:  # also when the HTTP request was cancelled
            taken.put_back()
            raise
    else:
        async with _browser_leg(deps, "did not answer the offer") as leg:
            answer = await leg.offer(offered, caller)
    owners.add(answer.pc_id, caller)
    if offered.pc_id is None and answer.call_id is not None and deps.resumptions is not None:
        token = deps.resumptions.grant(answer.call_id, agent_id=caller.agent_id, identity=caller.identity)
        return answer.model_copy(update={"resume_token": token})
    return answer


async def _take_checkpoint(deps: ApiDependencies, token: str, caller: TokenClaims) -> TakenCheckpoint:
    """Return the checkpoint that a resume token is for. Raises `ApiError`, 503 if it can still be used later."""
    board = deps.switchboard
    if deps.browser is not None:
        await wait_for_place(board, caller.agent_id)
    somebody = board.instances.any_free(caller.agent_id) or board.resources.summoner.has_place(
        caller.agent_id
    )
    if deps.browser is None or not somebody:
        text = "nobody can go on with the conversation yet: ask again in a moment"
        raise ApiError(503, text, SOON)
    if deps.resumptions is not None:
        try:
            taken = await deps.resumptions.take(token, agent_id=caller.agent_id, identity=caller.identity)
        except RecordsUnavailable as error:
            text = f"whether there is a conversation to go on with is not known now: {error}"
            raise ApiError(503, text, SOON) from None
        if taken is not None:
            return taken
    raise ApiError(410, "there is no conversation to go on with for this resume_token: begin a new call")


async def _add(
    request: Request, deps: ApiDependencies, token: str | None, added: BrowserCandidates
) -> CandidatesAdded:
    caller = deps.tokens.verify(token)
    owners: PeerOwners = request.app.state.peer_owners
    if not owners.knows(added.pc_id):
        raise ApiError(404, f"there is no peer connection {added.pc_id!r}")
    owners.check(added.pc_id, caller)
    async with _browser_leg(deps, "took no candidates") as leg:
        await leg.candidates(added.pc_id, added.candidates)
    return CandidatesAdded()


@asynccontextmanager
async def _browser_leg(deps: ApiDependencies, what_if_late: str) -> AsyncIterator[BrowserCalls]:
    """The browser leg, for one request. Its refusals, and an answer that comes too late, are raised as `ApiError`."""
    if deps.browser is None:
        raise ApiError(503, "this gateway takes no calls from browsers: webrtc_workers is 0")
    try:
        async with asyncio.timeout(OFFER_S):
            yield deps.browser
    except OfferRefused as refused:
        raise ApiError(refused.status, refused.text, SOON if refused.status == 503 else {}) from None
    except TimeoutError:
        raise ApiError(504, f"the browser leg {what_if_late} within {OFFER_S:g} s") from None
