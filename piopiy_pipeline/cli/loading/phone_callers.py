"""Callers of `piopiy load` with a telephone: SIP over UDP, and G.711 over RTP.

They use the gateway's own user agent from the other side. There is no jitter buffer: what a caller hears counts from
when it arrives, as for the other kinds of caller.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from piopiy_pipeline.audio.g711 import ulaw_decode, ulaw_encode
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.cli.call_report import CallOutcome
from piopiy_pipeline.cli.carried_call import CarriedCall
from piopiy_pipeline.cli.errors import BadInput, Failed
from piopiy_pipeline.cli.gateway_link import GatewayLink
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.rtp.packet import MAX_DATAGRAM, RtpError, build_rtp, is_rtcp, parse_rtp
from piopiy_pipeline.gateway.rtp.ports import MediaSockets, PortPool
from piopiy_pipeline.gateway.sip.config import SipConfig, SipTrunk
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import Negotiation, SdpRefused, SessionDescription
from piopiy_pipeline.gateway.sip.syntax.uri import SipUri
from piopiy_pipeline.gateway.sip.transport.endpoint import SipEndpoint
from piopiy_pipeline.signaling.caller import Answered, CallStart, Leave, LegEnded, Ringing, parse_caller_event
from piopiy_pipeline.testing.line.callers import Caller

__all__ = ["PhoneCallers", "SipAddress"]

RATE = 8000
FRAME = RATE // 50
_PCMU = 0
_GATEWAY = "gateway"
_PORTS = (40_000, 59_999)
_READS = 64  # packets of one caller that are read at once; the kernel keeps the rest
_SIP_PORT = 5060
_REASONS = {
    480: EndReason.NO_AGENT,
    486: EndReason.BUSY,
    503: EndReason.SHUTDOWN,
    504: EndReason.SETUP_TIMEOUT,
    603: EndReason.AGENT_HANGUP,
}
"""What the gateway's refusals stand for (docs/phones.md)."""


@dataclass(frozen=True, slots=True)
class SipAddress:
    """Where telephones call, and as whom."""

    number: str
    """What is dialled: an agent's number or name."""
    host: str
    port: int
    user: str | None = None
    """A user of the gateway's `users`; None: callers need no password."""
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str, *, user: str | None = None, password: str | None = None) -> Self:
        """Parse ``sip:number@host:port``.

        Raises:
            BadInput: It is no such address.
        """
        try:
            uri = SipUri.parse(text)
        except ValueError as error:
            raise BadInput(f"--sip {text}: {error}; it looks like sip:front_desk@127.0.0.1:5060") from None
        if not uri.user or not uri.host:
            raise BadInput(f"--sip {text}: it looks like sip:front_desk@127.0.0.1:5060")
        return cls(uri.user, uri.host.strip("[]"), uri.port or _SIP_PORT, user, password)


class PhoneCallers:
    """Telephones on one SIP port of this machine. Use it as an async context manager.

    Args:
        address: What they call.
    """

    def __init__(self, address: SipAddress) -> None:
        self._address = address
        self._endpoint: SipEndpoint | None = None
        self._ports: PortPool | None = None

    async def __aenter__(self) -> Self:
        own = self._address
        trunk = SipTrunk(host=own.host, port=own.port, user=own.user, password=own.password)
        config = SipConfig(
            host=_own_address(own.host, own.port),
            port=0,
            transports=["udp"],
            codecs=["PCMU"],
            trunks={_GATEWAY: trunk},
        )
        try:
            self._endpoint = await SipEndpoint.open(config, _NobodyCalls())
        except GatewayError as error:
            raise Failed(str(error)) from None
        self._ports = PortPool(config.host, *_PORTS)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._endpoint is not None:
            await self._endpoint.close()

    async def call(
        self,
        caller: Caller,
        start: CallStart,
        *,
        tell: Callable[[GatewayLink], None],
        limit_s: float,
        tells_barge_in: bool,
        hang_up: asyncio.Event,
    ) -> CallOutcome:
        """Dial, carry the call to its end, and return how it went. The arguments are those of `place_call`.

        Raises:
            Failed: There is no port, or the address cannot be reached.
        """
        assert self._endpoint is not None
        assert self._ports is not None
        try:
            sockets = self._ports.open()
        except OSError as error:
            raise Failed(f"no telephone: {error}") from None
        start = start.model_copy(update={"rate": RATE})
        link = GatewayLink(start, limit_s=limit_s, tells_barge_in=tells_barge_in)
        route = _PhoneRoute(self._endpoint, sockets, self._address)
        route.carried = CarriedCall(route, link, tell)
        async with route.carried as call:
            return await call.converse(caller, hang_up)


