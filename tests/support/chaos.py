"""A gateway, several agents and many callers as processes, what is done to them, and what the callers hear of it.

async with chaos(agents=2) as place:
    callers = await place.callers(6)
    await place.speaking(callers)
    ...
    place.agents[0].stop()          # SIGSTOP
    ...
    assert callers[0].silence_s(since, until) < 3

The gateway is a process of its own. The callers are in the test's process, each with a connection of its own: they note
when they hear which pitch, and so which agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import connect

from piopiy_pipeline.signaling.caller import (
    Answered,
    CallStart,
    Leave,
    LegEnded,
    LegFault,
    Ringing,
    parse_leg_event,
)
from piopiy_pipeline.signaling.messages import Dtmf, dump
from piopiy_pipeline.signaling.websocket import DirectClientConnection
from tests.support.agents import AgentProcess
from tests.support.calls import AGENT_ID, KEY, TOKEN, eventually
from tests.support.heard_pitches import PITCHES, HeardPitches, Lateness

__all__ = [
    "PITCHES",
    "ChaosAgent",
    "ChaosCaller",
    "ChaosPlace",
    "call",
    "chaos",
    "free_tcp_port",
    "go_on",
    "pss_mb",
    "with_children",
]

RATE = 16000
FRAME = b"\0\0" * 320
START_S = 60.0


def free_tcp_port() -> int:
    """Return a port of loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def with_children(pid: int) -> list[int]:
    """Return the ids of a process and of all below it, parents first."""
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{found[-1]}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
    return found


def pss_mb(pid: int) -> float:
    """Return the memory of a process and of all below it, in MB. What they share counts once."""
    kilobytes = 0
    for each in with_children(pid):
        with contextlib.suppress(OSError):
            kilobytes += int(Path(f"/proc/{each}/smaps_rollup").read_text().partition("\nPss:")[2].split()[0])
    return kilobytes / 1024


class ChaosCaller(HeardPitches):
    """One caller, who says nothing and notes what is heard."""

    def __init__(self, connection: DirectClientConnection, lateness: Lateness) -> None:
        super().__init__(lateness, rate=RATE)
        self.call_id = ""
        self.answered = False
        self.ended: tuple[str, str] | None = None
        self._socket = connection
        self._timer: asyncio.TimerHandle | None = None
        self._next_at = 0.0
        connection.listen(on_text=self._on_text, on_binary=self._on_binary, on_close=self._on_close)

    def _on_text(self, text: bytes) -> None:
        match parse_leg_event(text):
            case Ringing(call_id=call_id):
                self.call_id = call_id
            case Answered():
                self.answered = True
                self._next_at = self._loop.time()
                self._speak()
            case LegEnded(reason=reason, detail=detail):
                self.ended = str(reason), detail
            case LegFault(detail=detail):
                self.ended = "fault", detail

    def _on_binary(self, pcm: bytes) -> None:
        self.note(np.frombuffer(pcm, np.int16))

    def _on_close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.ended is None:
            self.ended = "closed", ""

    def _speak(self) -> None:
        self._socket.post_binary(FRAME)
        self._next_at += 0.02
        self._timer = self._loop.call_at(self._next_at, self._speak)

    def press(self, digits: str) -> None:
        """Press keys."""
        self._socket.post_text(dump(Dtmf(digits=digits)))

    async def hang_up(self) -> None:
        """Hang up, and close the connection."""
        if self._timer is not None:
            self._timer.cancel()
        self._socket.post_text(dump(Leave()))
        await self._socket.close()


async def go_on(callers: Sequence[ChaosCaller], since: float) -> None:
    """Wait until each of these callers has heard its agent after a time of the loop. Fails if a call has ended."""
    await eventually(lambda: all(caller.ended or caller.agent_heard(since) for caller in callers), START_S)
    assert all(caller.ended is None for caller in callers), "somebody else has lost the call"


