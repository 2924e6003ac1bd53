"""An agent that speaks a tone of its own without a pause, and does harm when a caller's metadata says so.

As a program (``python -m tests.support.chaos_agent``) it is an agent in a process of its own. Callers know by the tone
(TONE_HZ) which instance they hear. What it tells goes to stdout, one JSON object a line.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import time
from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
from pipecat.frames.frames import Frame, TTSAudioRawFrame

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.call import CallEnd
from piopiy_pipeline.session import Call
from tests.support.bots import voice
from tests.support.harmful_bots import HARMS
from tests.support.services import SECONDS_A_CHARACTER, ToneTTS

__all__ = ["BLOCKED_AT", "create_session", "tell"]

LONG = "This goes on and on and it never comes to an end because somebody has to be heard all the time without a pause"
BLOCKED_AT = "chaos_agent.py"


class OwnToneTTS(ToneTTS):
    """A tone whose pitch is this process's."""

    def __init__(self, hz: float) -> None:
        super().__init__()
        self._hz = hz

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        n = int(SECONDS_A_CHARACTER * len(text) * self.sample_rate)
        pcm = (
            (8000 * np.sin(np.arange(n) * 2 * np.pi * self._hz / self.sample_rate)).astype(np.int16).tobytes()
        )
        step = self.sample_rate // 10 * 2
        for i in range(0, len(pcm), step):
            yield TTSAudioRawFrame(pcm[i : i + step], self.sample_rate, 1, context_id=context_id)


def tell(**what: Any) -> None:
    """Print one JSON object."""
    print(json.dumps({"pid": os.getpid(), **what}), flush=True)


def block(how: str, seconds: float) -> None:
    """Do not return to the event loop."""
    tell(event="blocks", how=how)
    if how == "spin":
        end = time.thread_time() + seconds  # on a busy machine it takes longer, and it blocks no less
        while time.thread_time() < end:
            pass
    elif how == "native":  # it keeps Python's lock, as a library in C may
        ctypes.PyDLL(None).sleep(int(seconds))
    else:
        time.sleep(seconds)


async def slow_down(how: str) -> None:
    """Have each turn of the loop take a third of a second, or some hundredths with 12,000 tasks, for ever."""
    tell(event="blocks", how=how)
    if how == "many_tasks":
        await asyncio.gather(*(poll() for _ in range(12_000)))
    tasks = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(1000)]
    while tasks:
        time.sleep(0.35)  # noqa: ASYNC251  no look of a watchdog finds that the loop turns
        await asyncio.sleep(0)


async def poll() -> None:
    """Look for something, and never find it."""
    while True:  # noqa: ASYNC110  that is what it is about
        await asyncio.sleep(0.001)


async def create_session(call: Call, metadata: dict[str, Any] | None) -> None:
    """Speak for ever. ``{"block": "sleep" | "spin" | "native" | "tasks" | "many_tasks", "after": s, "seconds": s}``
    blocks the loop meanwhile, or has it turn slowly (in native code not again when the call was resumed);
    ``{"harm": name, "after": s}`` does one of `HARMS`.
    """
    wanted = metadata or {}
    agent = await voice(call, tts=OwnToneTTS(float(os.environ["TONE_HZ"])))
    call.state["instances"] = [*call.state.get("instances", []), os.getpid()]
    tell(event="begins_call", call_id=call.info.call_id, times=len(call.state["instances"]))

    async def speak(_: object) -> None:
        while await agent.say(LONG):  # False when the call has ended
            pass

    async def harm(_: object) -> None:
        await asyncio.sleep(wanted["after"])
        if wanted["block"] in ("tasks", "many_tasks"):
            await slow_down(wanted["block"])
        block(wanted["block"], wanted["seconds"])

    agent.on("answered", speak)
    if "block" in wanted and not (wanted["block"] == "native" and call.resumed):
        agent.on("answered", harm)
    if "harm" in wanted:
        agent.on(
            "answered",
            lambda _: asyncio.get_running_loop().call_later(wanted["after"], HARMS[wanted["harm"]]),
        )
    agent.on("error", lambda error: tell(event="error", stage=error.stage, message=error.message))
    end: CallEnd = await agent.start()
    tell(event="end", call_id=call.info.call_id, reason=end.reason, detail=end.detail)


async def _main() -> None:
    agent = Agent(
        os.environ["AGENT_ID"],
        os.environ["AGENT_TOKEN"],
        create_session,
        capacity=int(os.environ["CAPACITY"]),
        blocked_call_s=float(os.environ.get("BLOCKED_CALL_S", "10")),
    )
    tell(event="begins", instance_id=agent.instance_id)
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(_main())
