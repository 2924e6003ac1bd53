"""`Call`: what an author holds of a call in progress."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from typing import Any, Literal

from loguru import logger
from pipecat.frames.frames import OutputDTMFFrame, OutputDTMFUrgentFrame, TTSSpeakFrame
from pipecat.observers.base_observer import BaseObserver
from pipecat.transports.base_transport import TransportParams

from piopiy_pipeline.call import CallEnd, CallInfo, EndReason, Turn
from piopiy_pipeline.pipeline import CallPipeline, StageError
from piopiy_pipeline.session.call_control import CallControl
from piopiy_pipeline.session.contracts import MakeRun, Run, RunOptions
from piopiy_pipeline.session.control_requests import TransferOutcome
from piopiy_pipeline.session.events import CallError, Emitter, Handler
from piopiy_pipeline.session.failure_recovery import FailureRecovery
from piopiy_pipeline.session.resumable_state import checkpoint_of
from piopiy_pipeline.session.tts_stage import queue_behind, voice_of
from piopiy_pipeline.session.utterances import PendingUtterances, Utterance
from piopiy_pipeline.signaling.messages import AgentMessage, Checkpoint, ConversationEvent
from piopiy_pipeline.transports.bot_output import SpeechMonitor
from piopiy_pipeline.transports.frames import SpeechMarkFrame
from piopiy_pipeline.transports.link import MediaLink
from piopiy_pipeline.transports.media_stream import MediaStreamTransport

__all__ = ["DEFAULT_ERROR_LINE", "Call", "Post", "current_call"]

Post = Callable[[AgentMessage], None]
"""Sends a message to the gateway, without waiting."""

current_call: contextvars.ContextVar[Call | None] = contextvars.ContextVar("piopiy_call", default=None)
"""The call in which this code runs, or None outside of calls."""

DEFAULT_ERROR_LINE = "I am sorry, something went wrong. One moment, please."
MEDIA_GRACE_S = 0.3
_KEYS = frozenset("0123456789*#")


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
        self._care = FailureRecovery()
        self._lines = PendingUtterances()
        self._control = CallControl(info.call_id, post=post, told=self._transferred)
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
        """Call `handler(argument)` at each `event`.

        There are answered, user_turn, bot_turn, tool, dtmf, message, transfer, error and end.

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
                on_keys=lambda digits: self._events.emit("dtmf", digits),
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
        self._answered_run()
        heard: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self.ended:
            heard.set_result(False)
        else:
            self._speak(Utterance(text, interruptible, into_context, heard))
        return heard

    def _speak(self, line: Utterance) -> None:
        assert self._run is not None
        tts = voice_of(self._run.chain)
        if tts is None:
            raise StageError("nothing in this chain can say text: it has no TTS")
        number = self._lines.add(line)
        speak = TTSSpeakFrame(line.text, append_to_context=line.into_context)
        mark = SpeechMarkFrame(number=number)
        speak.interruptible = mark.interruptible = line.interruptible
        self._run.spawn(queue_behind(tts, speak, mark), "say")

    async def respond(self, note: str | None = None) -> None:
        """Have the model speak now, on the conversation as it stands: to open a call without a greeting, say.

        A `note` goes into the conversation first, as a message that is not the caller's; then nobody's
        sentence is cut off for it. Raises `RuntimeError` before the call is answered.
        """
        await self._answered_run().respond(note)

    async def send_message(self, data: Any) -> None:
        """Send the application at the caller's end something: JSON, and a dict unless it speaks RTVI.

        To a client that speaks RTVI it is a server message. A caller on a telephone never hears of it.
        Raises `ValueError` or `TypeError` for what cannot be sent, and `RuntimeError` before the call is answered.
        """
        await self._answered_run().client.send_message(data)

    async def hangup(self, *, drain_s: float = 5) -> None:
        """End the call, when what the bot is saying was heard.

        Returns at once, so that a tool can call it: the answer to the tool's result is still given.
        What has not begun within `drain_s` is not waited for. A caller on hold is taken off it, to
        hear the last words.
        """
        if self._hanging_up or self.ended:
            return
        self._hanging_up = True
        if self._answered_at is not None and self._control.on_hold:
            self.hold(False)
        if self._run is None:
            self._finish(EndReason.AGENT_HANGUP, "the bot hung up")
        else:
            self._run.spawn(self._run.drain(drain_s), "hangup")

    # ------------------------------------------------------------------ what the gateway does for the bot

    async def transfer(
        self, to: str, *, warm: bool = True, summary: str = "", ring_timeout_s: float = 30
    ) -> TransferOutcome:
        """Hand the caller to `to`: a number, a SIP URI, or a name that the gateway's configuration knows.

        *Warm*, it rings there while the caller goes on talking to the bot, and the two are joined when
        it is answered. *Blind* (``warm=False``), the bot leaves when what it is saying was heard, and the
        caller hears it ring. Either way the bot's call ends with ``transferred`` when it comes about,
        and otherwise the caller is back with the bot. `summary` is what whoever answers is to know.

        Returns what became of it, ten seconds after `ring_timeout_s` (300 at most) at the latest. One at
        a time: a second one is refused. Who is cancelled while waiting (a tool, by an interruption)
        does not end the transfer; the `transfer` event tells. Raises `ValueError` for a destination that
        cannot be one, and `RuntimeError` before the call is answered.
        """
        run = self._answered_run()
        if not warm and not self.ended and not self._control.transferring:
            await run.finish_speaking()
        if self.ended:
            return TransferOutcome(to, "failed", "the call is over")
        return await asyncio.shield(
            self._control.transfer(to, warm=warm, summary=summary, ring_timeout_s=ring_timeout_s)
        )

    @property
    def transferring(self) -> bool:
        """Whether a transfer is under way."""
        return self._control.transferring

    def hold(self, on: bool = True) -> None:
        """Put the caller on hold, or (False) take them off it.

        Meanwhile neither side hears the other, the caller hears the gateway's hold sound, and what the
        bot says waits. Returns at once, as the three below. Raises `RuntimeError` before the answer.
        """
        self._switch("hold", on)

    def mute(self, on: bool = True) -> None:
        """Hear nothing of the caller from now on, or (False) hear them again. They hear the bot."""
        self._switch("mute", on)

    def start_recording(self) -> None:
        """Have the gateway write the call to its disk from now on, if it keeps recordings."""
        self._switch("record", True)

    def stop_recording(self) -> None:
        """End the gateway's recording of the call."""
        self._switch("record", False)

    async def send_dtmf(self, digits: str, *, at_once: bool = False) -> None:
        """Press keys (0-9, *, #): behind what the bot is saying, or `at_once`. Nobody cuts them off.

        Raises `ValueError` for keys that there are not, and `RuntimeError` before the call is answered.
        """
        if not digits or (wrong := set(digits) - _KEYS):
            what = f"there is no key {min(wrong)!r}" if digits else "no keys"
            raise ValueError(f"send_dtmf({digits!r}): {what}; a telephone has 0-9, * and #")
        run = self._answered_run()
        if self.ended:
            return
        output = self.transport().output()
        if at_once:
            await queue_behind(output, OutputDTMFUrgentFrame.from_string(digits))
        else:
            keys = OutputDTMFFrame.from_string(digits)
            keys.interruptible = False  # a menu that talks would cut them off
            run.spawn(queue_behind(voice_of(run.chain) or output, keys), "send_dtmf")

    def _switch(self, what: Literal["hold", "mute", "record"], on: bool) -> None:
        self._answered_run()
        if not self.ended:
            self._control.switch(what, on)

    def _answered_run(self) -> Run:
        if self._run is None or self._answered_at is None:
            raise RuntimeError("the call is not answered yet: wait for the 'answered' event")
        return self._run

    # ------------------------------------------------------------------ told by the run and the session

    def _transferred(self, outcome: TransferOutcome) -> None:
        how = f" ({outcome.detail})" if outcome.detail else ""
        logger.info("the transfer to {}: {}{}", outcome.to, outcome.outcome, how)
        self._events.emit("transfer", outcome)

    def _inherited(self, outcome: TransferOutcome) -> None:
        """What became of a transfer that the instance which lost this call had asked for."""
        self._transferred(outcome)
        if outcome.bridged:
            return
        why = f"{outcome.detail} ({outcome.outcome})" if outcome.detail else outcome.outcome
        note = f"The transfer came to nothing: {why}. The caller is still with you: tell them."

        async def tell(_: object = None) -> None:
            await self.respond(note)

        if self._run is not None and self._answered_at is not None:
            self._run.spawn(tell(), "transfer")
        else:
            self.on("answered", tell)

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
        protocol = None if self._run is None else self._run.client.protocol
        state = checkpoint_of(messages, self.state, protocol)
        if state is not None:
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
            self._control.over(end)
            self._lines.cut_off(everything=True)
            self._events.emit("end", end)


def _check_timeout(name: str, seconds: float | None, otherwise: str = "") -> None:
    if seconds is not None and not seconds > 0:
        raise ValueError(f"{name} must be more than 0 seconds{otherwise}, not {seconds!r}")
