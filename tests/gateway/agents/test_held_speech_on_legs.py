"""Speech that is held and goes on from the beginning of the word that was cut, as the caller of each leg hears it.

A WebSocket and a telephone are compared by samples. Opus changes samples, so a browser hears a tone for each word,
and which words came in which order is compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.barge_in_line import PhoneCaller
from benchmarks.sip_leg import Nobody
from piopiy_pipeline.audio.g711 import ulaw_decode, ulaw_encode
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.rtp.ports import PortPool
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.transport.endpoint import SipEndpoint
from tests.support.browser_peer import Browser, browser_calls, loudest_hz, only_loopback, tone, until
from tests.support.gateway_peers import AGENT_ID, Peer, agent, caller, config
from tests.support.phone_calls import phones_of

__all__ = ["only_loopback"]

pytestmark = pytest.mark.realtime

WORD_S = 0.2
"""A word of the speech lasts so long."""


async def held_and_resumed(
    media: Peer, speech: NDArray[np.int16], rate: int, silent: Callable[[int], Awaitable[None]]
) -> tuple[int, int]:
    """Say something, hold it in the middle, and go on from the beginning of the word when the caller hears nothing.

    Args:
        media: The agent's media stream.
        speech: What is said.
        rate: Its sample rate.
        silent: Waits until the caller has heard the fade behind so many samples.

    Returns:
        The positions of the hold and of the word, in samples.
    """
    await media.socket.send(speech.astype("<i2").tobytes())
    word = int(WORD_S * rate)
    while (await media.hear("played"))["position"] < 2 * word:
        pass
    await media.say(event="hold", epoch=0)
    held: int = (await media.hear("held"))["position"]
    begins = held // word * word
    await silent(held)
    await media.say(event="resume", position=begins)
    while not (await media.hear("played")).get("dry"):
        pass
    return held, begins


def assert_whole(
    heard: NDArray[np.int16], speech: NDArray[np.int16], held: int, begins: int, frame: int
) -> None:
    """Assert that nothing is lost and nothing is heard twice but what was asked for, to the sample."""
    heard = heard[np.flatnonzero(heard)[0] :]
    assert np.array_equal(heard[:held], speech[:held])
    fades = heard[held : held + frame].astype(int)
    assert (np.abs(fades) <= np.abs(speech[held : held + frame].astype(int)) + 300).all(), "it fades out"
    rest = heard[held + frame :]
    rest = rest[np.flatnonzero(rest)[0] :]
    size = speech.size - begins - frame
    where = [
        at
        for at in range(rest.size - size + 1)
        if np.array_equal(rest[at : at + size], speech[begins + frame :])
    ]
    assert len(where) == 1, "and what follows is the rest, from the beginning of the word"
    assert where[0] <= frame, "but for the frame that fades in"


def noise(seconds: float, rate: int) -> NDArray[np.int16]:
    """Return speech of which no two stretches are alike, and no sample is silent."""
    made = np.random.default_rng(1).integers(2000, 9000, int(seconds * rate))
    return np.asarray(made * np.random.default_rng(2).choice([-1, 1], made.size), np.int16)


def test_a_caller_over_a_websocket_hears_every_sample() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            _, media = await one.take(bot_rate=16000, played_every_ms=20)
            await line.hear("answered")
            speech = noise(1.2, 16000)
            pieces: list[bytes] = []

            async def silent(held: int) -> None:
                pieces.append(await line.hear_audio(held // 320 + 1))

            held, begins = await held_and_resumed(media, speech, 16000, silent)
            pieces.append(await line.hear_audio((speech.size - begins) // 320))
            assert_whole(np.frombuffer(b"".join(pieces), "<i2"), speech, held, begins, 320)

    asyncio.run(story())


class HearingPhone(PhoneCaller):
    """A telephone that keeps what it hears."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.heard: list[NDArray[np.int16]] = []

    def hear(self, samples: NDArray[np.int16], at: float) -> None:
        self.heard.append(samples)


def test_a_caller_at_a_telephone_hears_every_sample() -> None:
    sip = SipConfig(port=0, callers="anyone", default_agent=AGENT_ID, codecs=["PCMU"])

    async def story() -> None:
        async with Gateway(config(sip=sip)) as gateway, agent(gateway) as one:
            ends = await SipEndpoint.open(SipConfig(port=0, transports=["udp"], codecs=["PCMU"]), Nobody())
            sockets = PortPool("127.0.0.1", 40_000, 59_999).open()
            try:
                phone = HearingPhone(sockets, 0)
                port = phones_of(gateway).port
                call = ends.invite(f"sip:bot@127.0.0.1:{port}", phone.negotiation.offer(), phone)
                _, media = await one.take(bot_rate=8000, played_every_ms=20)
                await asyncio.wait_for(phone.answered, 10)
                speech = ulaw_decode(ulaw_encode(noise(1.2, 8000)))

                def has_heard(frames: int) -> bool:
                    phone.send(np.zeros(160, np.int16))
                    return sum(bool(frame.any()) for frame in phone.heard) >= frames

                async def silent(held: int) -> None:
                    await until(lambda: has_heard(held // 160 + 1))

                held, begins = await held_and_resumed(media, speech, 8000, silent)
                await until(lambda: has_heard(held // 160 + 1 + (speech.size - begins) // 160))
                assert_whole(np.concatenate(phone.heard), speech, held, begins, 160)
                call.hangup(asyncio.get_running_loop().time())
            finally:
                sockets.close()
                await ends.close()

    asyncio.run(story())


@pytest.mark.usefixtures("only_loopback")
def test_a_caller_in_a_browser_hears_every_word_in_order() -> None:
    hertz = [400 + 150 * n for n in range(9)]

    def words(sound: NDArray[np.int16]) -> list[int]:
        """Return the words that were heard, each as long as it lasted, in pieces of 40 ms."""
        size, found = 48000 // 25, []
        for at in range(0, sound.size - size, size):
            piece = sound[at : at + size]
            if np.abs(piece.astype(int)).mean() > 1500:
                found.append(int(np.argmin([abs(loudest_hz(piece, 48000) - one) for one in hertz])))
        return found

    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, browser_calls(gateway) as calls:
            page = Browser()
            await page.call(calls)
            _, media = await one.take(bot_rate=16000, played_every_ms=20)
            speech = np.concatenate([tone(one, WORD_S, 16000) for one in hertz])

            async def silent(held: int) -> None:
                # aiortc keeps the last packets until more come, so that the silence itself cannot be waited for
                heard_by = asyncio.get_running_loop().time() + 0.1
                await until(lambda: asyncio.get_running_loop().time() >= heard_by)

            held, begins = await held_and_resumed(media, speech, 16000, silent)
            await until(
                lambda: words(page.sound[-4800:])[-1:] == [8]
            )  # of the last word the beginning is enough
            heard, cut = words(page.sound), begins // int(WORD_S * 16000)
            assert [word for word, _ in groupby(heard)] == list(range(9)), (
                "no word is lost, and none comes again"
            )
            longest = heard.count(cut) * 0.04
            assert longest >= WORD_S + (held - begins) / 16000 - 0.12, (
                "the cut one was said from its beginning"
            )
            await page.close()

    asyncio.run(story())
