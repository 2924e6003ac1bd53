"""The agents of a simulated call: one, and after each `AgentLoss` another one that goes on with what the gateway has.

An agent is a `Session`. One that is lost is silenced at once, in all directions, and taken down while the call goes on:
a process that is killed does nothing any more, and a session in this process can only be made to look like that.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from piopiy_pipeline.call import CallEnd, CallInfo, EndReason
from piopiy_pipeline.capture import CallCapture
from piopiy_pipeline.session import PipelineHook, Session
from piopiy_pipeline.session.resumable_state import resumable_from
from piopiy_pipeline.session.session import Callback
from piopiy_pipeline.signaling.media_events import AgentMediaEvent
from piopiy_pipeline.signaling.messages import (
    AgentMessage,
    Checkpoint,
    CheckpointKept,
    Control,
    ConversationEvent,
    Transfer,
    TransferResult,
)
from piopiy_pipeline.testing.agent_loss import AgentLoss
from piopiy_pipeline.testing.line.caller_link import CallerLink
from piopiy_pipeline.testing.report.event_log import AgentLog, EventLog, WatchedMonitor
from piopiy_pipeline.transports.link import LinkListener, MediaLink

__all__ = ["TAKEOVER_S", "SimulatedAgent", "SimulatedAgentLink", "SimulatedAgents"]

TAKEOVER_S = 0.25
"""So many seconds after a loss the next agent begins, as at a gateway."""


class SimulatedAgentLink:
    """A `MediaLink` of one agent to the caller's end, which outlives it.

    Args:
        inner: The caller's end.
    """

    def __init__(self, inner: MediaLink) -> None:
        self.caller_rate = inner.caller_rate
        self.bot_rate = inner.bot_rate
        self.can_hold, self.can_calm = inner.can_hold, inner.can_calm
        self._inner: MediaLink | None = inner

    def cut(self) -> None:
        """Carry nothing any more, because the agent is lost."""
        self._inner = None

    def attach(self, listener: LinkListener) -> None:
        if self._inner is not None:
            self._inner.attach(listener)

    def send_audio(self, pcm: bytes) -> None:
        if self._inner is not None:
            self._inner.send_audio(pcm)

    def send_event(self, event: AgentMediaEvent) -> None:
        if self._inner is not None:
            self._inner.send_event(event)

    async def close(self) -> None:
        if self._inner is not None:
            await self._inner.close()


class SimulatedAgent:
    """One agent with the call.

    Args:
        session: Its session.
        link: Its media link.
        log: What it writes into the call's log.
    """

    def __init__(self, session: Session, link: SimulatedAgentLink, log: AgentLog) -> None:
        self.session = session
        self.link = link
        self.log = log
        self.lost = asyncio.Event()
        """Set when it is lost."""

    def lose(self) -> None:
        """Silence it in all directions, and have its session taken down."""
        self.log.lost = True
        self.link.cut()
        self.session.abandon()
        self.lost.set()


class SimulatedAgents:
    """The agents that have a call one after another, and what the gateway keeps for the next one.

    Args:
        info: Who calls whom.
        callback: The bot's, with its parameters bound.
        link: The caller's end.
        log: The log of the call.
        losses: When an agent is lost.
        recorder: Captures the call of its only agent; None: nothing is captured.
        on_request: Is given what an agent asks the gateway for.
        pipeline_hook: Changes each agent's chain before it runs.
    """

    def __init__(
        self,
        info: CallInfo,
        callback: Callback,
        link: CallerLink,
        log: EventLog,
        *,
        losses: Sequence[AgentLoss],
        recorder: CallCapture | None,
        on_request: Callable[[Transfer | Control], None],
        pipeline_hook: PipelineHook,
    ) -> None:
        self.call_id = info.call_id
        self._info = info
        self._callback = callback
        self._link = link
        self._log = log
        self._losses = losses
        self._recorder = recorder
        self._on_request = on_request
        self._hook = pipeline_hook
        self._happened: Counter[str] = Counter()
        self._timers: list[asyncio.TimerHandle] = []
        self._running: list[asyncio.Task[CallEnd]] = []
        self._ended_between = asyncio.Event()
        self._checkpoint: dict[str, Any] | None = None
        self._heard = ""  # of the bot's turn that is not over
        self._agent = self._next_agent()
        log.listen(self._noted)

    async def run(self) -> None:
        """Run the call from the offer to its end."""
        try:
            while True:
                agent = self._agent
                session = asyncio.create_task(agent.session.run(self._callback), name="simulate::agent")
                self._running.append(session)
                lost = asyncio.create_task(agent.lost.wait(), name="simulate::lost")
                await asyncio.wait({session, lost}, return_when=asyncio.FIRST_COMPLETED)
                lost.cancel()
                if not agent.log.lost:
                    await session
                    return
                if await self._ends_within(TAKEOVER_S):
                    return
                self._agent = self._next_agent()
        finally:
            for timer in self._timers:
                timer.cancel()
            if self._running and not self._running[-1].done():
                self._running[-1].cancel()  # those that are lost are being taken down
            await asyncio.gather(*self._running, return_exceptions=True)

    def end(self, reason: EndReason, detail: str) -> None:
        """End the call from the gateway's side. The first reason counts."""
        if not self._agent.log.lost:
            self._agent.session.end(reason, detail, by_gateway=True)
        elif self._log.end is None:
            duration_s = round(self._log.now() - self._log.zero, 3)
            self._log.ended(CallEnd(reason, detail, duration_s))
            self._log.add("end", reason=reason.value, detail=detail)
            self._link.stop()
            self._ended_between.set()

    def on_transfer_result(self, result: TransferResult) -> None:
        """Tell the agent that has the call what has become of a transfer."""
        if not self._agent.log.lost:
            self._agent.session.on_transfer_result(result)

    def on_blocked(self, place: str, blocked_s: float, *, authors: bool) -> None:
        """Tell the agent that has the call that its code has blocked the event loop."""
        if not self._agent.log.lost:
            self._agent.session.on_blocked(place, blocked_s, authors=authors)

    # ------------------------------------------------------------------ inside

    async def _ends_within(self, seconds: float) -> bool:
        """Return whether the call ends while no agent has it."""
        try:
            async with asyncio.timeout(seconds):
                return await self._ended_between.wait()
        except TimeoutError:
            return False

    def _next_agent(self) -> SimulatedAgent:
        link, log = SimulatedAgentLink(self._link), AgentLog(self._log)
        session = Session(
            self._info,
            self._recorder.wrap(link) if self._recorder else link,
            post=lambda message: self._posted(agent, message),
            resumed=resumable_from(self._checkpoint, self._heard or None),
            pipeline_hook=self._hook,
            make_monitor=partial(WatchedMonitor, log=log),
            confirmed=lambda: True,
            counted=lambda: True,
            steps=lambda: True,
        )
        agent = SimulatedAgent(session, link, log)
        log.follow(session.call)
        if self._recorder:
            self._recorder.follow(session.call)
        if self._link.held:
            session.on_message(Control(call_id=self._info.call_id, what="hold", on=True))
        return agent

    def _noted(self, kind: str, data: Mapping[str, Any]) -> None:
        self._happened[kind] += 1
        loop = asyncio.get_running_loop()
        self._timers += [
            loop.call_later(loss.after_s, self._lose)
            for loss in self._losses
            if (loss.event, loss.number) == (kind, self._happened[kind])
        ]

    def _lose(self) -> None:
        if self._agent.log.lost or self._log.end is not None:
            return
        self._agent.lose()
        self._link.lose_agent()
        self._log.add("agent_lost")

    def _posted(self, agent: SimulatedAgent, message: AgentMessage) -> None:
        """Do what the gateway does with a message of this agent."""
        if agent.log.lost:
            return
        match message:
            case Transfer() | Control():
                self._on_request(message)
            case Checkpoint(state=state, number=number):
                self._checkpoint = state
                if number is not None:
                    kept = CheckpointKept(call_id=self._info.call_id, number=number)
                    asyncio.get_running_loop().call_soon(agent.session.on_message, kept)
            case ConversationEvent(event="bot_partial", data=data):
                self._heard = str(data.get("text", ""))
            case ConversationEvent(event="bot_turn"):
                self._heard = ""
            case ConversationEvent(event="usage", data=data):
                self._log.add("usage", **data)