class ChaosAgent(AgentProcess):
    """An agent's process, and its pitch."""

    pitch: float = 0.0

    @property
    def instance_id(self) -> str:
        """The id of its instance, with which the ids of its call workers begin; empty until it has told."""
        return next((str(line["instance_id"]) for line in self.told("begins")), "")

    def stop(self) -> None:
        """Stop the process, and all below it, as they are: hung, and not dead."""
        self._send(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on."""
        self._send(signal.SIGCONT)

    def _send(self, what: signal.Signals) -> None:
        for pid in with_children(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, what)

    def told(self, event: str) -> list[dict[str, Any]]:
        """Return what it printed of one kind."""
        return [line for line in self.printed if line.get("event") == event]

    async def close(self) -> None:
        self.wake()  # one that is stopped does not read
        await super().close()


async def call(
    stack: AsyncExitStack,
    url: str,
    *,
    agent_id: str = AGENT_ID,
    key: str = KEY,
    lateness: Lateness | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> ChaosCaller:
    """Call an agent of the gateway at this address, until the stack closes."""
    connection = await connect(
        f"{url}/call/{agent_id}",
        create_connection=DirectClientConnection,
        additional_headers={"Authorization": f"Bearer {key}"},
        compression=None,
        proxy=None,
        ping_interval=None,
    )
    assert isinstance(connection, DirectClientConnection)
    if lateness is None:
        lateness = Lateness()
        stack.callback(lateness.close)
    caller = ChaosCaller(connection, lateness)
    connection.post_text(dump(CallStart.model_validate({"rate": RATE, "watch": False, "metadata": metadata})))
    stack.push_async_callback(caller.hang_up)
    return caller


class ChaosPlace:
    """The gateway's process, its agents, and callers."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self.url = url
        self.agents: list[ChaosAgent] = []
        self.gateway: AgentProcess | None = None
        self._stack = stack
        self.lateness = Lateness()
        stack.callback(self.lateness.close)

    @property
    def gateway_log(self) -> str:
        """What the gateway has logged."""
        assert self.gateway is not None
        return self.gateway.log

    async def add_agent(
        self,
        *,
        url: str | None = None,
        module: str = "tests.support.chaos_agent",
        environment: Mapping[str, str] | None = None,
        start_s: float = START_S,
    ) -> ChaosAgent:
        """Start one more agent, and wait until it is registered, or one of its call workers, for at most `start_s`
        seconds. The module tells the id of its instance.
        """
        pitch = PITCHES[len(self.agents) % len(PITCHES)]
        agent = await ChaosAgent.start(
            url or self.url,
            arguments=("-m", module),
            environment={"TONE_HZ": str(pitch), **(environment or {})},
        )
        assert isinstance(agent, ChaosAgent)
        agent.pitch = pitch
        self._stack.push_async_callback(agent.close)
        self.agents.append(agent)
        await eventually(lambda: agent.instance_id and self._knows(agent.instance_id), start_s)
        return agent

    def _knows(self, instance_id: str) -> bool:
        return f" registered: instance {instance_id}" in self.gateway_log

    async def caller(self, metadata: Mapping[str, Any] | None = None) -> ChaosCaller:
        """Call."""
        return await call(self._stack, self.url, lateness=self.lateness, metadata=metadata)

    async def callers(self, count: int, metadata: Mapping[str, Any] | None = None) -> list[ChaosCaller]:
        """Make calls, and wait until all hear their bot."""
        callers = [await self.caller(metadata) for _ in range(count)]
        await eventually(lambda: all(caller.agent_heard() for caller in callers), START_S)
        return callers


@asynccontextmanager
async def chaos(
    *,
    agents: int = 2,
    environment: Mapping[str, str] | None = None,
    settings: Sequence[str] = (),
    browsers: bool = False,
) -> AsyncIterator[ChaosPlace]:
    """Run a gateway and agents as processes. `settings` are lines of the gateway's configuration; `browsers` says
    whether it takes calls of browsers on this machine.
    """
    port = free_tcp_port()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = folder / "gateway.toml"
        lines = [
            f"port = {port}",
            f"webrtc_workers = {int(browsers)}",
            'webrtc_addresses = ["127.0.0.1"]',
            "records = false",
            "offer_ms = 2000",
            f'caller_keys = ["{KEY}"]',
            *settings,
            f'[agents]\n{AGENT_ID} = "{TOKEN}"',
        ]
        config.write_text("\n".join(lines) + "\n")
        url = f"ws://127.0.0.1:{port}"
        place = ChaosPlace(url, stack)
        place.gateway = await AgentProcess.start(
            url, arguments=("-m", "piopiy_pipeline.cli", "gateway", "--config", str(config))
        )
        stack.push_async_callback(place.gateway.close)
        try:
            await eventually(lambda: "listening" in place.gateway_log, START_S)
            for _ in range(agents):
                await place.add_agent(environment=environment)
            yield place
        except BaseException:
            print(place.gateway_log, file=sys.stderr)
            for agent in place.agents:
                print(agent.log, file=sys.stderr)
            raise
