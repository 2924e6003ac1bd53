"""Calls that telephones of a gateway make, and where a caller's own phone is sent, against a second user agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from loguru import logger

from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.core.dialling import DialRefused, DialRequest
from piopiy_pipeline.gateway.phones.phones import Phones
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import Negotiation, SessionDescription
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.transport.endpoint import SipEndpoint
from tests.support.gateway_peers import AGENT_ID, ScriptedAgent, agent, config, until

SIP: dict[str, Any] = {
    "port": 0,
    "transports": ["udp"],
    "callers": "anyone",
    "default_agent": AGENT_ID,
    "codecs": ["PCMU"],
    "allow_uris": True,
}


class Person:
    """One end of a call: picks up, refuses, or lets it ring; notes what becomes of it."""

    def __init__(self, refuses: int | None = None, picks_up: bool = True) -> None:
        self.refuses, self.picks_up = refuses, picks_up
        self.media = Negotiation(host="127.0.0.1", port=9, codecs=["PCMU"], session_id=1)
        self.call: SipCall | None = None
        self.answered = False
        self.ended: Ending | None = None

    def called(self, call: IncomingCall, now: float) -> None:
        self.call = call
        call.attach(self)
        call.ring(now)
        if self.refuses is not None:
            call.reject(self.refuses, "No", now)
        elif self.picks_up and call.offer is not None:
            call.answer(self.media.answer(call.offer)[0], now)

    def call_answered(self, description: SessionDescription | None, now: float) -> None:
        self.answered = True

    def call_ended(self, ending: Ending, code: int, phrase: str, now: float) -> None:
        self.ended = ending

    def call_ringing(self, now: float) -> None: ...

    def call_early_media(self, description: SessionDescription, now: float) -> None: ...

    def call_reoffered(self, offer: SessionDescription | None, now: float) -> None: ...

    def call_reanswered(self, description: SessionDescription, now: float) -> None: ...

    def call_dtmf(self, digits: str, now: float) -> None: ...

    def call_transfer_progress(self, code: int, phrase: str, now: float) -> None: ...


class Place:
    """A gateway, and the telephones of others: each is a person, called by name."""

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}
        self.gateway: Gateway
        self.agent: ScriptedAgent
        self.outside: SipEndpoint

    def incoming_call(self, call: IncomingCall, now: float) -> None:
        self.people[call.to_user].called(call, now)

    @property
    def phones(self) -> Phones:
        assert self.gateway.phones is not None
        return self.gateway.phones

    def uri(self, name: str) -> str:
        return f"sip:{name}@127.0.0.1:{self.outside.port}"

    def dial(self, to: str, ring_timeout_s: float = 10) -> None:
        info = CallInfo(AGENT_ID, "call-1", to_number=to, kind="phone")
        now = asyncio.get_running_loop().time()
        self.gateway.switchboard.dial(info, DialRequest(to), ring_timeout_s=ring_timeout_s, now=now)

    async def caller(self) -> tuple[Person, dict[str, Any]]:
        """Somebody has called, and talks to the agent."""
        ann = Person()
        ann.call = self.outside.invite(f"sip:5551@127.0.0.1:{self.phones.port}", ann.media.offer(), ann)
        offer, _ = await self.agent.take(caller_rate=8000, bot_rate=8000)
        await until(lambda: ann.answered)
        return ann, offer

    async def transfer(self, offer: dict[str, Any], to: str, **how: Any) -> dict[str, Any]:
        wish = {"call_id": offer["call_id"], "request_id": "t", "to": to, "warm": False, "summary": ""}
        await self.agent.say(type="transfer", **{"ring_timeout_s": 10, **wish, **how})
        return await self.agent.hear("transfer_result")

    async def ended(self) -> tuple[EndReason | None, str]:
        await until(lambda: bool(self.gateway.switchboard.snapshot().ended))
        record = self.gateway.switchboard.snapshot().ended[0]
        return record.reason, record.detail


@asynccontextmanager
async def place(**sip: Any) -> AsyncIterator[Place]:
    here = Place()
    outside = SipConfig(port=0, transports=["udp"], callers="anyone", default_agent="people")
    here.outside = await SipEndpoint.open(outside, here)
    try:
        async with (
            Gateway(config(sip={**SIP, **sip})) as here.gateway,
            agent(here.gateway) as here.agent,
        ):
            yield here
    finally:
        await here.outside.close()


@contextmanager
def warnings() -> Iterator[list[str]]:
    said: list[str] = []
    sink = logger.add(lambda message: said.append(message.record["message"]), level="WARNING")
    try:
        yield said
    finally:
        logger.remove(sink)


# ---------------------------------------------------------------------- calls that go out


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (486, EndReason.CALLEE_BUSY),
        (603, EndReason.CALLEE_BUSY),
        (480, EndReason.NO_ANSWER),
        (404, EndReason.UNREACHABLE),
        (500, EndReason.UNREACHABLE),
    ],
)
def test_why_a_call_came_to_nothing_is_on_its_record(code: int, reason: EndReason) -> None:
    async def story() -> None:
        async with place() as here:
            here.people["bob"] = Person(refuses=code)
            here.dial(here.uri("bob"))
            assert await here.ended() == (reason, f"{code} No")

    asyncio.run(story())


def test_a_phone_that_rings_too_long_is_let_go_by_cancel() -> None:
    async def story() -> None:
        async with place() as here:
            bob = here.people["bob"] = Person(picks_up=False)
            here.dial(here.uri("bob"), ring_timeout_s=0.2)
            assert (await here.ended())[0] is EndReason.NO_ANSWER
            await until(lambda: bob.ended is Ending.CANCELLED)

    asyncio.run(story())


def test_whom_the_gateway_may_not_call_it_does_not_refer_anybody_to_either() -> None:
    async def story() -> None:
        async with place(allow_uris=False) as here:
            here.people["bob"] = Person()
            with pytest.raises(DialRefused, match=r"sip\.allow_uris is off"):
                here.dial(here.uri("bob"))
            _, offer = await here.caller()
            told = await here.transfer(offer, here.uri("bob"))
            assert told["outcome"] == "refused"
            assert "sip.allow_uris is off" in told["detail"]
            assert here.people["bob"].call is None

    asyncio.run(story())


# ---------------------------------------------------------------------- transfers


@pytest.mark.parametrize("who", ["ann", "bob"])
def test_a_caller_whose_phone_refuses_to_be_sent_is_connected_from_here(who: str) -> None:
    """This user agent takes no REFER, as many a carrier's takes none."""

    async def story() -> None:
        async with place() as here:
            bob = here.people["bob"] = Person()
            ann, offer = await here.caller()
            assert (await here.transfer(offer, here.uri("bob")))["outcome"] == "bridged"
            assert (await here.agent.hear("ended"))["reason"] == "transferred"
            leaving, left = (ann, bob) if who == "ann" else (bob, ann)
            assert leaving.call is not None
            leaving.call.hangup(asyncio.get_running_loop().time())
            await until(lambda: left.ended is Ending.PEER_HUNG_UP)
            assert (await here.ended())[0] is EndReason.TRANSFERRED

    asyncio.run(story())


