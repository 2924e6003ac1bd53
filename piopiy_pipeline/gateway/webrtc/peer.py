"""One RTCPeerConnection of a caller's browser: offer and answer, ICE, the data channel, and its `PeerAudio`.

It lives in a worker process. What it means for the call that a connection came up, fell silent or was
closed is for its `Seat` to say; here it is told.
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
from piopiy_pipeline.gateway.webrtc.ice_addresses import tell_public
from piopiy_pipeline.gateway.webrtc.peer_audio import PeerAudio
from piopiy_pipeline.gateway.webrtc.worker_messages import IceServerSetting, Trickled

__all__ = ["Peer", "PeerEvents", "PeerRefused", "connections"]

MAX_MEDIA = 16
MAX_CHANNELS = 8
QUEUED_MESSAGES = 50
"""Messages that wait for the data channel to open."""
CHANNEL_BYTES = 256 << 10
"""With more than this waiting in the data channel, messages are left out."""
MAX_CANDIDATES = 64
"""Of a browser's ways to be reached: each is tried from each of ours, and browsers name a dozen."""
CLOSE_S = 5.0
_UNREADABLE = (
    *(ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError),
    *(InvalidAccessError, OperationError),
)
"""What aiortc raises on text that is no SDP, or asks for what it cannot do."""
# The browser's encoder is told what is wanted here: mono, no more than wideband, spare copies on loss.
_FORMAT = "minptime=10;useinbandfec=1;stereo=0;sprop-stereo=0;maxplaybackrate=16000"
_OPUS_LINE = re.compile(r"^a=rtpmap:(\d+) opus/48000/2\r\n", re.MULTILINE | re.IGNORECASE)

connections: weakref.WeakSet[RTCPeerConnection] = weakref.WeakSet()
"""All that exist in this process: none may be left when no call is."""


class PeerRefused(Exception):
    """An offer that cannot be answered: an HTTP status, and a sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class PeerEvents:
    """Whom a peer tells."""

    connected: Callable[[], None]
    sound: Callable[[bytes], object]
    message: Callable[[str], None]
    """A message on a data channel, of any size and content."""
    failed: Callable[[], None]
    """No way was found, or the one there was is lost."""
    left: Callable[[], None]
    """The browser closed the connection."""


class Peer:
    """See the module. Its methods must be called on one event loop."""

    def __init__(
        self,
        *,
        ice_servers: Sequence[IceServerSetting],
        rate: int,
        events: PeerEvents,
        public: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`public`: the address that the world knows, for each of ours that stands behind one."""
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
        self._audio = self._connection.addTransceiver("audio", direction="sendrecv")
        self._audio.setCodecPreferences(
            [
                one
                for one in RTCRtpSender.getCapabilities("audio").codecs
                if one.mimeType.lower() == "audio/opus"
            ]
        )
        self.voice = PeerAudio(self._audio, rate=rate, on_sound=events.sound)
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
        """The answer to an offer. Raises `PeerRefused`."""
        self._fragment = check_offer(sdp)
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="offer"))
            for transceiver in self._connection.getTransceivers():
                if transceiver is not self._audio:
                    transceiver.direction = "inactive"  # video is not seen here
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
        return tell_public(answer, self._public)

    def restarts_ice(self, sdp: str) -> bool:
        """Whether an offer begins ICE anew, which aiortc cannot do on a connection that there is."""
        return check_offer(sdp) != self._fragment

    async def add(self, candidate: Trickled) -> None:
        """One more way to reach the browser. Raises `PeerRefused` for one that cannot be read."""
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
            return  # it was closed meanwhile
        except _UNREADABLE as error:
            raise PeerRefused(400, f"an ICE candidate that cannot be read: {error}") from None

    # ------------------------------------------------------------------ the data channel

    def say(self, text: str) -> None:
        """Send a message, now or when the data channel opens; too many or too much at once is left out."""
        channel = next((one for one in reversed(self._channels) if one.readyState == "open"), None)
        if channel is None:
            if len(self._queued) < QUEUED_MESSAGES and not self._closed:
                self._queued.append(text)
        elif channel.bufferedAmount + len(text) > CHANNEL_BYTES:
            logger.warning("a browser does not take its messages: one of {} bytes was left out", len(text))
        else:
            try:
                channel.send(text)
            except ValueError as error:  # the browser's SDP says how much it takes at once, whatever it likes
                logger.warning("a message for a browser was left out: {}", error)

    def _on_channel(self, channel: RTCDataChannel) -> None:
        if len(self._channels) >= MAX_CHANNELS:
            channel.close()
            return
        self._channels.append(channel)
        channel.on("message", self._on_message)
        queued, self._queued = self._queued, []
        for text in queued:
            self.say(text)

    def _on_message(self, message: str | bytes) -> None:
        text = message if isinstance(message, str) else message.decode(errors="replace")
        self._events.message(text)

    @property
    def overrun(self) -> bool:
        """Whether the browser sends more of a message than it was allowed to have under way.

        aiortc tells a peer what it takes (1 MiB), and takes what comes.
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
            self._events.left()

    async def close(self) -> None:
        """Close the connection, in bounded time. May be called more than once."""
        if not self._closed:
            self._closed = True
            self._queued.clear()
            self.voice.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._connection.close()
        except TimeoutError:
            logger.warning("a peer connection did not close within {:g} s", CLOSE_S)


def check_offer(sdp: str) -> str:
    """The ICE user name of an offer that could be answered. Raises `PeerRefused`, which says what is wrong."""
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
        raise PeerRefused(400, "the offer has no DTLS fingerprint: sound is taken encrypted only")
    fragment = audio.ice.usernameFragment if audio.ice and audio.ice.password else None
    if not fragment:
        raise PeerRefused(400, "the offer has no ICE user name and password")
    return str(fragment)
