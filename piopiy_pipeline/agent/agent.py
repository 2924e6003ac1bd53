"""`Agent`: registers with a gateway, accepts its offers, and runs one `Session` per call.

agent = Agent(agent_id=..., agent_token=..., create_session=on_new_session)
await agent.connect()
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from loguru import logger

from piopiy_pipeline._version import __version__
from piopiy_pipeline.agent.agent_arguments import check_arguments
from piopiy_pipeline.agent.agent_numbers import AgentNumbers, MetricsRole
from piopiy_pipeline.agent.blocked_code import BlockedCode
from piopiy_pipeline.agent.call_admission import AdmissionPlan, CallAdmission
from piopiy_pipeline.agent.call_captures import CallCaptures
from piopiy_pipeline.agent.call_context import ROOM_CTX, TOKEN_CTX, URL_CTX
from piopiy_pipeline.agent.callback import CreateSession, bind_callback
from piopiy_pipeline.agent.draining import Draining, DrainMode, DrainPlan
from piopiy_pipeline.agent.exit_guard import guard_exit
from piopiy_pipeline.agent.forked_worker import SupervisorLink
from piopiy_pipeline.agent.gateway_addresses import choose_urls
from piopiy_pipeline.agent.gateway_connection import AuthenticationError, GatewayConnection
from piopiy_pipeline.agent.isolated_agent import IsolatedAgent
from piopiy_pipeline.agent.isolation import Isolation
from piopiy_pipeline.agent.loop_watchdog import LoopWatchdog, WatchedInstance
from piopiy_pipeline.agent.metrics_choice import choose_metrics
from piopiy_pipeline.agent.own_gateway import CloudError, OwnGateway
from piopiy_pipeline.agent.preload import preload
from piopiy_pipeline.agent.roaming_connections import RoamingConnections
from piopiy_pipeline.agent.served_calls import ServedCalls
from piopiy_pipeline.agent.signaling_connection import GatewayListener, SignalingConnection
from piopiy_pipeline.agent.worker_face import WorkerFace
from piopiy_pipeline.agent.worker_member import CallWorkerInfo
from piopiy_pipeline.capture import Redaction
from piopiy_pipeline.frozen_heap import FrozenHeap
from piopiy_pipeline.log import log_to_stderr
from piopiy_pipeline.metrics.agent_counts import COUNTS
from piopiy_pipeline.offload import offload
from piopiy_pipeline.session import Session
from piopiy_pipeline.signaling.agent_protocol import AgentProtocol
from piopiy_pipeline.signaling.instance_messages import WorkerKind
from piopiy_pipeline.signaling.liveness import MediaCount
from piopiy_pipeline.signaling.messages import (
    GatewayMessage,
    Offer,
    Registered,
    Roam,
    RoamRefused,
    RoamResult,
)
from piopiy_pipeline.text import counted

__all__ = ["ROOM_CTX", "TOKEN_CTX", "URL_CTX", "Agent", "AuthenticationError", "CloudError"]


class Agent(WorkerFace):
    """One instance of an agent, in this process. Instances with the same `agent_id` share its calls.

    Args:
        agent_id: The agent's id, as the gateway knows it.
        agent_token: The agent's credential.
        create_session: The author's callback, an async function that is called once per call. It receives
            those of `agent_id, call_id, from_number, to_number, metadata` and `call` that it names.
        signaling_url: The gateway's address, or the addresses of several: when one is lost, the agent registers with
            the next. By default the environment's ``PIOPIY_URL`` (several with commas between them), else
            ``ws://127.0.0.1:7860``.
        debug: Whether to log everything, pipecat included.
        capacity: How many calls this agent takes at most. Further offers are rejected, and the gateway offers those
            calls to other instances. By default ``PIOPIY_CAPACITY``, else "auto": as many as its load allows.
        load_threshold: The share of its time in which the event loop of a process may work before it refuses new
            calls, from 0.1 to 1; 1 is no limit. By default ``PIOPIY_LOAD_THRESHOLD``, else 0.85.
        record: A folder in which each call leaves one file that can be replayed (docs/recording-format.md).
            By default the environment's ``PIOPIY_RECORD``; None for no files.
        redact: Changes what is written there.
        isolation: "task": all calls in this process. "process": calls in call workers, which are forked from this
            process and supervised by it, so that whatever happens in one harms no other (docs/isolation.md); Linux
            only. By default the environment's ``PIOPIY_ISOLATION``, else "task".
        workers: How many call workers there are: a number among which `capacity` is divided, "auto" for one a core,
            or "call" for one a call. By default ``PIOPIY_WORKERS``, else "auto".
        warm: How many call workers wait for a call with ``workers="call"``. By default ``PIOPIY_WARM``, else 2.
        memory_mb: What a call worker may have of its own, in MB; it is ended with more. By default
            ``PIOPIY_MEMORY_MB``, else without a limit.
        blocked_call_s: How long a call's code may block the event loop, in seconds, before that call is ended.
        drain: At a SIGTERM, calls "finish" here, or "move" to other instances at their next pause (docs/recovery.md).
            By default ``PIOPIY_DRAIN``, else "finish".
        drain_s: After so many seconds the bot says goodbye. By default ``PIOPIY_DRAIN_S``, else never.
        metrics_port: Where Prometheus reads what the agent counts: PORT, or HOST:PORT for others than this machine
            (docs/metrics.md). By default ``PIOPIY_METRICS_PORT``, else nowhere.
        cloud: Whether to serve Piopiy's cloud, with the id and the token of its dashboard: the agent starts a gateway
            of its own for that (docs/cloud.md). By default ``PIOPIY_CLOUD``, else not.

    Raises:
        TypeError: `create_session` cannot be called with what a call has, or an argument is of another kind.
        ValueError: The id or the token is missing, or another argument cannot work.

    Example:
        ```python
        async def on_new_session(agent_id, call_id, from_number, to_number, metadata=None):
            voice_agent = VoiceAgent(instructions="You are an advanced voice AI.", greeting="Hello!")
            await voice_agent.Action(stt=stt, llm=llm, tts=tts)
            await voice_agent.start()

        agent = Agent(
            agent_id=os.getenv("AGENT_ID"),
            agent_token=os.getenv("AGENT_TOKEN"),
            create_session=on_new_session,
        )
        asyncio.run(agent.connect())
        ```
    """

    any_connected: ClassVar[bool] = False
    """Whether `connect` was called in this process, of whichever agent."""

    def __init__(
        self,
        agent_id: str | None,
        agent_token: str | None,
        create_session: CreateSession,
        signaling_url: str | Sequence[str] | None = None,
        debug: bool = False,
        *,
        capacity: int | Literal["auto"] | None = None,
        load_threshold: float | None = None,
        record: str | Path | None = None,
        redact: Redaction | None = None,
        isolation: Literal["task", "process"] | None = None,
        workers: int | Literal["auto", "call"] | None = None,
        warm: int | None = None,
        memory_mb: int | None = None,
        blocked_call_s: float = 10.0,
        drain: DrainMode | None = None,
        drain_s: float | None = None,
        metrics_port: int | str | None = None,
        cloud: bool | None = None,
    ) -> None:
        agent_id, agent_token = check_arguments(
            agent_id=agent_id,
            agent_token=agent_token,
            signaling_url=signaling_url,
            debug=debug,
            redact=redact,
            blocked_call_s=blocked_call_s,
        )
        self.agent_id = agent_id
        self.instance_id = f"{agent_id}-{uuid.uuid4().hex[:8]}"
        self.stalls = 0
        """How often the event loop of this process did not turn for a quarter of a second or longer."""
        self._blocked_call_s = blocked_call_s
        self._token = agent_token
        callback = bind_callback(create_session)
        self._captures = CallCaptures(record, redact=redact, token=agent_token)
        self._calls = ServedCalls(
            callback, self._captures, on_session=self._on_session, on_change=self._on_calls_changed
        )
        listener = GatewayListener(
            self._make_protocol,
            self._on_message,
            self._calls.lose,
            self._calls.shut_down,
            self._calls.exits,
        )
        admission = AdmissionPlan.choose(capacity, load_threshold)
        self._own_gateway = OwnGateway.choose(
            cloud, signaling_url, agent_id=agent_id, token=agent_token, capacity=admission.capacity
        )
        urls = choose_urls(signaling_url if self._own_gateway is None else self._own_gateway.url)
        self._connection = GatewayConnection(urls, agent_token, agent_id, listener)
        self._roaming = RoamingConnections(listener, calls_of=self._calls.of, settle=self._settle_roaming)
        self._drained = Draining(
            DrainPlan.choose(drain, drain_s),
            lambda: self._calls.sessions,
            moves=self._calls.moves,
            heard_s=self._calls.media.heard_s,
        )
        self._drains = False
        self._closing: asyncio.Event | None = None
        plan = Isolation.choose(
            isolation, capacity=admission.capacity, workers=workers, warm=warm, memory_mb=memory_mb
        )
        self._admission = CallAdmission(admission, calls=lambda: len(self._calls), report=self._report_status)
        self._isolated = IsolatedAgent.of(self, plan, blocked_call_s, admission.threshold)
        self._supervisor: SupervisorLink | None = None  # in a call worker
        self._worker: WorkerKind | None = None
        self._metrics = choose_metrics(self.agent_id, self._numbers, metrics_port)
        log_to_stderr(debug=debug)

    # ------------------------------------------------------------------ public

    @property
    def active(self) -> int:
        """How many calls are in progress, or about to be."""
        return len(self._calls) if self._isolated is None else self._isolated.active

    @property
    def capacity(self) -> int:
        """How many calls this agent takes at most."""
        return self._admission.capacity if self._isolated is None else self._isolated.capacity

    @property
    def calls(self) -> tuple[str, ...]:
        """The ids of the calls in progress in this process."""
        return self._calls.ids

    @property
    def call_workers(self) -> list[CallWorkerInfo]:
        """The call workers that there are now; none without ``isolation="process"``."""
        return [] if self._isolated is None else self._isolated.workers

    async def connect(self) -> None:
        """Serve calls until `shutdown()`, or until a SIGTERM and the end of the last call.

        A gateway that cannot be reached is tried again for ever, with pauses of 1.5 s at most.

        After a SIGTERM no call is taken, and those in progress go on to their ends. A second SIGTERM gives them
        back: the gateway offers them to other instances, with the conversation so far, and they end only if
        nobody else can take them. After that the process ends within a minute, whatever the author's code does:
        code that does not end is named in the log, and ended by force with the exit status 1 (`ExitGuard`).

        Raises:
            AuthenticationError: The gateway refuses the token or the id.
            CloudError: The gateway for Piopiy's cloud cannot be started.
            RuntimeError: It was called before; or, with ``isolation="process"``, no call worker can serve.
        """
        if self._closing is not None:
            raise RuntimeError("connect() was called before: make another Agent to connect again")
        self._closing = asyncio.Event()
        Agent.any_connected = True
        if self._drains:
            return  # it was shut down before it began
        loop = asyncio.get_running_loop()
        guard = guard_exit(loop, self._on_sigterm)
        heap: FrozenHeap | None = None
        watchdog: LoopWatchdog | None = None
        try:
            if self._own_gateway is not None:
                await self._own_gateway.start()
                if self._drains:
                    return  # it was told to end meanwhile
            if self._isolated is not None:
                await self._isolated.serve(self._closing, on_template=self._on_template)
            else:
                if self._supervisor is None:  # else it was forked from a process that has loaded it
                    await offload(self._captures.try_folder)
                    await preload()
                heap = FrozenHeap(lambda: len(self._calls) > 0)
                watchdog = self._watch_loop()
                self._start_metrics("alone" if self._supervisor is None else "worker")
                self._admission.begin()
                await self._connection.serve(self._closing)
        finally:
            self._admission.close()
            if self._metrics is not None:
                self._metrics.close()
            if watchdog is not None:
                watchdog.close()
            if heap is not None:
                heap.close()
            if guard is not None:
                guard.closing(self._on_sigterm)
            try:
                await self._close_everything()
            finally:
                if guard is not None:
                    guard.close(self._on_sigterm)

    async def shutdown(self, *, drain_s: float = 0) -> None:
        """Take no more calls, end those in progress, and make `connect()` return.

        Args:
            drain_s: How long the calls in progress may go on, in seconds.
        """
        self.drain()
        if drain_s and self._isolated is not None:
            await self._isolated.wait_idle(drain_s)
        elif drain_s:
            await self._calls.wait(drain_s)
        if self._closing is not None:
            self._closing.set()

    def drain(self) -> None:
        """Take no more calls, have those in progress end or move as `drain` says, and then have `connect()` return."""
        if self._drains:
            return
        self._drains = True
        level = "INFO" if self._supervisor is None else "DEBUG"  # the supervisor of a call worker says it
        logger.log(level, "draining: {} in progress, no new ones", counted(self.active, "call"))
        if self._own_gateway is not None:
            self._own_gateway.drain()
        if self._isolated is not None:
            self._admission.closed = True
            self._isolated.drain()
            return
        self.take_no_more()
        if self._closing is not None:
            self._drained.begin()

    def take_no_more(self) -> None:
        """Take no more calls; those in progress go on as ever. `connect()` returns when the last one has ended."""
        if not self._admission.closed:
            self._admission.closed = True
            self._report_status()
            self._maybe_done()

    def _watch_loop(self) -> LoopWatchdog:
        return LoopWatchdog(
            WatchedInstance(
                self.agent_id, self.instance_id, lambda: self._connection.home.address, self._token
            ),
            limit_s=self._blocked_call_s,
            calls=lambda: len(self._calls),
            activity=self._calls.media.activity,
            gateway_listens=lambda: self._connection.home.takes_heartbeats,
            on_turned=self._turns_again,
            supervisor=self._supervisor,
        )

    def _turns_again(self, code: BlockedCode, blocked_s: float) -> None:
        self.stalls += 1
        COUNTS.loop_blocked()
        if (session := self._calls.session(code.call_id)) is not None and code.matters(blocked_s):
            session.on_blocked(code.place, blocked_s, authors=code.authors)

    def _on_template(self) -> None:
        """Begin, in the supervisor, what had to wait until the template was forked."""
        self._start_metrics("supervisor")
        self._captures.try_folder()

    def _start_metrics(self, role: MetricsRole) -> None:
        if self._metrics is not None:
            self._metrics.start(role)

    def _numbers(self) -> AgentNumbers:
        """Return how this agent is, for its metrics."""
        connected = self._connection.home.registered or any(each.registered for each in self.call_workers)
        pids = [os.getpid()] if self._isolated is None else [each.pid for each in self.call_workers]
        return AgentNumbers(self.active, self.capacity, self._admission.closed, connected, pids)

    def _report_status(self) -> None:
        home = self._connection.home
        for connection in (home, *self._roaming.connections):
            status = self._admission.status(with_load=connection.knows_load)
            away = status.active - self._calls.of(home) if connection is home and home.lets_roam else 0
            connection.post(status.model_copy(update={"away": away}) if away else status)
        if self._supervisor is not None:
            self._supervisor.on_change()

    # ------------------------------------------------------------------ what comes over connections

    def _make_protocol(self, connection: SignalingConnection, now: float) -> AgentProtocol:
        def count_media() -> dict[str, MediaCount]:
            self._admission.awake()  # a heartbeat goes out
            return self._calls.media.heartbeat(connection)

        return AgentProtocol(
            agent_id=self.agent_id,
            instance_id=self.instance_id,
            capacity=self.capacity,
            version=__version__,
            now=now,
            count_media=count_media if connection.takes_heartbeats else None,
            worker=self._worker if connection.knows_call_workers else None,
            roams=True if connection.lets_roam else None,
        )

    def _on_message(self, connection: SignalingConnection, message: GatewayMessage) -> None:
        match message:
            case Registered():
                self._on_registered(connection)
            case Offer():
                self._on_offer(message, connection)
            case Roam():
                self._on_roam(message, connection)
            case RoamRefused(call_id=call_id, detail=detail):
                self._roaming.refused(call_id, detail)
            case _:
                self._calls.on_message(message)

    def _on_registered(self, connection: SignalingConnection) -> None:
        if connection is self._connection.home:
            logger.info("registered as {} at {}", self.agent_id, connection.url)
            self._connection.registered()
        self._report_status()
        if self._roaming.registered(connection):
            logger.debug("roaming at {}", connection.url)

    def _on_offer(self, offer: Offer, connection: SignalingConnection) -> None:
        if (refusal := self._admission.refusal(offer)) is not None:
            connection.post(refusal)
        else:
            self._calls.take(offer, connection)
        self._roaming.offered(offer.call_id, refusal)

    def _on_roam(self, order: Roam, connection: SignalingConnection) -> None:
        if self._admission.closed or len(self._calls) >= self.capacity:
            why = "it takes no more calls" if self._admission.closed else "it has no place"
            self._settle_roaming(RoamResult(call_id=order.call_id, taken=False, detail=why))
        else:
            self._roaming.begin(order, connection)

    def _settle_roaming(self, result: RoamResult) -> None:
        if self._connection.home.lets_roam:
            self._connection.post(result)

    # ------------------------------------------------------------------ calls

    def _on_session(self, session: Session) -> None:
        self._drained.joined(session)
        if self._supervisor is not None:
            self._supervisor.on_change()

    def _on_calls_changed(self) -> None:
        self._report_status()
        self._roaming.look()
        self._maybe_done()

    def _maybe_done(self) -> None:
        if self._admission.closed and not len(self._calls) and self._closing is not None:
            self._closing.set()

    # ------------------------------------------------------------------ the end

    def _on_sigterm(self) -> None:
        """Drain at the first SIGTERM, and end the calls in progress at a second."""
        # a process manager may send SIGTERM to a call worker, too: its second one is for the supervisor
        if self._drains and self._closing is not None and self._supervisor is None:
            self._closing.set()
        self.drain()

    async def _close_everything(self) -> None:
        self._drained.close()
        await self._roaming.close()
        await self._calls.close()
        if self._own_gateway is not None:
            await self._own_gateway.close()
