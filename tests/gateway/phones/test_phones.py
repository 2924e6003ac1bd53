"""The telephones of a gateway: calls of a user agent over loopback, and what becomes of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.core.dialling import DialRefused, DialRequest
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.phones.phones import Phones
from piopiy_pipeline.gateway.phones.sip_leg import SipLeg
from piopiy_pipeline.gateway.rtp.ports import PortPool
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import CodecName, Negotiation, SessionDescription
from piopiy_pipeline.gateway.sip.transport.endpoint import SipEndpoint
from tests.support.gateway_peers import AGENT_ID, PATIENCE_S, ScriptedAgent, agent, config, until

SIP: dict[str, Any] = {
    "port": 0,
    "transports": ["udp"],
    "callers": "anyone",
    "default_agent": AGENT_ID,
    "codecs": ["PCMU"],
}


class Caller:
    """Somebody who calls, and notes what becomes of it. Its voice goes to a port that nobody reads."""

    def __init__(self, codec: CodecName = "PCMU") -> None:
        self.negotiation = Negotiation(host="127.0.0.1", port=9, codecs=[codec], session_id=1)
        self.answered = asyncio.Event()
        self.ended: tuple[Ending, int] | None = None

    def call_answered(self, description: SessionDescription | None, now: float) -> None:
        assert description is not None
        self.negotiation.accept(description)
        self.answered.set()

    def call_ended(self, ending: Ending, code: int, phrase: str, now: float) -> None:
        self.ended = (ending, code)

    def call_ringing(self, now: float) -> None: ...

    def call_early_media(self, description: SessionDescription, now: float) -> None: ...

    def call_reoffered(self, offer: SessionDescription | None, now: float) -> None: ...

    def call_reanswered(self, description: SessionDescription, now: float) -> None: ...

    def call_dtmf(self, digits: str, now: float) -> None: ...

    def call_transfer_progress(self, code: int, phrase: str, now: float) -> None: ...

    async def until_ended(self) -> tuple[Ending, int]:
        await until(lambda: self.ended is not None)
        assert self.ended is not None
        return self.ended


class Nobody:
    """Of the callers' own user agent: nobody calls them."""

    def incoming_call(self, call: IncomingCall, now: float) -> None:
        raise AssertionError("nobody calls the callers")


class Place:
    """A gateway with telephones, an agent, and the callers' user agent."""

    def __init__(self, gateway: Gateway, one: ScriptedAgent, callers: SipEndpoint) -> None:
        self.gateway, self.agent, self._callers = gateway, one, callers

    @property
    def phones(self) -> Phones:
        assert self.gateway.phones is not None
        return self.gateway.phones

    def call(self, caller: Caller, **options: Any) -> SipCall:
        to = f"sip:5551234@127.0.0.1:{self.phones.port}"
        return self._callers.invite(to, caller.negotiation.offer(), caller, **options)

    async def answered(self, caller: Caller, **options: Any) -> dict[str, Any]:
        """A call that the agent has taken: its offer."""
        self.call(caller, **options)
        offer, _ = await self.agent.take(caller_rate=8000, bot_rate=8000)
        async with asyncio.timeout(PATIENCE_S):
            await caller.answered.wait()
        return offer


@asynccontextmanager
async def place(**sip: Any) -> AsyncIterator[Place]:
    callers = await SipEndpoint.open(SipConfig(port=0, transports=["udp"]), Nobody())
    try:
        async with Gateway(config(sip={**SIP, **sip})) as gateway, agent(gateway) as one:
            yield Place(gateway, one, callers)
    finally:
        await callers.close()


def one_pair() -> tuple[int, int]:
    """A pair of ports that nobody has just now."""
    pair = PortPool("127.0.0.1", 40_000, 60_000).open()
    port = pair.port
    pair.close()
    return (port, port + 1)


def test_a_bot_is_told_who_calls_whom_and_the_headers_of_the_callers_own() -> None:
    async def story() -> None:
        async with place() as here:
            offer = await here.answered(
                Caller(), from_user="+15550100", from_name="Ann", headers={"X-Order": "42"}
            )
            assert (offer["from_number"], offer["to_number"], offer["kind"]) == (
                "+15550100",
                "5551234",
                "phone",
            )
            assert offer["metadata"]["X-Order"] == "42"
            assert offer["metadata"]["sip"]["from_name"] == "Ann"
            nameless = await here.answered(Caller(), from_user="anonymous")
            assert nameless["from_number"] is None

    asyncio.run(story())


