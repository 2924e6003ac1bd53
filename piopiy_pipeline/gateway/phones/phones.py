"""The telephones of a gateway: incoming calls become legs, legs are dialled, and all of them get the frame tick.

Signalling (`gateway.sip`), audio (`gateway.rtp`) and the legs are put together here. Only a gateway that has
telephones imports this module: it brings numpy and the codecs with it.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from loguru import logger

from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.gateway.access.networks import is_loopback
from piopiy_pipeline.gateway.core.dialling import DialledLeg, DialRefused, DialRequest
from piopiy_pipeline.gateway.core.leg import Leg
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.phones.dial_plan import Destination, DialPlan
from piopiy_pipeline.gateway.phones.dialled_sip_leg import DialledSipLeg, FoundPhone
from piopiy_pipeline.gateway.phones.kept_phone import KeptPhone
from piopiy_pipeline.gateway.phones.registered_phone import PhoneDirectory
from piopiy_pipeline.gateway.phones.restored_sip_leg import RestoredSipLeg
from piopiy_pipeline.gateway.phones.shared_phones import SharedPhones
from piopiy_pipeline.gateway.phones.sip_leg import IncomingSipLeg, SipLeg
from piopiy_pipeline.gateway.rtp.codecs import codec_rate, preload
from piopiy_pipeline.gateway.rtp.ports import NoPortError, PortPool
from piopiy_pipeline.gateway.rtp.rtp_transport import RtpTransport
from piopiy_pipeline.gateway.sip.agent.location import NextHop
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall
from piopiy_pipeline.gateway.sip.dialog.outgoing_call import OutgoingCall
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import CodecName, Negotiation, SdpRefused, SessionDescription
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import clean
from piopiy_pipeline.gateway.sip.transport.endpoint import CannotCall, SipEndpoint
from piopiy_pipeline.offload import offload

__all__ = ["Phones"]

_ANONYMOUS = ("", "anonymous")


class Phones:
    """The telephone side of a gateway. Implements `UserAgentListener`, `Dialler` and the `LegHost` of the legs.

    Args:
        config: The ``sip`` section of the gateway's configuration.
        place: Gives an incoming call to the switchboard.
        on_change: Called when `active` has changed.
    """

    def __init__(
        self,
        config: SipConfig,
        *,
        place: Callable[[CallInfo, Leg], object],
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.config = config
        self.media_timeout_s = config.media_timeout_s
        self._place = place
        self._on_change = on_change
        self._plan = DialPlan(config)
        self._ports = PortPool(config.host, *config.rtp_ports)
        self._legs: dict[SipLeg, None] = {}  # in the order in which they came
        self.trunk_outcomes: Counter[tuple[str, str]] = Counter()
        """What became of the calls over each trunk: ``answered``, or why not."""
        self._endpoint: SipEndpoint | None = None
        self.shared: SharedPhones | None = None
        """The phones of all gateways, in a cluster."""
        self._preload: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------ used by the gateway

    async def open(self) -> None:
        """Listen, and load the codecs in a thread. Raises `GatewayError` when a port or certificate cannot be used."""
        self._endpoint = await SipEndpoint.open(self.config, self)
        if self.config.callers == "anyone" and not (
            self.config.host == "localhost" or is_loopback(self.config.host)
        ):
            logger.warning(
                "sip: callers = 'anyone', so whoever reaches {} port {} can call the agents: "
                "use 'known' unless a firewall stands before it",
                self.config.host,
                self.port,
            )
        if any(codec_rate(name) > 8000 for name in self.config.codecs):
            self._preload = asyncio.create_task(offload(preload))

    def share(self, directory: PhoneDirectory, host: str, secret: bytes | None = None) -> None:
        """Let the gateways of a cluster call the phones that are registered here, and the other way round.

        Args:
            directory: The cluster's.
            host: The address by which other gateways reach the SIP port; used where it listens on all addresses.
            secret: Signs what names the phones' flows. None: a random one, which nobody knows after a restart.
        """
        assert self._endpoint is not None, "`open` comes first"
        if secret is not None:
            self._endpoint.sign_flows(secret)
        listens = self.config.host
        self.shared = SharedPhones(
            self._endpoint, directory, host if listens in ("", "0.0.0.0", "::") else listens
        )

    @property
    def port(self) -> int:
        """The port of SIP over UDP and TCP."""
        return self.config.port if self._endpoint is None else self._endpoint.port

    @property
    def endpoint(self) -> SipEndpoint | None:
        """The SIP endpoint; None before `open` and after `close`."""
        return self._endpoint

    @property
    def active(self) -> bool:
        """Whether there are legs with audio, for which `on_half_tick` must be called."""
        return bool(self._legs)

    def drain(self, on: bool) -> None:
        """Refuse further calls of phones and trunks, which go elsewhere then; or take them again."""
        if self._endpoint is not None:
            self._endpoint.drain(on=on)

    def on_half_tick(self, now: float) -> None:
        """20 ms have passed, and the bots' frames for them were sent. A failure ends the call of one phone only.

        Args:
            now: The event loop's time in seconds.
        """
        for leg in tuple(self._legs):
            try:
                leg.on_half_tick(now)
            except Exception:
                leg.log.exception("the audio of a phone failed")
                leg.lose(now, "internal error of the gateway")

    async def close(self) -> None:
        """Hang up all calls, and close the ports."""
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            await endpoint.close()
        if self._preload is not None:
            await self._preload

    # ------------------------------------------------------------------ incoming calls

    def incoming_call(self, call: IncomingCall, now: float) -> None:
        """Give a call to the switchboard, or refuse it."""
        try:
            leg = self._leg(call)
        except SdpRefused as error:
            logger.info("a call of {} is refused: {}", call.from_user, error)
            call.reject(488, "Not Acceptable Here", now)
            return
        except OSError as error:
            logger.warning("a call of {} is refused: {}", call.from_user, error)
            call.reject(503, "Service Unavailable", now)
            return
        info = CallInfo(
            agent_id=call.agent_id,
            call_id=str(uuid.uuid4()),
            from_number=None if call.from_user.lower() in _ANONYMOUS else call.from_user,
            to_number=call.to_user or None,
            metadata=metadata(call),
            kind=leg.kind,
        )
        self._place(info, leg)

    def _leg(self, call: IncomingCall) -> SipLeg:
        transport = RtpTransport(self._ports.open())
        try:
            # A phone that leaves the offer to us would choose the codec after the agent has learned the rate.
            codecs = [name for name in self.config.codecs if call.offer or codec_rate(name) == 8000]
            negotiation = self._negotiation(call.source[0], transport.port, codecs or self.config.codecs)
            return IncomingSipLeg(call, transport, negotiation, self)
        except BaseException:
            transport.close()
            raise

    def is_here(self, kept: KeptPhone) -> bool:
        """Return whether a phone reaches this gateway at the address that it knows from its call."""
        return self._endpoint is not None and self._endpoint.is_here(kept.dialog)

    def restore(self, kept: KeptPhone) -> RestoredSipLeg:
        """Go on with a phone's call that a process before this one had, at the same address.

        Raises:
            GatewayError: That is not possible; the text says why.
        """
        endpoint = self._endpoint
        assert endpoint is not None, "`open` comes first"
        try:
            transport = RtpTransport(self._ports.open_at(kept.rtp_port))
        except OSError as error:
            raise GatewayError(str(error.strerror or error)) from None
        call = None
        try:
            call = endpoint.restore(kept.dialog)
            negotiation = self._negotiation(kept.dialog.host, transport.port, self.config.codecs)
            return RestoredSipLeg(kept, call, transport, negotiation, self)
        except (SdpRefused, ValueError) as error:
            transport.close()
            if call is not None:
                call.hangup(asyncio.get_running_loop().time())
            raise GatewayError(str(error)) from None

    # ------------------------------------------------------------------ outgoing calls

    def dial(self, request: DialRequest) -> DialledLeg:
        """Make the leg of a call to somebody.

        Args:
            request: Whom to call; `DialPlan` says who may be called.

        Raises:
            DialRefused: Nothing is dialled; the text says what to do.
        """
        endpoint = self._endpoint
        if endpoint is None:
            raise DialRefused("the gateway is shutting down", "room")
        found = self._plan.find(request.to)
        shared = self.shared if found.kind == "phone" else None
        if shared is None:
            self._check_reachable(request.to, found, endpoint)
        try:
            peer = "" if shared is not None else endpoint.peer_of(found.to, trunk=found.trunk)
            transport = RtpTransport(self._ports.open())
        except CannotCall as error:
            raise DialRefused(f"cannot call {request.to!r}: {error}") from None
        except NoPortError as error:
            raise DialRefused(f"cannot call {request.to!r}: {error.strerror}", "room") from None

        def invite(
            offer: SessionDescription, leg: SipLeg, hop: NextHop | None = None, at: str = ""
        ) -> OutgoingCall:
            try:
                call = endpoint.invite(
                    found.to,
                    offer,
                    leg,
                    trunk=found.trunk,
                    hop=hop,
                    from_user=self._plan.caller_id(found, request.from_number),
                    headers=request.headers,
                    ring_timeout_s=request.ring_timeout_s,
                )
            except CannotCall as error:
                raise DialRefused(f"cannot call {request.to!r}: {error}") from None
            call.user = found.to if found.kind == "phone" else ""
            if at:
                call.source = at, call.source[1]  # its sound comes from there, whichever way the call took
            return call

        async def find(shared: SharedPhones) -> FoundPhone:
            at, hops = await shared.hops(found.to)
            if not hops or self._endpoint is not endpoint:
                raise DialRefused(
                    f"cannot call {request.to!r}: no phone of {found.to!r} is registered at any gateway",
                    "room",
                )
            ways = tuple(partial(invite, hop=hop, at=at) for hop in hops)
            return FoundPhone(self._negotiation(at, transport.port, self.config.codecs), ways)

        return DialledSipLeg(
            transport,
            self._negotiation(peer, transport.port, self.config.codecs),
            self,
            find=None if shared is None else partial(find, shared),
            ways=(invite,),
            on_outcome=partial(self._dialled, found.trunk),
        )

    def _dialled(self, trunk: str | None, outcome: str) -> None:
        """Note what became of a call that was dialled: `outcome` is ``answered``, or why not."""
        if trunk is not None:
            self.trunk_outcomes[trunk, outcome] += 1

    def _check_reachable(self, to: str, found: Destination, endpoint: SipEndpoint) -> None:
        if found.kind == "phone" and not endpoint.registered(found.to):
            raise DialRefused(f"cannot call {to!r}: no phone of {found.to!r} is registered just now", "away")
        if found.kind == "number" and found.trunk is None:
            if not self.config.trunks:
                raise DialRefused(f"cannot call {to!r}: numbers need a trunk, and sip.trunks has none", "way")
            raise DialRefused(f"cannot call {to!r}: none of sip.trunks has a prefix for it", "way")

    # ------------------------------------------------------------------ used by the legs

    def refer_target(self, to: str, call: SipCall) -> str | None:
        """Return the URI by which a phone can call `to` in a blind transfer; None: the gateway has to call it.

        A number is dialled at the server that the phone belongs to. A phone that is registered here can reach the
        numbers of agents, and no others.
        """
        endpoint = self._endpoint
        try:
            found = self._plan.find(to)
        except DialRefused:
            return None  # dialling it reports why
        if found.kind == "uri":
            return found.to
        if found.kind == "phone" or endpoint is None:
            return None
        server = call.server
        if call.user:
            if self.config.agent_for(found.to) is None:
                return None
            port = endpoint.tls_port if server.transport == "tls" else self.port
            server = Flow(server.transport, endpoint.media_host(server.host), port)
        return server.uri(found.to)

    def leg_opened(self, leg: SipLeg) -> None:
        """Count a leg that has begun, as its `LegHost`."""
        self._legs[leg] = None
        self._on_change()

    def leg_closed(self, leg: SipLeg) -> None:
        """Forget a leg that has ended, as its `LegHost`."""
        if leg in self._legs:
            del self._legs[leg]
            self._on_change()

    def _negotiation(self, peer: str, port: int, codecs: Sequence[CodecName]) -> Negotiation:
        assert self._endpoint is not None, "`open` comes first"
        return Negotiation(
            host=self._endpoint.media_host(peer),
            port=port,
            codecs=codecs,
            session_id=secrets.randbits(62),
        )


def metadata(call: SipCall) -> dict[str, Any]:
    """The metadata of a call: its ``X-`` headers, and under ``sip`` the Call-ID, the name and the other headers."""
    own = {name: value for name, value in call.headers.items() if name[:2].upper() == "X-"}
    rest = {name: value for name, value in call.headers.items() if name not in own}
    sip: dict[str, Any] = {"call_id": clean(call.call_id), "headers": rest}
    if call.from_name:
        sip["from_name"] = call.from_name
    return {**own, "sip": sip}
