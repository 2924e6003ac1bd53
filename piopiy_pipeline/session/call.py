"""`Call`: what an author holds of a call in progress.

A facade: the state of the call is in `CallState`, what runs in `PipelineRun`, and the lifetime of all the `Session`'s.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from typing import Any

from pipecat.observers.base_observer import BaseObserver
from pipecat.transports.base_transport import TransportParams

from piopiy_pipeline.arguments import check_keys, check_kind, check_lines, check_seconds, check_switches
from piopiy_pipeline.call import CallEnd, CallInfo, EndReason, Turn
from piopiy_pipeline.compat.tool_runs import DEFAULT_TOOL_TIMEOUT_S
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.session.call_control import TransferOutcome
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.caller_turns import CallerTurns
from piopiy_pipeline.session.departure import Departure
from piopiy_pipeline.session.events import Handler
from piopiy_pipeline.session.gateway_switches import GatewaySwitches
from piopiy_pipeline.session.held_turns import TurnListener
from piopiy_pipeline.session.idle_caller import LEAST_TIMEOUT_S
from piopiy_pipeline.session.led_call import LedCall
from piopiy_pipeline.session.limits.stream_limits import StreamLimits
from piopiy_pipeline.session.monitor import CallMonitor
from piopiy_pipeline.session.pipeline_run import PipelineRun, RunOptions
from piopiy_pipeline.session.providers.provider_failures import DEFAULT_ERROR_LINE
from piopiy_pipeline.session.silence_filler import Filler
from piopiy_pipeline.session.surviving_state import SurvivingState
from piopiy_pipeline.session.text_chat import as_text_chat
from piopiy_pipeline.transports.media_stream import MediaStreamTransport
from piopiy_pipeline.turns.expected_answer import ExpectedAnswer

__all__ = ["DEFAULT_ERROR_LINE", "Call", "PipelineHook", "current_call"]

PipelineHook = Callable[[CallPipeline], None]
"""Changes an author's pipeline just before it runs: it puts other providers in for a test, for example."""

current_call: contextvars.ContextVar[Call | None] = contextvars.ContextVar("piopiy_call", default=None)
"""The call in which this code runs, or None outside of calls."""

MEDIA_GRACE_S = 0.3
"""After the media stream was closed, the gateway has this long to say on its other connection why."""


