"""What an ended call held is freed at once: the next collection of garbage may be 200 calls later."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator

import pytest

from piopiy_pipeline.audio import playout
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.signaling import websocket
from tests.support.gateway_peers import ScriptedAgent, agent, caller, config, until

FRAME = b"\x01\x00" * 320
AUDIO = (playout.__file__, websocket.__file__)
"""Where the audio of both sides is taken from a socket, and where the bot's waits and is kept."""


@pytest.fixture
def no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()
    gc.collect()


def audio_kb() -> float:
    """Return how much audio the gateway holds."""
    snapshot = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, name) for name in AUDIO])
    return sum(one.size for one in snapshot.statistics("filename")) / 1024


async def one_call(gateway: Gateway, one: ScriptedAgent, ends: str) -> float:
    """Speak for 4 s on both sides, and end. Returns how much audio there was."""
    async with caller(gateway) as line:
        offer, media = await one.take(bot_rate=16000)
        await line.hear("answered")
        for _ in range(200):
            await line.socket.send(FRAME)
            await media.socket.send(FRAME)
        await media.hear_audio_bytes(200 * len(FRAME))
        await media.hear("played")
        held = audio_kb()
        if ends == "caller":
            await line.say(event="leave")
        elif ends == "agent":
            await one.hangup(offer)
        else:
            media.die()
        await line.closed()
    return held


@pytest.mark.parametrize("ends", ["caller", "agent", "lost"])
@pytest.mark.usefixtures("no_collections")
def test_audio_of_an_ended_call_is_not_kept(ends: str) -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one:
            assert await one_call(gateway, one, ends) > 200
            await until(lambda: not gateway.switchboard.has_calls)
            assert audio_kb() < 30

    asyncio.run(story())
