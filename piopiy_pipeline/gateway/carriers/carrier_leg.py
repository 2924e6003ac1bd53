"""The leg of a caller whose carrier streams the call over a WebSocket: the shell of a `CarrierStream`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any

from loguru import logger
from websockets.frames import CloseCode

from piopiy_pipeline.call import CallKind, EndReason
from piopiy_pipeline.gateway.carriers.carrier_stream import (
    CarrierAudio,
    CarrierError,
    CarrierStart,
    CarrierStream,
    KeysPressed,
    MalformedStreamMessage,
    MarkPlayed,
    StreamEvent,
    StreamStopped,
    Wire,
)
from piopiy_pipeline.gateway.core.leg import TOO_MUCH_AUDIO, AudioBucket, Leg, LegListener
from piopiy_pipeline.signaling.messages import ConversationEvent
from piopiy_pipeline.signaling.websocket import DirectServerConnection
from piopiy_pipeline.token_bucket import TokenBucket

__all__ = ["CarrierLeg"]

START_S = 10.0
"""How long a carrier may take from the connection to its start message."""
MAX_MESSAGE_BYTES = 128 << 10
MESSAGES_PER_S = 1000
"""Fifty carry the audio. The rest allows for a stalled network that delivers everything at once."""
MALFORMED_LIMIT = 50
"""How many unreadable messages are skipped. With one more, the stream is closed."""
BUFFER_BYTES = 64 << 10
"""If more bytes than this wait to be sent (a second of audio and more), frames are dropped."""
STUCK_S = 10.0
"""A carrier whose connection took nothing for this long counts as lost."""
FLUSH_S = 0.06
"""When no frame has come for this long, audio that waits for a full piece is sent as it is."""
PLAYED_S = 1.0
"""How long the end of a call waits until the carrier has played the audio it has."""
END_MARK = "last-words"


class CarrierLeg(Leg):
    """The leg of one carrier's stream. `Leg` says what its methods mean."""

    kind: CallKind = "phone"

    def __init__(
        self,
        connection: DirectServerConnection,
        stream: CarrierStream,
        *,
        name: str,
        place: Callable[[CarrierLeg, CarrierStart], None],
        hang_up: Callable[[CarrierStart], None],
    ) -> None:
        """Args:
        connection: The WebSocket to the carrier.
        stream: The state machine of the carrier's protocol.
        name: The carrier's name, for logs.
        place: Called once, when the call has begun, with the leg and the start message. It attaches a listener.
        hang_up: Ends the call at the carrier. Called when the bot or the gateway ends the call.
        """
        self.rate = stream.format.rate
        self._connection = connection
        self._stream = stream
        self._name = name
        self._place = place
        self._hang_up = hang_up
        self._loop = asyncio.get_running_loop()
        self._log = logger.bind(carrier=name)
        self._rate = TokenBucket(MESSAGES_PER_S, self._loop.time())
        self._audio = AudioBucket(self._loop.time())
        self._listener: LegListener | None = None
        self._start: CarrierStart | None = None
        self._answered = False
        self._ended = False  # nothing is received or sent any more
        self._leaving = False  # the carrier still plays the last audio
        self._playing = False  # audio was sent that may not have been played
        self._sent_at = 0.0
        self._dropped = 0
        self._malformed = 0
        self._warned_of_dtmf = False
        self._stuck_since: float | None = None
        self._flush_timer: asyncio.TimerHandle | None = None
        self._timer = self._loop.call_later(START_S, self._no_start)
        connection.listen(
            on_text=lambda data: self._on_message(stream.receive_text, data),
            on_binary=lambda data: self._on_message(stream.receive_binary, data),
            on_close=self._on_close,
        )
        self._handle(stream.opened)

    # ------------------------------------------------------------------ from the call

    @property
    def frames_dropped(self) -> int:
        return self._dropped

    def attach(self, listener: LegListener) -> None:
        self._listener = listener

    def ring(self, call_id: str) -> None:
        """Send nothing: the carrier has answered already, and the caller hears silence."""
        self._log = self._log.bind(call_id=call_id)

    def answer(self) -> None:
        self._answered = True

    def send_audio(self, pcm: bytes) -> None:
        if self._ended or self._leaving:
            return
        now = self._loop.time()
        if self._connection.write_buffer_size > BUFFER_BYTES:
            self._drop_frame(now)
            return
        self._stuck_since = None
        self._playing, self._sent_at = True, now
        self._post(self._stream.send_audio(pcm))
        if self._stream.waiting and self._flush_timer is None:
            self._flush_timer = self._loop.call_at(now + FLUSH_S, self._flush)

    def clear(self) -> None:
        if self._playing and not (self._ended or self._leaving):
            self._playing = False
            self._post(self._stream.clear())

    def conversation(self, event: ConversationEvent) -> None:
        """Do nothing: a telephone shows no text."""

    def dtmf(self, digits: str) -> None:
        if self._ended or self._leaving:
            return
        messages = self._stream.dtmf(digits)
        if not messages and not self._warned_of_dtmf:
            self._warned_of_dtmf = True
            self._log.warning("the bot sent DTMF, but streams of {} carry none to the caller", self._name)
        self._post(messages)

    def data(self, data: dict[str, Any]) -> None:
        """Do nothing: a telephone has no application."""

    def end(self, reason: EndReason, detail: str) -> None:
        self._listener = None
        if self._ended or self._leaving:
            return
        recent = self._playing and self._loop.time() - self._sent_at < 2 * PLAYED_S
        marks = (*self._stream.flush(), *self._stream.mark(END_MARK)) if recent and self._start else ()
        if not marks:
            self._leave(reason.value)
            return
        self._leaving = True
        self._post(marks)
        self._timer.cancel()
        self._timer = self._loop.call_later(PLAYED_S, self._leave, reason.value)

    # ------------------------------------------------------------------ from the carrier

    def _on_message(self, read: Callable[[bytes], list[StreamEvent]], data: bytes) -> None:
        if self._ended:
            return
        if len(data) > MAX_MESSAGE_BYTES:
            self._fault(f"a message of {len(data)} bytes: {MAX_MESSAGE_BYTES} are the limit")
        elif not self._rate.take(self._loop.time()):
            self._fault(f"more than {MESSAGES_PER_S} messages a second")
        else:
            self._handle(lambda: read(data))

    def _handle(self, read: Callable[[], list[StreamEvent]]) -> None:
        try:
            for event in read():
                self._on_event(event)
        except MalformedStreamMessage as error:
            self._malformed += 1
            if self._malformed == 1:
                self._log.warning("{} sent {}: skipped, as are more of that kind", self._name, error)
            if self._malformed > MALFORMED_LIMIT:
                self._fault(f"{self._malformed} unreadable messages, the last one {error}")
        except CarrierError as error:
            self._fault(str(error))

    def _on_event(self, event: StreamEvent) -> None:
        if self._ended:
            return
        match event:
            case CarrierAudio(pcm=pcm) if not self._audio.take(self._loop.time(), pcm, self.rate):
                self._fault(TOO_MUCH_AUDIO)
            case CarrierAudio(pcm=pcm) if self._answered and self._listener is not None:
                self._listener.caller_audio(pcm)
            case KeysPressed(digits=digits) if self._listener is not None:
                self._listener.caller_dtmf(digits)
            case CarrierStart():
                self._timer.cancel()
                self._start, self.rate = event, self._stream.format.rate
                self._place(self, event)
            case MarkPlayed(name=name) if name == END_MARK and self._leaving:
                self._leave("the last audio was played")
            case StreamStopped():
                self._finish(CloseCode.NORMAL_CLOSURE, "")
                self._report_hangup("")
            case _:
                pass

    def _no_start(self) -> None:
        self._fault(f"no start within {START_S:g} s")

    def _fault(self, detail: str) -> None:
        self._log.warning("a stream of {} was closed: {}", self._name, detail)
        self._finish(CloseCode.POLICY_VIOLATION, detail)
        self._report_hangup(f"the carrier broke the protocol: {detail}")

    def _on_close(self) -> None:
        self._finish(CloseCode.NORMAL_CLOSURE, "")
        self._report_hangup("")

    # ------------------------------------------------------------------ inside

    def _drop_frame(self, now: float) -> None:
        self._dropped += 1
        if self._stuck_since is None:
            self._stuck_since = now
        elif now - self._stuck_since > STUCK_S:
            self._finish(CloseCode.GOING_AWAY, "")
            self._report_hangup(f"the carrier's connection took nothing for {STUCK_S:g} s")

    def _flush(self) -> None:
        self._flush_timer = None
        due = self._sent_at + FLUSH_S
        if self._loop.time() < due - 0.001:
            self._flush_timer = self._loop.call_at(due, self._flush)
        else:
            self._post(self._stream.flush())

    def _leave(self, why: str) -> None:
        """End the call for the bot or the gateway."""
        if self._ended:
            return
        if self._start is not None:
            self._post(self._stream.closing())
            self._hang_up(self._start)
        self._finish(CloseCode.NORMAL_CLOSURE, why)

    def _report_hangup(self, detail: str) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.caller_hangup(self._loop.time(), detail)

    def _finish(self, code: CloseCode, why: str) -> None:
        self._ended = True
        self._timer.cancel()
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        self._connection.finish(code, why)

    def _post(self, messages: Iterable[Wire]) -> None:
        if self._ended:
            return
        for message in messages:
            if isinstance(message, bytes):
                self._connection.post_binary(message)
            else:
                self._connection.post_text(json.dumps(message, separators=(",", ":")))
