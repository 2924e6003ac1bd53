"""RTVI, for a call whose client speaks it: Pipecat's SDKs for browsers and mobile devices do.

A client says ``client-ready`` in the protocol's own messages, and from then on it is told what
happens in the call, and may type, call, send keys and hang up. What a frame means in the protocol, and
what an older client is told instead, is pipecat's own `RTVIObserver`: as an object that is given the
few frames that have a meaning, from the places where the session sees them anyway. It observes
nothing, so that a call whose client does not speak RTVI pays nothing, and one that does pays for its
messages alone; pipecat's processor and observer together cost more than the rest of a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import pipecat.processors.frameworks.rtvi.models as rtvi
from loguru import logger
from pipecat.frames.frames import (
    Frame,
    FunctionCallResultFrame,
    LLMConfigureOutputFrame,
    LLMMessagesAppendFrame,
)
from pipecat.pipeline.capabilities import BotCapabilities
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.processors.frameworks.rtvi.frames import RTVIClientMessageFrame, RTVISendTextFrame
from pydantic import BaseModel, ValidationError

from piopiy_pipeline._version import __version__
from piopiy_pipeline.compat.pipecat import RtviTranslator
from piopiy_pipeline.session.events import ClientMessage
from piopiy_pipeline.session.paced_queue import MESSAGES_PER_S, PacedQueue
from piopiy_pipeline.signaling.messages import DataMessage, dump

__all__ = ["RtviClient", "RtviHost", "speaks_rtvi"]

MAX_EVENT_BYTES = 64 * 1024
"""What the gateway takes in one event."""
MAX_TYPED = 8
"""So many texts that the client has sent may wait for their turn."""


def speaks_rtvi(message: dict[str, Any]) -> bool:
    """Whether this message of a client's application is one of the protocol."""
    return message.get("label") == rtvi.MESSAGE_LABEL


class RtviHost(Protocol):
    """What the client's wishes need of a call."""

    @property
    def capabilities(self) -> BotCapabilities: ...

    def send(self, event: DataMessage) -> None:
        """Pass a message on to the client, at once."""

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Run something beside the pipeline; it ends with the run."""

    async def cut_in(self) -> None:
        """Cut off what the bot says, and return when the context knows what was heard of it."""

    async def queue(self, *frames: Frame) -> None:
        """Put frames in at the beginning of the chain."""

    def typed(self, text: str) -> None:
        """The caller has written something: a turn of the conversation."""

    def press(self, digits: str) -> None:
        """The caller has pressed keys."""

    def client_message(self, message: ClientMessage) -> None:
        """Tell the bot's author."""

    def leave(self) -> None:
        """The client wants the bot to hang up."""


