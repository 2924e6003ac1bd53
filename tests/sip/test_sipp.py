"""sipp's scenarios against the user agent on real sockets, with a leg that has no sound.

In real time, because sipp and its retransmissions know no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import Negotiation, SessionDescription
from piopiy_pipeline.gateway.sip.transport.endpoint import SipEndpoint
from tests.support.sipp import needs_sipp, sipp

pytestmark = [needs_sipp, pytest.mark.realtime]


class SilentLeg:
    """Answers by the number that was dialled: 101 at once, 102 never, others after a moment; 103 hangs up again."""

    def __init__(self, call: IncomingCall | None) -> None:
        self._call = call
        self.answered = asyncio.Event()
        self.ending: Ending | None = None
        self.reoffers = 0
        self.over = asyncio.Event()
        self.media = Negotiation(host="127.0.0.1", port=40_000, codecs=["PCMU"], session_id=1)

    def begin(self, now: float) -> None:
        assert self._call is not None
        self._call.attach(self)
        self._call.ring(now)
        if self._call.to_user == "101":
            self.answer()
        elif self._call.to_user != "102":
            asyncio.get_running_loop().call_later(0.05, self.answer)

    def answer(self) -> None:
        assert self._call is not None
        offer = self._call.offer
        ours = self.media.answer(offer)[0] if offer is not None else self.media.offer()
        self._call.answer(ours, asyncio.get_running_loop().time())

    def call_ringing(self, now: float) -> None: ...

    def call_early_media(self, description: SessionDescription, now: float) -> None: ...

    def call_answered(self, description: SessionDescription | None, now: float) -> None:
        self.answered.set()
        if self._call is not None and self._call.to_user == "103":
            self._call.hangup(now)

    def call_reoffered(self, offer: SessionDescription | None, now: float) -> SessionDescription | None:
        self.reoffers += 1
        return self.media.answer(offer)[0] if offer is not None else self.media.offer()

    def call_reanswered(self, description: SessionDescription, now: float) -> None: ...

    def call_dtmf(self, digits: str, now: float) -> None: ...

    def call_transfer_progress(self, code: int, phrase: str, now: float) -> None: ...

    def call_ended(self, ending: Ending, code: int, phrase: str, now: float) -> None:
        self.ending = ending
        self.over.set()


class Exchange:
    """A user agent on loopback, and the legs of all of its calls."""

    def __init__(self) -> None:
        self.legs: list[SilentLeg] = []
        self.endpoint: SipEndpoint

    def incoming_call(self, call: IncomingCall, now: float) -> None:
        leg = SilentLeg(call)
        self.legs.append(leg)
        leg.begin(now)

    def endings(self) -> set[Ending | None]:
        return {leg.ending for leg in self.legs}


def against(check: Callable[[Exchange], Awaitable[None]], **settings: object) -> Exchange:
    """Run `check` with an exchange that takes anybody's calls."""
    given = {"port": 0, "callers": "anyone", "default_agent": "desk", **settings}

    async def run() -> Exchange:
        exchange = Exchange()
        exchange.endpoint = await SipEndpoint.open(SipConfig.model_validate(given), exchange)
        try:
            await check(exchange)
            async with asyncio.timeout(10):
                for leg in exchange.legs:
                    await leg.over.wait()
        finally:
            await exchange.endpoint.close()
        return exchange

    return asyncio.run(run())


async def play(scenario: str, exchange: Exchange, folder: Path, **settings: Any) -> None:
    """Play it against the exchange; every call has to go as the scenario says."""
    (await sipp(scenario, exchange.endpoint.port, folder=folder, **{"service": "100", **settings})).check()


def free_port() -> int:
    """A port that was free just now, for a peer that cannot say which one it took."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def listens(port: int) -> None:
    """Until somebody takes connections there."""
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
                return
            await asyncio.sleep(0.05)


def test_a_hundred_calls(tmp_path: Path) -> None:
    async def check(exchange: Exchange) -> None:
        await play("call", exchange, tmp_path, calls=100, per_second=100)

    exchange = against(check)
    assert len(exchange.legs) == 100
    assert exchange.endings() == {Ending.PEER_HUNG_UP}


@pytest.mark.parametrize("transport", ["t1", "tn"], ids=["one connection", "a connection each"])
def test_calls_over_tcp(tmp_path: Path, transport: str) -> None:
    async def check(exchange: Exchange) -> None:
        await play("call", exchange, tmp_path, calls=20, per_second=50, transport=transport)

    assert against(check).endings() == {Ending.PEER_HUNG_UP}


@pytest.mark.parametrize(
    ("scenario", "number", "ending"),
    [
        ("late_ack", "100", Ending.PEER_HUNG_UP),
        ("repeated_invite", "100", Ending.PEER_HUNG_UP),
        ("cancel", "102", Ending.CANCELLED),
        ("cancel_race", "101", Ending.PEER_HUNG_UP),
        ("hold", "100", Ending.PEER_HUNG_UP),
        ("hung_up_on", "103", Ending.HUNG_UP),
    ],
)
def test_what_phones_do(tmp_path: Path, scenario: str, number: str, ending: Ending) -> None:
    async def check(exchange: Exchange) -> None:
        await play(scenario, exchange, tmp_path, service=number, calls=5)

    exchange = against(check)
    assert len(exchange.legs) == 5
    assert exchange.endings() == {ending}
    if scenario == "hold":
        assert [leg.reoffers for leg in exchange.legs] == [2] * 5


@pytest.mark.parametrize("scenario", ["malformed_sdp", "no_codec", "options"])
def test_what_reaches_no_leg(tmp_path: Path, scenario: str) -> None:
    async def check(exchange: Exchange) -> None:
        await play(scenario, exchange, tmp_path, calls=5)
        assert exchange.endpoint.calls == []

    assert against(check).legs == []


@pytest.mark.parametrize("algorithms", [["MD5"], ["MD5", "SHA-256"]], ids="+".join)
def test_a_phone_registers_with_its_password(tmp_path: Path, algorithms: list[str]) -> None:
    async def check(exchange: Exchange) -> None:
        await play("register", exchange, tmp_path)
        assert exchange.endpoint.registered("alice")

    against(check, users={"alice": "secret"}, digest_algorithms=algorithms)


def test_wrong_passwords_are_refused_and_counted(tmp_path: Path) -> None:
    async def check(exchange: Exchange) -> None:
        await play("register_wrong", exchange, tmp_path, calls=20, per_second=100)
        assert not exchange.endpoint.registered("alice")
        assert exchange.endpoint.stats.wrong_passwords == 20

    against(check, users={"alice": "secret"})


@pytest.mark.parametrize("transport", ["u1", "t1"])
def test_a_phone_is_called_and_hung_up_on(tmp_path: Path, transport: str) -> None:
    async def check(exchange: Exchange) -> None:
        port = free_port()
        phone = asyncio.create_task(
            sipp("answers", None, folder=tmp_path, own_port=port, transport=transport)
        )
        if transport == "t1":
            await listens(port)
        leg = SilentLeg(None)
        exchange.legs.append(leg)
        way = ";transport=tcp" if transport == "t1" else ""
        to = f"sip:bob@127.0.0.1:{port}{way}"
        call = exchange.endpoint.invite(to, leg.media.offer(), leg, from_user="100")
        async with asyncio.timeout(20):
            await leg.answered.wait()
        call.hangup(asyncio.get_running_loop().time())
        (await phone).check()

    assert against(check).endings() == {Ending.HUNG_UP}
