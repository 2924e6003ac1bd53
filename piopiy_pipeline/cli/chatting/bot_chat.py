"""A chat with a bot's file in this process: the session that an agent runs for a call, and no gateway."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pipecat.frames.frames import AggregatedTextFrame, AggregatedTextProgressFrame, TTSTextFrame

from piopiy_pipeline.agent.callback import bind_callback
from piopiy_pipeline.call import CallEnd, CallInfo, EndReason
from piopiy_pipeline.session import CallError, CallState, Session
from piopiy_pipeline.session.monitor import CallMonitor
from piopiy_pipeline.signaling.chat import CLIENT_READY, INTERRUPT, send_text
from piopiy_pipeline.signaling.media_events import DataMessage, Dtmf
from piopiy_pipeline.signaling.messages import AgentMessage, ConversationEvent, Transfer, TransferResult
from piopiy_pipeline.testing.blocked_loop import tells_of_blocking
from piopiy_pipeline.testing.botfile import bot_folder, load_bot
from piopiy_pipeline.transports.chat_link import ChatLink

__all__ = ["BotChat"]

Text = AggregatedTextFrame | AggregatedTextProgressFrame

READY_S = 30.0
"""How long a callback may take to start its pipeline. At a gateway it has `setup_s`, which is 10 s."""
NO_LINE = "a text chat has no line that could be put through"


class _ShownMonitor(CallMonitor):
    """Tells of words when they are shown, in order with the events. The messages to a client keep a pace instead."""

    def __init__(
        self,
        state: CallState,
        on_words: Callable[[str], None],
        on_event: Callable[[str, dict[str, Any]], None],
    ) -> None:
        super().__init__(state)
        self._on_words = on_words
        self._on_event = on_event

    def text_heard(self, frame: Text) -> None:
        if isinstance(frame, TTSTextFrame):
            self._on_words(frame.text)
        super().text_heard(frame)

    def said_beside(self, text: str) -> None:
        self._on_event("bot_turn", {"text": text, "interrupted": False})
        super().said_beside(text)


class BotChat:
    """One chat.

    Args:
        bot: The bot's file.
        metadata: What the callback gets as its metadata.
        on_words: Called with words of the bot, with the blanks around them.
        on_message: Called with each message for the client.
        on_event: Called with the name and the data of each event of the conversation.

    Raises:
        ValueError: There is no callback in the file, or its import fails.
        TypeError: The callback cannot be called for a call.
    """

    not_ready = "the callback has not called start()"

    def __init__(
        self,
        bot: Path,
        *,
        metadata: dict[str, Any] | None,
        on_words: Callable[[str], None],
        on_message: Callable[[dict[str, Any]], None],
        on_event: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._bot = bot
        self._callback = bind_callback(load_bot(bot))
        self._on_event = on_event
        self._number = 0
        self._info = CallInfo(
            agent_id=bot.stem, call_id=str(uuid.uuid4()), metadata=metadata, kind="text", from_number="chat"
        )
        self.answered = asyncio.Event()
        """Set when the bot is ready."""
        self.late_failure = ""
        """What the callback has raised after the chat had ended; "": nothing."""
        self._link = ChatLink(on_message, self.answered.set)
        make_monitor = partial(_ShownMonitor, on_words=on_words, on_event=on_event)
        self._session = Session(
            self._info, self._link, post=self._posted, make_monitor=make_monitor, steps=lambda: True
        )
        self._session.call.on("error", self._failed)

    @property
    def closing(self) -> bool:
        """Whether the bot has hung up, and the chat ends when its last words are shown."""
        return self._session.closing

    def _failed(self, error: CallError) -> None:
        if error.stage == "callback":
            self.late_failure = error.message

    async def run(self) -> CallEnd:
        """Run the bot until the chat has ended. A callback that has started no pipeline within `READY_S` has failed."""
        not_ready = asyncio.get_running_loop().call_later(READY_S, self._end_unless_ready)
        try:
            with bot_folder(self._bot), tells_of_blocking({self._info.call_id: self._session}):
                return await self._session.run(self._callback)
        finally:
            not_ready.cancel()

    def _end_unless_ready(self) -> None:
        if not self.answered.is_set():
            self._session.end(EndReason.SETUP_TIMEOUT, f"{self.not_ready} within {READY_S:g} s")

    def begin(self) -> None:
        """Tell the bot that somebody is there."""
        self._send(CLIENT_READY)

    def write(self, text: str) -> None:
        """Say something to the bot."""
        self._number += 1
        self._send(send_text(text, str(self._number)))

    def stop(self) -> None:
        """Stop the answer that is being written."""
        self._send(INTERRUPT)

    def _send(self, message: dict[str, Any]) -> None:
        self._link.tell(DataMessage(data=message))

    def press(self, keys: str) -> None:
        """Press keys."""
        self._link.tell(Dtmf(digits=keys))

    def leave(self) -> None:
        """End the chat from this side."""
        self._session.end(EndReason.CALLER_HANGUP, "the caller left", by_gateway=True)

    def _posted(self, message: AgentMessage) -> None:
        """Do what a gateway does with a message of an agent."""
        match message:
            case ConversationEvent(event=event, data=data):
                self._on_event(event, data)
            case Transfer():
                asyncio.get_running_loop().call_soon(self._refuse, message)

    def _refuse(self, request: Transfer) -> None:
        result = TransferResult(
            call_id=request.call_id,
            request_id=request.request_id,
            to=request.to,
            outcome="refused",
            detail=NO_LINE,
        )
        self._on_event("transfer", {"to": request.to, "outcome": "refused", "detail": NO_LINE})
        self._session.on_transfer_result(result)
