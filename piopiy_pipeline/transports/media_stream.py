"""A call's audio over a media stream: pipecat's transport on this project's playout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipecat.transports.base_transport import BaseTransport, TransportParams

from piopiy_pipeline.arguments import check_kind
from piopiy_pipeline.signaling.media_events import (
    CalmPieces,
    Cleared,
    DataMessage,
    Dtmf,
    GatewayMediaEvent,
    Held,
    MediaStop,
    Played,
)
from piopiy_pipeline.transports.bot_output import BotOutput
from piopiy_pipeline.transports.caller_input import CallerInput
from piopiy_pipeline.transports.link import MediaLink
from piopiy_pipeline.transports.speech_monitor import SpeechMonitor

__all__ = ["MediaStreamTransport"]

CALM_PIECE_MS = 320
"""How much of a quiet line comes at once. Ten windows of the VAD are as long as sixteen frames of a gateway's."""
_NOT_HERE = {
    "audio_in_filter": "put a filter stage before the VAD instead: pipeline.insert(name, stage, before='vad')",
    "audio_out_filter": "put a filter stage before the output: pipeline.insert(name, stage, before='transport_out')",
    "audio_out_mixer": "mix in a stage before the output: pipeline.insert(name, stage, before='transport_out')",
    "video_in_enabled": "this is a telephone: there is no video",
    "video_out_enabled": "this is a telephone: there is no video",
}


class MediaStreamTransport(BaseTransport):
    """Input and output of one call on a `MediaLink`.

    Args:
        link: The call's media link.
        monitor: Called as the bot's speech goes on.
        params: Pipecat's parameters. The sample rates may be None or those of the link, because they
            were agreed with the gateway before the pipeline was built.
        frame_ms: The least length of the frames of the caller's audio, in milliseconds.
        lead_ms: How much speech may be on its way and not heard, in milliseconds.
        on_lost: Called when the stream is gone.
        on_message: Called with each message of the client's application before the pipeline gets it.
            It returns whether it has dealt with the message, which then goes no further.
        on_keys: Called with the keys that the caller presses.

    Raises:
        TypeError: `params` are of another kind.
        ValueError: `params` ask for something that this transport does not do, or for another rate.
    """

    def __init__(
        self,
        link: MediaLink,
        monitor: SpeechMonitor,
        params: TransportParams | None = None,
        *,
        frame_ms: int = 32,
        lead_ms: int = 5000,
        on_lost: Callable[[], None] | None = None,
        on_message: Callable[[dict[str, Any]], bool] | None = None,
        on_keys: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__()
        expected = "pipecat's TransportParams, or None for the call's own"
        check_kind("the transport's parameters", params, (TransportParams, type(None)), expected)
        params = params or TransportParams()
        _check(params, link)
        params = params.model_copy(
            update={
                "audio_in_enabled": True,
                "audio_out_enabled": True,
                "audio_in_sample_rate": link.caller_rate,
                "audio_out_sample_rate": link.bot_rate,
                "audio_out_end_silence_secs": 0,
            }
        )
        self.monitor = monitor
        self._link = link
        self._input = CallerInput(params, frame_ms=frame_ms)
        self._output = BotOutput(params, link, monitor, lead_ms=lead_ms)
        self._on_lost = on_lost
        self._on_message = on_message
        self._on_keys = on_keys
        self._calm = False  # whether longer pieces are asked for while the caller's line is quiet

    def input(self) -> CallerInput:
        """Return the first stage of the pipeline."""
        return self._input

    def output(self) -> BotOutput:
        """Return the stage that speaks, behind the TTS."""
        return self._output

    def open(self) -> None:
        """Begin to listen. Call it when the pipeline has started, because nothing is heard before that."""
        self._link.attach(self)
        if self._link.can_calm and self._input.takes_silence_late:
            self._calm = True
            self._link.send_event(CalmPieces(ms=CALM_PIECE_MS))

    # ------------------------------------------------------------------ LinkListener

    def on_audio(self, pcm: bytes) -> None:
        self._input.audio(pcm)
        if self._calm and not self._input.takes_silence_late:
            self._calm = False
            self._link.send_event(CalmPieces(ms=0))

    def on_event(self, event: GatewayMediaEvent) -> None:
        match event:
            case Played():
                self._output.on_played(event)
            case Cleared():
                self._output.on_cleared(event)
            case Held():
                self._output.on_held(event)
            case Dtmf():
                self.keys(event.digits)
            case DataMessage():
                if self._on_message is None or not self._on_message(event.data):
                    self._input.message(event.data)
            case MediaStop():
                self.on_lost()

    def keys(self, digits: str) -> None:
        """Take keys that the caller has pressed, on their telephone or in their application."""
        if self._on_keys is not None:
            self._on_keys(digits)
        self._input.keys(digits)

    def on_lost(self) -> None:
        if self._on_lost is not None:
            self._on_lost()


def _check(params: TransportParams, link: MediaLink) -> None:
    for name, instead in _NOT_HERE.items():
        if getattr(params, name):
            raise ValueError(f"TransportParams.{name} is not supported here: {instead}")
    for name, rate in (
        ("audio_in_sample_rate", link.caller_rate),
        ("audio_out_sample_rate", link.bot_rate),
    ):
        wanted = getattr(params, name)
        if wanted not in (None, rate):
            raise ValueError(
                f"TransportParams.{name} is {wanted} Hz, but {rate} Hz were agreed for this call: leave it out"
            )
