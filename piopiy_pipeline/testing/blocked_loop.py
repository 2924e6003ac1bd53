"""Tells a call that its author's code blocks the event loop, as an agent does: in simulation, replay and chat."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from piopiy_pipeline.agent.blocked_code import BlockedCode, blocked_code_at
from piopiy_pipeline.agent.loop_turns import LoopTurns
from piopiy_pipeline.agent.loop_watchdog import LoopWatchdog
from piopiy_pipeline.session import Session
from piopiy_pipeline.testing.simulated_agents import SimulatedAgents
from piopiy_pipeline.testing.virtual_time.virtual_loop import VirtualLoop

__all__ = ["tells_of_blocking"]

LIMIT_S = 10.0
"""What blocks a loop on the real clock for so long is in the log, because it may never turn again."""


@contextmanager
def tells_of_blocking(calls: Mapping[str, Session | SimulatedAgents]) -> Iterator[None]:
    """Within this, a call's agent learns that the call's code has blocked the running event loop.

    Where the clock is moved, that is code which sleeps without an await. On the real clock it is all code.

    Args:
        calls: Who has each call, by the call's id.
    """
    loop = asyncio.get_running_loop()

    def on_turned(code: BlockedCode, blocked_s: float) -> None:
        if code.matters(blocked_s) and (agent := calls.get(code.call_id or "")) is not None:
            agent.on_blocked(code.place, blocked_s, authors=code.authors)

    def on_sleep(sleeper: FrameType, seconds: float) -> None:
        if seconds >= LoopTurns.EXAMINE_S:
            code = blocked_code_at(sleeper, loop, threading.get_ident())
            if code is not None:
                loop.call_soon(on_turned, code, seconds)

    if isinstance(loop, VirtualLoop):
        loop.on_sleep = on_sleep
        try:
            yield
        finally:
            loop.on_sleep = None
        return
    watchdog = LoopWatchdog(
        None,
        limit_s=LIMIT_S,
        calls=lambda: 1,
        activity=lambda: 0,
        gateway_listens=lambda: False,
        on_turned=on_turned,
    )
    try:
        yield
    finally:
        watchdog.close()
