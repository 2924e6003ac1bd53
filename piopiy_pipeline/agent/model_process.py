"""`ModelProcess`: what runs in the process that has the models for all call workers of an agent.

The offline ears and voices are in worker processes of their own, and these belong to whoever asks for them. With many
call workers, that is this process; what it does is `PoolHost`'s. It begins when a call worker first asks for a model,
and again if it has died, or hung: it says twice a second that its event loop turns (`HangWatch`).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Sequence

from piopiy_pipeline.agent.hang_watch import RUNS_S
from piopiy_pipeline.agent.linux_process import adopt_orphans, die_with_parent
from piopiy_pipeline.agent.process_messages import (
    EndWorker,
    OpenModels,
    WorkerReady,
    WorkerRuns,
    receive_all,
    send,
)
from piopiy_pipeline.compat.asyncio import forget_running_loop
from piopiy_pipeline.services.workers.pool_host import PoolHost
from piopiy_pipeline.services.workers.worker_pool import PoolPlan, make_shared_pools

__all__ = ["ModelProcess"]

LAST_CALLS_S = 10.0
"""How long call workers may go on with their models when the supervisor is gone: they end before that."""


class ModelProcess:
    """Serves models in a process that was just forked.

    Args:
        control: This process's end of its pair with the supervisor.
        plans: The pools that the author's program had when this process was forked: they are loaded at once.
        loop_factory: Makes an event loop.
    """

    def __init__(
        self,
        control: socket.socket,
        *,
        plans: Sequence[PoolPlan],
        loop_factory: Callable[[], asyncio.AbstractEventLoop],
    ) -> None:
        self._control = control
        self._plans = plans
        self._loop_factory = loop_factory
        self._ending = asyncio.Event()

    def run(self) -> int:
        """Serve until the supervisor says that it is over, or is gone. Returns the exit code."""
        die_with_parent(signal.SIGKILL)
        adopt_orphans()
        forget_running_loop()
        asyncio.set_event_loop(None)
        self._control.setblocking(False)
        make_shared_pools(None)
        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            runner.run(self._serve())
        return 0

    async def _serve(self) -> None:
        host = PoolHost()
        loop = asyncio.get_running_loop()

        def obey() -> None:
            messages, gone = receive_all(self._control)
            for message, descriptors in messages:
                if isinstance(message, OpenModels):
                    host.add(socket.socket(fileno=descriptors[0]))
                elif isinstance(message, EndWorker):
                    gone = True
            if gone:
                loop.remove_reader(self._control.fileno())
                self._ending.set()

        def tell_that_it_turns() -> None:
            with contextlib.suppress(OSError):
                send(self._control, WorkerRuns())
            loop.call_later(RUNS_S, tell_that_it_turns)

        loop.add_reader(self._control.fileno(), obey)
        tell_that_it_turns()
        await host.load(self._plans)
        with contextlib.suppress(OSError):
            send(self._control, WorkerReady())
        await self._ending.wait()
        await host.wait_idle(LAST_CALLS_S)
        await host.close()
