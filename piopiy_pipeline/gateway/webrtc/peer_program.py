"""The leg process that has browsers' peer connections: ``python -m piopiy_pipeline.gateway.webrtc.peer_program``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterable
from functools import partial
from typing import Any

from loguru import logger

from piopiy_pipeline.audio import opus
from piopiy_pipeline.compat import aiortc as compat
from piopiy_pipeline.gateway.leg_processes.leg_frames import WireError
from piopiy_pipeline.gateway.leg_processes.leg_program import LegProgram, run_leg_process
from piopiy_pipeline.gateway.leg_processes.shared_messages import CensusTaken
from piopiy_pipeline.gateway.webrtc.ice_addresses import IceAddresses
from piopiy_pipeline.gateway.webrtc.ice_gathering import gather_at
from piopiy_pipeline.gateway.webrtc.peer import PeerRefused, connections
from piopiy_pipeline.gateway.webrtc.peer_messages import (
    AddCandidates,
    BrowserMessage,
    Close,
    Configure,
    Negotiate,
    NegotiateRefused,
    OfferAnswered,
    parse_to_program,
)
from piopiy_pipeline.gateway.webrtc.peer_session import PeerSession
from piopiy_pipeline.gateway.webrtc.port_range import UdpPorts, loop_of
from piopiy_pipeline.log import log_to_stderr
from piopiy_pipeline.signaling.messages import Message
from piopiy_pipeline.worker_process import leave_signals_to_parent

__all__ = ["PeerProgram", "main"]

SCTP_PAYLOAD = 1100
"""Bytes of a data channel message in one packet. aiortc's 1,200 do not pass through tunnels of 1,280 bytes."""


class PeerProgram(LegProgram):
    """The peer sessions of this process.

    Args:
        ports: Where their sockets are made.
    """

    def __init__(self, ports: UdpPorts) -> None:
        super().__init__(parse_to_program)
        self._ports = ports
        self._settings: Configure | None = None
        self._sessions: dict[int, PeerSession] = {}
        self._offers = asyncio.Semaphore(2)  # a flood of offers must leave CPU for the calls under way

    def close_legs(self) -> Iterable[Coroutine[Any, Any, None]]:
        return [session.close(notify=True) for session in self._sessions.values()]

    def fail(self, number: int) -> None:
        if number in self._sessions:
            self._sessions[number].fail()

    def call_of(self, number: int) -> str:
        session = self._sessions.get(number)
        return "" if session is None else session.call_id

    def send_audio(self, number: int, pcm: bytes) -> None:
        session = self._sessions.get(number)
        if session is not None:
            session.send_audio(pcm)

    def census(self) -> CensusTaken:
        return CensusTaken(legs=len(self._sessions), connections=len(connections))

    def take(self, number: int, message: Message) -> None:
        match message:
            case Configure():
                self._configure(message)
            case Negotiate():
                self.spawn(self._negotiate(number, message))
            case AddCandidates(candidates=candidates) if number in self._sessions:
                self.spawn(self._sessions[number].add_candidates(candidates))
            case BrowserMessage(text=text) if number in self._sessions:
                self._sessions[number].send_message(text)
            case Close(notify=notify) if number in self._sessions:
                self.spawn(self._sessions[number].close(notify=notify))
            case _:
                pass  # its session was closed while this message was on its way

    def _configure(self, settings: Configure) -> None:
        if self._settings is not None:
            raise WireError("configured twice")
        self._settings = settings
        if settings.ports is not None:
            self._ports.set(*settings.ports)
        gather_at(IceAddresses.parse(settings.addresses))

    async def _negotiate(self, number: int, message: Negotiate) -> None:
        if self._settings is None:
            raise WireError("an offer before the settings")
        session = self._sessions.get(number)
        if session is None and not message.new:
            self._refuse(number, message, 404, "there is no such peer connection: its call is over")
            return
        if session is None:
            session = self._sessions[number] = PeerSession(
                self._settings,
                call_id=message.call_id,
                on_event=partial(self.pipe.send_event, number),
                on_caller_audio=partial(self.pipe.send_audio, number),
                spawn=self.spawn,
                on_closed=lambda: self._sessions.pop(number, None),
            )
        try:
            async with self._offers:
                answer = await session.negotiate(message.sdp, restart=message.restart)
        except PeerRefused as refused:
            self._refuse(number, message, refused.status, refused.text)
            if message.new:
                await session.close()
        except Exception:
            logger.exception("an offer could not be answered")
            self._refuse(number, message, 500, "internal error of the gateway: see its log")
            if message.new:
                await session.close()
        else:
            self.pipe.send_event(number, OfferAnswered(offer_number=message.offer_number, sdp=answer))

    def _refuse(self, number: int, offer: Negotiate, status: int, text: str) -> None:
        refused = NegotiateRefused(offer_number=offer.offer_number, status=status, text=text)
        self.pipe.send_event(number, refused)


def main() -> None:
    """Run the process."""
    leave_signals_to_parent()
    log_to_stderr()
    compat.set_sctp_payload(SCTP_PAYLOAD)
    try:
        opus.library()
    except opus.OpusError as error:
        logger.critical("no calls of browsers: {}", error)
        sys.exit(1)
    ports = UdpPorts()
    run_leg_process(lambda: PeerProgram(ports), lambda loop: loop_of(loop, ports))


if __name__ == "__main__":
    main()