class Call(GatewaySwitches, SurvivingState, LedCall):
    """A call in progress. There is one per callback, which receives it as `call` if it names it.

    You do not make one: the agent does. Within a callback, `current_call.get()` returns it, too.

    Example:
        ```python
        async def on_new_session(call):
            context = LLMContext([{"role": "system", "content": "You take orders for a pizzeria."}])
            pipeline = CallPipeline.voice(call, stt=stt, llm=llm, tts=tts, context=context)
            call.on("answered", lambda info: call.respond())
            call.on("user_turn", lambda turn: print("caller:", turn.text))
            end = await call.run(pipeline)
            print(end.reason, end.duration_s)
        ```
    """

    def __init__(
        self,
        state: CallState,
        *,
        pipeline_hook: PipelineHook | None = None,
        make_monitor: Callable[[CallState], CallMonitor] = CallMonitor,
    ) -> None:
        super().__init__(state)
        LedCall.__init__(self)
        self._pipeline_hook = pipeline_hook
        self._make_monitor = make_monitor
        self._monitor: CallMonitor | None = None
        self._transport: MediaStreamTransport | None = None
        self._run: PipelineRun | None = None
        self._chain: CallPipeline | None = None
        self._expected: ExpectedAnswer | None = None  # of the first question

    # ------------------------------------------------------------------ looking

    @property
    def info(self) -> CallInfo:
        """Who calls whom, and with which metadata."""
        return self._state.info

    @property
    def transcript(self) -> Sequence[Turn]:
        """What both sides have said so far; of the bot, what the caller has heard."""
        return tuple(self._state.transcript)

    @property
    def caller_rate(self) -> int:
        """The sample rate of the caller's audio in the pipeline, in Hz: 8000 or 16000."""
        return self._state.link.caller_rate

    @property
    def bot_rate(self) -> int:
        """The sample rate of the bot's speech, in Hz: 8000, 16000 or 24000."""
        return self._state.link.bot_rate

    @property
    def running(self) -> bool:
        """Whether a pipeline runs, or has run."""
        return self._run is not None

    @property
    def departure(self) -> Departure | None:
        """How the call leaves an agent that drains; None before a pipeline runs. It is the agent's to use."""
        return None if self._run is None else self._run.departure

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self._state.ended

    @property
    def transferring(self) -> bool:
        """Whether a transfer is under way."""
        return self._state.control.transferring

    def on(self, event: str, handler: Handler) -> Callable[[], None]:
        """Call `handler` with one argument at each `event`.

        | event | argument | when |
        |---|---|---|
        | `answered` | `CallInfo` | the caller can hear and be heard |
        | `user_turn`, `bot_turn` | `Turn` | a side has said something; of the bot, what was heard |
        | `backchannel` | `Turn` | the caller has said "mhm" while the bot spoke on |
        | `tool` | `ToolUse` | the model uses a tool, and once more with the tool's result |
        | `dtmf` | `str` | the caller has pressed keys, of 0-9, A-D, * and # |
        | `message` | `ClientMessage` | the client's application has sent something |
        | `flow` | `FlowStep` | a node of the call's flow is entered |
        | `hand_off` | `HandOff` | another persona has the call |
        | `collection` | `CollectionEvent` | a value is asked for, was collected, or was not |
        | `language` | `LanguageChange` | the call goes on in another language |
        | `summary` | `ContextSummary` | a summary stands for a part of the conversation |
        | `transfer` | `TransferOutcome` | a transfer was answered, or it failed |
        | `error` | `CallError` | something of this call went wrong; `stage` says where |
        | `end` | `CallEnd` | the call is over |

        Args:
            event: The name of the event.
            handler: A function or a coroutine function. An exception in it is logged, and the call goes on.

        Returns:
            A function that removes the handler.

        Raises:
            TypeError: `handler` is no function.
            ValueError: There is no such event.

        Example:
            ```python
            call.on("dtmf", lambda digits: print("pressed", digits))
            ```
        """
        return self._state.events.on(event, handler)

    # ------------------------------------------------------------------ running a pipeline

    def transport(self, params: TransportParams | None = None) -> MediaStreamTransport:
        """Return the transport of this call: its `input()` and `output()` are the ends of a pipeline.

        There is one per call: later calls return the same one.

        Args:
            params: Parameters of pipecat's transports. Sample rates are those of the call; leave them out.

        Raises:
            ValueError: It has no such parameter, or the transport exists already and parameters were given.
        """
        if self._transport is None:
            self._monitor = self._make_monitor(self._state)
            self._transport = MediaStreamTransport(
                self._state.link,
                self._monitor,
                params,
                on_lost=self._media_lost,
                on_message=lambda data: self._run is not None and self._run.client.on_message(data),
                on_keys=lambda digits: self._state.events.emit("dtmf", digits),
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
        tool_timeout_s: float = DEFAULT_TOOL_TIMEOUT_S,
        filler: Filler | None = Filler(),  # noqa: B008  a value
        idle: Sequence[str] | bool = True,
        limits: StreamLimits = StreamLimits(),  # noqa: B008  a value
        enable_metrics: bool = False,
        enable_usage_metrics: bool = False,
        observers: Sequence[BaseObserver] = (),
    ) -> CallEnd:
        """Run a pipeline until the call has ended. The call is answered when the pipeline has started.

        Args:
            chain: The pipeline. It cannot be changed from now on.
            idle_timeout_s: The call ends with `idle_timeout` when neither side has spoken for this many
                seconds, 1 at least. None for never.
            error_line: What the bot says when a provider has failed, before it tries once more. None for nothing.
            reply_timeout_s: An answer that makes no progress for this many seconds counts as a failure.
            tool_timeout_s: A tool that has not returned after this many seconds is given up, and the model is
                told so. A tool's own timeout comes first.
            filler: What a caller hears who waits for an answer or a tool; None for nothing.
            idle: What a caller is asked who says nothing, spread over `idle_timeout_s`, and last the goodbye.
                True: two questions and a goodbye in the language of the voice. False: nothing.
            limits: How much the stages may stream: beyond that an answer is cut, or the call ends.
            enable_metrics: Whether pipecat's services measure themselves (`MetricsFrame`).
            enable_usage_metrics: Whether they count tokens and characters, too.
            observers: Pipecat observers. They cost CPU time for each frame, so there are none by default.

        Returns:
            How the call has ended.

        Raises:
            StageError: The pipeline cannot work; the message names the stage.
            TypeError: An argument is of the wrong kind.
            ValueError: A timeout is too short.
            RuntimeError: This call runs a pipeline already.
        """
        if self._run is not None:
            raise RuntimeError("this call runs a chain already: one call is one pipeline")
        check_seconds("idle_timeout_s", idle_timeout_s, or_none="never", least_s=LEAST_TIMEOUT_S)
        check_seconds("reply_timeout_s", reply_timeout_s)
        check_seconds("tool_timeout_s", tool_timeout_s)
        check_kind("error_line", error_line, (str, type(None)), "a text, or None for nothing")
        check_kind("filler", filler, (Filler, type(None)), "a Filler, or None for nothing")
        check_lines("idle", idle)
        check_kind("limits", limits, StreamLimits, "StreamLimits")
        self._state.recovery.patience_s = reply_timeout_s
        if self._pipeline_hook is not None:
            self._pipeline_hook(chain)
        transport = self.transport()
        assert self._monitor is not None
        options = RunOptions(
            idle_timeout_s,
            error_line,
            enable_metrics,
            enable_usage_metrics,
            observers,
            tool_timeout_s,
            filler,
            idle,
            limits,
            self._flow,
            self._personas,
        )
        if self.info.kind == "text":
            options = as_text_chat(chain, options)
        if self._expected is not None:
            chain.expect(self._expected)
        self._chain = chain
        self._run = PipelineRun(self._state, chain, transport, self._monitor, options)
        try:
            await self._run.run()
        finally:
            self._state.run_over.set()
        return await asyncio.shield(self._state.end)

    def _answered_run(self) -> PipelineRun:
        self._state.require_answered()
        assert self._run is not None
        return self._run

    def _media_lost(self) -> None:
        asyncio.get_running_loop().call_later(
            MEDIA_GRACE_S, self._state.finish, EndReason.CALLER_HANGUP, "the media stream was closed"
        )

    # ------------------------------------------------------------------ speaking

    async def say(
        self, text: str, *, interruptible: bool = True, to_the_end: bool = False, into_context: bool = True
    ) -> bool:
        """Say `text` now, ahead of anything the model says later, and wait until it was heard.

        Args:
            text: What to say.
            interruptible: Whether the caller can cut it off.
            to_the_end: Whether another instance says what is left of it, if this one is lost: for a greeting.
            into_context: Whether it is a turn of the conversation, which the model sees; what is said `to_the_end` is.

        Returns:
            True if the caller heard all of it. False if it was cut off (by `StreamLimits`, too), or the call ended.

        Raises:
            StageError: The pipeline has no TTS.
            RuntimeError: The call is not answered yet.
        """
        run = self._answered_run()
        await self._state.pace.keep()
        return await run.speaker.say(
            text, interruptible=interruptible, to_the_end=to_the_end, into_context=into_context
        )

    async def respond(self, note: str | None = None) -> None:
        """Have the model speak now, on the conversation so far: for example to open a call without a greeting.

        Args:
            note: Goes into the conversation first, not as the caller's. The model then waits until nobody is speaking.

        Raises:
            RuntimeError: The call is not answered yet.
        """
        run = self._answered_run()
        await self._state.pace.keep()
        await run.speaker.respond(note)

    def expect(self, answer: ExpectedAnswer | str) -> None:
        """Tell what the caller's next answer is made of, where the bot's question does not: so its end is known sooner.

        It holds until the end of the caller's next turn. It can be said before `run`, of the greeting's question,
        and by a tool after which the model will ask.

        Args:
            answer: ``"yes_no"``, ``"number"`` (how many), ``"digits"``, ``"digits:6"`` (so many), ``"dictation"`` (an
                address, a spelled name) or ``"open"``.

        Raises:
            ValueError: There is no such kind of answer.
            TypeError: It is no text.
            RuntimeError: Turns end by another strategy than the pipeline's own. Before `run`, that raises it.

        Example:
            ```python
            async def send_code(params):
                call.expect("digits:6")
                await params.result_callback("The code was sent. Ask the caller to read it out.")
            ```
        """
        self._expected = ExpectedAnswer.of(answer)
        if self._chain is not None:
            self._chain.expect(self._expected)

    def hold_turns(self, listener: TurnListener, *, redact: bool = False) -> CallerTurns:
        """Give the caller's turns to `listener` and not to the model, within a ``with``. `collect` is made of it.

        Raises:
            TypeError: An argument is of another kind.
            RuntimeError: The call is not answered yet, or, at ``with``, somebody else has the turns.
        """
        return self._answered_run().hold_turns(listener, redact=redact)

    async def send_message(self, data: Any) -> None:
        """Send the application at the caller's end a message. A caller on a telephone gets none.

        Args:
            data: JSON. To a client that speaks RTVI it is a server message; to any other it must be a dict.

        Raises:
            TypeError: It is not a dict, and the client does not speak RTVI.
            ValueError: It is not JSON, or it is longer than 64 KiB.
            RuntimeError: The call is not answered yet.
        """
        run = self._answered_run()
        await self._state.pace.keep()
        await run.client.send_message(data)

    async def send_dtmf(self, digits: str, *, at_once: bool = False) -> None:
        """Press telephone keys. The caller's speech does not cut them off.

        Args:
            digits: The keys, of 0-9, * and #.
            at_once: Whether to press them now, and not after what the bot is saying.

        Raises:
            TypeError: It is no text.
            ValueError: A telephone has no such key, or there are no keys.
            RuntimeError: The call is not answered yet.
        """
        check_keys("send_dtmf: digits", digits)
        run = self._answered_run()
        await self._state.pace.keep()
        if not self.ended:
            await run.speaker.press_keys(digits, at_once=at_once)

    async def hangup(self, *, drain_s: float = 5, final: bool = True) -> None:
        """End the call, when the caller has heard what the bot is saying.

        It returns at once, so that a tool can call it: the model still answers the tool's result. A hold ends.

        Args:
            drain_s: Speech that has not begun within this many seconds is not waited for.
            final: True: the call ends whatever the caller says meanwhile, which is not answered. False: a caller who
                goes on speaking before the goodbye was heard calls the end off, and the call goes on.
        """
        check_seconds("hangup: drain_s", drain_s, zero=True)
        check_switches(final=final)
        await self._state.way_out.keep()
        if self._run is not None:
            self._run.hang_up(drain_s, final=final)
        elif not self.ended:
            self._state.finish(EndReason.AGENT_HANGUP, "the bot hung up")

    # ------------------------------------------------------------------ what the gateway does for the bot

    async def transfer(
        self, to: str, *, warm: bool = True, summary: str = "", ring_timeout_s: float = 30
    ) -> TransferOutcome:
        """Hand the caller over to somebody else, and wait for the outcome.

        If it succeeds, the bot's call ends with the reason `transferred`. If not, the caller is back with the
        bot. There is one transfer at a time: a second one is refused. If the code that waits is cancelled (a
        tool, by an interruption), the transfer goes on, and the `transfer` event has its outcome.

        Args:
            to: A number, a SIP URI, or a name that the gateway's configuration knows.
            warm: True: it rings there while the caller talks to the bot, and the two are connected when the
                destination answers. False (a blind transfer): the bot leaves when the caller has heard what it
                is saying, and the caller hears it ring.
            summary: What the person who answers should know, 2000 characters at most.
            ring_timeout_s: How long it may ring, in seconds, 300 at most.

        Returns:
            The outcome, 10 seconds after `ring_timeout_s` at the latest.

        Raises:
            ValueError: The gateway would not understand the destination or another argument.
            RuntimeError: The call is not answered yet.

        Example:
            ```python
            outcome = await call.transfer("+4930123456", summary="wants to change a booking")
            if not outcome.bridged:
                await call.say("I am sorry, nobody is there.")
            ```
        """
        run, control = self._answered_run(), self._state.control
        control.check(to, warm=warm, summary=summary, ring_timeout_s=ring_timeout_s)
        await self._state.way_out.keep()
        run.transfer_begins()
        if not warm and not self.ended and not control.transferring:
            await run.wait_until_spoken()
        if self.ended:
            return TransferOutcome(to, "failed", "the call is over")
        begun = control.transfer(to, warm=warm, summary=summary, ring_timeout_s=ring_timeout_s)
        return await asyncio.shield(begun)
