"""Offers of browsers, up to the leg: tokens, origins, bodies, and what Pipecat's clients send."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import httpx
import pytest

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.access.client_tokens import TokenClaims
from piopiy_pipeline.gateway.api import pipecat_clients as clients
from piopiy_pipeline.gateway.records import Records
from piopiy_pipeline.gateway.records.models import RecordsUnavailable
from piopiy_pipeline.gateway.webrtc.browser_offers import BrowserAnswer, BrowserOffer, Candidate, OfferRefused
from tests.support.call_events import CallEvents
from tests.support.gateway_peers import AGENT_ID, agent, bearer, config, until
from tests.support.web import API_KEY, client

SDP = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
OFFER = {"sdp": SDP, "type": "offer"}
AGENTS = {AGENT_ID: "agent-token", "sales": "other-token"}


class StubLeg:
    """A browser leg that takes notes, and refuses where a test says so."""

    made: ClassVar[list[StubLeg]] = []

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.offers: list[tuple[BrowserOffer, TokenClaims]] = []
        self.added: list[tuple[str, list[Candidate]]] = []
        self.refusal: OfferRefused | None = None
        self.stuck = False
        self.resumed: list[dict[str, Any] | None] = []
        self.on_unused: Callable[[], None] = lambda: None
        self.closed = 0
        self.pool = SimpleNamespace(name="browsers", restarts=0)
        StubLeg.made.append(self)

    async def start(self) -> None: ...

    async def offer(
        self,
        offer: BrowserOffer,
        caller: TokenClaims,
        checkpoint: dict[str, Any] | None = None,
        on_unused: Callable[[], None] = lambda: None,
    ) -> BrowserAnswer:
        self.resumed.append(checkpoint)
        self.on_unused = on_unused
        if self.stuck:
            await asyncio.Event().wait()
        if self.refusal is not None:
            raise self.refusal
        self.offers.append((offer, caller))
        pc_id = offer.pc_id or f"pc-{len(self.offers)}"
        return BrowserAnswer(sdp="v=0 answer", pc_id=pc_id, call_id="a-call")

    async def candidates(self, pc_id: str, candidates: list[Candidate]) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.added.append((pc_id, candidates))

    async def close(self) -> None:
        self.closed += 1


@asynccontextmanager
async def place(
    monkeypatch: pytest.MonkeyPatch, *, wall: Callable[[], float] = time.time, **settings: Any
) -> AsyncIterator[tuple[StubLeg, httpx.AsyncClient, Gateway]]:
    """A gateway with the stub for a browser leg, and a client without a key."""
    monkeypatch.setattr("piopiy_pipeline.gateway.webrtc.webrtc_calls.WebRtcCalls", StubLeg)
    settings = {"agents": AGENTS, "api_keys": [API_KEY], "webrtc_workers": 2, **settings}
    gateway = Gateway(config(**settings))
    gateway.switchboard.event_bus.wall = wall
    async with gateway, client(gateway, key=None) as web:
        await gateway.ready()
        yield StubLeg.made[-1], web, gateway
    assert StubLeg.made[-1].closed


async def token(web: httpx.AsyncClient, **wish: Any) -> dict[str, str]:
    """The header with a new client token."""
    answer = await web.post("/api/tokens", json={"agent_id": AGENT_ID, **wish}, headers=bearer(API_KEY))
    assert answer.status_code == 200, answer.text
    return bearer(answer.json()["token"])


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/json"
    (error,) = answer.json().values()
    return answer.status_code, error


def test_an_offer_with_a_token_reaches_the_leg_with_what_the_token_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        ice = [{"urls": ["turn:turn.example"], "username": "u", "credential": "c"}]
        async with place(monkeypatch, ice_servers=ice) as (leg, web, gateway):
            assert leg.settings["workers"] == 2
            assert leg.settings["ice_servers"] == gateway.config.ice_servers
            mine = await token(web, identity="ann", to_number="+1", metadata={"cart": 7})
            answer = await web.post(
                "/api/offer", json={**OFFER, "requestData": {"a": 1}, "new": 1}, headers=mine
            )
            assert answer.json() == {
                "sdp": "v=0 answer",
                "type": "answer",
                "pc_id": "pc-1",
                "call_id": "a-call",
            }
            assert answer.headers["cache-control"] == "no-store"
            (offer, caller) = leg.offers[0]
            assert (offer.sdp, offer.pc_id, offer.request_data) == (SDP, None, {"a": 1})
            assert (caller.agent_id, caller.identity, caller.to_number) == (AGENT_ID, "ann", "+1")
            assert caller.metadata == {"cart": 7}
            patch = {
                "pc_id": "pc-1",
                "candidates": [
                    {"candidate": "candidate:1", "sdp_mid": "0", "sdp_mline_index": 0},
                    {"candidate": "", "sdpMid": "0", "sdpMLineIndex": 0},
                ],
            }
            answer = await web.patch("/api/offer", json=patch, headers=mine)
            assert (answer.status_code, answer.json()) == (200, {"status": "success"})
            assert leg.added == [
                (
                    "pc-1",
                    [
                        Candidate(candidate="candidate:1", sdp_mid="0", sdp_mline_index=0),
                        Candidate(candidate="", sdp_mid="0", sdp_mline_index=0),
                    ],
                )
            ]

    asyncio.run(story())


def test_a_gateway_that_drains_says_where_else_to_call_and_takes_new_connections_of_its_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        async with place(monkeypatch) as (leg, web, gateway):
            mine = await token(web)
            began = await web.post("/api/offer", json=OFFER, headers=mine)
            gateway.switchboard.drain.other_gateways = lambda: ["wss://b.example:7860"]
            gateway.switchboard.drain.switch(on=True)
            refused = await web.post("/api/offer", json=OFFER, headers=mine)
            assert problem(refused) == (
                503,
                "this gateway takes no new calls, because it drains: call wss://b.example:7860",
            )
            assert refused.headers["Retry-After"] == "1"
            again = {**OFFER, "pc_id": began.json()["pc_id"]}
            assert (await web.post("/api/offer", json=again, headers=mine)).status_code == 200
            assert len(leg.offers) == 2

    asyncio.run(story())


def test_an_offer_without_a_valid_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with place(monkeypatch, console="open") as (leg, web, _):

            async def refused(headers: dict[str, str], path: str = "/api/offer") -> tuple[int, str]:
                return problem(await web.post(path, json=OFFER, headers=headers))

            assert (await refused({}))[0] == 401, "an open console does not open calls"
            assert (await refused(bearer("rubbish")))[0] == 401
            assert (await refused(bearer(API_KEY)))[0] == 401, "a key is no token"
            mine = await token(web, ttl_s=1)
            assert "not for 'sales'" in (await refused(mine, "/api/offer?agent_id=sales"))[1]
            assert leg.offers == []
            assert problem(await web.patch("/api/offer", json={"pc_id": "x", "candidates": []}))[0] == 401

    asyncio.run(story())


def test_an_expired_token_begins_no_call_and_goes_on_with_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_800_000_000.0]

    async def story() -> None:
        async with place(monkeypatch, wall=lambda: now[0]) as (leg, web, _):
            mine = await token(web, ttl_s=60)
            pc_id = (await web.post("/api/offer", json=OFFER, headers=mine)).json()["pc_id"]
            now[0] += 61
            status, text = problem(await web.post("/api/offer", json=OFFER, headers=mine))
            assert (status, "expired" in text) == (401, True)
            again = {**OFFER, "pc_id": pc_id, "restart_pc": True}
            assert (await web.post("/api/offer", json=again, headers=mine)).json()["pc_id"] == pc_id
            assert leg.offers[-1][0].restart_pc is True
            more = {"pc_id": pc_id, "candidates": [{"candidate": "candidate:1"}]}
            assert (await web.patch("/api/offer", json=more, headers=mine)).status_code == 200

    asyncio.run(story())


def test_a_peer_connection_belongs_to_the_token_that_began_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with place(monkeypatch) as (leg, web, _):
            mine, theirs = await token(web), await token(web)
            pc_id = (await web.post("/api/offer", json=OFFER, headers=mine)).json()["pc_id"]
            stolen = {**OFFER, "pc_id": pc_id, "restart_pc": True}
            assert problem(await web.post("/api/offer", json=stolen, headers=theirs))[0] == 403
            patch = {"pc_id": pc_id, "candidates": []}
            assert problem(await web.patch("/api/offer", json=patch, headers=theirs))[0] == 403
            status, text = problem(
                await web.patch("/api/offer", json={**patch, "pc_id": "pc-9"}, headers=mine)
            )
            assert (status, "no peer connection 'pc-9'" in text) == (404, True)
            unknown = {**OFFER, "pc_id": "of-another-time", "restart_pc": True}
            assert (await web.post("/api/offer", json=unknown, headers=mine)).status_code == 200
            assert leg.offers[-1][0].pc_id is None, "begun with a gateway that is gone: it is a new call"

    asyncio.run(story())


def test_what_the_leg_refuses_is_told_and_what_it_does_not_answer_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clients, "OFFER_S", 0.1)

    async def story() -> None:
        async with place(monkeypatch) as (leg, web, _):
            mine = await token(web)
            pc_id = (await web.post("/api/offer", json=OFFER, headers=mine)).json()["pc_id"]
            leg.refusal = OfferRefused(400, "the offer has no audio")
            assert problem(await web.post("/api/offer", json=OFFER, headers=mine)) == (
                400,
                "the offer has no audio",
            )
            patch = {"pc_id": pc_id, "candidates": []}
            assert problem(await web.patch("/api/offer", json=patch, headers=mine))[0] == 400
            leg.stuck = True
            assert problem(await web.post("/api/offer", json=OFFER, headers=mine))[0] == 504

    asyncio.run(story())


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "JSON"),
        (b"[]", "body"),
        (b"{}", "body.sdp"),
        (b'{"sdp": "", "type": "offer"}', "body.sdp"),
        (b'{"sdp": "v=0", "type": "answer"}', "body.type"),
        (b'{"sdp": 7, "type": "offer"}', "body.sdp"),
        # What no agent could be told, and no database take:
        (b'{"sdp": "v=0", "request_data": {"half": "\\ud800"}}', "passed on"),
        (b'{"sdp": "v=0", "request_data": {"none": NaN}}', "passed on"),
        (b'{"sdp": "v=0", "request_data": {"deep": ' + b"[" * 300 + b"]" * 300 + b"}}", "passed on"),
    ],
)
def test_a_body_that_is_no_offer_is_422_and_says_where(
    body: bytes, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with place(monkeypatch) as (leg, web, _):
            mine = await token(web)
            answer = await web.post(
                "/api/offer", content=body, headers={**mine, "content-type": "application/json"}
            )
            status, text = problem(answer)
            assert (status, says in text) == (422, True), text
            assert leg.offers == []

    asyncio.run(story())


def test_a_foreign_page_is_refused_and_a_configured_one_may_call(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = {"Origin": "https://shop.example"}

    async def story() -> None:
        async with place(monkeypatch, allowed_origins=["https://shop.example"]) as (leg, web, gateway):
            mine = await token(web)
            status, text = problem(
                await web.post("/api/offer", json=OFFER, headers={**mine, "Origin": "https://evil.example"})
            )
            assert (status, "allowed_origins" in text) == (403, True)
            assert leg.offers == []
            asks = {
                **shop,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization",
            }
            preflight = await web.options("/api/offer", headers=asks)
            assert preflight.status_code == 200
            answer = await web.post("/api/offer", json=OFFER, headers={**mine, **shop})
            for one in (preflight, answer):
                assert one.headers["access-control-allow-origin"] == "https://shop.example"
            own = {"Origin": gateway.console_url.rstrip("/")}
            assert (await web.post("/api/offer", json=OFFER, headers={**mine, **own})).status_code == 200

    asyncio.run(story())


# ---------------------------------------------------------------------- as Pipecat's clients begin


@pytest.mark.parametrize("agents", [{AGENT_ID: "t"}, AGENTS])
def test_a_session_is_begun_and_its_offer_goes_to_its_address(
    agents: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        ice = [{"urls": ["stun:stun.example"]}]
        async with place(monkeypatch, agents=agents, ice_servers=ice) as (leg, web, _):
            body = {"agent_id": AGENT_ID, "cart": 7} if len(agents) > 1 else {"cart": 7}
            begin = {"transport": "webrtc", "enableDefaultIceServers": True, "body": body}
            answer = await web.post("/start", json=begin, headers=bearer(API_KEY))
            session = answer.json()
            assert session["iceConfig"] == {"iceServers": ice}
            path = f"/sessions/{session['sessionId']}/api/offer"
            answer = await web.post(path, json=OFFER)
            assert answer.json()["type"] == "answer"
            assert leg.offers[0][1].metadata == {"cart": 7}
            patch = {"pc_id": answer.json()["pc_id"], "candidates": []}
            assert (await web.patch(path, json=patch)).status_code == 200

    asyncio.run(story())


def test_a_session_needs_a_key_or_a_token_and_an_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with place(monkeypatch) as (leg, web, _):
            assert problem(await web.post("/start", json={}))[0] == 401
            assert problem(await web.post("/start", json={}, headers=bearer("rubbish")))[0] == 401
            status, text = problem(await web.post("/start", headers=bearer(API_KEY)))
            assert (status, "body.agent_id" in text) == (404, True)
            assert problem(await web.post("/sessions/rubbish/api/offer", json=OFFER))[0] == 401
            mine = await token(web, metadata={"cart": 7})
            session = (await web.post("/start", json={"body": {"cart": 8}}, headers=mine)).json()
            assert "iceConfig" not in session
            await web.post(f"/sessions/{session['sessionId']}/api/offer", json=OFFER)
            assert leg.offers[0][1].metadata == {"cart": 7}, "a token's own metadata stays"

    asyncio.run(story())


def test_a_conversation_that_is_resumed_waits_for_an_agent_as_a_call_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a resume token is good for is in tests/gateway/records/test_resumptions.py."""

    async def story() -> None:
        async with place(monkeypatch, records=True, data_folder=tmp_path, ring_s=60) as (_, web, gateway):
            mine = await token(web)
            resumed = {**OFFER, "resume_token": "a-call.unknown"}
            offering = asyncio.create_task(web.post("/api/offer", json=resumed, headers=mine, timeout=60))
            waiting = gateway.switchboard.resources.waiting
            await until(lambda: waiting.waits_for(AGENT_ID))
            async with agent(gateway):
                assert problem(await offering)[0] == 410, "somebody is there, and the token is none"

    asyncio.run(story())


