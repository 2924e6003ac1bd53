"""A gateway's process is killed in mid-call: what was said is on record, and what was heard is on disk."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sqlite3
import sys
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import httpx
import numpy as np
import pytest
import soundfile

from piopiy_pipeline.gateway import Gateway
from tests.support.gateway_peers import AGENT_ID, AGENT_TOKEN, CALLER_KEY, Peer, agent, bearer, caller

API_KEY = "api-key"
FRAME = array("h", [5000] * 320).tobytes()


@asynccontextmanager
async def gateway_process(folder: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A real gateway whose records are open; it is killed at the end, if it was not before."""
    settings = {
        "PORT": str(port),
        "AGENTS": json.dumps({AGENT_ID: AGENT_TOKEN}),
        "CALLER_KEYS": json.dumps([CALLER_KEY]),
        "API_KEYS": json.dumps([API_KEY]),
        "OFFER_MS": "5000",
        "CALLERS_MAY_WATCH": "true",
        "DATA_FOLDER": str(folder),
        "RECORD": "true",
        "WEBRTC_WORKERS": "0",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "piopiy_pipeline.cli", "gateway"),
        env={**os.environ, **{f"PIOPIY_GATEWAY_{name}": value for name, value in settings.items()}},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            while not (line := await process.stdout.readline()).startswith(b"console"):
                assert line, "the gateway did not start"
            await records_open(port)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def records_open(port: int) -> None:
    """Until the database is there: a gateway listens first, and takes calls before it is."""
    async with httpx.AsyncClient(headers=bearer(API_KEY), trust_env=False, timeout=20) as client:
        while (await client.get(f"http://127.0.0.1:{port}/api/calls")).status_code == 503:
            continue  # it has waited for the database before it said so


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def talk(caller: Peer, frames: int) -> None:
    """The caller speaks for so many frames of 20 ms."""
    for _ in range(frames):
        await caller.socket.send(FRAME)
        await asyncio.sleep(0.02)


@pytest.mark.realtime
def test_a_gateway_that_is_killed_loses_no_finished_turn_and_some_seconds_of_sound(tmp_path: Path) -> None:
    """In real time, because it is a process of its own that is killed."""
    port = free_port()
    there = cast(Gateway, SimpleNamespace(url=f"ws://127.0.0.1:{port}"))

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
            assert call["duration_s"] > 2
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
