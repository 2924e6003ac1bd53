"""What the browser leg uses of aiortc and aioice beyond their documented interface.

aiortc negotiates, connects and encrypts a browser's call. The gateway carries the audio itself, because
aiortc's own media path costs about four times the CPU: tasks, a queue, a thread's hand-over and a resampler for every
packet. So the gateway needs the sockets, the SRTP keys and the way ICE gathers candidates, which aiortc and
aioice keep to themselves. docs/upstream.md lists the interfaces that would replace this file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aioice.ice
import aiortc.rtcsctptransport
from aiortc import (
    RTCDtlsTransport,
    RTCIceGatherer,
    RTCIceTransport,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSctpTransport,
)
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters, RTCRtpSendParameters
from pylibsrtp import Session

from piopiy_pipeline.compat import check_attributes, check_parameters

__all__ = [
    "CandidateGathering",
    "candidate_gathering",
    "check",
    "ice_connection",
    "listen",
    "receive_window",
    "remote_address",
    "replace_gathering",
    "replace_media_path",
    "send_datagram",
    "sender_ssrc",
    "set_sctp_payload",
    "srtp_receiver",
    "srtp_sender",
    "stop_listening",
]

AIORTC = ">=1.16,<1.17"
AIOICE = ">=0.13,<0.14"
_COMPONENT = 1  # RTP and RTCP share one ICE component (RFC 5761), as browsers have it


def check() -> None:
    """Check that the installed aiortc and aioice have everything that this file uses.

    Raises:
        CompatError: Something is missing. The message names it.
    """
    check_attributes(
        "aiortc",
        [
            (RTCRtpSender, "send"),
            (RTCRtpSender, "_ssrc"),
            (RTCRtpReceiver, "receive"),
            (RTCRtpReceiver, "transport"),
            (RTCDtlsTransport, "transport"),
            (RTCDtlsTransport, "_rx_srtp"),
            (RTCDtlsTransport, "_tx_srtp"),
            (RTCIceGatherer, "_connection"),
            (RTCIceTransport, "_connection"),
            (RTCSctpTransport, "_advertised_rwnd"),
            (aiortc.rtcsctptransport, "USERDATA_MAX_LENGTH"),
        ],
        written_for=AIORTC,
        used_in=__name__,
    )
    check_attributes(
        "aioice",
        [
            (aioice.Connection, "_nominated"),
            (aioice.Connection, "_protocols"),
            (aioice.ice.CandidatePair, "protocol"),
            (aioice.ice.CandidatePair, "remote_addr"),
            (aioice.ice.StunProtocol, "datagram_received"),
            (aioice.ice, "get_host_addresses"),
            (aioice.ice, "server_reflexive_candidate"),
            (aioice.ice, "relayed_candidate"),
        ],
        written_for=AIOICE,
        used_in=__name__,
    )
    check_parameters("aiortc", RTCRtpSender.send, ["parameters"], written_for=AIORTC, used_in=__name__)
    check_parameters("aiortc", RTCRtpReceiver.receive, ["parameters"], written_for=AIORTC, used_in=__name__)
    ice = aioice.ice
    check_parameters(
        "aioice", ice.get_host_addresses, ["use_ipv4", "use_ipv6"], written_for=AIOICE, used_in=__name__
    )
    check_parameters(
        "aioice",
        ice.server_reflexive_candidate,
        ["protocol", "stun_server"],
        written_for=AIOICE,
        used_in=__name__,
    )
    check_parameters("aioice", ice.relayed_candidate, ["turn_server"], written_for=AIOICE, used_in=__name__)


# ---------------------------------------------------------------------- media: RTP and RTCP past aiortc


def replace_media_path(
    transceiver: RTCRtpTransceiver,
    *,
    send: Callable[[RTCRtpSendParameters], Awaitable[None]],
    receive: Callable[[RTCRtpReceiveParameters], Awaitable[None]],
) -> None:
    """Have aiortc call these when the transceiver is connected, in place of its own media path.

    Args:
        transceiver: The transceiver whose audio the caller of this function carries.
        send: Called with what was negotiated for sending. It may be called again on a renegotiation.
        receive: Called with what was negotiated for receiving, likewise.
    """
    vars(transceiver.sender)["send"] = send
    vars(transceiver.receiver)["receive"] = receive


def sender_ssrc(sender: RTCRtpSender) -> int:
    """Return the SSRC that aiortc has put into its session description for this sender."""
    ssrc: int = sender._ssrc
    return ssrc


def ice_connection(dtls: RTCDtlsTransport) -> aioice.Connection:
    """Return the aioice connection beneath a DTLS transport."""
    return dtls.transport._connection


def srtp_receiver(dtls: RTCDtlsTransport) -> Session | None:
    """Return the SRTP session that decrypts what the browser sends; None until DTLS has finished."""
    session: Session | None = dtls._rx_srtp
    return session


def srtp_sender(dtls: RTCDtlsTransport) -> Session | None:
    """Return the SRTP session that encrypts what the browser is sent; None until DTLS has finished."""
    session: Session | None = dtls._tx_srtp
    return session


def listen(connection: aioice.Connection, on_datagram: Callable[[bytes, tuple[Any, ...]], bool]) -> None:
    """Show every datagram that arrives on an ICE connection's sockets to `on_datagram` first.

    Args:
        connection: A connection that has gathered its candidates: it has its sockets.
        on_datagram: Called with the datagram and the sender's address. True: the datagram was dealt with
            and aioice must not see it.
    """
    for protocol in connection._protocols:
        _listen_at(protocol, on_datagram)


def _listen_at(
    protocol: aioice.ice.StunProtocol, on_datagram: Callable[[bytes, tuple[Any, ...]], bool]
) -> None:
    pass_on = protocol.datagram_received

    def datagram_received(data: bytes, address: Any) -> None:
        if not on_datagram(data, address):
            pass_on(data, address)

    vars(protocol)["datagram_received"] = datagram_received


def stop_listening(connection: aioice.Connection) -> None:
    """Undo `listen`: aioice sees all datagrams itself again."""
    for protocol in connection._protocols:
        vars(protocol).pop("datagram_received", None)


def remote_address(connection: aioice.Connection) -> tuple[str, int] | None:
    """Return the browser's address and port on the candidate pair that ICE chose; None before it has chosen."""
    pair = connection._nominated.get(_COMPONENT)
    return None if pair is None else pair.remote_addr


