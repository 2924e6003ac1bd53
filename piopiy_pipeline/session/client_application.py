"""The application at the caller's end, in a browser or on a mobile device: what it and the bot send each other.

Whatever it sends reaches the bot's author, as the `message` event and as a frame in the pipeline. Messages
in the protocol of Pipecat's SDKs (RTVI) are carried out instead, from the client's ``client-ready`` on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipecat.frames.frames import OutputTransportMessageUrgentFrame
from pipecat.processors.frame_processor import FrameDirection
from pipecat.processors.frameworks.rtvi.models import PROTOCOL_VERSION
from pipecat.processors.frameworks.rtvi.processor import RTVIProcessor

from piopiy_pipeline.arguments import shown
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.events import ClientMessage
from piopiy_pipeline.session.monitor import CallMonitor
from piopiy_pipeline.session.pipeline_worker import CallWorker
from piopiy_pipeline.session.rtvi.rtvi_client import RtviClient, speaks_rtvi
from piopiy_pipeline.transports.media_stream import MediaStreamTransport
from piopiy_pipeline.transports.outgoing_events import event_of

__all__ = ["ClientApplication"]


class ClientApplication:
    """The client's application in one call.

    A pipeline with pipecat's own `RTVIProcessor` is left to it: nothing of RTVI is done here then.

    Args:
        state: The call. If another instance had it before, `state.resumed.rtvi` is the version of RTVI
            that the client spoke there: a client says ``client-ready`` once.
        pipeline: The pipeline of the call.
        worker: Runs the pipeline.
        transport: The transport of the call.
        monitor: Sees what happens in the pipeline.
        hang_up: Ends the call, when the client asks for it.
    """

    def __init__(
        self,
        state: CallState,
        pipeline: CallPipeline,
        worker: CallWorker,
        transport: MediaStreamTransport,
        monitor: CallMonitor,
        *,
        hang_up: Callable[[], None],
    ) -> None:
        self._state = state
        self._worker = worker
        self._transport = transport
        self._monitor = monitor
        self._hang_up = hang_up
        self._rtvi: RtviClient | None = None
        self._has_own_processor = pipeline.find(RTVIProcessor) is not None
        if state.resumed is not None and state.resumed.rtvi is not None and not self._has_own_processor:
            self._serve_rtvi(state.resumed.rtvi)
        elif state.info.kind == "text" and not self._has_own_processor:
            self._serve_rtvi(
                PROTOCOL_VERSION
            )  # words travel so, whether the client says that it is ready or not

    @property
    def protocol(self) -> str | None:
        """The version of RTVI that the client speaks; None if it speaks another protocol, or is no client."""
        return None if self._rtvi is None else self._rtvi.protocol

    @property
    def unread(self) -> bool:
        """Whether words of a text chat are on their way to the client, and not sent yet."""
        return self._state.info.kind == "text" and self._rtvi is not None and self._rtvi.unsent

    def on_message(self, data: dict[str, Any]) -> bool:
        """Handle a message of the client. Returns whether it was carried out, so that the pipeline need not
        see it.
        """
        if speaks_rtvi(data) and not self._has_own_processor:
            if self._rtvi is None and data.get("type") == "client-ready":
                self._serve_rtvi("0.0.0")  # the client tells its version in this message
            if self._rtvi is not None:
                self._rtvi.on_message(data)
                return True
        self._state.events.emit("message", ClientMessage(data))
        return False

    async def send_message(self, data: Any) -> None:
        """Send the client a message. See `Call.send_message`.

        Raises:
            TypeError: The message is not a dict, and the client does not speak RTVI.
            ValueError: The message is not JSON, or it is too long.
        """
        if self._rtvi is not None:
            self._rtvi.send_server_message(data)
            return
        if not isinstance(data, dict):
            raise TypeError(f"a message is a dict, unless the client speaks RTVI: not {shown(data)}")
        event_of(data)  # refused here, it is the sender's exception
        frame = OutputTransportMessageUrgentFrame(message=data)
        await self._transport.output().queue_frame(frame, FrameDirection.DOWNSTREAM)

    def send_error(self, message: str) -> None:
        """Tell a client that speaks RTVI that something went wrong in the call."""
        if self._rtvi is not None:
            self._rtvi.send_error(message)

    def close(self) -> None:
        """Send nothing any more, because the call is over."""
        if self._rtvi is not None:
            self._rtvi.close()

    def _serve_rtvi(self, protocol: str) -> None:
        self._rtvi = RtviClient(
            self._state, self._worker, self._transport, hang_up=self._hang_up, protocol=protocol
        )
        self._monitor.serve_rtvi(self._rtvi)
