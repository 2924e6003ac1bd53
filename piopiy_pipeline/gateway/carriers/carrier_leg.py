"""A caller whose carrier streams the call over a WebSocket: the shell of a carrier's state machine."""

from __future__ import annotations

import asyncio
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
    Heard,
    KeysPressed,
    MalformedStreamMessage,
    MarkPlayed,
    StreamStopped,
    Wire,
)
from piopiy_pipeline.gateway.core.leg import Leg, LegListener
from piopiy_pipeline.signaling.messages import ConversationEvent
from piopiy_pipeline.signaling.websocket import DirectServerConnection
from piopiy_pipeline.token_bucket import TokenBucket

__all__ = ["CarrierLeg"]

START_S = 10.0
"""How long a carrier may take from the connection to its start."""
MAX_MESSAGE_BYTES = 128 << 10
MESSAGES_PER_S = 1000
"""Fifty carry the sound; the rest is for what a stalled network delivers all at once."""
MALFORMED_LIMIT = 50
"""So many messages that are none are left out; with one more, the carrier is something else."""
BUFFER_BYTES = 64 << 10
"""With more than this waiting for the carrier's connection (a second and more), frames are left out."""
STUCK_S = 10.0
"""A carrier whose connection took nothing for this long is gone."""
GATHER_S = 0.06
"""When no frame has come for this long, what was gathered leaves as it is."""
LAST_WORDS_S = 1.0
"""So long the end of a call waits for the carrier to have played the bot's last words."""
LAST_MARK = "last-words"