def test_a_caller_with_none_of_our_codecs_is_refused() -> None:
    async def story() -> None:
        async with place() as here:
            caller = Caller("G722")
            here.call(caller)
            assert await caller.until_ended() == (Ending.REFUSED, 488)
            assert here.gateway.switchboard.snapshot().ended == ()

    asyncio.run(story())


def test_when_all_ports_for_voice_are_taken_a_caller_is_told_to_come_later() -> None:
    async def story() -> None:
        async with place(rtp_ports=one_pair()) as here:
            first = Caller()
            offer = await here.answered(first)
            second = Caller()
            here.call(second)
            assert await second.until_ended() == (Ending.REFUSED, 503)
            await here.agent.hangup(offer)
            await first.until_ended()
            await here.answered(Caller())  # the ports were given back

    asyncio.run(story())


def test_whom_nobody_can_reach_is_refused_before_anything_is_opened() -> None:
    async def story() -> None:
        ports = one_pair()
        async with place(rtp_ports=ports, allow_uris=True) as here:
            with pytest.raises(DialRefused, match="cannot call '\\+15550123'"):
                here.phones.dial(DialRequest("+15550123"))
            PortPool("127.0.0.1", *ports).open().close()
            leg = here.phones.dial(DialRequest(f"sip:bob@127.0.0.1:{here.phones.port}"))
            with pytest.raises(DialRefused, match="no ports for voice are free"):
                here.phones.dial(DialRequest(f"sip:bob@127.0.0.1:{here.phones.port}"))
            leg.end(EndReason.NO_ANSWER, "")
            PortPool("127.0.0.1", *ports).open().close()

    asyncio.run(story())


def test_what_goes_wrong_with_one_phone_ends_its_call_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with place() as here:
            broken, sound = Caller(), Caller()
            await here.answered(broken)
            [leg] = here.phones._legs
            await here.answered(sound)
            tick = SipLeg.on_half_tick

            def fails(self: SipLeg, now: float) -> None:
                if self is leg:
                    raise ZeroDivisionError
                tick(self, now)

            monkeypatch.setattr(SipLeg, "on_half_tick", fails)
            assert (await broken.until_ended())[0] is Ending.PEER_HUNG_UP
            [record] = here.gateway.switchboard.snapshot().ended
            assert record.detail == "internal error of the gateway"
            assert sound.ended is None
            assert len(here.phones._legs) == 1

    asyncio.run(story())


def test_a_gateway_that_closes_hangs_up_and_leaves_no_port_open() -> None:
    async def story() -> None:
        ports = one_pair()
        caller = Caller()
        async with place(rtp_ports=ports) as here:
            await here.answered(caller)
            await here.gateway.close()
            assert (await caller.until_ended())[0] is Ending.PEER_HUNG_UP
            assert not here.phones.active
            [record] = here.gateway.switchboard.snapshot().ended
            assert record.reason is EndReason.SHUTDOWN
            PortPool("127.0.0.1", *ports).open().close()

    asyncio.run(story())


def test_a_phone_stays_on_the_line_while_its_agent_is_replaced_and_hears_silence() -> None:
    async def story() -> None:
        async with place() as here:
            caller = Caller()
            await here.answered(caller)
            [leg] = here.phones._legs
            async with agent(here.gateway, "two") as other:
                before = leg.line_quality()["packets_sent"]
                here.agent.die()
                offer = await other.offer()
                await until(lambda: leg.line_quality()["packets_sent"] > before + 5)
                await other.take(offer, caller_rate=8000, bot_rate=8000)
                assert caller.ended is None

    asyncio.run(story())


def test_a_port_that_is_taken_is_an_error_at_the_start_and_nothing_stays_open() -> None:
    async def story() -> None:
        async with place() as here:
            taken = config(sip={**SIP, "port": here.phones.port})
            with pytest.raises(GatewayError, match=f"port {here.phones.port}"):
                await Gateway(taken).start()

    asyncio.run(story())
