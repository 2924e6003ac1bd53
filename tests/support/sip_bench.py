"""A SIP user agent without sockets, with a clock that only tests move, whose peer is written by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from piopiy_pipeline.gateway.sip.agent.user_agent import SipUserAgent
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import Negotiation, SdpRefused, SessionDescription
from piopiy_pipeline.gateway.sip.syntax.digest import Challenge, Credentials, answer
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import SipRequest, SipResponse, parse

OURS = "192.0.2.1"
PHONE = Flow("udp", "192.0.2.9", 5060)
SDP = (
    "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
)


def offer_of(direction: str = "sendrecv", codecs: str = "0 101") -> str:
    return SDP.replace("0 101", codecs) + f"a={direction}\r\n"


def request(
    method: str,
    *,
    branch: str = "b1",
    call_id: str = "call-1",
    cseq: int = 1,
    cseq_method: str = "",
    to_tag: str = "",
    from_tag: str = "phone",
    uri: str = "sip:100@192.0.2.1",
    user: str = "alice",
    headers: Iterable[str] = (),
    body: str = "",
    transport: str = "UDP",
) -> bytes:
    tag = f";tag={to_tag}" if to_tag else ""
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/{transport} 192.0.2.9:5060;branch=z9hG4bK{branch};rport",
        f'From: "Alice A" <sip:{user}@192.0.2.9>;tag={from_tag}',
        f"To: <{uri}>{tag}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {cseq_method or method}",
        f"Contact: <sip:{user}@192.0.2.9:5060>",
        "Max-Forwards: 70",
        *headers,
    ]
    if body and not any(header.lower().startswith("content-type") for header in headers):
        lines.append("Content-Type: application/sdp")
    lines.append(f"Content-Length: {len(body.encode())}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def response(
    to: SipRequest, code: int, phrase: str = "X", *, tag: str = "", body: str = "", **headers: str
) -> bytes:
    """Return a response to a request of ours, as a phone would write it."""
    lines = [f"SIP/2.0 {code} {phrase}", *(f"Via: {via}" for via in to.vias)]
    suffix = f";tag={tag}" if tag and not to.to.tag else ""
    lines += [f"From: {to.get('From')}", f"To: {to.get('To')}{suffix}"]
    lines += [f"Call-ID: {to.call_id}", f"CSeq: {to.get('CSeq')}"]
    if 100 < code < 300:
        lines.append("Contact: <sip:bob@192.0.2.9:5060>")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body:
        lines.append("Content-Type: application/sdp")
    lines.append(f"Content-Length: {len(body.encode())}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


class Sent(NamedTuple):
    at: float
    message: SipRequest | SipResponse
    flow: Flow


class Leg:
    """A leg that notes every event of its call, and answers offers like a real one."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.events: list[tuple[Any, ...]] = []
        self.refuses = False
        self.media = Negotiation(host=OURS, port=30_000, codecs=["PCMU", "PCMA"], session_id=7)

    @property
    def names(self) -> list[str]:
        return [event[0] for event in self.events]

    @property
    def ending(self) -> tuple[Ending, int] | None:
        return next(((event[1], event[2]) for event in self.events if event[0] == "ended"), None)

    def call_ringing(self, now: float) -> None:
        self.events.append(("ringing",))

    def call_early_media(self, description: SessionDescription, now: float) -> None:
        self.events.append(("early_media", description))

    def call_answered(self, description: SessionDescription | None, now: float) -> None:
        self.events.append(("answered", description))

    def call_reoffered(self, offer: SessionDescription | None, now: float) -> SessionDescription | None:
        self.events.append(("reoffered", offer))
        if self.refuses:
            raise SdpRefused("not now")
        return self.media.answer(offer)[0] if offer is not None else self.media.offer()

    def call_reanswered(self, description: SessionDescription, now: float) -> None:
        self.events.append(("reanswered", description))

    def call_dtmf(self, digits: str, now: float) -> None:
        self.events.append(("dtmf", digits))

    def call_transfer_progress(self, code: int, phrase: str, now: float) -> None:
        self.events.append(("transfer", code))

    def call_ended(self, ending: Ending, code: int, phrase: str, now: float) -> None:
        self.events.append(("ended", ending, code, phrase))