def test_a_conversation_that_nobody_can_go_on_with_may_be_resumed_soon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def story() -> None:
        async with place(monkeypatch, records=True, data_folder=tmp_path) as (_, web, _):
            resumed = {**OFFER, "resume_token": "a-call.unknown"}
            refused = await web.post("/api/offer", json=resumed, headers=await token(web))
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert "nobody can go on" in problem(refused)[1]

    asyncio.run(story())


def test_a_conversation_is_resumed_once_and_not_lost_with_a_refusal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def story() -> None:
        monkeypatch.setattr(clients, "OFFER_S", 0.05)
        async with (
            place(monkeypatch, records=True, data_folder=tmp_path) as (leg, web, gateway),
            agent(gateway),
        ):
            services, state = gateway._services, {"version": 2}
            assert services is not None
            assert services._resumptions is not None
            mine = await token(web, identity="ann")
            resume_token = services._resumptions.grant("lost", agent_id=AGENT_ID, identity="ann")
            gateway.switchboard.event_bus.publish(CallEvents("lost", agent_id=AGENT_ID).placed())
            services._resumptions.on_checkpoint("lost", state)
            resumed = {**OFFER, "resume_token": resume_token}

            async def offered() -> int:
                return (await web.post("/api/offer", json=resumed, headers=mine)).status_code

            for status, after in ((503, "1"), (429, "60"), (400, None)):
                leg.refusal = OfferRefused(status, "not now")
                answer = await web.post("/api/offer", json=resumed, headers=mine)
                assert (answer.status_code, answer.headers.get("Retry-After")) == (status, after)
            leg.stuck = True
            assert await offered() == 504
            leg.stuck, leg.refusal = False, None
            assert await offered() == 200
            leg.on_unused()  # its browser did not connect
            assert await offered() == 200
            assert leg.resumed == [state] * 6
            assert await offered() == 410, "it goes on"

    asyncio.run(story())


def test_while_the_database_is_away_a_resume_token_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def story() -> None:
        async def away(*_: object) -> None:
            raise RecordsUnavailable("the database is away")

        async with (
            place(monkeypatch, records=True, data_folder=tmp_path) as (_, web, gateway),
            agent(gateway),
        ):
            monkeypatch.setattr(Records, "take_item", away)
            resumed = {**OFFER, "resume_token": "lost.secret"}
            answer = await web.post("/api/offer", json=resumed, headers=await token(web))
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert "the database is away" in problem(answer)[1]

    asyncio.run(story())


# ---------------------------------------------------------------------- a gateway without browsers


def test_without_a_leg_an_offer_is_503() -> None:
    """Offers that come while workers start are the worker pool's: tests/gateway/webrtc."""

    async def story() -> None:
        async with (
            Gateway(config(agents=AGENTS, api_keys=[API_KEY], webrtc_workers=0)) as gateway,
            client(gateway, key=None) as web,
        ):
            mine = await token(web)
            status, text = problem(await web.post("/api/offer", json=OFFER, headers=mine))
            assert status == 503
            assert "webrtc_workers is 0" in text

    asyncio.run(story())
