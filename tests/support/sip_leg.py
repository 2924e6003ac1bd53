"""A telephone's leg with everything around it: a call of SIP that takes notes, a call of the gateway, a line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.dialling import DialFailure, DialRefused
from piopiy_pipeline.gateway.phones.dialled_sip_leg import DialledSipLeg
from piopiy_pipeline.gateway.phones.sip_leg import IncomingSipLeg, SipLeg
from piopiy_pipeline.gateway.rtp.packet import build_rtp, parse_rtp
from piopiy_pipeline.gateway.rtp.ports import PortPool
from piopiy_pipeline.gateway.rtp.rtp_transport import RtpTransport
from piopiy_pipeline.gateway.sip.dialog.call_listener import CallListener
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall
from piopiy_pipeline.gateway.sip.dialog.outgoing_call import OutgoingCall
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import CodecName, Negotiation, SessionDescription

__all__ = ["CODECS", "NotedCall", "Stage", "story"]

LOUD = bytes([0x80 + 20]) * 160
CODECS: list[CodecName] = ["G722", "PCMU"]


class NotedCall:
    """In the place of a `SipCall`: notes what the leg asks of it."""

    def __init__(self, offer: SessionDescription | None) -> None:
        self.offer = offer
        self.noted: list[str] = []
        self.answered_with: SessionDescription | None = None
        self.takes_refer = True
        self.call_id, self.from_name, self.headers = (
            "id@phone",
            "Alice",
            {"X-Order": "42", "User-Agent": "Test 1"},
        )
        self.source, self.user, self.present = ("127.0.0.1", 5060), "", True

    def attach(self, listener: CallListener) -> None:
        self.noted.append("attach")

    def ring(self, now: float) -> None:
        self.noted.append("180")

    def answer(self, description: SessionDescription, now: float) -> None:
        self.noted.append("200")
        self.answered_with = description

    def reject(self, code: int, phrase: str, now: float) -> None:
        self.noted.append(f"{code}")

    def hangup(self, now: float) -> None:
        self.noted.append("hangup")

    def refer(self, target: str, now: float) -> bool:
        if " " in target:
            raise ValueError("no URI")
        self.noted.append(f"refer {target}")
        return self.takes_refer


class Host:
    """In the place of `Phones`."""

    media_timeout_s = 30.0

    def __init__(self) -> None:
        self.open: list[SipLeg] = []

    def refer_target(self, to: str, call: SipCall) -> str | None:
        return None if to == "nowhere" else f"sip:{to}@pbx"

    def leg_opened(self, leg: SipLeg) -> None:
        self.open.append(leg)

    def leg_closed(self, leg: SipLeg) -> None:
        if leg in self.open:
            self.open.remove(leg)


class Listener:
    """In the place of a call of the gateway."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.sound = b""
        self.leg: SipLeg | None = None

    def caller_audio(self, pcm: bytes) -> None:
        self.sound += pcm

    def caller_dtmf(self, digits: str) -> None:
        self.told.append(f"keys {digits}")

    def caller_data(self, data: dict[str, Any]) -> None:
        raise AssertionError("a telephone has no application")

    def caller_hangup(self, now: float, detail: str = "") -> None:
        self.told.append(f"hangup {detail}".strip())
        if self.leg is not None:
            self.leg.end(EndReason.CALLER_HANGUP, detail)

    def callee_ringing(self, now: float) -> None:
        self.told.append("rings")

    def callee_answered(self, now: float) -> None:
        self.told.append("answered")

    def callee_failed(self, now: float, why: DialFailure, detail: str) -> None:
        self.told.append(f"failed: {why}")


class Stage:
    """A leg with everything around it, and the phone's own side of the negotiation and of the voice."""

    def __init__(
        self,
        *,
        offers: bool = True,
        codecs: list[CodecName] | None = None,
        dialled: bool = False,
        ways: int = 1,
    ) -> None:
        pool = PortPool("127.0.0.1", 40_000, 60_000)
        self.loop = asyncio.get_running_loop()
        self.phone = pool.open()
        self.theirs = Negotiation(
            host="127.0.0.1", port=self.phone.port, codecs=codecs or ["PCMU"], session_id=1, rtcp_mux=False
        )
        self.line = RtpTransport(pool.open())
        self.host, self.listener = Host(), Listener()
        ours = Negotiation(host="127.0.0.1", port=self.line.port, codecs=CODECS, session_id=2)
        self.call = NotedCall(self.theirs.offer() if offers else None)
        self.invited: SessionDescription | None = None
        self.invites = 0
        self.refuses: str | None = None
        if dialled:
            self.leg: SipLeg = DialledSipLeg(self.line, ours, self.host, ways=(self._invite,) * ways)
        else:
            self.leg = IncomingSipLeg(cast("IncomingCall", self.call), self.line, ours, self.host)
            self.leg.attach(self.listener)
        self.listener.leg = self.leg

    def _invite(self, offer: SessionDescription, leg: SipLeg) -> OutgoingCall:
        if self.refuses is not None:
            raise DialRefused(self.refuses)
        self.invited = offer
        self.invites += 1
        return cast("OutgoingCall", self.call)

    @property
    def now(self) -> float:
        return self.loop.time()

    def speaks(self, packets: int, first: int = 1) -> None:
        for n in range(first, first + packets):
            self.phone.rtp.sendto(build_rtp(0, n, n * 160, 7, LOUD), ("127.0.0.1", self.line.port))

    def hears(self) -> list[bytes]:
        heard = []
        while True:
            try:
                heard.append(parse_rtp(self.phone.rtp.recv(2048)).payload)
            except BlockingIOError:
                return heard

    def close(self) -> None:
        self.leg.end(EndReason.SHUTDOWN, "")
        self.phone.close()


def story(of: Callable[[Stage], object], **stage: Any) -> None:
    """Tell a story in a running loop; some of them wait for it once."""

    async def tell() -> None:
        with _closing(Stage(**stage)) as one:
            result = of(one)
            if asyncio.iscoroutine(result):
                await result

    asyncio.run(tell())


@contextmanager
def _closing(stage: Stage) -> Iterator[Stage]:
    try:
        yield stage
    finally:
        stage.close()