@pytest.mark.parametrize(("code", "outcome"), [(486, "busy"), (603, "declined"), (404, "unreachable")])
def test_the_bot_is_told_why_nobody_took_its_caller(code: int, outcome: str) -> None:
    async def story() -> None:
        async with place() as here:
            here.people["bob"] = Person(refuses=code)
            ann, offer = await here.caller()
            told = await here.transfer(offer, here.uri("bob"), warm=True)
            assert (told["outcome"], told["detail"]) == (outcome, f"{code} No")
            assert ann.ended is None

    asyncio.run(story())


def test_a_caller_who_hangs_up_while_it_rings_stops_the_ringing() -> None:
    async def story() -> None:
        async with place() as here:
            bob = here.people["bob"] = Person(picks_up=False)
            ann, offer = await here.caller()
            wish = {"call_id": offer["call_id"], "request_id": "t", "to": here.uri("bob"), "warm": True}
            await here.agent.say(type="transfer", summary="", ring_timeout_s=10, **wish)
            await until(lambda: bob.call is not None)
            assert ann.call is not None
            ann.call.hangup(asyncio.get_running_loop().time())
            await until(lambda: bob.ended is Ending.CANCELLED)
            assert (await here.ended())[0] is EndReason.CALLER_HANGUP

    asyncio.run(story())


def test_a_phone_is_sent_where_it_would_get_an_answer_and_nowhere_else() -> None:
    async def story() -> None:
        sip = {
            "users": {"ann": "secret", "bob": "secret"},
            "default_agent": None,
            "routes": [{"to": "555*", "agent": AGENT_ID}],
            "contacts": {"kitchen": "sip:kitchen@192.0.2.7", "desk": "5559"},
            "dial_allowed": ["555*", "+49*"],
            "trunks": {"main": {"host": "192.0.2.1"}},
        }
        async with place(**sip) as here:
            phones = here.phones

            def target(to: str, user: str = "") -> str | None:
                call = SimpleNamespace(user=user, server=Flow("udp", "192.0.2.1", 5070))
                return phones.refer_target(to, cast("SipCall", call))

            # A PBX's or carrier's call: its numbers are dialled there.
            assert target("+49 30 1") == "sip:+49301@192.0.2.1:5070"
            assert target("Kitchen") == "sip:kitchen@192.0.2.7"
            assert target("bob") is None  # has a phone here, which the PBX does not know
            assert target("+1900") is None  # not allowed: dialling it says so
            # A phone of the gateway's own: here are agents to be had, and nobody else.
            assert target("desk", "ann") == f"sip:5559@127.0.0.1:{phones.port}"
            assert target("+49 30 1", "ann") is None
            assert target("sip:x@192.0.2.9", "ann") == "sip:x@192.0.2.9"

    asyncio.run(story())


# ---------------------------------------------------------------------- what is warned of


def test_telephones_that_anybody_may_call_from_elsewhere_are_warned_of() -> None:
    async def story(**sip: Any) -> list[str]:
        with warnings() as said:
            phones = Phones(SipConfig.model_validate({**SIP, **sip}), place=lambda info, leg: None)
            await phones.open()
            await phones.close()
        return [text for text in said if "anyone" in text]

    assert len(asyncio.run(story(host="0.0.0.0"))) == 1
    assert asyncio.run(story()) == []
    assert asyncio.run(story(host="0.0.0.0", callers="known")) == []
