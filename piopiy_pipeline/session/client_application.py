"""The application at the caller's end, in a browser or on a mobile device: what it and the bot say to each other.

Whatever it sends reaches the bot's author, as the `message` event and as a frame in the chain. What it
sends in the protocol of Pipecat's SDKs is done instead, from its ``client-ready`` on.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from pipecat.frames.frames import Frame, OutputTransportMessageUrgentFrame
from pipecat.pipeline.capabilities import BotCapabilities
from pipecat.processors.frame_processor import FrameDirection
from pipecat.processors.frameworks.rtvi.processor import RTVIProcessor

from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.session.events import ClientMessage
from piopiy_pipeline.session.rtvi import RtviClient, speaks_rtvi
from piopiy_pipeline.signaling.messages import DataMessage
from piopiy_pipeline.transports.link import MediaLink
from piopiy_pipeline.transports.media_stream import MediaStreamTransport

__all__ = ["ClientApplication", "RunsChain"]


class RunsChain(Protocol):
    """What is needed of a chain that runs."""

    chain: CallPipeline

    @property
    def capabilities(self) -> BotCapabilities: ...

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> None: ...

    async def cut_in(self) -> None: ...

    async def queue(self, *frames: Frame) -> None: ...

    def tell_client(self, client: RtviClient) -> None: ...


class ClientApplication:
    """The client's application in one call. It is an `RtviHost`: what a client asks for is done here.

    With a `protocol`, it has been ready for another instance of the agent, in that version of RTVI.
    """

    def __init__(
        self,
        link: MediaLink,
        transport: MediaStreamTransport,
        run: RunsChain,
        *,
        typed: Callable[[str], None],
        told: Callable[[ClientMessage], None],
        leave: Callable[[], Coroutine[Any, Any, None]],
        protocol: str | None = None,
    ) -> None:
        self._link = link
        self._transport = transport
        self._run = run
        self._told = told
        self._leave = leave
        self._has_its_own = run.chain.find(RTVIProcessor) is not None
        self._rtvi: RtviClient | None = None
        self.typed = typed
        if protocol is not None and not self._has_its_own:
            self._serve(protocol)

    def on_message(self, data: dict[str, Any]) -> bool:
        """Something that it has sent. Was it dealt with, so that the chain need not see it?"""
        if speaks_rtvi(data) and not self._has_its_own:
            if self._rtvi is None and data.get("type") == "client-ready":
                self._serve("0.0.0")  # it tells its version in this message
            if self._rtvi is not None:
                self._rtvi.on_message(data)
                return True
        self._told(ClientMessage(data))
        return False

    @property
    def protocol(self) -> str | None:
        """The version of RTVI that it speaks, if it does: what another instance of the agent has to know."""
        return None if self._rtvi is None else self._rtvi.protocol

    def _serve(self, protocol: str) -> None:
        self._rtvi = RtviClient(self, self._transport.output(), protocol=protocol)
        self._run.tell_client(self._rtvi)

    async def send_message(self, data: Any) -> None:
        """Send it something. Raises `ValueError` or `TypeError` for what cannot be sent."""
        if self._rtvi is not None:
            self._rtvi.server_message(data)
            return
        if not isinstance(data, dict):
            raise TypeError(f"a message is a dict, unless the client speaks RTVI: not {data!r}")
        frame = OutputTransportMessageUrgentFrame(message=data)
        await self._transport.output().queue_frame(frame, FrameDirection.DOWNSTREAM)

    def error(self, message: str) -> None:
        """Something went wrong in the call."""
        if self._rtvi is not None:
            self._rtvi.error(message)

    def close(self) -> None:
        """The call is over: nothing is told any more."""
        if self._rtvi is not None:
            self._rtvi.close()

    # ------------------------------------------------------------------ RtviHost

    @property
    def capabilities(self) -> BotCapabilities:
        return self._run.capabilities

    def send(self, event: DataMessage) -> None:
        self._link.send_event(event)

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        self._run.spawn(work, name)

    async def cut_in(self) -> None:
        await self._run.cut_in()

    async def queue(self, *frames: Frame) -> None:
        await self._run.queue(*frames)

    def press(self, digits: str) -> None:
        self._transport.keys(digits)

    def client_message(self, message: ClientMessage) -> None:
        self._told(message)

    def leave(self) -> None:
        self._run.spawn(self._leave(), "leave")
