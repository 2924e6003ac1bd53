"""`Session`: the owner of one call, from the confirmed offer until nothing of it is left.

It runs the author's callback under the call's own context, decides on the one reason for which the
call ends, and then takes everything down in bounded time: the pipeline, the callback, every task
that was created for the call, the media stream, and what was given to it to close.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Any

from loguru import logger

from piopiy_pipeline.call import CallEnd, CallInfo, EndReason
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.session.call import Call, Post, current_call
from piopiy_pipeline.session.contracts import RunOptions
from piopiy_pipeline.session.monitor import CallMonitor
from piopiy_pipeline.session.pipeline_run import PipelineRun
from piopiy_pipeline.session.tasks import CallTasks, current_tasks, track_tasks
from piopiy_pipeline.signaling.messages import AgentMessage, Control, Hangup, TransferResult
from piopiy_pipeline.transports.link import MediaLink

__all__ = ["Adapt", "Callback", "Post", "Session"]

Adapt = Callable[[CallPipeline], None]
"""Changes the author's chain just before it runs: other providers for a test, say."""

Callback = Callable[[Call], Awaitable[Any]]
"""The author's `create_session`, with its parameters bound."""
CALLBACK_GRACE_S = 5.0
"""How long a callback may go on after its call has ended: to write a note, to close a file."""
TEAR_DOWN_S = 3.0
"""How long what is left of a call may take to end when it is cancelled."""
RUN_DOWN_S = 5.0
"""How long a chain may take to close its stages."""


class Session:
    """One call's owner. `run()` once; `end()` from outside at any time.

    `adapt` is given the chain that the callback has built, after its last change and before it is
    checked. What it raises ends the call, as if the callback had. `make_monitor` makes what watches
    the end of the chain, for those who want to watch it too.
    """

    def __init__(
        self,
        info: CallInfo,
        link: MediaLink,
        *,
        post: Post,
        resumed: dict[str, Any] | None = None,
        adapt: Adapt | None = None,
        make_monitor: Callable[[Call], CallMonitor] = CallMonitor,
    ) -> None:
        self.info = info
        self.call = Call(
            info,
            link,
            post=self._post_unless_ended,
            finish=self.end,
            make_run=self._make_run,
            make_monitor=make_monitor,
            resumed=resumed,
        )
        self._link = link
        self._post = post
        self._adapt = adapt
        self._tasks = CallTasks(info.call_id)
        self._ended_by_gateway = False
        self._log = logger.bind(call_id=info.call_id, agent_id=info.agent_id)

    def end(self, reason: EndReason, detail: str = "", *, by_gateway: bool = False) -> None:
        """The call is over. The first reason counts; the rest is taken down by `run()`."""
        if self.call.ended:
            return
        self._ended_by_gateway = by_gateway
        duration = self.call._now() - self.call._answered_at if self.call._answered_at else 0.0
        self.call._over(CallEnd(reason, detail, round(duration, 3)))
        if not by_gateway:
            self._post(Hangup(call_id=self.info.call_id, reason=reason, detail=detail[:500]))

    def transfer_result(self, result: TransferResult) -> None:
        """The gateway's word on a transfer that the bot has asked for."""
        orphan = self.call._control.result(result)
        if orphan is not None:
            self.call._inherited(orphan)

    def switched(self, control: Control) -> None:
        """The gateway tells what is on or off now, whoever asked for it."""
        self.call._control.switched(control)

    def _make_run(self, call: Call, chain: CallPipeline, options: RunOptions) -> PipelineRun:
        if self._adapt is not None:
            self._adapt(chain)
        return PipelineRun(call, chain, options)

    def _post_unless_ended(self, message: AgentMessage) -> None:
        if not self._ended_by_gateway:
            self._post(message)

    async def run(self, callback: Callback) -> CallEnd:
        """Run the author's callback and take the call down. Raises nothing but cancellation."""
        track_tasks(asyncio.get_running_loop())
        with logger.contextualize(call_id=self.info.call_id):
            context = contextvars.copy_context()  # in here, so that what the author logs names the call
            context.run(current_tasks.set, self._tasks)
            context.run(current_call.set, self.call)
            self.call._events.context = context
            author = asyncio.get_running_loop().create_task(
                self._author(callback), name=f"{self.info.call_id}::callback", context=context
            )
            try:
                waits: set[asyncio.Future[Any]] = {author, self.call._end}
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                if not author.done():
                    await asyncio.wait({author}, timeout=CALLBACK_GRACE_S)
            except asyncio.CancelledError:
                self.end(EndReason.SHUTDOWN, "the agent was shut down")
                raise
            finally:
                await asyncio.shield(self._tear_down(author))
        end = self.call._end.result()
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
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever an author's code raises ends its call only
            logger.opt(exception=True).error("the callback failed: {}", error)
            self.end(EndReason.ERROR, f"the callback failed: {type(error).__name__}: {error}")
        else:
            why = (
                "while its pipeline ran: await start()"
                if self.call.running
                else "without starting a pipeline"
            )
            self.end(EndReason.ERROR, f"the callback returned {why}")

    async def _tear_down(self, author: asyncio.Task[None]) -> None:
        self.end(EndReason.ERROR, "the call was abandoned")  # if nobody has said a reason by now
        if not author.done():
            self._log.warning("the callback still runs {:g} s after its call: cancelled", CALLBACK_GRACE_S)
            author.cancel()
            await asyncio.wait({author}, timeout=TEAR_DOWN_S)
        if self.call.running:  # it closes its stages in order; what is cancelled in between closes nothing
            await _bounded(self.call._run_over.wait(), RUN_DOWN_S)
        await self.call._events.settle(CALLBACK_GRACE_S)  # those of the end may write a note, too
        await self._tasks.cancel_all(timeout_s=TEAR_DOWN_S)
        await self._link.close()


async def _bounded(waiting: Awaitable[Any], timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await waiting
    except TimeoutError:
        pass
