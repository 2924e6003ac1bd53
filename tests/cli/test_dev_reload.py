"""`piopiy dev` while a caller talks with the bot, and the bot's file changes. Real processes and sockets."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.cli.test_dev import Dev, start
from tests.support.calls import eventually
from tests.support.chaos import ChaosCaller, call

pytestmark = pytest.mark.realtime
__all__ = ["start"]

GENEROUS_S = 40.0
BOT = """
import asyncio, os
os.environ["TONE_HZ"] = "PITCH"
from piopiy_pipeline import Agent
from tests.support.patient_agent import create_session

asyncio.run(Agent(os.environ["AGENT_ID"], os.environ["AGENT_TOKEN"], create_session).connect())
"""
FAILING = """
import asyncio, os
from piopiy_pipeline import Agent

async def create_session(call):
    raise RuntimeError("a mistake in the callback")

asyncio.run(Agent(os.environ["AGENT_ID"], os.environ["AGENT_TOKEN"], create_session).connect())
"""


def bot(pitch: int) -> str:
    return BOT.replace("PITCH", str(pitch))


class Scene:
    """`piopiy dev`, its bot's file, and a caller who takes turns by keys."""

    def __init__(self, dev: Dev, path: Path, caller: ChaosCaller) -> None:
        self.dev, self.path, self.caller = dev, path, caller

    async def until(self, text: str) -> str:
        return await asyncio.to_thread(self.dev.until, text)

    async def change(self, source: str) -> None:
        self.path.write_text(source)
        await self.until("changed: starting the bot anew")

    async def turn(self, number: int, pitch: float) -> None:
        """Take a turn, and be answered by the bot of this pitch, which knows of so many turns."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.caller.press("1#")
        assert f"You have spoken {number} times" in await self.until('"bot_turn"')
        assert self.caller.agent_heard(began) == pitch
        await eventually(lambda: self.caller.agent_heard(loop.time() - 0.5) is None, GENEROUS_S)


@pytest.fixture
def of_this_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@pytest.mark.usefixtures("of_this_repository")
def test_a_call_in_progress_goes_on_with_the_changed_bot_and_survives_mistakes(
    start: Callable[..., Dev], tmp_path: Path
) -> None:
    dev = start(bot(500), "--no-record")
    url = dev.until("gateway  ws://127.0.0.1:").split()[1]
    dev.until("ready ")
    [file] = (tmp_path / "credentials").iterdir()
    credentials = json.loads(file.read_text())

    async def story() -> None:
        async with AsyncExitStack() as stack:
            caller = await call(stack, url, agent_id=credentials["agent_id"], key=credentials["caller_key"])
            await eventually(lambda: caller.agent_heard() is not None, GENEROUS_S)
            scene = Scene(dev, tmp_path / "bots" / "my bot.py", caller)
            await scene.until("Hello")
            await scene.turn(1, 500)

            await scene.change(bot(800))
            assert '"moved"' in await scene.until('"event": "end"')
            await scene.turn(2, 800)

            await scene.change("raise SystemExit(7)\n")
            await scene.until("exit status 7")
            await scene.turn(3, 800)

            await scene.change(FAILING)
            await scene.until("a mistake in the callback")
            await scene.turn(4, 800)

            await scene.change(bot(1200))
            assert '"moved"' in await scene.until('"event": "end"')
            await scene.turn(5, 1200)
            assert caller.ended is None

    asyncio.run(story())
    assert dev.interrupt() == 0
    assert not [line for line in dev.lines if re.search(r"call .* ended: (error|agent_lost)", line)]
