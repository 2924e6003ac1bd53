"""The routes of clients: what there is to call, tokens to call it with, and the offers that begin a call.

``/start`` and ``/sessions/{session_id}/api/offer`` are how Pipecat's client SDKs begin with a server that
they do not know yet. A session is nothing that is kept here: its id is the client token.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Security
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from piopiy_pipeline._version import __version__
from piopiy_pipeline.gateway.access.access import AccessError, bearer_token
from piopiy_pipeline.gateway.access.client_tokens import TokenClaims, TokenGrant, TokenRequest
from piopiy_pipeline.gateway.api.dependencies import (
    ApiDependencies,
    ApiError,
    KeyCheck,
    Operator,
    Parts,
    client_token,
    problems,
)
from piopiy_pipeline.gateway.api.models import AgentSummary, ServerInfo
from piopiy_pipeline.gateway.config import GatewayConfig, IceServer
from piopiy_pipeline.gateway.port.router import GREETING
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
PEERS_KEPT = 10_000
"""Of so many peer connections it is remembered which token began them."""

router = APIRouter()
_TOO_FEW = {503: "Browsers' calls are not taken, or no more of them."}

ClientToken = Security(client_token)


class CandidatesAdded(BaseModel):
    """Candidates were taken."""

    status: str = "success"


class SessionRequest(BaseModel):
    """What Pipecat's clients send to begin; of its other keys, which ask for other transports, none counts."""

    model_config = ConfigDict(extra="ignore")

    body: dict[str, Any] = Field(default_factory=dict)
    """`agent_id` names the agent, which a gateway of one agent need not be told. All else is metadata."""


class IceConfig(BaseModel):
    """As the W3C's RTCConfiguration names them."""

    iceServers: list[IceServer]  # the name is the client's


class StartedSession(BaseModel):
    """Where to send the offer: ``/sessions/{sessionId}/api/offer``."""

    sessionId: str
    iceConfig: IceConfig | None = None


# ------------------------------------------------------------------ what there is


@router.get("/healthz", tags=["clients"], summary="Whether it lives", response_class=PlainTextResponse)
async def get_health() -> str:
    """Answered at the door for a connection's first request, and here for those that follow on it."""
    return GREETING


@router.get("/api/info", tags=["clients"], summary="What this gateway is", responses=problems({}))
async def get_info(request: Request, parts: Parts) -> ServerInfo:
    """What a page needs to know first. Agents are told to operators, ICE servers also to client tokens."""
    key = KeyCheck(request, parts)
    operator = parts.access.is_operator(request.headers.get)
    may_call = operator or _may_call(request, parts, key)
    return ServerInfo(
        version=__version__,
        console=parts.config.console,
        authorized=operator,
        agents=_agents(parts) if operator else [],
        ice_servers=parts.config.ice_servers if may_call else [],
    )


def _agents(parts: ApiDependencies) -> list[AgentSummary]:
    instances = parts.switchboard.snapshot().instances
    return [
        AgentSummary(
            agent_id=agent_id,
            instances=sum(1 for one in instances if one.agent_id == agent_id),
            active=sum(one.active for one in instances if one.agent_id == agent_id),
            capacity=sum(one.capacity for one in instances if one.agent_id == agent_id),
        )
        for agent_id in parts.config.agents
    ]


def _may_call(request: Request, parts: ApiDependencies, key: KeyCheck) -> bool:
    try:
        parts.tokens.check_fresh(_claims(request, parts, key))
    except AccessError:
        return False
    return True


def _claims(request: Request, parts: ApiDependencies, key: KeyCheck) -> TokenClaims:
    """What the client token says that came where a key might have. Raises `AccessError`."""
    try:
        return parts.tokens.verify(bearer_token(request.headers.get))
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
async def make_token(parts: Parts, wish: TokenRequest) -> TokenGrant:
    """A token with which a browser or an app can call one agent, for a while. For operators' servers."""
    return parts.tokens.grant(wish)


