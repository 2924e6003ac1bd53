"""A caller over a WebSocket: ``piopiy call``, tests, and anything else that speaks `signaling.caller`."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from websockets.frames import CloseCode

from piopiy_pipeline.call import CallInfo, CallKind, EndReason
from piopiy_pipeline.gateway.core.leg import TOO_MUCH_AUDIO, AudioBucket, SoundSource
from piopiy_pipeline.gateway.port.socket_leg import MAX_MESSAGE_BYTES, SocketLeg, too_long
from piopiy_pipeline.signaling.caller import (
    Answered,
    CallStart,
    Conversation,
    Leave,
    LegEnded,
    parse_caller_event,
)
from piopiy_pipeline.signaling.messages import (
    ConversationEvent,
    DataMessage,
    Dtmf,
    ProtocolError,
)
from piopiy_pipeline.signaling.websocket import DirectServerConnection
from piopiy_pipeline.token_bucket import TokenBucket

__all__ = ["StreamLeg"]

EVENTS_PER_S = 50
BUFFER_S = 1.0
"""Seconds of audio that may wait for a caller's connection. Further frames are dropped."""
STUCK_S = 10.0
"""A caller whose connection took nothing for this long is gone."""


class StreamLeg(SocketLeg):
    """The leg of one connection on ``/call/{agent_id}``.

    Args:
        connection: The WebSocket.
        place: Called once with the leg and the caller's first message. It attaches a listener.
        may_watch: Whether the caller is told of the conversation, if it asks for that, and of the detail of an end.
            Otherwise it learns only the reason of the end.
    """

    kind: CallKind = "stream"

    def __init__(
        self,
        connection: DirectServerConnection,
        *,
        place: Callable[[StreamLeg, CallStart], object],
        may_watch: bool = False,
    ) -> None:
        super().__init__(connection)
        self._connection = connection
        self._place = place
        self._rate = TokenBucket(EVENTS_PER_S, self._loop.time())
        self._audio = AudioBucket(self._loop.time())
        self._may_watch = may_watch
        self._wants_conversation = False
        self._wants_sources = False
        self._answered_at = 0.0
        self._dropped = 0
        self._stuck_since: float | None = None
        connection.listen(on_text=self._on_text, on_binary=self._on_binary, on_close=self._on_close)

    def call_info(self, agent_id: str, start: CallStart) -> CallInfo:
        """Return who calls whom, under a new id."""
        return CallInfo(
            agent_id=agent_id,
            call_id=str(uuid.uuid4()),
            from_number=start.from_number,
            to_number=start.to_number,
            metadata=start.metadata,
            kind=self.kind,
        )

    # ------------------------------------------------------------------ the call's side

    @property
    def frames_dropped(self) -> int:
        return self._dropped

    def answer(self) -> None:
        self._answered = True
        self._answered_at = self._loop.time()
        self._post(Answered())

    def send_audio(self, pcm: bytes) -> None:
        if self._ended or self._connection.post_binary(pcm):
            self._stuck_since = None
            return
        self._dropped += 1
        now = self._loop.time()
        if self._stuck_since is None:
            self._stuck_since = now
        elif now - self._stuck_since > STUCK_S:
            self._hang_up(f"the caller's connection took nothing for {STUCK_S:g} s")

    def sound_from(self, source: SoundSource) -> None:
        if (
            self._wants_sources and self._answered
        ):  # whoever hears it can know it: no secret of the conversation
            at = round(self._loop.time() - self._answered_at, 3)
            self._post(Conversation(at=at, name="sound", data={"of": source}))

    def conversation(self, event: ConversationEvent) -> None:
        if self._wants_conversation:
            self._post(Conversation(at=event.at, name=event.event, data=event.data))

    def end(self, reason: EndReason, detail: str) -> None:
        if not self._ended:
            self._post(LegEnded(reason=reason, detail=detail if self._may_watch else ""))
            self._finish(CloseCode.NORMAL_CLOSURE, reason.value)

    # ------------------------------------------------------------------ the socket's side

    def _on_text(self, text: bytes) -> None:
        if len(text) > MAX_MESSAGE_BYTES:
            self._fault(too_long(len(text)))
            return
        if not self._rate.take(self._loop.time()):
            self._fault(f"more than {EVENTS_PER_S} events a second")
            return
        try:
            self._on_event(parse_caller_event(text))
        except ProtocolError as error:
            self._fault(str(error))

    def _on_event(self, event: CallStart | Leave | Dtmf | DataMessage) -> None:
        if isinstance(event, CallStart):
            if self._started:
                raise ProtocolError("start: this call has started already")
            self._started = True
            self._timer.cancel()
            self.rate, self._wants_sources = event.rate, event.watch
            self._wants_conversation = event.watch and self._may_watch
            self._connection.binary_limit_bytes = int(BUFFER_S * event.rate) * 2
            self._place(self, event)
        elif not self._started or self._listener is None:
            raise ProtocolError(f"{event.event} before start: send start first")
        elif isinstance(event, Leave):
            self._hang_up("")
        elif isinstance(event, Dtmf):
            self._listener.caller_dtmf(event.digits)
        else:
            self._listener.caller_data(event.data)

    def _on_binary(self, pcm: bytes) -> None:
        if not self._started or self._listener is None:
            self._fault("audio before start: send start first")
        elif len(pcm) > MAX_MESSAGE_BYTES or len(pcm) % 2:
            self._fault(f"audio of {len(pcm)} bytes: whole 16-bit samples, {MAX_MESSAGE_BYTES} bytes at most")
        elif not self._audio.take(self._loop.time(), pcm, self.rate):
            self._fault(TOO_MUCH_AUDIO)
        elif self._answered:
            self._listener.caller_audio(pcm)
