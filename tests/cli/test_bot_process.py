"""The process of a bot, as `piopiy dev` starts and ends it: nothing of it is left behind."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from piopiy_pipeline.cli import bot_process as bot_module
from piopiy_pipeline.cli.bot_process import BotProcess, BotSupervisor
from piopiy_pipeline.cli.dev import RING_S
from piopiy_pipeline.gateway.core.phases import Phase
from tests.support.switchboard import Room

WAIT_S = 40.0


def test_a_bot_that_heeds_no_signal_is_killed_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot_module, "_END_S", 0.3)
    lock, ready = tmp_path / "lock", tmp_path / "ready"
    helper = (
        "import fcntl, pathlib, signal\n"
        f"held = open({str(lock)!r}, 'w')\n"
        "fcntl.flock(held, fcntl.LOCK_EX)\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "signal.pause()\n"
    )
    stubborn = tmp_path / "stubborn.py"
    stubborn.write_text(
        "import signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"subprocess.run([sys.executable, '-c', {helper!r}])\n"
        "signal.pause()\n"
    )

    async def run() -> BotProcess:
        bot = await BotProcess.start(stubborn, os.environ)
        try:
            async with asyncio.timeout(WAIT_S):
                while not ready.exists():  # noqa: ASYNC110  another process makes it
                    await asyncio.sleep(0.01)
        finally:
            await bot.end()
        return bot

    assert asyncio.run(run()).ended
    # The helper's lock is free when the helper is gone, whether or not anybody has reaped it.
    with lock.open("w") as file:
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                assert time.monotonic() < deadline
                time.sleep(0.01)


def test_a_bot_ends_when_what_started_it_was_killed(tmp_path: Path) -> None:
    lock, ready = tmp_path / "lock", tmp_path / "ready"
    bot = tmp_path / "bot.py"
    bot.write_text(
        "import fcntl, pathlib, signal\n"
        f"held = open({str(lock)!r}, 'w')\n"
        "fcntl.flock(held, fcntl.LOCK_EX)\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "signal.pause()\n"
    )
    starter = (
        "import asyncio, os, pathlib\n"
        "from piopiy_pipeline.cli.bot_process import BotProcess\n"
        "async def run():\n"
        f"    bot = await BotProcess.start(pathlib.Path({str(bot)!r}), os.environ)\n"
        "    await bot.wait()\n"
        "asyncio.run(run())\n"
    )
    with subprocess.Popen([sys.executable, "-c", starter]) as process:
        try:
            wait_for(ready.exists)
            with lock.open("w") as file, pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            process.kill()

    def is_free() -> bool:
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    wait_for(is_free)


def test_a_bot_that_takes_long_to_start_is_said_to_load_while_callers_ring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot_module, "_SLOW_S", 0.0)
    path = tmp_path / "bot.py"
    path.write_text("import signal\nsignal.pause()\n")
    said: list[str] = []
    starting: list[bool] = []

    async def run() -> None:
        keeper = BotSupervisor(
            path,
            os.environ,
            registered=set,
            say=said.append,
            on_ready=lambda: None,
            starting=starting.append,
        )
        await keeper.launch()
        async with asyncio.timeout(WAIT_S):
            while not said:  # noqa: ASYNC110  it polls as well
                await asyncio.sleep(0.01)
        await keeper.close()

    asyncio.run(run())
    assert said[0].startswith(
        "bot.py takes no calls yet after 0 s: it is loading models or packages, or does"
    )
    assert starting[0]


def test_callers_ring_for_a_bot_whose_models_take_minutes() -> None:
    room = Room()
    room.board.instances.expect("desk", RING_S)
    call, leg = room.call()
    room.wait(150)
    assert (call.phase, leg.ended) == (Phase.OFFERING, None)
    room.agent().take()
    assert call.phase is Phase.LIVE


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
