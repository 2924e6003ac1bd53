"""A gateway's process is killed in mid-call: what was said is on record, and what was heard is on disk."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from array import array
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from tests.support.gateway_peers import Peer, agent, bearer, caller
from tests.support.gateway_process import API_KEY, at_port, free_port, gateway_process

FRAME = array("h", [5000] * 320).tobytes()


async def talk(caller: Peer, frames: int) -> None:
    """The caller speaks for so many frames of 20 ms."""
    for _ in range(frames):
        await caller.socket.send(FRAME)
        await asyncio.sleep(0.02)


@pytest.mark.realtime
def test_a_gateway_that_is_killed_loses_no_finished_turn_and_some_seconds_of_sound(tmp_path: Path) -> None:
    """In real time, because it is a process of its own that is killed."""
    port = free_port()
    there = at_port(port)

    async def before() -> str:
        async with (
            gateway_process(tmp_path, port) as process,
            agent(there) as bot,
            caller(there, watch=True) as person,
        ):
            offer, media = await bot.take()
            await person.hear("answered")
            speaking = asyncio.create_task(talk(person, 150))
            for turn in range(1, 6):
                await bot.say(
                    type="event",
                    call_id=offer["call_id"],
                    at=float(turn),
                    event="user_turn" if turn % 2 else "bot_turn",
                    data={"text": f"turn {turn}"},
                )
                # Half a second of speech for an answer: it has been heard when the next turn is told.
                await media.socket.send(FRAME * 25)
                await person.hear_audio(25)
            await speaking
            process.send_signal(signal.SIGKILL)
            await process.wait()
            return str(offer["call_id"])

    async def after(call_id: str) -> None:
        address = f"http://127.0.0.1:{port}/api/calls/{call_id}"
        async with gateway_process(tmp_path, port), httpx.AsyncClient(headers=bearer(API_KEY)) as client:
            detail = (await client.get(address, timeout=20)).raise_for_status().json()
            assert [one["data"]["text"] for one in detail["events"]] == [f"turn {n}" for n in range(1, 6)]
            call = detail["call"]
            assert (call["phase"], call["reason"]) == ("ended", "gateway_lost")
            assert call["duration_s"] > 1, "of three, and the last seconds may be missing"
            assert call["recorded"]
            sound = (await client.get(f"{address}/recording", timeout=20)).raise_for_status()
        (tmp_path / "again.wav").write_bytes(sound.content)

    async def both() -> None:
        call_id = await before()
        with sqlite3.connect(tmp_path / "calls.sqlite3") as database:
            assert database.execute("SELECT count(*) FROM events").fetchone() == (5,)
        database.close()
        await after(call_id)

    asyncio.run(both())
    pcm, rate = soundfile.read(tmp_path / "again.wav", dtype="int16")
    assert rate == 16000
    for side in (0, 1):
        assert np.count_nonzero(pcm[:, side]) / rate > 0.5, "both sides, but for the last two seconds"
