"""What the gateway uses of piopiy-agent beyond its documented interface: its own drain, and single connections.

The package knows how to drain when Piopiy's cloud asks for it. A gateway that is told to end wants the same, and there
is no word for that. The package's worker also stops for good when the cloud has drained it, and connects again for ever
with a text of gRPC's; a gateway registers again, and says what to do. So the private names that the package uses itself
are used here.
"""

from __future__ import annotations

import asyncio
from typing import Any

from piopiy_agent import PiopiyWorker

from piopiy_pipeline.compat import check_attributes

__all__ = ["SingleConnectionWorker", "check"]

PIOPIY_AGENT = ">=1.2,<2"
"""The versions that this file was written for, as in pyproject.toml."""


def check() -> None:
    """Check that the installed piopiy-agent has everything that this file uses.

    Raises:
        CompatError: Something is missing. The message names it.
    """
    check_attributes(
        "piopiy-agent",
        (
            (PiopiyWorker, "_draining"),
            (PiopiyWorker, "_active"),
            (PiopiyWorker, "_outbox"),
            (PiopiyWorker, "_send"),
            (PiopiyWorker, "_session"),
            (PiopiyWorker, "_send_status"),
            (PiopiyWorker, "_heartbeat_loop"),
        ),
        written_for=PIOPIY_AGENT,
        used_in=__name__,
    )


class SingleConnectionWorker(PiopiyWorker):
    """A worker whose connections somebody else makes again, and who can be told to drain from this side.

    The arguments are those of `PiopiyWorker`.
    """

    registered = False
    """Whether the cloud has taken the registration of the latest connection."""
    held = False
    """Whether the worker drains because its own side wants it to."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._late: list[Any] = []  # what the cloud is told behind the next registration

    async def connect_once(self) -> None:
        """Connect, register and serve until the connection ends.

        What is said without a connection waits: that a job is over is said behind the next registration. How the
        worker stands is said there in any case.

        Raises:
            grpc.aio.AioRpcError: The cloud has refused it, or was not reached.
        """
        self.registered = False
        self._keep_late()
        try:
            await self._session()
        finally:  # gRPC goes on reading where it has read, although the connection has ended
            self._keep_late()
            self._outbox.put_nowait(None)
            self._outbox: asyncio.Queue[Any] = asyncio.Queue()

    def _keep_late(self) -> None:
        """Take what was not sent out of the queue, and keep which jobs are over."""
        while not self._outbox.empty():
            message = self._outbox.get_nowait()
            if message.WhichOneof("payload") == "completed":
                self._late.append(message)

    async def switch_drain(self, *, on: bool) -> None:
        """Take no more jobs, or take jobs again, and tell the cloud so."""
        self.held = self._draining = on
        await self._send_status()

    @property
    def idle(self) -> bool:
        """Whether no job is served."""
        return not self._active

    @property
    def drained(self) -> bool:
        """Whether the cloud has drained this worker, and its last job is over."""
        return self._draining and not self.held and self.idle

    def on_registered(self) -> None:
        """Handle that the cloud has taken the registration. For subclasses."""

    def on_status(self) -> None:
        """Handle that the cloud is told how the worker stands. For subclasses."""

    async def _heartbeat_loop(self) -> None:
        self.registered = True
        self.on_registered()
        late, self._late = self._late, []
        for message in late:
            await self._send(message)
        await super()._heartbeat_loop()

    async def _send_status(self) -> None:
        await super()._send_status()
        self.on_status()


check()