def send_datagram(connection: aioice.Connection, datagram: bytes) -> None:
    """Send a datagram on the candidate pair that ICE chose. Before it has chosen, nothing is sent."""
    pair = connection._nominated.get(_COMPONENT)
    if pair is not None:
        pair.protocol.transport.sendto(datagram, pair.remote_addr)


# ---------------------------------------------------------------------- the data channel


def receive_window(sctp: RTCSctpTransport) -> int:
    """Return how many more bytes the browser may send on data channels before it must wait.

    aiortc tells the browser this number and does not hold the browser to it: below zero, the browser has
    sent more than it was allowed to.
    """
    window: int = sctp._advertised_rwnd
    return window


def set_sctp_payload(length: int) -> None:
    """Set the largest piece of a data channel message, in bytes, that aiortc puts into one packet.

    It holds for the whole process, and for connections that are made from now on.
    """
    aiortc.rtcsctptransport.USERDATA_MAX_LENGTH = length


# ---------------------------------------------------------------------- ICE candidates


@dataclass(frozen=True, slots=True)
class CandidateGathering:
    """The three functions by which aioice finds its candidates."""

    host_addresses: Callable[..., list[str]]
    """Takes ``use_ipv4`` and ``use_ipv6``, which are passed by name; returns the addresses to listen at."""
    server_reflexive: Callable[[Any, tuple[str, int]], Awaitable[Any]]
    """Asks a STUN server. Takes the `StunProtocol` to ask from, and the server's host and port."""
    relayed: Callable[..., Awaitable[Any]]
    """Asks a TURN server. Takes keywords, among them ``turn_server``: its host and port."""


def candidate_gathering() -> CandidateGathering:
    """Return the functions that aioice uses now."""
    ice = aioice.ice
    return CandidateGathering(ice.get_host_addresses, ice.server_reflexive_candidate, ice.relayed_candidate)


def replace_gathering(gathering: CandidateGathering) -> None:
    """Have aioice use these functions from now on, in the whole process."""
    vars(aioice.ice).update(
        get_host_addresses=gathering.host_addresses,
        server_reflexive_candidate=gathering.server_reflexive,
        relayed_candidate=gathering.relayed,
    )


check()
