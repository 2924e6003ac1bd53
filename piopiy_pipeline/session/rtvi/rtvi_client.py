"""RTVI, for a call whose client speaks it. Pipecat's SDKs for browsers and mobile devices do.

A client sends ``client-ready``, and from then on it receives what happens in the call, and may send text,
messages, keys and the end of the call. Pipecat's own `RTVIObserver` says what a frame means in the protocol,
and what an older client receives instead. It does not observe the pipeline here: it is given the few frames
that have a meaning, from the places where the session sees them anyway. So a call whose client does not speak
RTVI costs nothing more, and a call whose client does costs only its messages. Pipecat's processor and observer
together would cost more than the rest of a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pipecat.processors.frameworks.rtvi.models as rtvi
from loguru import logger
from pipecat.frames.frames import (
    Frame,
    FunctionCallResultFrame,
    LLMConfigureOutputFrame,
    LLMMessagesAppendFrame,
)
from pipecat.processors.frameworks.rtvi.frames import RTVIClientMessageFrame, RTVISendTextFrame
from pydantic import BaseModel, ValidationError

from piopiy_pipeline._version import __version__
from piopiy_pipeline.call import Turn
from piopiy_pipeline.compat.pipecat import RtviTranslator
from piopiy_pipeline.fault_text import fault_text
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.events import ClientMessage
from piopiy_pipeline.session.held_turns import REDACTED
from piopiy_pipeline.session.pipeline_worker import CallWorker
from piopiy_pipeline.session.rtvi.paced_queue import MESSAGES_PER_S, PacedQueue
from piopiy_pipeline.signaling.chat import MAX_CHARACTERS, shown_turn
from piopiy_pipeline.signaling.messages import DataMessage
from piopiy_pipeline.transports.media_stream import MediaStreamTransport
from piopiy_pipeline.transports.outgoing_events import event_of

__all__ = ["RtviClient", "speaks_rtvi"]

MAX_TYPED = 8
"""How many texts of the client may wait for their turn."""
TAKEN_S = 2.0
"""How long a message of a chat may take to become a turn."""
LONGEST_NUMBER = 9
"""So many digits has a number of a version at most."""


def speaks_rtvi(message: dict[str, Any]) -> bool:
    """Return whether this message of a client's application is one of the protocol."""
    return message.get("label") == rtvi.MESSAGE_LABEL


