"""One RTCPeerConnection of a caller's browser: offer and answer, ICE, the data channel, and its `PeerAudio`.

It lives in a worker process. It reports that the connection came up, failed or was closed; its `PeerSession`
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
from aiortc.sdp import SessionDescription, candidate_from_sdp
from loguru import logger

from piopiy_pipeline.compat import aiortc as compat
from piopiy_pipeline.gateway.webrtc.ice_addresses import with_public_addresses
from piopiy_pipeline.gateway.webrtc.peer_audio import PeerAudio
from piopiy_pipeline.gateway.webrtc.worker_messages import IceServerSetting, Trickled

__all__ = ["Peer", "PeerEvents", "PeerRefused", "connections"]

MAX_MEDIA = 16
MAX_CHANNELS = 8
QUEUED_MESSAGES = 50
"""How many messages wait for the data channel to open. Further ones are dropped."""
CHANNEL_BYTES = 256 << 10
"""If more bytes than this wait in the data channel, messages are dropped."""
MAX_CANDIDATES = 64
"""ICE candidates of one browser. Each is tried from each of our addresses, and browsers have about a dozen."""
CLOSE_S = 5.0
_UNREADABLE = (
    *(ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError),
    *(InvalidAccessError, OperationError),
)
"""What aiortc raises for text that is no SDP, or that asks for something aiortc cannot do."""
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
        self._fragment: str | None = None  # the browser's ICE user name
        self._candidates = 0  # of the browser, so far
        self._channels: list[RTCDataChannel] = []
        self._queued: list[str] = []
        self._connected = False
        self._closed = False
        self._connection.on("connectionstatechange", self._on_state)
        self._connection.on("datachannel", self._on_channel)

    # ------------------------------------------------------------------ negotiation

    async def answer(self, sdp: str) -> str:
        """Answer an offer. Returns the SDP of the answer; raises `PeerRefused`."""
        self._fragment = check_offer(sdp)
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="offer"))
            for transceiver in self._connection.getTransceivers():
                if transceiver is not self._transceiver:
                    transceiver.direction = "inactive"  # video is not received
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except InvalidStateError as error:
            raise PeerRefused(409, f"this peer connection takes no offer now: {error}") from None
        except _UNREADABLE as error:
            logger.debug("an offer that aiortc does not take: {!r}", error)
            raise PeerRefused(
                400, f"the offer's SDP cannot be answered: {error or type(error).__name__}"
            ) from None
        answer = self._connection.localDescription.sdp
        if "\r\na=candidate:" not in answer:
            raise PeerRefused(
                503, "the gateway has no address to be reached at: are its webrtc_addresses this machine's?"
            )
        answer = _OPUS_LINE.sub(lambda line: f"{line[0]}a=fmtp:{line[1]} {_FORMAT}\r\n", answer)
        return with_public_addresses(answer, self._public)

    def restarts_ice(self, sdp: str) -> bool:
        """Return whether an offer restarts ICE, which an existing connection of aiortc cannot do. Raises
        `PeerRefused`.
        """
        return check_offer(sdp) != self._fragment

    async def add_candidate(self, candidate: Trickled) -> None:
        """Add an ICE candidate of the browser. Raises `PeerRefused` if it cannot be read or is one too many."""
        self._candidates += 1
        if self._candidates > MAX_CANDIDATES:
            raise PeerRefused(400, f"more than {MAX_CANDIDATES} ICE candidates")
        try:
            if not candidate.candidate:
                await self._connection.addIceCandidate(None)
                return
            parsed = candidate_from_sdp(candidate.candidate.removeprefix("candidate:"))
            parsed.sdpMid, parsed.sdpMLineIndex = candidate.sdp_mid, candidate.sdp_mline_index
            await self._connection.addIceCandidate(parsed)
        except InvalidStateError:
            return  # the connection was closed meanwhile
        except _UNREADABLE as error:
            raise PeerRefused(400, f"an ICE candidate that cannot be read: {error}") from None

    # ------------------------------------------------------------------ the data channel

    def send_message(self, text: str) -> None:
        """Send a message, now or when the data channel opens. Messages beyond the bounds are dropped and logged."""
        channel = next((one for one in reversed(self._channels) if one.readyState == "open"), None)
        if channel is None:
            if len(self._queued) < QUEUED_MESSAGES and not self._closed:
                self._queued.append(text)
        elif channel.bufferedAmount + len(text) > CHANNEL_BYTES:
            logger.warning("a browser does not read its messages: one of {} bytes was dropped", len(text))
        else:
            try:
                channel.send(text)
            except ValueError as error:  # the browser's SDP limits the size of a message
                logger.warning("a message for a browser was dropped: {}", error)

    def _on_channel(self, channel: RTCDataChannel) -> None:
        if len(self._channels) >= MAX_CHANNELS:
            channel.close()
            return
        self._channels.append(channel)
        channel.on("message", self._on_message)
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


def check_offer(sdp: str) -> str:
    """Check that an offer can be answered. Returns its ICE user name; raises `PeerRefused`, which says why not."""
    try:
        description = SessionDescription.parse(sdp)
        media = description.media
        audio = next((one for one in media if one.kind == "audio" and one.port != 0), None)
    except _UNREADABLE as error:
        raise PeerRefused(400, f"the offer's SDP cannot be read: {error or type(error).__name__}") from None
    if audio is None:
        raise PeerRefused(400, "the offer has no audio: add an audio transceiver before createOffer()")
    if audio.direction == "inactive":
        raise PeerRefused(400, "the offer's audio is inactive: nobody would hear or be heard")
    if sum(len(one.ice_candidates) for one in media) > MAX_CANDIDATES * len(media):
        raise PeerRefused(400, f"the offer has more than {MAX_CANDIDATES} ICE candidates for a medium")
    if len(media) > MAX_MEDIA:
        raise PeerRefused(400, f"the offer has {len(media)} media: {MAX_MEDIA} are the limit")
    if not any(codec.name.lower() == "opus" for codec in audio.rtp.codecs):
        raise PeerRefused(400, "the offer's audio has no Opus, which is what is spoken here")
    if audio.dtls is None or not audio.dtls.fingerprints:
        raise PeerRefused(400, "the offer has no DTLS fingerprint: audio must be encrypted")
    fragment = audio.ice.usernameFragment if audio.ice and audio.ice.password else None
    if not fragment:
        raise PeerRefused(400, "the offer has no ICE user name and password")
    return str(fragment)
