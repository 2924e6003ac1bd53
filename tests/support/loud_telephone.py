"""A telephone on a table: what it plays comes back into its microphone through a loudspeaker and a room.

Neither baresip nor Linphone can feed back what they play, later and weaker, without a sound card. So this is the
project's own SIP and RTP over real sockets, in real time, with the simulated room of `benchmarks/speakerphone.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np

from benchmarks.barge_in_line import PhoneCaller
from benchmarks.sip_leg import Nobody
from benchmarks.speakerphone import Pcm, Speakerphone
from piopiy_pipeline.gateway.rtp.ports import MediaSockets, PortPool
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.transport.endpoint import SipEndpoint

__all__ = ["LoudTelephone", "loud_telephone"]

RATE = 8000
FRAME = RATE // 50
ROOM_SAMPLES = 2 * RATE
"""A room rings, and a network delays, for less than that."""


class LoudTelephone(PhoneCaller):
    """A telephone whose loudspeaker is heard by its microphone.

    Args:
        sockets: Its ports for RTP.
        room: What becomes of what it plays.
    """

    def __init__(self, sockets: MediaSockets, room: Speakerphone) -> None:
        super().__init__(sockets, 0)
        self._room = room
        self._arrived = np.zeros(0, np.int16)
        self._played = np.zeros(ROOM_SAMPLES, np.int16)
        self._says = np.zeros(0, np.int16)
        self.heard: list[Pcm] = []
        """What it has played, 20 ms each."""

    def hear(self, samples: Pcm, at: float) -> None:
        """Take 20 ms that arrived."""
        super().hear(samples, at)
        self._arrived = np.concatenate([self._arrived, samples])

    def say(self, pcm: Pcm) -> None:
        """Let somebody at the telephone say this from now on, int16 of shape ``[n]`` at 8 kHz."""
        self._says = pcm

    async def listen(self) -> None:
        """Play what arrives, and send what the microphone hears, 20 ms every 20 ms, until this is cancelled."""
        loop = asyncio.get_running_loop()
        begin, tick = loop.time(), 0
        while True:
            playing, self._arrived = self._arrived[:FRAME], self._arrived[FRAME:]
            playing = np.pad(playing, (0, FRAME - playing.size))
            self.heard.append(playing)
            self._played = np.concatenate([self._played[FRAME:], playing])
            saying, self._says = self._says[:FRAME], self._says[FRAME:]
            said = np.pad(saying, (ROOM_SAMPLES - FRAME, FRAME - saying.size))
            self.send(self._room.heard(self._played, said)[-FRAME:])
            tick += 1
            await asyncio.sleep(max(0.0, begin + tick * 0.02 - loop.time()))

    @property
    def recording(self) -> Pcm:
        """Everything that it has played so far."""
        return np.concatenate(self.heard)


@asynccontextmanager
async def loud_telephone(sip_port: int, room: Speakerphone) -> AsyncIterator[LoudTelephone]:
    """Call a gateway on this port with such a telephone, and hang up at the end of the block."""
    loop = asyncio.get_running_loop()
    ends = await SipEndpoint.open(SipConfig(port=0, transports=["udp"], codecs=["PCMU"]), Nobody())
    sockets = PortPool("127.0.0.1", 40_000, 59_999).open()
    try:
        phone = LoudTelephone(sockets, room)
        call = ends.invite(f"sip:5551234@127.0.0.1:{sip_port}", phone.negotiation.offer(), phone)
        await asyncio.wait_for(phone.answered, 20)
        listening = asyncio.create_task(phone.listen())
        try:
            yield phone
        finally:
            listening.cancel()
            await asyncio.wait([listening])
            call.hangup(loop.time())
    finally:
        await ends.close()
        sockets.close()
