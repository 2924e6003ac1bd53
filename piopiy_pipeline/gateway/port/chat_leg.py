"""Somebody who chats over a WebSocket: a page with a client token, or a program with a caller key.

The call is one like any other, to the agent, the records and the console, and nobody speaks in it. Its words travel to
the agent as messages of the caller's application, in the protocol that browser calls have for it, too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Literal

from websockets.frames import CloseCode

from piopiy_pipeline.call import CallKind, EndReason, TransferOutcomeName
from piopiy_pipeline.gateway.core.leg import TransferDone
from piopiy_pipeline.gateway.port.chat_turns import ChatTurns
from piopiy_pipeline.gateway.port.socket_leg import MAX_MESSAGE_BYTES, LegConnection, SocketLeg, too_long
from piopiy_pipeline.signaling.caller import Answered, Leave, LegEnded
from piopiy_pipeline.signaling.chat import (
    CLIENT_READY,
    INTERRUPT,
    refusal_of,
    send_text,
    tool_in,
    turn_in,
    words_of,
    writing_of,
)
from piopiy_pipeline.signaling.chat_events import (
    ChatCollecting,
    ChatRefused,
    ChatStart,
    ChatStop,
    ChatText,
    ChatTool,
    ChatToolResult,
    ChatTurn,
    ChatWords,
    ChatWriting,
    SentByPerson,
    parse_chat_event,
)
from piopiy_pipeline.signaling.messages import (
    ConversationEvent,
    DataMessage,
    Dtmf,
    ProtocolError,
    Transfer,
)
from piopiy_pipeline.token_bucket import TokenBucket

__all__ = ["ANSWER_S", "NO_LINE", "ChatLeg", "MessageNotTaken"]

MESSAGES_PER_S = 5
"""Messages of one chat in the long run, twice as many at once. What is more is refused."""
ANSWER_S = 5.0
"""How long what is sent before the bot has answered waits for it: less than a relayed request may take."""
MAX_EARLY = 8
"""So much of it may wait."""
FLOOD_PER_S = 50
"""A client that sends more than this is sent away."""
IDLE_S = 3600.0
"""A chat in which nobody has written for so long ends."""
NO_LINE = "a text chat has no line that could be put through"
_SPOKE: dict[str, Literal["user", "bot"]] = {"user_turn": "user", "bot_turn": "bot"}


class MessageNotTaken(Exception):
    """A message of the person is not taken, and the chat goes on.

    Attributes:
        too_many: Whether it would be taken a moment later.
    """

    def __init__(self, text: str, *, too_many: bool = False) -> None:
        super().__init__(text)
        self.too_many = too_many


class ChatLeg(SocketLeg):
    """The leg of one chat: of a connection on ``/chat/{agent_id}``, or of one that was begun with ``POST /api/chats``.

    Args:
        connection: The WebSocket, or what is in its place.
        place: Called once with the leg and the first message. It attaches a listener, or raises `ProtocolError` for a
            token that is not good. None: it is known already who chats, and there is no such message.
    """

    kind: CallKind = "text"

    def __init__(
        self, connection: LegConnection, *, place: Callable[[ChatLeg, ChatStart], None] | None
    ) -> None:
        super().__init__(connection)
        self.tells_details = False
        """Whether the person is told the detail of an end."""
        self._place = place
        self._begun = False
        self._flood = TokenBucket(FLOOD_PER_S, self._loop.time())
        self._texts = TokenBucket(MESSAGES_PER_S, self._loop.time())
        self._number = 0
        self._turns = ChatTurns(self._post)
        self._writing = False
        self._early: deque[SentByPerson] = deque()
        self._early_timer: asyncio.TimerHandle | None = None
        if place is None:
            self._started = True
            self._idle_again()
        connection.listen(on_text=self._on_text, on_binary=self._on_binary, on_close=self._on_close)

    # ------------------------------------------------------------------ the call's side

    @property
    def answered(self) -> bool:
        """Whether the bot has answered."""
        return self._answered

    def answer(self) -> None:
        if self._answered:
            return
        self._answered = True
        self._post(Answered())
        if self._listener is not None:
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        """Tell the bot that somebody is there, once, before it is told anything that they send."""
        if self._begun:
            return
        self._begun = True
        self._tell(dict(CLIENT_READY))
        for event in self._no_longer_early():
            self._take_or_refuse(event)

    def send_audio(self, pcm: bytes) -> None:
        """Drop it: nobody listens."""

    def conversation(self, event: ConversationEvent) -> None:
        if (role := _SPOKE.get(event.event)) is not None:
            self._idle_again()
            data = event.data
            self._turns.reported(_turn(role, data))
        elif event.event == "collection":
            self._post(ChatCollecting(on=event.data.get("outcome") == "begun"))

    def cut_off(self, event: ConversationEvent) -> None:
        self._turns.flush()
        self._writes(False)
        self._post(_turn("bot", event.data))  # its agent is gone, and tells of no turn any more

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
            self._writes(writing)
        elif (turn := turn_in(data)) is not None:
            recorded, what = turn
            self._turns.shown(_turn("user" if what.get("role") == "user" else "bot", what), recorded=recorded)
        elif (tool := tool_in(data)) is not None:
            self._post(_told_of_tool(*tool))
        elif data.get("label") is None:  # of the bot's author
            self._post(DataMessage(data=data))

    def end(self, reason: EndReason, detail: str) -> None:
        if not self._ended:
            self._turns.flush()
            self._writes(False)
            self._post(LegEnded(reason=reason, detail=detail if self.tells_details else ""))
            self._finish(CloseCode.NORMAL_CLOSURE, reason.value)
            self._no_longer_early()

    def _writes(self, on: bool) -> None:
        if on != self._writing:
            self._writing = on
            self._post(ChatWriting(on=on))

    # ------------------------------------------------------------------ the socket's side

    def _on_text(self, text: bytes) -> None:
        if len(text) > MAX_MESSAGE_BYTES:
            self._fault(too_long(len(text)))
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

    def _on_event(self, event: ChatStart | SentByPerson) -> None:
        if isinstance(event, ChatStart):
            if self._started or self._place is None:
                raise ProtocolError("start: this chat has started already")
            self._started = True
            self._idle_again()
            self._place(self, event)
            return
        if self._listener is None:
            raise ProtocolError(f"{event.event} before start: send start first")
        if (self._answered and not self._early) or isinstance(event, Leave) or len(self._early) >= MAX_EARLY:
            self._take_or_refuse(event)
            return
        self._early.append(event)
        if self._early_timer is None:
            self._early_timer = self._loop.call_later(ANSWER_S, self._not_answered)

    def _not_answered(self) -> None:
        for event in self._no_longer_early():
            self._take_or_refuse(event)

    def _no_longer_early(self) -> list[SentByPerson]:
        """Return what has waited for the bot's answer, and does not any more."""
        if self._early_timer is not None:
            self._early_timer.cancel()
            self._early_timer = None
        early = list(self._early)
        self._early.clear()
        return early

    def _take_or_refuse(self, event: SentByPerson) -> None:
        try:
            self.take(event)
        except MessageNotTaken as refused:
            self._post(ChatRefused(detail=str(refused)))

    def take(self, event: SentByPerson) -> None:
        """Take what the person sends.

        Raises:
            MessageNotTaken: It is not taken, and the text says why.
        """
        if self._ended or self._listener is None:
            raise MessageNotTaken("the chat is over")
        if isinstance(event, Leave):
            self._hang_up("")
            return
        self._idle_again()
        if not self._answered:
            raise MessageNotTaken("the bot has not answered yet")
        self._begin()
        if isinstance(event, ChatStop):
            self._tell(dict(INTERRUPT))
        elif not self._texts.take(self._loop.time()):
            raise MessageNotTaken(f"more than {MESSAGES_PER_S} messages a second", too_many=True)
        elif isinstance(event, ChatText):
            self._number += 1
            self._tell(send_text(event.text, str(self._number)))
        elif isinstance(event, Dtmf):
            self._listener.caller_dtmf(event.digits)
        else:
            self._tell(event.data)

    def _tell_hangup(self, detail: str) -> None:
        self._no_longer_early()
        super()._tell_hangup(detail)

    def _tell(self, data: dict[str, Any]) -> None:
        if self._listener is not None:
            self._listener.caller_data(data)

    def _on_binary(self, pcm: bytes) -> None:
        self._fault("a chat has no audio")

    def _idle_again(self) -> None:
        self._timer.cancel()
        if not self._ended:
            self._timer = self._loop.call_later(IDLE_S, self._hang_up, f"nobody wrote for {IDLE_S:g} s")


def _turn(role: Literal["user", "bot"], data: dict[str, Any]) -> ChatTurn:
    return ChatTurn(role=role, text=str(data.get("text", "")), interrupted=bool(data.get("interrupted")))


def _told_of_tool(what: str, data: dict[str, Any]) -> ChatTool | ChatToolResult:
    call, name = str(data.get("tool_call_id", "")), data.get("function_name")
    known = None if name is None else str(name)
    if what == "began":
        arguments = data.get("arguments")
        return ChatTool(id=call, name=known, arguments=arguments if isinstance(arguments, dict) else None)
    return ChatToolResult(
        id=call, name=known, result=data.get("result"), cancelled=bool(data.get("cancelled"))
    )
