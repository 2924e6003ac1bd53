"""One RTCPeerConnection of a caller's browser: offer and answer, ICE, the data channel, and its `PeerAudio`.

It lives in a leg process. It reports that the connection came up, failed or was closed; its `PeerSession`
decides what that means for the call.
"""

from __future__ import annotations

import asyncio
import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from aiortc import (
    InvalidAccessError,
    InvalidStateError,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.exceptions import OperationError
from aiortc.sdp import candidate_from_sdp
from loguru import logger

from piopiy_pipeline.compat import aiortc as compat
from piopiy_pipeline.error_text import own_text
from piopiy_pipeline.gateway.webrtc.ice_addresses import with_public_addresses
from piopiy_pipeline.gateway.webrtc.peer_audio import PeerAudio
from piopiy_pipeline.gateway.webrtc.peer_messages import IceServerSetting, Trickled
from piopiy_pipeline.gateway.webrtc.session_offer import (
    MAX_CANDIDATES,
    IceCandidate,
    OfferError,
    SessionOffer,
    parse_candidate,
)

__all__ = ["Peer", "PeerEvents", "PeerRefused", "connections"]

MAX_CHANNELS = 8
QUEUED_MESSAGES = 50
"""How many messages wait for the data channel to open. Further ones are dropped."""
CHANNEL_BYTES = 256 << 10
"""If more bytes than this wait in the data channel, messages are dropped."""
CLOSE_S = 5.0
_UNREADABLE = (
    *(ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError),
    *(InvalidAccessError, OperationError),
)
"""What aiortc raises for text that is not SDP, or that asks for something aiortc cannot do."""
# Tells the browser's encoder to send mono, at most wideband, and in-band FEC when packets are lost (RFC 7587).
_FORMAT = "minptime=10;useinbandfec=1;stereo=0;sprop-stereo=0;maxplaybackrate=16000"
_OPUS_LINE = re.compile(r"^a=rtpmap:(\d+) opus/48000/2\r\n", re.MULTILINE | re.IGNORECASE)

connections: weakref.WeakSet[RTCPeerConnection] = weakref.WeakSet()
"""All connections in this process. Tests check that none is left when no call is."""


class PeerRefused(Exception):
    """An offer or a candidate cannot be taken. It carries an HTTP status and a sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class PeerEvents:
    """The functions that a peer calls."""

    connected: Callable[[], None]
    caller_audio: Callable[[bytes], object]
    """The caller's audio arrived: PCM16 mono at the rate of the peer."""
    message: Callable[[str], None]
    """A message arrived on a data channel, of any size and content."""
    failed: Callable[[], None]
    """ICE or DTLS failed: no path was found, or the path was lost."""
    closed: Callable[[], None]
    """The browser closed the connection."""


class Peer:
    """One RTCPeerConnection with its audio. Its methods must be called on one event loop."""

    def __init__(
        self,
        *,
        ice_servers: Sequence[IceServerSetting],
        rate: int,
        events: PeerEvents,
        public: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Args:
        ice_servers: STUN and TURN servers.
        rate: Sample rate of audio in both directions, in Hz.
        events: What to call.
        public: For each of our addresses that is behind a one-to-one NAT, its public address.
        """
        self._events = events
        self._public = public
        self._connection = RTCPeerConnection(
            RTCConfiguration(
                iceServers=[
                    RTCIceServer(urls=one.urls, username=one.username, credential=one.credential)
                    for one in ice_servers
                ],
                bundlePolicy=RTCBundlePolicy.MAX_BUNDLE,
            )
        )
        connections.add(self._connection)
        self._transceiver = self._connection.addTransceiver("audio", direction="sendrecv")
        self._transceiver.setCodecPreferences(
            [
                one
                for one in RTCRtpSender.getCapabilities("audio").codecs
                if one.mimeType.lower() == "audio/opus"
            ]
        )
        self.audio = PeerAudio(self._transceiver, rate=rate, on_caller_audio=events.caller_audio)
        self._offer: SessionOffer | None = None  # the last one that was answered
        self._candidates = 0  # of the browser, so far
        self._channels: list[RTCDataChannel] = []
        self._queued: list[str] = []
        self._dropping = False  # since the last channel was opened
        self._connected = False
        self._closed = False
        self._connection.on("connectionstatechange", self._on_state)
        self._connection.on("datachannel", self._on_channel)

    # ------------------------------------------------------------------ negotiation

    async def answer(self, sdp: str) -> str:
        """Answer an offer. Returns the SDP of the answer; raises `PeerRefused`."""
        offer = _read(sdp)
        if self._offer is not None and not offer.is_same_audio(self._offer):
            raise PeerRefused(400, "the offer no longer has the audio line that this call began with")
        try:
            remote = RTCSessionDescription(sdp=offer.for_aiortc(), type="offer")
            await self._connection.setRemoteDescription(remote)
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except InvalidStateError as error:
            raise PeerRefused(409, f"this peer connection takes no offer now: {own_text(error)}") from None
        except _UNREADABLE as error:
            logger.debug("an offer that aiortc does not take: {!r}", error)
            raise PeerRefused(400, f"the offer's SDP cannot be answered: {own_text(error)}") from None
        answer = self._connection.localDescription.sdp
        if "\r\na=candidate:" not in answer:
            raise PeerRefused(
                503,
                "the gateway has no address to be reached at: are its webrtc_addresses this machine's, and is one of"
                " its webrtc_ports free?",
            )
        self._offer = offer
        answer = _OPUS_LINE.sub(lambda line: f"{line[0]}a=fmtp:{line[1]} {_FORMAT}\r\n", answer)
        return offer.answer(with_public_addresses(answer, self._public))

    async def look_up_names(self) -> None:
        """Look up the mDNS names among the candidates of the last offer. It takes a second for those of elsewhere.

        The answer does not wait for this: mostly the browser reaches us first, and tells its address thereby.
        """
        names = [one for one in self._offer.candidates if one.is_name] if self._offer is not None else []
        await asyncio.gather(*(self._add(one) for one in names))

    def restarts_ice(self, sdp: str) -> bool:
        """Return whether an offer restarts ICE, which an existing connection of aiortc cannot do. Raises
        `PeerRefused`.
        """
        return self._offer is None or _read(sdp).fragment != self._offer.fragment

    async def add_candidate(self, candidate: Trickled) -> None:
        """Add an ICE candidate of the browser.

        The end of candidates, and candidates of lines or kinds that are not used, are ignored.

        Raises:
            PeerRefused: It is one too many.
        """
        self._candidates += 1
        if self._candidates > MAX_CANDIDATES:
            raise PeerRefused(400, f"more than {MAX_CANDIDATES} ICE candidates")
        parsed = parse_candidate(candidate.candidate)
        if parsed is None:
            logger.debug("an ICE candidate that is not used: {!r:.200}", candidate.candidate)
        elif self._offer is None or self._offer.is_for_us(candidate.sdp_mid, candidate.sdp_mline_index):
            await self._add(parsed)

    async def _add(self, candidate: IceCandidate) -> None:
        parsed = candidate_from_sdp(candidate.text)
        parsed.sdpMLineIndex = 0  # the audio's, whose transport carries all
        try:
            await self._connection.addIceCandidate(parsed)
        except InvalidStateError:
            pass  # the connection was closed meanwhile
        except OSError as error:
            logger.debug("an mDNS name of a browser cannot be looked up here: {}", error)

    # ------------------------------------------------------------------ the data channel

    def send_message(self, text: str) -> None:
        """Send a message, now or when the data channel opens. Messages beyond the bounds are dropped and logged."""
        channel = next((one for one in reversed(self._channels) if one.readyState == "open"), None)
        if channel is None:
            if len(self._queued) < QUEUED_MESSAGES and not self._closed:
                self._queued.append(text)
            elif not self._closed and not self._dropping:
                self._dropping = True
                logger.warning(
                    "no data channel of a browser is open: {} messages wait, and more are dropped",
                    QUEUED_MESSAGES,
                )
        elif channel.bufferedAmount + (size := len(text.encode(errors="replace"))) > CHANNEL_BYTES:
            logger.warning("a browser does not read its messages: one of {} bytes was dropped", size)
        else:
            try:
                channel.send(text)
            except ValueError as error:  # the browser's SDP limits the size of a message
                logger.warning("a message for a browser was dropped: {}", error)

    def _on_channel(self, channel: RTCDataChannel) -> None:
        self._channels = [one for one in self._channels if one.readyState != "closed"]
        if len(self._channels) >= MAX_CHANNELS:
            channel.close()
            return
        self._channels.append(channel)
        channel.on("message", self._on_message)
        self._dropping = False
        queued, self._queued = self._queued, []
        for text in queued:
            self.send_message(text)

    def _on_message(self, message: str | bytes) -> None:
        text = message if isinstance(message, str) else message.decode(errors="replace")
        self._events.message(text)

    @property
    def overrun(self) -> bool:
        """Whether the browser sent more of a message than the receive window allows.

        aiortc tells the browser its window (1 MiB) and does not enforce it.
        """
        sctp = self._connection.sctp
        return sctp is not None and compat.receive_window(sctp) < 0

    # ------------------------------------------------------------------ life

    @property
    def connected(self) -> bool:
        return self._connected

    def _on_state(self) -> None:
        state = self._connection.connectionState
        if self._closed:
            return
        if state == "connected" and not self._connected:
            self._connected = True
            self._events.connected()
        elif state == "failed":
            self._events.failed()
        elif state == "closed":
            self._events.closed()

    async def close(self) -> None:
        """Close the connection, in bounded time. May be called more than once."""
        if not self._closed:
            self._closed = True
            self._queued.clear()
            self.audio.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._connection.close()
        except TimeoutError:
            logger.warning("a peer connection did not close within {:g} s", CLOSE_S)


def _read(sdp: str) -> SessionOffer:
    """Read an offer. Raises `PeerRefused`, which says why it cannot be answered."""
    try:
        return SessionOffer(sdp)
    except OfferError as error:
        raise PeerRefused(400, str(error)) from None
