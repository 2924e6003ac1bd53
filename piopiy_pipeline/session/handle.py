"""`Call`: what an author holds of a call in progress."""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from loguru import logger
from pipecat.frames.frames import TTSSpeakFrame
from pipecat.observers.base_observer import BaseObserver
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_transport import TransportParams

from piopiy_pipeline.call import CallEnd, CallInfo, EndReason, Turn
from piopiy_pipeline.pipeline import CallPipeline, StageError
from piopiy_pipeline.services.switch import ServiceSwitch
from piopiy_pipeline.session.care import ResponseCare
from piopiy_pipeline.session.events import CallError, Emitter, Handler
from piopiy_pipeline.session.lines import Line, Lines
from piopiy_pipeline.signaling.messages import AgentMessage, Checkpoint, ConversationEvent
from piopiy_pipeline.transports.bot_output import SpeechMonitor
from piopiy_pipeline.transports.frames import SpeechMarkFrame
from piopiy_pipeline.transports.link import MediaLink
from piopiy_pipeline.transports.media_stream import MediaStreamTransport

__all__ = ["DEFAULT_ERROR_LINE", "Call", "MakeRun", "Post", "Run", "RunOptions", "current_call"]

Post = Callable[[AgentMessage], None]
"""Sends a message to the gateway, without waiting."""

current_call: contextvars.ContextVar[Call | None] = contextvars.ContextVar("piopiy_call", default=None)
"""The call in which this code runs, or None outside of calls."""

DEFAULT_ERROR_LINE = "I am sorry, something went wrong. One moment, please."
MAX_CHECKPOINT_BYTES = 900_000
MEDIA_GRACE_S = 0.3


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a chain is run: see `Call.run`."""

    idle_timeout_s: float | None
    error_line: str | None
    enable_metrics: bool
    enable_usage_metrics: bool
    observers: Sequence[BaseObserver]


class Client(Protocol):
    """The application at the caller's end, as far as a `Call` knows it."""

    @property
    def protocol(self) -> str | None: ...

    def on_message(self, data: dict[str, Any]) -> bool: ...

    async def send_message(self, data: Any) -> None: ...

    def error(self, message: str) -> None: ...


class Run(Protocol):
    """A chain that runs, as far as a `Call` knows it."""

    chain: CallPipeline

    async def run(self) -> None: ...

    async def respond(self) -> None: ...

    async def drain(self, drain_s: float) -> None: ...

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> None: ...

    @property
    def client(self) -> Client: ...


class MakeRun(Protocol):
    """Makes the run of a chain; given by the session, which knows what runs and what watches."""

    def __call__(self, call: Call, chain: CallPipeline, options: RunOptions) -> Run: ...


