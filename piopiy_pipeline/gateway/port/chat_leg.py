"""Somebody who chats over a WebSocket: a page with a client token, or a program with a caller key.

The call is one like any other, to the agent, the records and the console, and nobody speaks in it. Its words travel to
the agent as messages of the caller's application, in the protocol that browser calls have for it, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from websockets.frames import CloseCode

from piopiy_pipeline.call import CallKind, EndReason, TransferOutcomeName
from piopiy_pipeline.gateway.core.leg import Leg, LegListener, TransferDone
from piopiy_pipeline.signaling.caller import Answered, Leave, LegEnded, LegFault, Ringing
from piopiy_pipeline.signaling.chat import (
    CLIENT_READY,
    INTERRUPT,
    refusal_of,
    send_text,
    words_of,
    writing_of,
)
from piopiy_pipeline.signaling.chat_events import (
    ChatRefused,
    ChatStart,
    ChatStop,
    ChatText,
    ChatTurn,
    ChatWords,
    ChatWriting,
    parse_chat_event,
)
from piopiy_pipeline.signaling.messages import (
    ConversationEvent,
    DataMessage,
    Dtmf,
    Message,
    ProtocolError,
    Transfer,
    dump,
)
from piopiy_pipeline.signaling.websocket import DirectServerConnection
from piopiy_pipeline.token_bucket import TokenBucket

__all__ = ["NO_LINE", "ChatLeg"]

START_S = 5.0
"""How long somebody may take from the connection to `ChatStart`."""
MAX_MESSAGE_BYTES = 64 << 10
MESSAGES_PER_S = 5
"""Messages of one chat in the long run, twice as many at once. What is more is refused."""
FLOOD_PER_S = 50
"""A client that sends more than this is sent away."""
IDLE_S = 3600.0
"""A chat in which nobody has written for so long ends."""
NO_LINE = "a text chat has no line that could be put through"
_SPOKE = {"user_turn": "user", "bot_turn": "bot"}


class ChatLeg(Leg):
    """The leg of one connection on ``/chat/{agent_id}``.

    Args:
        connection: The WebSocket.
        place: Called once with the leg and the first message. It attaches a listener, or raises `ProtocolError` for a
            token that is not good.
    """

    kind: CallKind = "text"

    def __init__(
        self, connection: DirectServerConnection, *, place: Callable[[ChatLeg, ChatStart], None]
    ) -> None:
        self.rate = 16000
        self._connection = connection
        self._place = place
        self._loop = asyncio.get_running_loop()
        self._listener: LegListener | None = None
        self._flood = TokenBucket(FLOOD_PER_S, self._loop.time())
        self._texts = TokenBucket(MESSAGES_PER_S, self._loop.time())
        self._number = 0
        self._started = self._answered = self._ended = False
        self._timer = self._loop.call_later(START_S, self._no_start)
        connection.listen(on_text=self._on_text, on_binary=self._on_binary, on_close=self._on_close)

    # ------------------------------------------------------------------ the call's side

    def attach(self, listener: LegListener) -> None:
        self._listener = listener

    def ring(self, call_id: str) -> None:
        self._post(Ringing(call_id=call_id))

    def answer(self) -> None:
        if self._answered:
            return
        self._answered = True
        self._post(Answered())
        if self._listener is not None:
            self._loop.call_soon(self._tell, dict(CLIENT_READY))

    def send_audio(self, pcm: bytes) -> None:
        """Drop it: nobody listens."""

    def conversation(self, event: ConversationEvent) -> None:
        if (role := _SPOKE.get(event.event)) is not None:
            self._idle_again()
            data = event.data
            turn = {
                "role": role,
                "text": str(data.get("text", "")),
                "interrupted": bool(data.get("interrupted")),
            }
            self._post(ChatTurn.model_validate(turn))

    def dtmf(self, digits: str) -> None:
        self._post(Dtmf(digits=digits))

    def transfer(
        self,
        request: Transfer,
        done: TransferDone,
        *,
        from_number: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bool:
        outcome: TransferOutcomeName = "refused"
        self._loop.call_soon(lambda: done(outcome, NO_LINE, self._loop.time()))
        return True

    def data(self, data: dict[str, Any]) -> None:
        if (words := words_of(data)) is not None:
            self._post(ChatWords(text=words))
        elif (detail := refusal_of(data)) is not None:
            self._post(ChatRefused(detail=detail))
        elif (writing := writing_of(data)) is not None:
            self._post(ChatWriting(on=writing))
        elif data.get("label") is None:  # of the bot's author
            self._post(DataMessage(data=data))

    def end(self, reason: EndReason, detail: str) -> None:
        if not self._ended:
            self._post(LegEnded(reason=reason))
            self._finish(CloseCode.NORMAL_CLOSURE, reason.value)

    # ------------------------------------------------------------------ the socket's side

    def _on_text(self, text: bytes) -> None:
        if len(text) > MAX_MESSAGE_BYTES:
            self._fault(f"an event of {len(text)} bytes: {MAX_MESSAGE_BYTES} are the limit")
        elif not self._flood.take(self._loop.time()):
            self._fault(f"more than {FLOOD_PER_S} events a second")
        else:
            try:
                self._on_event(parse_chat_event(text))
            except ProtocolError as error:
                if self._listener is None:
                    self._fault(str(error))
                else:
                    self._post(ChatRefused(detail=str(error)))

    def _on_event(self, event: ChatStart | ChatText | ChatStop | Leave | Dtmf | DataMessage) -> None:
        if isinstance(event, ChatStart):
            if self._started:
                raise ProtocolError("start: this chat has started already")
            self._started = True
            self._idle_again()
            self._place(self, event)
            return
        if self._listener is None:
            raise ProtocolError(f"{event.event} before start: send start first")
        if isinstance(event, Leave):
            self._hang_up("")
            return
        self._idle_again()
        if not self._answered:
            self._post(ChatRefused(detail="the bot has not answered yet"))
        elif isinstance(event, ChatStop):
            self._tell(dict(INTERRUPT))
        elif not self._texts.take(self._loop.time()):
            self._post(ChatRefused(detail=f"more than {MESSAGES_PER_S} messages a second"))
        elif isinstance(event, ChatText):
            self._number += 1
            self._tell(send_text(event.text, str(self._number)))
        elif isinstance(event, Dtmf):
            self._listener.caller_dtmf(event.digits)
        else:
            self._tell(event.data)

    def _tell(self, data: dict[str, Any]) -> None:
        if self._listener is not None:
            self._listener.caller_data(data)

    def _on_binary(self, pcm: bytes) -> None:
        self._fault("a chat has no audio")

    def _idle_again(self) -> None:
        self._timer.cancel()
        if not self._ended:
            self._timer = self._loop.call_later(IDLE_S, self._hang_up, f"nobody wrote for {IDLE_S:g} s")

    def _no_start(self) -> None:
        self._fault(f"no start within {START_S:g} s")

    def _fault(self, detail: str) -> None:
        self._post(LegFault(detail=detail))
        self._finish(CloseCode.POLICY_VIOLATION, detail[:100])
        self._tell_hangup(f"the caller broke the protocol: {detail}")

    def _on_close(self) -> None:
        self._finish(CloseCode.NORMAL_CLOSURE, "")
        self._tell_hangup("")

    def _hang_up(self, detail: str) -> None:
        self._tell_hangup(detail)
        self._finish(CloseCode.NORMAL_CLOSURE, detail[:100])

    def _tell_hangup(self, detail: str) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.caller_hangup(self._loop.time(), detail)

    def _finish(self, code: CloseCode, why: str) -> None:
        self._ended = True
        self._timer.cancel()
        self._connection.finish(code, why)

    def _post(self, message: Message) -> None:
        if not self._ended:
            self._connection.post_text(dump(message))