class _PhoneRoute:
    """One telephone: the `CallListener` of its SIP call, and the `CallCarrier` of its caller."""

    def __init__(self, endpoint: SipEndpoint, sockets: MediaSockets, to: SipAddress) -> None:
        self.carried: CarriedCall | None = None
        self._endpoint, self._sockets, self._number = endpoint, sockets, to.number
        user = f": look at --sip-user {to.user} and PIOPIY_SIP_PASSWORD"
        asks = (
            ": the gateway asks for a password: --sip-user, and PIOPIY_SIP_PASSWORD"
            if to.user is None
            else user
        )
        self._password_hint = {401: asks, 407: asks, 403: "" if to.user is None else user}
        self._loop = asyncio.get_running_loop()
        self._negotiation = Negotiation(
            host=str(sockets.rtp.getsockname()[0]),
            port=sockets.port,
            codecs=["PCMU"],
            session_id=secrets.randbits(31),
            rtcp_mux=False,
        )
        self._call: SipCall | None = None
        self._to: tuple[str, int] | None = None
        self._ssrc = secrets.randbits(32)
        self._sent = 0
        self._source: int | None = None  # the gateway's stream, by its SSRC
        self._last: int | None = None  # the newest sequence number of it
        self._loop.add_reader(sockets.rtp, self._read)

    # ------------------------------------------------------------------ from the caller

    def post_text(self, message: str) -> None:
        match parse_caller_event(message):
            case CallStart():
                try:
                    self._call = self._endpoint.invite(
                        self._number, self._negotiation.offer(), self, trunk=_GATEWAY
                    )
                except GatewayError as error:
                    self._ended(EndReason.ERROR, str(error))
            case Leave():
                self._hang_up()
            case _:
                return  # the callers of this command press no keys

    def post_binary(self, data: bytes) -> None:
        if self._to is None:
            return
        payload = ulaw_encode(np.frombuffer(data, "<i2").astype(np.int16)).tobytes()
        packet = build_rtp(
            _PCMU, self._sent & 0xFFFF, self._sent * FRAME & 0xFFFFFFFF, self._ssrc, payload,
            marker=self._sent == 0,
        )  # fmt: skip
        self._sent += 1
        try:
            self._sockets.rtp.sendto(packet, self._to)
        except OSError:
            return  # this packet is lost, as packets are

    async def close(self) -> None:
        self._loop.remove_reader(self._sockets.rtp)
        self._hang_up()
        self._sockets.close()

    def _hang_up(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.hangup(self._loop.time())

    # ------------------------------------------------------------------ from the network

    def _read(self) -> None:
        for _ in range(_READS):
            try:
                data = self._sockets.rtp.recv(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error about an earlier packet of ours
            self._take(data)

    def _take(self, data: bytes) -> None:
        if is_rtcp(data):
            return
        try:
            packet = parse_rtp(data)
        except RtpError:
            return
        if packet.payload_type != _PCMU or self._to is None:
            return
        if packet.ssrc != self._source:  # another stream, which counts from a number of its own
            self._source, self._last = packet.ssrc, None
        if self._last is not None and not 0 < (packet.sequence - self._last) & 0xFFFF < 0x8000:
            return  # late, or twice
        self._last = packet.sequence
        pcm = ulaw_decode(np.frombuffer(packet.payload, np.uint8))
        assert self.carried is not None
        self.carried.on_audio(pcm.astype("<i2").tobytes())

    # ------------------------------------------------------------------ from the SIP call

    def call_ringing(self, now: float) -> None:
        assert self.carried is not None
        self.carried.on_event(Ringing(call_id=""))

    def call_answered(self, description: SessionDescription | None, now: float) -> None:
        if not self._agree(description):
            return
        assert self.carried is not None
        self.carried.on_event(Answered())

    def call_reanswered(self, description: SessionDescription, now: float) -> None:
        self._agree(description)

    def call_ended(self, ending: Ending, code: int, phrase: str, now: float) -> None:
        self._call = None
        match ending:
            case Ending.PEER_HUNG_UP:
                self._ended(EndReason.AGENT_HANGUP, "")
            case Ending.HUNG_UP | Ending.CANCELLED:
                self._ended(EndReason.CALLER_HANGUP, "")
            case Ending.NO_ANSWER:
                self._ended(EndReason.SETUP_TIMEOUT, f"{code} {phrase}")
            case Ending.LOST:
                self._ended(EndReason.GATEWAY_LOST, f"{code} {phrase}")
            case _:
                refusal = f"{code} {phrase}{self._password_hint.get(code, '')}"
                self._ended(_REASONS.get(code, EndReason.ERROR), refusal)

    def call_reoffered(self, offer: SessionDescription | None, now: float) -> SessionDescription | None:
        if offer is None:
            return self._negotiation.offer()
        ours, agreed = self._negotiation.answer(offer)
        self._to = (agreed.host, agreed.port)
        return ours

    def call_early_media(self, description: SessionDescription, now: float) -> None: ...

    def call_dtmf(self, digits: str, now: float) -> None: ...

    def call_transfer_progress(self, code: int, phrase: str, now: float) -> None: ...

    def _agree(self, description: SessionDescription | None) -> bool:
        try:
            media = None if description is None else self._negotiation.accept(description)
        except SdpRefused as error:
            self._ended(EndReason.ERROR, f"the gateway's media cannot be used: {error}")
            return False
        if media is not None:
            self._to = (media.host, media.port)
        return self._to is not None

    def _ended(self, reason: EndReason, detail: str) -> None:
        """Tell the caller a moment later, because a hang-up of theirs ends the SIP call at once."""
        assert self.carried is not None
        self._loop.call_soon(self.carried.on_event, LegEnded(reason=reason, detail=detail))


class _NobodyCalls:
    """The listener of the callers' user agent, which takes no calls."""

    def incoming_call(self, call: IncomingCall, now: float) -> None:
        call.reject(486, "Busy Here", now)


def _own_address(host: str, port: int) -> str:
    """Return the address of this machine from which the gateway is reached. Raises `Failed` if there is none."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise Failed(f"sip:{host}:{port} cannot be reached: {error.strerror or error}") from None