@router.post(
    "/start",
    tags=["pipecat"],
    summary="Begin a session",
    response_model_exclude_none=True,
    responses=problems({404: "There is no such agent."}),
)
async def start_session(
    request: Request, parts: Parts, wish: SessionRequest | None = None, _: Any = ClientToken
) -> StartedSession:
    """As Pipecat's clients begin. With a client token, it is that token's session; operators need none."""
    key = KeyCheck(request, parts)
    if parts.access.is_operator(request.headers.get):
        token = parts.tokens.grant(_token_request(parts.config, wish.body if wish else {})).token
    else:
        parts.tokens.check_fresh(_claims(request, parts, key))
        token = bearer_token(request.headers.get) or ""
    servers = parts.config.ice_servers
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
    """Which token began which peer connection: no other may renegotiate it or add candidates."""

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
    {400: "The session description cannot be used.", 504: "The browser leg did not answer in time."}
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
    request: Request, parts: Parts, offered: BrowserOffer, agent_id: AgentId = None, _: Any = ClientToken
) -> BrowserAnswer:
    """The offer of a small-WebRTC client, with a client token. With `pc_id`, one more of the same call."""
    return await _answer(request, parts, bearer_token(request.headers.get), offered, agent_id)


@router.patch(
    "/api/offer", tags=["clients"], summary="Add trickled candidates", responses=_candidate_problems
)
async def add_candidates(
    request: Request, parts: Parts, added: BrowserCandidates, _: Any = ClientToken
) -> CandidatesAdded:
    """ICE candidates of a small-WebRTC client, with the token of its offer."""
    return await _add(request, parts, bearer_token(request.headers.get), added)


@router.post(
    "/sessions/{session_id}/api/offer",
    tags=["pipecat"],
    summary="Begin a call in a session",
    response_model_exclude_none=True,
    responses=_offer_problems,
)
async def session_offer(
    request: Request, parts: Parts, session_id: SessionId, offered: BrowserOffer
) -> BrowserAnswer:
    """As ``POST /api/offer``, with the session for a token."""
    return await _answer(request, parts, session_id, offered, None)


@router.patch(
    "/sessions/{session_id}/api/offer",
    tags=["pipecat"],
    summary="Add trickled candidates in a session",
    responses=_candidate_problems,
)
async def session_candidates(
    request: Request, parts: Parts, session_id: SessionId, added: BrowserCandidates
) -> CandidatesAdded:
    """As ``PATCH /api/offer``, with the session for a token."""
    return await _add(request, parts, session_id, added)


async def _answer(
    request: Request, parts: ApiDependencies, token: str | None, offered: BrowserOffer, agent_id: str | None
) -> BrowserAnswer:
    caller = parts.tokens.verify(token, agent_id=agent_id)
    owners: PeerOwners = request.app.state.peer_owners
    if offered.pc_id is not None and owners.knows(offered.pc_id):
        owners.check(offered.pc_id, caller)  # a call in progress may outlast its token
    else:
        parts.tokens.check_fresh(caller)
        # A gateway that was started anew does not know the client's old connection: it is a new call.
        offered = offered.model_copy(update={"pc_id": None, "restart_pc": None})
    async with _asked(parts, "did not answer the offer") as leg:
        answer = await leg.offer(offered, caller)
    owners.add(answer.pc_id, caller)
    return answer


async def _add(
    request: Request, parts: ApiDependencies, token: str | None, added: BrowserCandidates
) -> CandidatesAdded:
    caller = parts.tokens.verify(token)
    owners: PeerOwners = request.app.state.peer_owners
    if not owners.knows(added.pc_id):
        raise ApiError(404, f"there is no peer connection {added.pc_id!r}")
    owners.check(added.pc_id, caller)
    async with _asked(parts, "took no candidates") as leg:
        await leg.candidates(added.pc_id, added.candidates)
    return CandidatesAdded()


@asynccontextmanager
async def _asked(parts: ApiDependencies, what_if_late: str) -> AsyncIterator[BrowserCalls]:
    """The browser leg, for one question. What it refuses, and its silence, are raised as `ApiError`."""
    if parts.browser is None:
        raise ApiError(503, "this gateway takes no calls from browsers: webrtc_workers is 0")
    try:
        async with asyncio.timeout(OFFER_S):
            yield parts.browser
    except OfferRefused as refused:
        raise ApiError(refused.status, refused.text) from None
    except TimeoutError:
        raise ApiError(504, f"the browser leg {what_if_late} within {OFFER_S:g} s") from None