class RtviClient:
    """The client of one call, from its ``client-ready`` on.

    Args:
        state: The call.
        worker: Runs the pipeline of the call.
        transport: The transport of the call.
        hang_up: Ends the call, when the client asks for it.
        protocol: The version of RTVI that the client speaks, as far as it is known: if another instance of
            the agent had this call before, the version that the client told that instance.
    """

    def __init__(
        self,
        state: CallState,
        worker: CallWorker,
        transport: MediaStreamTransport,
        *,
        hang_up: Callable[[], None],
        protocol: str = "0.0.0",
    ) -> None:
        self._state = state
        self._worker = worker
        self._transport = transport
        self._output = transport.output()
        self._loop = asyncio.get_running_loop()
        self._queue = PacedQueue(self._loop.time(), shown=state.info.kind == "text")
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.client_version = _version(protocol) or [0, 0, 0]
        self._translator = RtviTranslator(self, self._send)
        self._typing = asyncio.Lock()
        self._typed = 0
        if state.info.kind == "text":
            state.show_turn = self.show_turn
        self._answers: dict[str, Callable[[str, dict[str, Any]], None]] = {
            "client-ready": self._client_ready,
            "disconnect-bot": lambda message_id, data: hang_up(),
            "client-message": self._client_message,
            "send-text": self._send_text,
            "interrupt-bot": lambda message_id, data: self._interrupt(),
            "dtmf": self._dtmf,
            "llm-function-call-result": self._function_call_result,
        }

    @property
    def protocol(self) -> str:
        """The version of the protocol that the client speaks."""
        return ".".join(map(str, self.client_version))

    # ------------------------------------------------------------------ to the client

    def on_frame(self, frame: Frame) -> None:
        """Take a frame at a place where it has a meaning in the protocol, for the first time."""
        self._translator.translate(frame, self._output)

    @property
    def unsent(self) -> bool:
        """Whether messages wait for their turn."""
        return self._queue.waits

    def send_error(self, message: str) -> None:
        """Report that something went wrong in the call, and that the call goes on."""
        self._send(rtvi.Error(data=rtvi.ErrorData(error=message, fatal=False)))

    def send_server_message(self, data: Any) -> None:
        """Send a message of the bot's author.

        Raises:
            ValueError: The message is not JSON, or it is too long.
        """
        message = _plain(rtvi.ServerMessage(data=data))
        event_of(message)
        self._add(message)

    def show_turn(self, role: str, turn: dict[str, Any], *, recorded: bool = True) -> None:
        """Tell a client that chats of a whole turn, behind its words.

        Args:
            role: ``user`` or ``bot``.
            turn: Its `text`, and `interrupted`.
            recorded: Whether it is on the record, too.
        """
        data = {"role": role, "text": turn["text"], "interrupted": bool(turn.get("interrupted"))}
        self._add(shown_turn(data, recorded=recorded))

    def close(self) -> None:
        """Send nothing any more, because the call has ended."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send(self, model: BaseModel) -> None:
        try:
            message = _plain(model)
            event_of(message)
        except ValueError as error:
            logger.warning("a message to the RTVI client was left out: {}", error)
            return
        self._add(message)

    def _add(self, message: dict[str, Any]) -> None:
        if self._closed:
            return
        self._queue.add(message)
        if self._timer is not None:
            return
        if self._queue.joins(message):  # more of it comes soon: the rate is for what is no piece of a text
            self._timer = self._loop.call_later(1 / MESSAGES_PER_S, self._flush)
        else:
            self._flush()

    def _flush(self) -> None:
        self._timer = None
        for message in self._queue.take(self._loop.time()):
            self._state.link.send_event(DataMessage(data=message))
        if self._queue.waits:
            self._timer = self._loop.call_later(1 / MESSAGES_PER_S, self._flush)

    # ------------------------------------------------------------------ from the client

    def on_message(self, data: dict[str, Any]) -> None:
        """Handle a message of the client. An invalid message is answered with an error."""
        try:
            message = rtvi.Message.model_validate(data)
        except ValidationError as error:
            self._refuse(str(data.get("id", "")), f"Invalid message: {_first(error)}")
            return
        answer = self._answers.get(message.type)
        if answer is None:
            self._refuse(message.id, f"Unsupported type {message.type}")
            return
        try:
            answer(message.id, message.data or {})
        except ValidationError as error:
            self._refuse(message.id, f"Invalid {message.type}: {_first(error)}")

    def _refuse(self, message_id: str, error: str) -> None:
        logger.warning("a message of the client was refused: {}", error)
        self._send(rtvi.ErrorResponse(id=message_id, data=rtvi.ErrorResponseData(error=error)))

    def _client_ready(self, message_id: str, data: dict[str, Any]) -> None:
        wanted = str(data.get("version") or "")
        ours = rtvi.PROTOCOL_VERSION
        known = _version(wanted)
        if known is None:
            self._refuse(
                message_id, f"Invalid client version format ({wanted}). Compatibility issues may occur."
            )
        else:
            self.client_version = known
            if known[0] not in (rtvi.LEGACY_SUPPORTED_MAJOR, int(ours.partition(".")[0])):
                self._refuse(
                    message_id,
                    f"RTVI version {wanted} is not compatible with server protocol {ours}. "
                    "Compatibility issues may occur.",
                )
        legacy = known is not None and known[0] == rtvi.LEGACY_SUPPORTED_MAJOR
        ready = rtvi.BotReadyData(
            version=wanted if legacy else ours,
            about={"library": "piopiy-pipeline", "library_version": __version__},
            capabilities=self._worker.capabilities,
        )
        self._send(rtvi.BotReady(id=message_id, data=ready))

    def _client_message(self, message_id: str, data: dict[str, Any]) -> None:
        raw = rtvi.RawClientMessageData.model_validate(data)

        def reply(answer: Any) -> None:
            response = rtvi.RawServerResponseData(t=raw.t, d=answer)
            self._send(rtvi.ServerResponse(id=message_id, data=response))

        self._state.events.emit("message", ClientMessage(raw.d, type=raw.t, _reply=reply))
        frame = RTVIClientMessageFrame(msg_id=message_id, type=raw.t, data=raw.d)
        self._state.spawn(self._worker.queue_frame(frame), "client_message")

    def _send_text(self, message_id: str, data: dict[str, Any]) -> None:
        sent = rtvi.SendTextData.model_validate(data)
        if not sent.content.strip():
            self._refuse(message_id, "A text has something but blanks")
            return
        if len(sent.content) > MAX_CHARACTERS:
            self._refuse(
                message_id, f"A text has {MAX_CHARACTERS} characters at most, not {len(sent.content)}"
            )
            return
        if self._typed >= MAX_TYPED:
            self._refuse(message_id, f"{MAX_TYPED} texts wait already")
            return
        self._typed += 1
        self._state.spawn(self._type(message_id, sent), "send_text")

    def _interrupt(self) -> None:
        """Cut off what the bot is saying, or about to, and wait for the client's next word."""
        self._state.spawn(self._worker.interrupt_and_settle(), "interrupt_bot")

    async def _type(self, message_id: str, sent: rtvi.SendTextData) -> None:
        """Handle typed text, which is a turn of the caller. If it must be answered at once, it interrupts the bot."""
        options = sent.options or rtvi.SendTextOptions()
        async with self._typing:
            self._typed -= 1
            if self._state.closing:
                self._refuse(message_id, "The bot hangs up, and takes no more texts")
                return
            if self._state.info.kind == "text":
                await self._chat(sent.content)
                self.on_frame(RTVISendTextFrame(msg_id=message_id, text=sent.content))
                return
            if options.run_immediately:
                await self._worker.interrupt_and_settle()  # what was heard goes into the context first
            held = self._state.held_turns  # it is the answer to the code that has the turns
            self._state.recovery.user_turn(self._state.now())
            self._state.add_turn(Turn("user", sent.content, self._state.elapsed_s()))
            known = REDACTED if held is not None and held.redact else sent.content
            frames: list[Frame] = [
                LLMMessagesAppendFrame(
                    messages=[{"role": "user", "content": known}],
                    run_llm=options.run_immediately and held is None,
                )
            ]
            if not options.audio_response:
                silent, loud = (LLMConfigureOutputFrame(skip_tts=skip) for skip in (True, False))
                frames = [silent, *frames, loud]
            await self._worker.queue_frames(frames)
        self.on_frame(RTVISendTextFrame(msg_id=message_id, text=sent.content))

    async def _chat(self, text: str) -> None:
        """Handle a message of a text chat: it is what the caller says, to every stage that takes words."""
        await self._worker.interrupt_and_settle()  # what was read goes into the context first
        taken = asyncio.Event()
        off = self._state.events.on("user_turn", lambda _: taken.set())
        self._transport.input().typed(text)
        try:
            async with asyncio.timeout(TAKEN_S):  # the next message's interruption must not drop this one
                await taken.wait()
        except TimeoutError:
            logger.info("a stage has kept a message of the chat back")
        finally:
            off()

    def _dtmf(self, message_id: str, data: dict[str, Any]) -> None:
        keys = rtvi.DTMFInputData.model_validate(data)
        self._transport.keys("".join(key.value for key in keys.buttons))

    def _function_call_result(self, message_id: str, data: dict[str, Any]) -> None:
        result = rtvi.LLMFunctionCallResultData.model_validate(data)
        frame = FunctionCallResultFrame(
            function_name=result.function_name,
            tool_call_id=result.tool_call_id,
            arguments=result.arguments,
            result=result.result,
        )
        self._state.spawn(self._worker.queue_frame(frame), "function_call_result")


def _plain(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_none=True)


def _first(error: ValidationError) -> str:
    return fault_text(error.errors(include_url=False, include_context=False)[0])


def _version(text: str) -> list[int] | None:
    parts = text.split(".")
    if len(parts) != 3 or not all(part.isdecimal() and len(part) <= LONGEST_NUMBER for part in parts):
        return None
    return [int(part) for part in parts]
