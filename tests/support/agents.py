"""Agents in processes of their own, and what a process or this one has logged.

A test that blocks the agent's loop, kills the agent or counts what it holds needs it apart from the
gateway and the callers, which live in the test's own loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.server import Gateway
from tests.support.calls import AGENT_ID, KEY, SETTINGS, TOKEN, House, eventually
from tests.support.programs import Program

__all__ = ["AgentProcess", "Apart", "apart", "logged", "longest_hole_s"]

ROOT = Path(__file__).parent.parent.parent
BOTS = ("-m", "tests.support.bots")
START_S = 60.0


class AgentProcess:
    """A Python program that is an agent. By default it has the bots of `tests.support.bots`."""

    def __init__(self, process: Program) -> None:
        self.process = process
        self.printed: list[dict[str, Any]] = []
        """The JSON that it printed."""
        self.log = ""
        """What it wrote to stderr."""
        self._readers = [
            asyncio.ensure_future(self._read_stdout()),
            asyncio.ensure_future(self._read_stderr()),
        ]

    @classmethod
    async def start(
        cls,
        url: str,
        *,
        arguments: Sequence[str] = BOTS,
        token: str = TOKEN,
        capacity: int = 20,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Start the program with everything in its environment that an agent needs. It is not connected yet."""
        variables = {
            **os.environ,
            "AGENT_ID": AGENT_ID,
            "AGENT_TOKEN": token,
            "PIOPIY_URL": url,
            "CAPACITY": str(capacity),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            **(environment or {}),
        }
        return cls(await Program.start(*arguments, environment=variables))

    async def _read_stdout(self) -> None:
        async for line in self.process.stdout:
            with contextlib.suppress(json.JSONDecodeError):
                self.printed.append(json.loads(line))

    async def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.log += line.decode(errors="replace")

    async def census(self) -> dict[str, Any]:
        """Return what the process holds now: calls, tasks, threads, fds, vad_streams."""
        before = len(self._censuses())
        self.process.say("census")
        await eventually(lambda: len(self._censuses()) > before, 10)
        return self._censuses()[-1]

    def _censuses(self) -> list[dict[str, Any]]:
        return [line for line in self.printed if line.get("event") == "census"]

    def kill(self) -> None:
        """End the process with SIGKILL."""
        self.process.send_signal(signal.SIGKILL)

    async def terminate(self, timeout_s: float = 20.0) -> int:
        """End the process with SIGTERM, and return its exit status."""
        self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), timeout_s)

    async def close(self) -> None:
        """Make sure that the process has ended."""
        self.process.kill()
        await self.process.wait()
        await asyncio.wait(self._readers, timeout=5)
        await self.process.close()


class Apart(House):
    """A gateway with the agent in another process."""

    def __init__(self, gateway: Gateway, process: AgentProcess) -> None:
        self.gateway = gateway
        self.process = process


@asynccontextmanager
async def apart(
    *, arguments: Sequence[str] = BOTS, capacity: int = 20, **settings: Any
) -> AsyncIterator[Apart]:
    """Run a gateway on a free port, and an agent in another process that is connected to it."""
    config = GatewayConfig(port=0, agents={AGENT_ID: TOKEN}, caller_keys=[KEY], **{**SETTINGS, **settings})
    async with Gateway(config) as gateway:
        process = await AgentProcess.start(gateway.url, arguments=arguments, capacity=capacity)
        try:
            await gateway.wait_for_agent(AGENT_ID, START_S)
            yield Apart(gateway, process)
        except BaseException:
            print(process.log, file=sys.stderr)
            raise
        finally:
            await process.close()


def longest_hole_s(heard: NDArray[np.int16], rate: int) -> float:
    """Return the longest silence between the first and the last sound, in seconds; 0.0 for a tone without a
    pause.
    """
    loud = np.flatnonzero(np.abs(heard.astype(np.int32)) > 500)
    return float(np.max(np.diff(loud), initial=1) - 1) / rate


@contextmanager
def logged() -> Iterator[list[tuple[str | None, str]]]:
    """Collect what is logged in this process: pairs of the call's id and ``LEVEL message``."""
    lines: list[tuple[str | None, str]] = []

    def sink(message: Any) -> None:
        record = message.record
        lines.append((record["extra"].get("call_id"), f"{record['level'].name} {record['message']}"))

    handler = logger.add(sink, level="DEBUG")
    try:
        yield lines
    finally:
        logger.remove(handler)
