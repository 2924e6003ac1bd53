"""`Session`: the owner of one call, from the confirmed offer until nothing of it is left.

It runs the author's callback in the call's own context, decides on the one reason for which the call ends,
and then takes everything down in bounded time: the pipeline, the callback, every task that was created for
the call, and the media link.

The rest of this package, in the order in which it reads best: `call` (the author's handle), `call_state`
(what is known of the call), `pipeline_run` (the pipeline from start to end), `speaker`, `provider_failures`
and `client_application` (what speaks in it), and the small state machines that these use.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from loguru import logger

from piopiy_pipeline.call import CallEnd, CallInfo, EndReason
from piopiy_pipeline.compat.interrupts import is_operators
from piopiy_pipeline.error_text import error_text
from piopiy_pipeline.session.call import Call, PipelineHook, current_call
from piopiy_pipeline.session.call_control import TransferOutcome, failure_text
from piopiy_pipeline.session.call_state import CallState, Post
from piopiy_pipeline.session.departure import Departure
from piopiy_pipeline.session.events import CallError
from piopiy_pipeline.session.monitor import CallMonitor
from piopiy_pipeline.session.resumable_state import ResumableState
from piopiy_pipeline.session.tasks import CallTasks, current_tasks, track_tasks
from piopiy_pipeline.signaling.messages import (
    AgentMessage,
    CheckpointKept,
    Control,
    Ended,
    Hangup,
    TransferResult,
)
from piopiy_pipeline.text import well_formed
from piopiy_pipeline.tracing import traced_call
from piopiy_pipeline.transports.link import MediaLink

__all__ = ["Callback", "Session"]

_FAILED: deque[tuple[str, str]] = deque(maxlen=64)
"""The calls whose callback has failed in this process, and how. A faulty release is given the same call repeatedly."""

Callback = Callable[[Call], Awaitable[Any]]
"""The author's `create_session`, with its parameters bound."""
CALLBACK_GRACE_S = 5.0
"""How long a callback may go on after its call has ended: to write a note, to close a file."""
TEAR_DOWN_S = 3.0
"""How long what is left of a call may take to end when it is cancelled."""
RUN_DOWN_S = 5.0
"""How long a pipeline may take to close its stages."""


