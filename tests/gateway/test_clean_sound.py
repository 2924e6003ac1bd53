"""A caller on a speakerphone over a real socket, at a real gateway: what an agent gets of the bot's own voice.

In real time, because the gateway's frame clock knows no other.
"""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from benchmarks.speakerphone import Pcm, Speakerphone
from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.gateway import Gateway
from tests.audio.test_sound_cleaner import decibels, speech
from tests.support.gateway_peers import Peer, agent, caller, config

pytestmark = pytest.mark.realtime

RATE = 8_000
FRAME = RATE // 50
SECONDS = 8
ROOM = Speakerphone(RATE, delay_ms=120, echo_db=-3, seed=21)
BUFFER = 5
"""Frames that the telephone keeps before it plays: so much later what is played may come."""


async def hold_a_speakerphone(leg: Peer) -> None:
    """Send what a room makes of what is played, 20 ms every 20 ms, until the leg is closed."""
    loop = asyncio.get_running_loop()
    played = bytearray()

    async def listen() -> None:
        async for message in leg.socket:
            if isinstance(message, bytes):
                played.extend(message)

    async def speak() -> None:
        # A telephone plays each sample once and in its order, however late it is asked to. What the room makes of it
        # depends on no scheduler then: an echo whose delay jumps cannot be removed.
        begin, sent, at, playing = loop.time(), 0, 0, False
        line = np.zeros(2 * RATE, np.int16)  # the room rings for less than a second
        while True:
            await asyncio.sleep(max(0.0, begin + sent * 0.02 - loop.time()))
            waiting = (len(played) - at) // (2 * FRAME)
            playing = waiting > (0 if playing else BUFFER)
            frame = bytes(played[at : at + 2 * FRAME]) if playing else bytes(2 * FRAME)
            at += 2 * FRAME * playing
            line = np.concatenate([line[FRAME:], np.frombuffer(frame, np.int16)])
            await leg.socket.send(ROOM.heard(line)[-FRAME:].tobytes())
            sent += 1

    async with asyncio.TaskGroup() as both:
        both.create_task(listen())
        both.create_task(speak())


async def echo_at_agent(**settings: Any) -> tuple[Pcm, dict[str, Any]]:
    """Return what reached the agent while its bot spoke, without the first 3 s, and the call's line."""
    async with (
        Gateway(config(**settings)) as gateway,
        agent(gateway) as one,
        caller(gateway, rate=RATE) as leg,
    ):
        _, media = await one.take(caller_rate=RATE, bot_rate=RATE)
        room = asyncio.create_task(hold_a_speakerphone(leg))
        said = speech("hours", RATE, SECONDS)
        for second in range(SECONDS):
            await media.socket.send(said[second * RATE : (second + 1) * RATE].tobytes())
        pcm = np.frombuffer(await media.hear_audio_bytes(2 * RATE * SECONDS), np.int16)
        room.cancel()
        await asyncio.wait((room,))
        (call,) = gateway.switchboard.snapshot().calls
        return pcm[3 * RATE :], call.line


def test_the_agent_hears_its_own_bot_no_longer() -> None:
    as_it_is, line = asyncio.run(echo_at_agent())
    assert "echo_removed_db" not in line
    cleaned, line = asyncio.run(echo_at_agent(clean_sound="echo"))
    assert decibels(as_it_is, cleaned) > 15
    assert line["echo_removed_db"] > 10


@pytest.mark.parametrize(("calls", "cleaned"), [(1, 1), (2, 2)])
def test_an_operator_says_how_many_calls_are_cleaned_at_a_time(calls: int, cleaned: int) -> None:
    async def run() -> int:
        async with Gateway(config(clean_sound="echo", clean_sound_calls=calls)) as gateway:
            cleaning = gateway.switchboard.resources.cleaning
            for number in range(3):
                cleaning.begin(CallInfo(agent_id="desk", call_id=f"c{number}"), 16_000)
            return cleaning.cleaned

    assert asyncio.run(run()) == cleaned
