"""What a `Call` needs of whatever runs its chain, so that neither has to know how the other is made."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pipecat.observers.base_observer import BaseObserver

from piopiy_pipeline.pipeline import CallPipeline

if TYPE_CHECKING:
    from piopiy_pipeline.session.call import Call

__all__ = ["Client", "MakeRun", "Run", "RunOptions"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a chain is run: see `Call.run`."""

    idle_timeout_s: float | None
    error_line: str | None
    enable_metrics: bool
    enable_usage_metrics: bool
    observers: Sequence[BaseObserver]


class Client(Protocol):
    """The application at the caller's end, as far as a `Call` knows it."""

    @property
    def protocol(self) -> str | None: ...

    def on_message(self, data: dict[str, Any]) -> bool: ...

    async def send_message(self, data: Any) -> None: ...

    def error(self, message: str) -> None: ...


class Run(Protocol):
    """A chain that runs, as far as a `Call` knows it."""

    chain: CallPipeline

    async def run(self) -> None: ...

    async def respond(self, note: str | None = None) -> None: ...

    async def finish_speaking(self) -> None: ...

    async def drain(self, drain_s: float) -> None: ...

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> None: ...

    @property
    def client(self) -> Client: ...


class MakeRun(Protocol):
    """Makes the run of a chain; given by the session, which knows what runs and what watches."""

    def __call__(self, call: Call, chain: CallPipeline, options: RunOptions) -> Run: ...
