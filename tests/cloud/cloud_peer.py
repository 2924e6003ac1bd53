"""The other end of `tests.cloud.fake_cloud`: starts it, moves it, and waits for what it tells."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from tests.support.programs import Program

__all__ = ["CLOUD_TOKEN", "CloudPeer"]

CLOUD_TOKEN = "cloud-token"
PATIENCE_S = 180.0


class CloudPeer:
    """A running fake. Make it with `start`."""

    def __init__(self, process: Program) -> None:
        self._process = process
        self._numbers = count(1)
        self._changed = asyncio.Event()
        self.events: list[dict[str, Any]] = []
        self._reading = asyncio.create_task(self._read())

    @classmethod
    @asynccontextmanager
    async def start(cls, host: str) -> AsyncIterator[CloudPeer]:
        arguments = ("-m", "tests.cloud.fake_cloud", host, CLOUD_TOKEN)
        process = await Program.start(*arguments, environment=os.environ, stderr=False)
        peer = cls(process)
        try:
            await peer.wait("ready")
            yield peer
        finally:
            await peer._close()

    @property
    def ready(self) -> dict[str, Any]:
        """Where it listens: `register` and `api`."""
        return self.of("ready")[0]

    def of(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """Return all events of one kind so far, with these fields."""
        return [
            one
            for one in self.events
            if one["event"] == event and all(one.get(name) == value for name, value in fields.items())
        ]

    async def do(self, what: str, **details: Any) -> None:
        """Have it do something, and wait until it has."""
        number = next(self._numbers)
        self._process.say(json.dumps({"do": what, "number": number, **details}))
        await self.wait("done", number=number)

    async def wait(self, event: str, *, times: int = 1, **fields: Any) -> dict[str, Any]:
        """Wait until it has told this so often, and return the latest."""
        await self.until(lambda: len(self.of(event, **fields)) >= times, f"{event} {fields}")
        return self.of(event, **fields)[-1]

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until a condition holds, which is asked at each event."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            last = [one for one in self.events if one["event"] != "status"][-8:]
            raise AssertionError(f"not within {PATIENCE_S:g} s: {what}; last: {last}") from None

    async def heard(self, job: str) -> dict[str, Any]:
        """Return what its caller has heard of the bot."""
        before = len(self.of("heard", job=job))
        await self.do("heard", job=job)
        return await self.wait("heard", times=before + 1, job=job)

    async def heard_until(self, job: str, seconds: float) -> dict[str, Any]:
        """Wait until its caller has heard so much of the bot."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while (heard := await self.heard(job))["loud_s"] < seconds:
            assert asyncio.get_running_loop().time() < deadline, f"not {seconds:g} s of the bot: {heard}"
            await asyncio.sleep(0.1)
        return heard

    async def _read(self) -> None:
        async for line in self._process.stdout:
            self.events.append(json.loads(line))
            self._changed.set()

    async def _close(self) -> None:
        await self._process.close()
        self._reading.cancel()
