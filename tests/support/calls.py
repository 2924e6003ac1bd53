"""A whole system for a test: a real gateway, a real agent, and callers over real sockets, in one loop.

async with house(bot) as place:
    log = await place.call("booking/01-people.wav", interrupt_s=1.0)
    assert log.texts("bot") == [...]
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.cli.call_report import CallOutcome, CallReport, PlacedSound
from piopiy_pipeline.cli.gateway_link import GatewayLink
from piopiy_pipeline.cli.place_call import place_call
from piopiy_pipeline.cli.target import Target
from piopiy_pipeline.cli.turns import load_script
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.snapshots import CallSnapshot
from piopiy_pipeline.gateway.server import Gateway
from piopiy_pipeline.signaling.caller import CallStart
from piopiy_pipeline.testing import Caller, Habits

__all__ = ["AUDIO", "CallLog", "House", "eventually", "house"]

AUDIO = Path(__file__).parent.parent / "audio"
AGENT_ID, TOKEN, KEY = "test-agent", "agent-token", "caller-key"
SETTINGS: dict[str, Any] = {
    "callers_may_watch": True,
    "records": False,
    "webrtc_workers": 0,
    "offer_ms": 5000,
}


async def eventually(
    condition: Callable[[], object], timeout_s: float = 20.0, *, every_s: float = 0.01
) -> None:
    """Wait until `condition` holds. Raises `AssertionError` after `timeout_s`. It is asked again after `every_s`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not condition():
        if loop.time() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {condition}")
        await asyncio.sleep(every_s)


@dataclass
class CallLog:
    """What one caller has noticed."""

    rate: int
    reports: list[CallReport] = field(default_factory=list)
    sounds: list[PlacedSound] = field(default_factory=list)
    outcome: CallOutcome | None = None

    def of(self, event: str) -> list[dict[str, Any]]:
        """Return the data of all reports of one kind."""
        return [report.data for report in self.reports if report.event == event]

    def texts(self, event: str) -> list[str]:
        """Return what was said, by ``"user"`` or ``"bot"``."""
        return [data["text"] for data in self.of(event)]

    @property
    def reason(self) -> EndReason:
        assert self.outcome is not None, "the call has not ended"
        return self.outcome.reason

    @property
    def heard(self) -> NDArray[np.int16]:
        """Return everything that the bot was heard to say, on the caller's time line, int16 of shape
        [samples].
        """
        sounds = [sound for sound in self.sounds if sound.side == "right"]
        pcm = np.zeros(max((s.position + s.pcm.size for s in sounds), default=0), np.int16)
        for sound in sounds:
            pcm[sound.position : sound.position + sound.pcm.size] = sound.pcm
        return pcm


class House:
    """A gateway, an agent, and the way to call it."""

    def __init__(self, gateway: Gateway, agent: Agent) -> None:
        self.gateway = gateway
        self.agent = agent

    async def call(
        self,
        *wavs: str,
        rate: int = 16000,
        interrupt_s: float | None = None,
        hangup_after_s: float = 4.0,
        limit_s: float = 60.0,
        hang_up: asyncio.Event | None = None,
        metadata: dict[str, Any] | None = None,
        log: CallLog | None = None,
    ) -> CallLog:
        """Call the agent, speak these turns (files under tests/audio), and return what was noticed.

        `log` is filled while the call lasts, for a test that wants to look in between.
        """
        log = log if log is not None else CallLog(rate)
        habits = Habits(hangup_after_s=hangup_after_s)
        caller = load_script([AUDIO / wav for wav in wavs], [], rate, interrupt_s=interrupt_s, habits=habits)
        await self.place(
            caller,
            log,
            metadata=metadata,
            limit_s=limit_s,
            tells_barge_in=interrupt_s is not None,
            hang_up=hang_up,
        )
        return log

    async def place(
        self, caller: Caller, log: CallLog, *, metadata: dict[str, Any] | None = None, **options: Any
    ) -> None:
        """Let `caller` call the agent, and write into `log` what they notice; `options` are those of
        `place_call`.
        """
        start = CallStart.model_validate(
            {"rate": log.rate, "from_number": "+15550100", "to_number": "+15550199", "metadata": metadata}
        )

        def tell(link: GatewayLink) -> None:
            log.reports += link.take_reports()
            log.sounds += link.take_sounds()

        target = Target(self.gateway.url, AGENT_ID, KEY)
        log.outcome = await place_call(target, caller, start, tell=tell, **options)

    def ended(self) -> tuple[CallSnapshot, ...]:
        """Return the calls that are over, as the gateway saw them."""
        return self.gateway.switchboard.snapshot().ended


@asynccontextmanager
async def house(
    create_session: Callable[..., Any], *, capacity: int = 20, **settings: Any
) -> AsyncIterator[House]:
    """Run a gateway on a free port with one agent connected to it; `settings` are those of `GatewayConfig`.

    Without more settings it keeps no records and takes no browsers' calls. An agent has long to accept and to be
    ready, because a machine that is busy with other tests is no agent that hangs.
    """
    settings = {"setup_s": 25.0, **SETTINGS, "port": 0, **settings}
    config = GatewayConfig(agents={AGENT_ID: TOKEN}, caller_keys=[KEY], **settings)
    async with Gateway(config) as gateway:
        agent = Agent(AGENT_ID, TOKEN, create_session, signaling_url=gateway.url, capacity=capacity)
        serving = asyncio.create_task(agent.connect())
        try:
            await gateway.wait_for_agent(AGENT_ID, 30)
            yield House(gateway, agent)
        finally:
            await agent.shutdown()
            await asyncio.wait_for(serving, 15)


def tone(seconds: float, rate: int = 16000, hz: Sequence[float] = (440.0,)) -> NDArray[np.int16]:
    """Return a sound that is no speech."""
    t = np.arange(int(seconds * rate)) / rate
    wave: NDArray[np.float64] = np.sum([np.sin(2 * np.pi * f * t) for f in hz], axis=0)
    return (6000 * wave).astype(np.int16)