class Bench:
    """The user agent, its clock, what it sent, and the calls that came in."""

    def __init__(self, config: SipConfig | None = None) -> None:
        self.now = 1000.0
        counter = itertools.count(1)
        self.agent = SipUserAgent(
            config or SipConfig(callers="anyone", default_agent="desk"),
            self,
            address_for=lambda peer: OURS,
            ports={"udp": 5060, "tcp": 5060},
            token=lambda: f"t{next(counter)}",
        )
        self.calls: list[IncomingCall] = []
        self.legs: list[Leg] = []
        self.sent: list[Sent] = []

    def incoming_call(self, call: IncomingCall, now: float) -> None:
        leg = Leg(self)
        call.attach(leg)
        self.calls.append(call)
        self.legs.append(leg)

    def receive(self, data: bytes, source: Flow = PHONE) -> list[SipRequest | SipResponse]:
        """Let a message arrive, and return what is sent at once."""
        self.agent.receive(data, source, self.now)
        return self.take()

    def take(self) -> list[SipRequest | SipResponse]:
        """Return what was sent since the last time."""
        packets = self.agent.take_outbox()
        found = [Sent(self.now, parse(packet.data), packet.flow) for packet in packets]
        self.sent += found
        return [sent.message for sent in found]

    def run(self, seconds: float) -> list[tuple[float, SipRequest | SipResponse]]:
        """Let time pass, and return what is sent meanwhile, with seconds since its beginning."""
        began, seen = self.now, []
        until = self.now + seconds
        while (at := self.agent.wake_at) is not None and at <= until:
            self.now = max(self.now, at)
            self.agent.wake(self.now)
            seen += [(round(self.now - began, 3), message) for message in self.take()]
        self.now = until
        return seen

    def register(
        self,
        user: str,
        password: str,
        source: Flow = PHONE,
        *,
        expires: int = 600,
        contact: str = "",
        n: int = 1,
    ) -> list[SipRequest | SipResponse]:
        """Let a phone register with this password, and return the responses."""
        ask = self.registering(user, source.transport.upper(), contact, expires=expires)
        (challenge,) = self.receive(ask(2 * n), source)
        return self.receive(ask(2 * n + 1, self.credentials(user, password, challenge)), source)

    def registering(
        self, user: str, transport: str, contact: str = "", *, expires: int = 600
    ) -> Callable[..., bytes]:
        """Return a function that makes this phone's REGISTER with a CSeq, and further headers."""
        own = f"<sip:{user}@192.0.2.9:5060>"

        def ask(cseq: int, *headers: str) -> bytes:
            data = request(
                "REGISTER",
                branch=f"r{cseq}",
                cseq=cseq,
                uri="sip:192.0.2.1",
                user=user,
                transport=transport,
                call_id="reg",
                headers=[f"Expires: {expires}", *headers],
            )
            data = data.replace(b"To: <sip:192.0.2.1>", f"To: <sip:{user}@192.0.2.1>".encode())
            return data.replace(f"Contact: {own}".encode(), f"Contact: {contact or own}".encode())

        return ask

    @staticmethod
    def credentials(user: str, password: str, challenge: SipRequest | SipResponse) -> str:
        """Return the Authorization that answers a challenge of a registrar."""
        asked = Challenge.choose(challenge.headers.getlist("WWW-Authenticate"))
        assert asked is not None
        given = answer(asked, Credentials(user, password), method="REGISTER", uri="sip:192.0.2.1")
        return f"Authorization: {given}"

    def ringing_call(self, **parts: Any) -> tuple[IncomingCall, Leg]:
        """Let a call come in, and ring."""
        self.receive(request("INVITE", **{"body": SDP, **parts}))
        call, leg = self.calls[-1], self.legs[-1]
        call.ring(self.now)
        self.take()
        return call, leg

    def answered_call(self, **parts: Any) -> tuple[IncomingCall, Leg]:
        """Let a call come in and be answered, with its ACK."""
        call, leg = self.ringing_call(**parts)
        assert call.offer is not None
        call.answer(leg.media.answer(call.offer)[0], self.now)
        self.take()
        cseq = parts.get("cseq", 1)
        self.receive(request("ACK", branch="ack", to_tag=call.local_tag, cseq=cseq, call_id=call.call_id))
        return call, leg

    def dialled_call(self, to: str = "sip:bob@192.0.2.9", **options: Any) -> tuple[SipCall, Leg, SipRequest]:
        """Place a call. Returns the call, its leg, and the INVITE that was sent."""
        leg = Leg(self)
        call = self.agent.invite(to, leg.media.offer(), leg, now=self.now, **options)
        (invite,) = self.take()
        assert isinstance(invite, SipRequest)
        return call, leg, invite


def codes(messages: Iterable[SipRequest | SipResponse]) -> list[int | str]:
    """Return responses by their code, and requests by their method."""
    return [m.code if isinstance(m, SipResponse) else m.method for m in messages]