class Call:
    """A call in progress: one per callback, which receives it as `call` if it names it.

    `info` says who calls whom. `state` is the author's own JSON, checkpointed with the conversation
    at the end of each turn. `resumed` is the conversation so far, when another instance of the agent
    had this call before and was lost; None otherwise.
    """

    def __init__(
        self,
        info: CallInfo,
        link: MediaLink,
        *,
        post: Post,
        finish: Callable[[EndReason, str], None],
        make_run: MakeRun,
        make_monitor: Callable[[Call], SpeechMonitor],
        resumed: dict[str, Any] | None = None,
    ) -> None:
        self.info = info
        self.state: dict[str, Any] = dict((resumed or {}).get("state") or {})
        self.resumed: list[dict[str, Any]] | None = (resumed or {}).get("messages")
        self._client_protocol: str | None = (resumed or {}).get("rtvi")
        self._link = link
        self._post = post
        self._finish = finish
        self._make_run = make_run
        self._make_monitor = make_monitor
        self._events = Emitter()
        self._transcript: list[Turn] = []
        self._transport: MediaStreamTransport | None = None
        self._run: Run | None = None
        self._run_over = asyncio.Event()
        self._end: asyncio.Future[CallEnd] = asyncio.get_running_loop().create_future()
        self._care = ResponseCare()
        self._lines = Lines()
        self._hanging_up = False
        self._answered_at: float | None = None
        self._began_at = self._now()

    # ------------------------------------------------------------------ looking

    @property
    def transcript(self) -> Sequence[Turn]:
        """What was said so far, both sides; of the bot what was heard."""
        return tuple(self._transcript)

    @property
    def caller_rate(self) -> int:
        """The sample rate of the caller's audio in the pipeline, Hz."""
        return self._link.caller_rate

    @property
    def bot_rate(self) -> int:
        """The sample rate of the bot's speech, Hz."""
        return self._link.bot_rate

    @property
    def running(self) -> bool:
        """Whether a chain runs, or has run."""
        return self._run is not None

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self._end.done()

    def on(self, event: str, handler: Handler) -> Callable[[], None]:
        """Call `handler(argument)` at each `event`: answered, user_turn, bot_turn, tool, message, error, end.

        Functions and coroutine functions will do. Returns a function that ends this. Raises
        `ValueError` for an event that there is not.
        """
        return self._events.on(event, handler)

    # ------------------------------------------------------------------ running a chain

    def transport(self, params: TransportParams | None = None) -> MediaStreamTransport:
        """The transport of this call: its `input()` and `output()` are the ends of a chain.

        One per call: asked again, it gives the same one. Raises `ValueError` for parameters that
        this transport does not have.
        """
        if self._transport is None:
            self._transport = MediaStreamTransport(
                self._link,
                self._make_monitor(self),
                params,
                on_lost=self._media_lost,
                on_message=self._client_sent,
            )
        elif params is not None:
            raise ValueError("the transport of this call exists already: give its parameters the first time")
        return self._transport

    async def run(
        self,
        chain: CallPipeline,
        *,
        idle_timeout_s: float | None = 60,
        error_line: str | None = DEFAULT_ERROR_LINE,
        reply_timeout_s: float = 10,
        enable_metrics: bool = False,
        enable_usage_metrics: bool = False,
        observers: Sequence[BaseObserver] = (),
    ) -> CallEnd:
        """Run `chain` until the call has ended, and say how.

        The call is answered when the chain has started. With nobody speaking for `idle_timeout_s`
        the call ends. When a provider fails, or an answer makes no progress for `reply_timeout_s`,
        the bot says `error_line` (None: nothing) and tries once more. Observers cost CPU: none
        unless you ask for them. Raises `StageError` if the chain cannot work, `ValueError` for a
        timeout that is not more than 0, and `RuntimeError` when it is called twice.
        """
        if self._run is not None:
            raise RuntimeError("this call runs a chain already: one call is one pipeline")
        _check_timeout("idle_timeout", idle_timeout_s, " (None: never)")
        _check_timeout("reply_timeout", reply_timeout_s)
        self._care.patience_s = reply_timeout_s
        options = RunOptions(idle_timeout_s, error_line, enable_metrics, enable_usage_metrics, observers)
        self._run = self._make_run(self, chain, options)
        try:
            await self._run.run()
        finally:
            self._run_over.set()
        return await asyncio.shield(self._end)

    # ------------------------------------------------------------------ speaking

    async def say(self, text: str, *, interruptible: bool = True) -> bool:
        """Say `text` now, ahead of anything the model says later. Was it heard in full?

        Waits until it was heard, or until it was cut off (False). With `interruptible=False` the
        caller cannot cut in. Raises `StageError` in a chain without a TTS, and `RuntimeError`
        before the call is answered.
        """
        return await self._say(text, interruptible=interruptible)

    def _say(
        self, text: str, *, interruptible: bool = True, into_context: bool = True
    ) -> asyncio.Future[bool]:
        if self._run is None or self._answered_at is None:
            raise RuntimeError("the call is not answered yet: wait for the 'answered' event")
        heard: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self.ended:
            heard.set_result(False)
        else:
            self._speak(Line(text, interruptible, into_context, heard))
        return heard

    def _speak(self, line: Line) -> None:
        assert self._run is not None
        tts = _voice_of(self._run.chain)
        if tts is None:
            raise StageError("nothing in this chain can say text: it has no TTS")
        number = self._lines.add(line)
        speak = TTSSpeakFrame(line.text, append_to_context=line.into_context)
        mark = SpeechMarkFrame(number=number)
        speak.interruptible = mark.interruptible = line.interruptible
        self._run.spawn(_queue(tts, speak, mark), "say")

    async def respond(self) -> None:
        """Have the model speak now, on the conversation as it stands: to open a call without a greeting, say.

        Raises `RuntimeError` before the call is answered.
        """
        if self._run is None or self._answered_at is None:
            raise RuntimeError("the call is not answered yet: wait for the 'answered' event")
        await self._run.respond()

    async def send_message(self, data: Any) -> None:
        """Send the application at the caller's end something: JSON, and a dict unless it speaks RTVI.

        To a client that speaks RTVI it is a server message. A caller on a telephone never hears of it.
        Raises `ValueError` or `TypeError` for what cannot be sent, and `RuntimeError` before the call is answered.
        """
        if self._run is None or self._answered_at is None:
            raise RuntimeError("the call is not answered yet: wait for the 'answered' event")
        await self._run.client.send_message(data)

    async def hangup(self, *, drain_s: float = 5) -> None:
        """End the call, when what the bot is saying was heard.

        Returns at once, so that a tool can call it: the answer to the tool's result is still given.
        What has not begun within `drain_s` is not waited for.
        """
        if self._hanging_up or self.ended:
            return
        self._hanging_up = True
        if self._run is None:
            self._finish(EndReason.AGENT_HANGUP, "the bot hung up")
        else:
            self._run.spawn(self._run.drain(drain_s), "hangup")

    # ------------------------------------------------------------------ told by the run and the session

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _at(self) -> float:
        return round(self._now() - (self._answered_at or self._began_at), 3)

    def _answered(self) -> None:
        self._answered_at = self._now()
        self._events.emit("answered", self.info)

    def _tell(self, event: str, data: dict[str, Any]) -> None:
        """Tell the gateway, for whoever watches the call."""
        message = {"call_id": self.info.call_id, "at": self._at(), "event": event, "data": data}
        self._post(ConversationEvent.model_validate(message))

    def _tell_live(self, event: str, data: dict[str, Any]) -> None:
        """As `_tell`, for what is only told while the call goes on."""
        if not self.ended:
            self._tell(event, data)

    def _add_turn(self, turn: Turn) -> None:
        self._transcript.append(turn)
        if turn.role == "user":
            self._tell("user_turn", {"text": turn.text})
            self._events.emit("user_turn", turn)
        else:
            self._tell("bot_turn", {"text": turn.text, "interrupted": turn.interrupted})
            self._events.emit("bot_turn", turn)

    def _checkpoint(self, messages: list[Any]) -> None:
        """Hand the gateway what another instance would need to go on."""
        try:
            known: dict[str, Any] = {"messages": messages, "state": self.state}
            if self._run is not None and (protocol := self._run.client.protocol) is not None:
                known["rtvi"] = protocol
            state = json.loads(json.dumps(known))
            size = len(json.dumps(state))
        except (TypeError, ValueError) as error:
            logger.warning(
                "call.state or the context is not JSON, so this turn is not checkpointed: {}", error
            )
            return
        if size > MAX_CHECKPOINT_BYTES:
            logger.warning("the conversation is too long to be checkpointed: {} bytes", size)
            return
        self._post(Checkpoint(call_id=self.info.call_id, state=state))

    def _client_sent(self, data: dict[str, Any]) -> bool:
        return self._run is not None and self._run.client.on_message(data)

    def _failed(self, stage: str, message: str) -> None:
        """Something went wrong: tell whoever watches, the client, and the author."""
        self._tell("error", {"stage": stage, "message": message[:500]})
        if self._run is not None:
            self._run.client.error(f"{stage}: {message[:500]}")
        self._events.emit("error", CallError(stage, message))

    def _media_lost(self) -> None:
        """The gateway tells why on its other connection, and that may come a little later."""
        asyncio.get_running_loop().call_later(
            MEDIA_GRACE_S, self._finish, EndReason.CALLER_HANGUP, "the media stream was closed"
        )

    def _over(self, end: CallEnd) -> None:
        if not self._end.done():
            self._end.set_result(end)
            self._lines.cut_off(everything=True)
            self._events.emit("end", end)


def _voice_of(chain: CallPipeline) -> FrameProcessor | None:
    """The stage that says text: the one called so, a TTS, or a switch of some."""
    if "tts" in chain:
        return chain["tts"]
    for name in chain.names:
        stage = chain[name]
        if isinstance(stage.active if isinstance(stage, ServiceSwitch) else stage, TTSService):
            return stage
    return None


def _check_timeout(name: str, seconds: float | None, otherwise: str = "") -> None:
    if seconds is not None and not seconds > 0:
        raise ValueError(f"{name} must be more than 0 seconds{otherwise}, not {seconds!r}")


async def _queue(stage: Any, *frames: Any) -> None:
    for frame in frames:
        await stage.queue_frame(frame, FrameDirection.DOWNSTREAM)