class CarrierLeg(Leg):
    """One stream.

    `place` is called once, with the leg and what the carrier said of the call; it is to attach a
    listener. `hang_up` ends the call on the carrier's side, when it is the bot that ends it.
    """

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
        self.rate = stream.format.rate
        self._connection = connection
        self._stream = stream
        self._name = name
        self._place = place
        self._hang_up = hang_up
        self._loop = asyncio.get_running_loop()
        self._log = logger.bind(carrier=name)
        self._rate = TokenBucket(MESSAGES_PER_S, self._loop.time())
        self._listener: LegListener | None = None
        self._start: CarrierStart | None = None
        self._answered = False
        self._ended = False  # nothing more is heard or said
        self._leaving = False  # but the last words may still play
        self._sounding = False  # sound was sent that may not have been played
        self._sent_at = 0.0
        self._dropped = 0
        self._malformed = 0
        self._told_of_keys = False
        self._stuck_since: float | None = None
        self._gather_timer: asyncio.TimerHandle | None = None
        self._timer = self._loop.call_later(START_S, self._no_start)
        connection.listen(
            on_text=lambda data: self._on_message(stream.text, data),
            on_binary=lambda data: self._on_message(stream.binary, data),
            on_close=self._on_close,
        )
        self._take(stream.opened)

    # ------------------------------------------------------------------ the call's side

    @property
    def frames_dropped(self) -> int:
        return self._dropped

    def attach(self, listener: LegListener) -> None:
        self._listener = listener

    def ring(self, call_id: str) -> None:
        """Nothing: the carrier has picked up already, and its caller hears silence."""
        self._log = self._log.bind(call_id=call_id)

    def answer(self) -> None:
        self._answered = True

    def send_audio(self, pcm: bytes) -> None:
        if self._ended or self._leaving:
            return
        now = self._loop.time()
        if self._connection.write_buffer_size > BUFFER_BYTES:
            self._left_out(now)
            return
        self._stuck_since = None
        self._sounding, self._sent_at = True, now
        self._post(self._stream.audio(pcm))
        if self._stream.gathers and self._gather_timer is None:
            self._gather_timer = self._loop.call_at(now + GATHER_S, self._send_rest)

    def clear(self) -> None:
        if self._sounding and not (self._ended or self._leaving):
            self._sounding = False
            self._post(self._stream.clear())

    def conversation(self, event: ConversationEvent) -> None:
        """A telephone shows nothing."""

    def dtmf(self, digits: str) -> None:
        if self._ended or self._leaving:
            return
        messages = self._stream.dtmf(digits)
        if not messages and not self._told_of_keys:
            self._told_of_keys = True
            self._log.warning("the bot pressed keys, but streams of {} carry none to the caller", self._name)
        self._post(messages)

    def data(self, data: dict[str, Any]) -> None:
        """A telephone has no application."""

    def end(self, reason: EndReason, detail: str) -> None:
        self._listener = None
        if self._ended or self._leaving:
            return
        recent = self._sounding and self._loop.time() - self._sent_at < 2 * LAST_WORDS_S
        marks = (*self._stream.rest(), *self._stream.mark(LAST_MARK)) if recent and self._start else ()
        if not marks:
            self._leave(reason.value)
            return
        self._leaving = True
        self._post(marks)
        self._timer.cancel()
        self._timer = self._loop.call_later(LAST_WORDS_S, self._leave, reason.value)

    # ------------------------------------------------------------------ the socket's side

    def _on_message(self, read: Callable[[bytes], list[Heard]], data: bytes) -> None:
        if self._ended:
            return
        if len(data) > MAX_MESSAGE_BYTES:
            self._fault(f"a message of {len(data)} bytes: {MAX_MESSAGE_BYTES} are the limit")
        elif not self._rate.take(self._loop.time()):
            self._fault(f"more than {MESSAGES_PER_S} messages a second")
        else:
            self._take(lambda: read(data))

    def _take(self, read: Callable[[], list[Heard]]) -> None:
        try:
            for heard in read():
                self._on_heard(heard)
        except MalformedStreamMessage as error:
            self._malformed += 1
            if self._malformed == 1:
                self._log.warning("{} sent {}: left out, as is more of that kind", self._name, error)
            if self._malformed > MALFORMED_LIMIT:
                self._fault(f"{self._malformed} messages that are none, the last one {error}")
        except CarrierError as error:
            self._fault(str(error))

    def _on_heard(self, heard: Heard) -> None:
        match heard:
            case CarrierAudio(pcm=pcm) if self._answered and self._listener is not None:
                self._listener.caller_audio(pcm)
            case KeysPressed(digits=digits) if self._listener is not None:
                self._listener.caller_dtmf(digits)
            case CarrierStart():
                self._timer.cancel()
                self._start, self.rate = heard, self._stream.format.rate
                self._place(self, heard)
            case MarkPlayed(name=name) if name == LAST_MARK and self._leaving:
                self._leave("the last words were played")
            case StreamStopped():
                self._finish(CloseCode.NORMAL_CLOSURE, "")
                self._tell_hangup("")
            case _:
                pass

    def _no_start(self) -> None:
        self._fault(f"no start within {START_S:g} s")

    def _fault(self, detail: str) -> None:
        self._log.warning("a stream of {} was closed: {}", self._name, detail)
        self._finish(CloseCode.POLICY_VIOLATION, detail)
        self._tell_hangup(f"the carrier broke the protocol: {detail}")

    def _on_close(self) -> None:
        self._finish(CloseCode.NORMAL_CLOSURE, "")
        self._tell_hangup("")

    # ------------------------------------------------------------------ within

    def _left_out(self, now: float) -> None:
        self._dropped += 1
        if self._stuck_since is None:
            self._stuck_since = now
        elif now - self._stuck_since > STUCK_S:
            self._finish(CloseCode.GOING_AWAY, "")
            self._tell_hangup(f"the carrier's connection took nothing for {STUCK_S:g} s")

    def _send_rest(self) -> None:
        self._gather_timer = None
        due = self._sent_at + GATHER_S
        if self._loop.time() < due - 0.001:
            self._gather_timer = self._loop.call_at(due, self._send_rest)
        else:
            self._post(self._stream.rest())

    def _leave(self, why: str) -> None:
        """The bot, or the gateway, ends the call."""
        if self._ended:
            return
        if self._start is not None:
            self._post(self._stream.farewell())
            self._hang_up(self._start)
        self._finish(CloseCode.NORMAL_CLOSURE, why)

    def _tell_hangup(self, detail: str) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.caller_hangup(self._loop.time(), detail)

    def _finish(self, code: CloseCode, why: str) -> None:
        self._ended = True
        self._timer.cancel()
        if self._gather_timer is not None:
            self._gather_timer.cancel()
            self._gather_timer = None
        self._connection.finish(code, why)

    def _post(self, messages: Iterable[Wire]) -> None:
        if self._ended:
            return
        for message in messages:
            if isinstance(message, str):
                self._connection.post_text(message)
            else:
                self._connection.post_binary(message)