class RtviClient:
    """The client of one call, from its ``client-ready`` on.

    `protocol` is the version that it said to another instance of the agent, which has lost the call:
    a client is ready once.
    """

    def __init__(self, host: RtviHost, output: FrameProcessor, *, protocol: str = "0.0.0") -> None:
        self._host = host
        self._output = output
        self._loop = asyncio.get_running_loop()
        self._outbox = PacedQueue(self._loop.time())
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.client_version = _version(protocol) or [0, 0, 0]
        self._translator = RtviTranslator(self, self._tell)
        self._typing = asyncio.Lock()
        self._typed = 0
        self._answers: dict[str, Callable[[str, dict[str, Any]], None]] = {
            "client-ready": self._client_ready,
            "disconnect-bot": lambda _, data: self._host.leave(),
            "client-message": self._client_message,
            "send-text": self._send_text,
            "dtmf": self._dtmf,
            "llm-function-call-result": self._function_call_result,
        }

    @property
    def protocol(self) -> str:
        """The version of the protocol that the client speaks."""
        return ".".join(map(str, self.client_version))

    # ------------------------------------------------------------------ what the client is told

    def saw(self, frame: Frame) -> None:
        """A frame passes a place where it has a meaning in the protocol, for the first time."""
        self._translator.translate(frame, self._output)

    def error(self, message: str) -> None:
        """Something went wrong in the call, which goes on."""
        self._tell(rtvi.Error(data=rtvi.ErrorData(error=message, fatal=False)))

    def server_message(self, data: Any) -> None:
        """A message of the bot's author. Raises `ValueError` for one that is no JSON, or too long."""
        message = _plain(rtvi.ServerMessage(data=data))
        _check_size(message)
        self._add(message)

    def close(self) -> None:
        """Nothing is told any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self, model: BaseModel) -> None:
        try:
            message = _plain(model)
            _check_size(message)
        except ValueError as error:
            logger.warning("an RTVI client is not told of something: {}", error)
            return
        self._add(message)

    def _add(self, message: dict[str, Any]) -> None:
        if self._closed:
            return
        self._outbox.add(message)
        if self._timer is None:
            self._flush()

    def _flush(self) -> None:
        self._timer = None
        for message in self._outbox.take(self._loop.time()):
            self._host.send(DataMessage(data=message))
        if self._outbox.waits:
            self._timer = self._loop.call_later(1 / MESSAGES_PER_S, self._flush)

    # ------------------------------------------------------------------ what the client says

    def on_message(self, data: dict[str, Any]) -> None:
        """A message of the client. What is wrong with it, it is told."""
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
        logger.warning("a message of the RTVI client was refused: {}", error)
        self._tell(rtvi.ErrorResponse(id=message_id, data=rtvi.ErrorResponseData(error=error)))

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
            capabilities=self._host.capabilities,
        )
        self._tell(rtvi.BotReady(id=message_id, data=ready))

    def _client_message(self, message_id: str, data: dict[str, Any]) -> None:
        raw = rtvi.RawClientMessageData.model_validate(data)

        def reply(answer: Any) -> None:
            response = rtvi.RawServerResponseData(t=raw.t, d=answer)
            self._tell(rtvi.ServerResponse(id=message_id, data=response))

        self._host.client_message(ClientMessage(raw.d, type=raw.t, _reply=reply))
        frame = RTVIClientMessageFrame(msg_id=message_id, type=raw.t, data=raw.d)
        self._host.spawn(self._host.queue(frame), "client_message")

    def _send_text(self, message_id: str, data: dict[str, Any]) -> None:
        sent = rtvi.SendTextData.model_validate(data)
        if self._typed >= MAX_TYPED:
            self._refuse(message_id, f"{MAX_TYPED} texts wait already")
            return
        self._typed += 1
        self._host.spawn(self._type(message_id, sent), "send_text")

    async def _type(self, message_id: str, sent: rtvi.SendTextData) -> None:
        """What was typed is a turn of the caller; answered at once, it cuts the bot off."""
        options = sent.options or rtvi.SendTextOptions()
        async with self._typing:
            self._typed -= 1
            if options.run_immediately:
                await self._host.cut_in()  # what was heard goes into the context ahead of this
            self._host.typed(sent.content)
            frames: list[Frame] = [
                LLMMessagesAppendFrame(
                    messages=[{"role": "user", "content": sent.content}], run_llm=options.run_immediately
                )
            ]
            if not options.audio_response:
                silent, loud = (LLMConfigureOutputFrame(skip_tts=skip) for skip in (True, False))
                frames = [silent, *frames, loud]
            await self._host.queue(*frames)
        self.saw(RTVISendTextFrame(msg_id=message_id, text=sent.content))

    def _dtmf(self, message_id: str, data: dict[str, Any]) -> None:
        keys = rtvi.DTMFInputData.model_validate(data)
        self._host.press("".join(key.value for key in keys.buttons))

    def _function_call_result(self, message_id: str, data: dict[str, Any]) -> None:
        result = rtvi.LLMFunctionCallResultData.model_validate(data)
        frame = FunctionCallResultFrame(
            function_name=result.function_name,
            tool_call_id=result.tool_call_id,
            arguments=result.arguments,
            result=result.result,
        )
        self._host.spawn(self._host.queue(frame), "function_call_result")


def _plain(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_none=True)


def _check_size(message: dict[str, Any]) -> None:
    size = len(dump(DataMessage(data=message)).encode())
    if size > MAX_EVENT_BYTES:
        raise ValueError(f"a message of {size} bytes: {MAX_EVENT_BYTES} are the limit")


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]


def _version(text: str) -> list[int] | None:
    parts = text.split(".")
    return [int(part) for part in parts] if len(parts) == 3 and all(p.isdecimal() for p in parts) else None
