"""Disks that are full or read-only, databases that are locked or overwritten, under calls: calls go on.

Records or recordings are lost and said to be, and when the cause is gone they are kept again without a restart.

The disk is a small tmpfs of the test's own, which needs root.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.records import records as records_module
from tests.support.gateway_peers import Peer, ScriptedAgent, agent, caller, config
from tests.support.web import API_KEY, client

pytestmark = [pytest.mark.realtime, pytest.mark.chaos]

FRAME = array("h", [5000] * 320).tobytes()
LIMIT_S = 30.0
Report = Callable[[str, object], None]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("a disk of its own needs root: mount is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        yield
    filler.unlink()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """For what is opened from now on: a file that is open for writing keeps a disk from becoming so altogether."""
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    with closing(sqlite3.connect(folder / "calls.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def overwritten(folder: Path) -> Iterator[None]:
    path = folder / "calls.sqlite3"
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))
    yield


async def speak(bot: ScriptedAgent, media: Peer, person: Peer, call_id: str, text: str) -> None:
    """A turn of the bot, heard by the caller: the call lives."""
    await bot.say(type="event", call_id=call_id, at=1.0, event="bot_turn", data={"text": text})
    await media.socket.send(FRAME * 10)
    await person.socket.send(FRAME)
    await person.hear_audio(10)


@pytest.mark.parametrize("harm", [full, read_only, locked, overwritten])
def test_a_call_goes_on_whatever_its_records_are_written_to(
    disk: Path, harm: Callable[[Path], Any], record_property: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_module, "RETRY_S", (0.5, 1.0))

    async def until(condition: Callable[[], Any]) -> float:
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(LIMIT_S):
            while not await condition():
                continue  # it waits for the gateway
        return asyncio.get_running_loop().time() - began

    async def story() -> None:
        settings = config(api_keys=[API_KEY], data_folder=disk, records=True, record=True)
        async with (
            Gateway(settings) as gateway,
            agent(gateway) as bot,
            caller(gateway) as person,
            client(gateway) as web,
        ):
            await gateway.ready()
            offer, media = await bot.take()
            call_id = offer["call_id"]

            async def ill() -> bool:
                await speak(bot, media, person, call_id, "x" * 4000)
                return "being lost" in (await web.get("/healthz")).text

            async def on_record() -> bool:
                await speak(bot, media, person, call_id, "after")
                answer = await web.get(f"/api/calls/{call_id}")
                return answer.status_code == 200 and any(
                    one["data"]["text"] == "after" for one in answer.json()["events"]
                )

            await speak(bot, media, person, call_id, "before")
            with harm(disk):
                async with caller(gateway) as another:  # who is served meanwhile, from the first ring on
                    second, sound = await bot.take()
                    await speak(bot, sound, another, second["call_id"], "meanwhile")
                    noticed_s = await until(ill)
                problems = (await web.get("/api/info")).json()["problems"]
                assert problems, "the console says it"
            healed_s = await until(on_record)
            call = gateway.switchboard.call(call_id)
            assert call is not None, "the call has not ended"
        record_property(
            "chaos",
            {
                "fault": f"the disk or database of a gateway is {harm.__name__.replace('_', ' ')}",
                "noticed_s": noticed_s,
                "what became of it": f"calls went on, new ones too; said in the log, the console and /healthz; "
                f"records again {healed_s:.1f} s after it was over, without a restart",
            },
        )

    asyncio.run(story())