class Session:
    """The owner of one call. Await `run()` once; call `end()` from outside at any time.

    Args:
        info: Who calls whom.
        link: The media link of the call. The session closes it.
        post: Sends a message to the gateway, without waiting.
        resumed: What to go on with, if another instance of the agent had this call and was lost.
        pipeline_hook: Is given the pipeline that the callback has built, after its last change and before
            it is checked. An exception in it ends the call, like one in the callback.
        make_monitor: Makes what watches the end of the pipeline, for those who want to watch it too.
        confirmed: Returns whether the gateway confirms checkpoints: `on_message` is given what it says.
        counted: Returns whether the gateway takes events ``usage``.
        steps: Returns whether the gateway takes events ``flow``, ``hand_off``, ``collection``, ``summary`` and
            ``language``.
        exits: Is given a cancellation from outside, and returns whether it comes because the program ends. It may end
            calls for that first. What is cancelled first then is chance.

    Example:
        ```python
        session = Session(offer.info(), link, post=post)
        end = await session.run(bind_callback(create_session))
        ```
    """

    def __init__(
        self,
        info: CallInfo,
        link: MediaLink,
        *,
        post: Post,
        resumed: ResumableState | None = None,
        pipeline_hook: PipelineHook | None = None,
        make_monitor: Callable[[CallState], CallMonitor] = CallMonitor,
        confirmed: Callable[[], bool] = lambda: False,
        counted: Callable[[], bool] = lambda: False,
        steps: Callable[[], bool] = lambda: False,
        exits: Callable[[asyncio.CancelledError], bool] = lambda _: False,
    ) -> None:
        self.info = info
        self._state = CallState(
            info,
            link,
            post=self._post_unless_ended,
            finish=self.end,
            resumed=resumed,
            confirmed=confirmed,
            counted=counted,
            steps=steps,
        )
        self.call = Call(self._state, pipeline_hook=pipeline_hook, make_monitor=make_monitor)
        self._post = post
        self._resumed = resumed is not None
        self._tasks = CallTasks(info.call_id)
        self._tasks.exits = partial(self.end, EndReason.ERROR)
        self._tasks.harmless = self._report_harmless
        self._exits = exits
        self._ended_by_gateway = False
        self._log = logger.bind(call_id=info.call_id, agent_id=info.agent_id)

    @property
    def closing(self) -> bool:
        """Whether the bot has asked for an end that is final: no turn that begins from then on is answered."""
        return self._state.closing

    def end(self, reason: EndReason, detail: str = "", *, by_gateway: bool = False) -> None:
        """End the call. The first reason counts; `run()` takes the rest down.

        Args:
            reason: Why the call ends.
            detail: The same in a sentence.
            by_gateway: The gateway has ended the call, or is gone: nothing more is sent to it.
        """
        if self._state.ended:
            return
        self._ended_by_gateway = by_gateway
        self._state.close_usage()
        answered_at = self._state.answered_at
        duration_s = self._state.now() - answered_at if answered_at else 0.0
        self._state.close(CallEnd(reason, detail, round(duration_s, 3)))
        if not by_gateway:
            self._post(Hangup(call_id=self.info.call_id, reason=reason, detail=well_formed(detail)[:500]))

    def abandon(self) -> None:
        """Stop all that runs for the call, as far as that can be done in a process that goes on. Returns at once.

        For simulations of a process that is lost: nothing is sent any more, no handler hears of the end, and every
        task is cancelled where it stands. `run()` returns when nothing is left.
        """
        self._state.abandoned = True
        self._state.events.mute()
        self.end(EndReason.AGENT_LOST, "the agent was lost", by_gateway=True)
        for task in self._tasks.pending():
            task.cancel()

    def leave(self, heard_s: Callable[[], float | None]) -> None:
        """Move the call to another instance as soon as neither side speaks. Returns at once.

        Args:
            heard_s: Returns how much of the caller's audio has arrived, in seconds; None if that is not known.
        """
        self._departs(lambda departure: departure.leave(heard_s))

    def say_goodbye(self, reason: EndReason) -> None:
        """Have the bot say goodbye, and end the call for this reason. Returns at once."""
        self._departs(lambda departure: departure.say_goodbye(reason))

    def _departs(self, how: Callable[[Departure], None]) -> None:
        if self._state.ended:
            return
        if self._state.answered_at is not None and (departure := self.call.departure) is not None:
            how(departure)
        else:
            self._state.events.on("answered", lambda _: self._departs(how))

    def on_message(self, message: Ended | TransferResult | CheckpointKept | Control) -> None:
        """Take what the gateway says of this call, over a connection that all of its calls have in common."""
        with logger.contextualize(call_id=self.info.call_id):
            self._take(message)

    def _take(self, message: Ended | TransferResult | CheckpointKept | Control) -> None:
        match message:
            case Ended(reason=reason, detail=detail):
                self.end(reason, detail, by_gateway=True)
            case TransferResult():
                self.on_transfer_result(message)
            case CheckpointKept(number=number):
                self._state.checkpoints.kept(number)
            case Control():
                self._state.control.on_switched(message)

    def on_transfer_result(self, result: TransferResult) -> None:
        """Take the gateway's result of a transfer."""
        inherited = self._state.control.on_result(result)
        if inherited is not None:
            self._inherit_transfer(inherited)

    def on_blocked(self, place: str, blocked_s: float, *, authors: bool) -> None:
        """Report that this call's code has blocked the event loop, and with it all calls of the process.

        Args:
            place: File, line and function.
            blocked_s: For how long, in seconds.
            authors: Whether it is the author's code.
        """
        advice = ": what takes time belongs in a thread, or needs an await" if authors else ""
        message = f"blocked for {blocked_s:.1f} s at {place}{advice}"
        if not self._state.ended:
            self._state.report("error", {"stage": "event loop", "message": message[:500]})
            self._state.events.emit("error", CallError("event loop", message))

    def _report_harmless(self, text: str) -> None:
        """Put into the record what the author's code has tried, and what nothing came of."""
        if not self._state.ended:
            self._state.report("error", {"stage": "event loop", "message": text[:500]})

    def _inherit_transfer(self, outcome: TransferOutcome) -> None:
        """Handle the end of a transfer that was asked for by the instance which had this call before."""
        self._state.transfer_finished(outcome)
        if outcome.bridged:
            return
        why = failure_text(outcome)
        note = f"The transfer came to nothing: {why}. The caller is still with you: tell them."

        async def respond(_: object = None) -> None:
            await self.call.respond(note)

        if self._state.answered_at is not None:
            self._state.spawn(respond(), "transfer")
        else:
            self._state.events.on("answered", respond)

    def _post_unless_ended(self, message: AgentMessage) -> None:
        if not self._ended_by_gateway:
            self._post(message)

    async def run(self, callback: Callback) -> CallEnd:
        """Run the author's callback, and take the call down when it has ended.

        Returns:
            How the call has ended. An exception in the callback is such an end, with the reason `error`.
        """
        track_tasks(asyncio.get_running_loop())
        with (
            logger.contextualize(call_id=self.info.call_id),
            traced_call(self.info.call_id, **{"call.kind": self.info.kind}) as span,
        ):
            context = contextvars.copy_context()  # in here, so that what the author logs names the call
            context.run(current_tasks.set, self._tasks)
            context.run(current_call.set, self.call)
            self._state.events.context = context
            author = asyncio.get_running_loop().create_task(
                self._author(callback), name=f"{self.info.call_id}::callback", context=context
            )
            late = False
            try:
                waits: set[asyncio.Future[Any]] = {author, self._state.end}
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                if not author.done():
                    late = bool((await asyncio.wait({author}, timeout=CALLBACK_GRACE_S))[1])
            except asyncio.CancelledError as error:
                self._exits(error)
                self.end(EndReason.SHUTDOWN, "the agent was shut down")
                raise
            finally:
                await asyncio.shield(self._tear_down(author, late=late))
                if span is not None:
                    span.set_attribute("call.end_reason", self._state.end.result().reason.value)
        end = self._state.end.result()
        self._log.info(
            "call ended: {} after {:.1f} s{}",
            end.reason.value,
            end.duration_s,
            f" ({end.detail})" if end.detail else "",
        )
        return end

    async def _author(self, callback: Callback) -> None:
        try:
            await callback(self.call)
        except BaseException as error:
            if is_operators(error):
                raise
            if isinstance(error, asyncio.CancelledError):
                if self._exits(error):
                    self.end(EndReason.SHUTDOWN, "the agent was shut down")
                if self._state.ended:
                    raise
            text = error_text(error, callback)
            when = " after the call" if self._state.ended else ""
            message = f"the callback failed{when}: {text}"
            if self._resumed and (self.info.call_id, message) in _FAILED:
                logger.error("{}, as before", message)
            else:
                _FAILED.append((self.info.call_id, message))
                logger.opt(exception=error).error("{}", message)
            if self._state.ended:  # its end is told already, and stays as it was
                self._state.events.emit("error", CallError("callback", message))
            self.end(EndReason.ERROR, message)
        else:
            why = (
                "while its pipeline ran: await start()"
                if self.call.running
                else "without starting a pipeline: await start()"
            )
            self.end(EndReason.ERROR, f"the callback returned {why}")

    async def _tear_down(self, author: asyncio.Task[None], *, late: bool) -> None:
        self.end(EndReason.ERROR, "the call was abandoned")  # if nobody has said a reason by now
        if not author.done():
            if late:
                self._log.warning(
                    "the callback still runs {:g} s after its call: cancelled", CALLBACK_GRACE_S
                )
            author.cancel()
            await asyncio.wait({author}, timeout=TEAR_DOWN_S)
        if self.call.running:  # it closes its stages in order; what is cancelled in between closes nothing
            await _bounded(self._state.run_over.wait(), RUN_DOWN_S)
        await self._state.events.settle(CALLBACK_GRACE_S)  # those of the end may write a note, too
        await self._tasks.cancel_all(timeout_s=TEAR_DOWN_S)
        self._tasks.report_failures()
        await self._tasks.timers.clear()
        await self._tasks.leftovers.clear()
        await self._state.link.close()


async def _bounded(waiting: Awaitable[Any], timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await waiting
    except TimeoutError:
        pass
