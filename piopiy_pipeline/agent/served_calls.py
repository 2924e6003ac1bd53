"""`ServedCalls`: the calls of an agent in this process, from their offers to their ends, whichever gateway has them.

A call belongs to the connection over which it was offered: what its session says goes there, and when that connection
is lost, the call is over here, because the gateway gives it to another instance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from loguru import logger

from piopiy_pipeline.agent.call_captures import CallCaptures
from piopiy_pipeline.agent.call_context import enter_call
from piopiy_pipeline.agent.confirmations import Confirmations
from piopiy_pipeline.agent.exit_cause import end_who_exits
from piopiy_pipeline.agent.media_counts import MediaCounts
from piopiy_pipeline.agent.offered_media import open_media
from piopiy_pipeline.agent.signaling_connection import SignalingConnection
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.offload import offload
from piopiy_pipeline.session import Session, resumable_from
from piopiy_pipeline.session.session import Callback
from piopiy_pipeline.signaling.messages import (
    Accept,
    Cancel,
    CheckpointKept,
    Confirm,
    Control,
    Ended,
    GatewayMessage,
    Offer,
    TransferResult,
)
from piopiy_pipeline.tracing import flush_tracing, is_tracing, set_up_tracing

__all__ = ["ServedCalls"]

CONFIRM_S = 2.0
"""How long after the offer's deadline the agent waits for the gateway to confirm, in seconds."""
SHUTDOWN_S = 10.0
"""How long the calls in progress may take to end at a shutdown, and again when they are cancelled."""


class ServedCalls:
    """Runs a session for each call that is offered and confirmed.

    Args:
        callback: The author's, with its parameters bound.
        captures: Makes a file of each call, if that is asked for.
        on_session: Called with each session, when it is about to run.
        on_change: Called when a call was offered, or has ended.
    """

    def __init__(
        self,
        callback: Callback,
        captures: CallCaptures,
        *,
        on_session: Callable[[Session], None],
        on_change: Callable[[], None],
    ) -> None:
        self.media = MediaCounts()
        self._callback = callback
        self._captures = captures
        self._on_session = on_session
        self._on_change = on_change
        self._confirmations = Confirmations()
        self._sessions: dict[str, Session] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._connections: dict[str, SignalingConnection] = {}  # by offer, as the tasks
        self._owner: dict[Session, SignalingConnection] = {}
        self._exiting = False

    def __len__(self) -> int:
        """Count the calls in progress, or about to be."""
        return len(self._tasks)

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The sessions of the calls in progress."""
        return tuple(self._sessions.values())

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the calls in progress."""
        return tuple(self._sessions)

    def session(self, call_id: str | None) -> Session | None:
        """Return the session of a call in progress."""
        return None if call_id is None else self._sessions.get(call_id)

    def of(self, connection: SignalingConnection) -> int:
        """Count the calls in progress, or about to be, that came over this connection."""
        return sum(each is connection for each in self._connections.values())

    def moves(self, session: Session) -> bool:
        """Return whether the gateway that has this call moves calls, whatever the one at home does."""
        connection = self._owner.get(session)
        return connection is not None and connection.moves_calls

    def take(self, offer: Offer, connection: SignalingConnection) -> None:
        """Go to take a call that was offered over this connection."""
        self._confirmations.expect(offer.offer_id)
        task = asyncio.create_task(self._serve(offer, connection), name=f"{offer.call_id}::session")
        self._tasks[offer.offer_id] = task
        self._connections[offer.offer_id] = connection
        task.add_done_callback(lambda _: self._done(offer.offer_id))
        self._on_change()

    def on_message(self, message: GatewayMessage) -> None:
        """Pass on what a gateway says of an offer or a call."""
        match message:
            case Confirm(offer_id=offer_id):
                self._confirmations.settle(offer_id, True)
            case Cancel(offer_id=offer_id):
                self._confirmations.settle(offer_id, False)
            case Ended() | TransferResult() | CheckpointKept() | Control():
                if session := self._sessions.get(message.call_id):
                    session.on_message(message)

    def lose(self, connection: SignalingConnection) -> None:
        """End the calls of a lost connection here, because the gateway gives them to others. Send nothing."""
        for session in self._sessions_of(connection):
            session.end(EndReason.AGENT_LOST, "the connection to the gateway was lost", by_gateway=True)

    def shut_down(self, connection: SignalingConnection) -> None:
        """Give the calls of a connection back, because this process ends."""
        for session in self._sessions_of(connection):
            session.end(EndReason.SHUTDOWN, "the agent was shut down")

    async def wait(self, timeout_s: float) -> None:
        """Wait until no call is in progress, but not longer than some seconds."""
        if tasks := set(self._tasks.values()):
            await asyncio.wait(tasks, timeout=timeout_s)

    async def close(self) -> None:
        """End what is left, by force if need be."""
        for session in self.sessions:
            session.end(EndReason.SHUTDOWN, "the agent was shut down")
        if tasks := set(self._tasks.values()):
            _, late = await asyncio.wait(tasks, timeout=SHUTDOWN_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=SHUTDOWN_S)
        if is_tracing():
            await offload(flush_tracing)

    def exits(self, error: asyncio.CancelledError) -> bool:
        """Return whether something is cancelled because a call's code has called `sys.exit()`. That call ends first."""
        self._exiting = self._exiting or end_who_exits(error, self.sessions)
        return self._exiting

    def _sessions_of(self, connection: SignalingConnection) -> list[Session]:
        return [session for session in self._sessions.values() if self._owner.get(session) is connection]

    def _done(self, offer_id: str) -> None:
        self._tasks.pop(offer_id, None)
        self._connections.pop(offer_id, None)
        self._confirmations.forget(offer_id)
        self._on_change()

    async def _serve(self, offer: Offer, connection: SignalingConnection) -> None:
        """Serve a call, with its id on each line of the log: what its media stream calls inherits that, too."""
        with logger.contextualize(call_id=offer.call_id):
            await self._serve_offer(offer, connection)

    async def _serve_offer(self, offer: Offer, connection: SignalingConnection) -> None:
        """Open the media stream, accept, and run the call if the gateway confirms."""
        set_up_tracing("piopiy-agent")  # here, because it starts a thread, and call workers are forked
        log = logger.bind(call_id=offer.call_id)
        link = await open_media(connection.address, offer, reject=connection.post)
        if link is None:
            return
        connection.post(Accept(call_id=offer.call_id, offer_id=offer.offer_id))
        if not await self._confirmations.confirmed(offer.offer_id, offer.deadline_ms / 1000 + CONFIRM_S):
            log.info("the call went elsewhere before the accept counted")
            await link.close()
            return
        enter_call(f"{connection.url}{offer.media_path}", offer.media_token, offer.call_id)
        resumed = resumable_from(offer.checkpoint, offer.heard)
        recorder = self._captures.begin(offer, resumed)
        session = Session(
            offer.info(),
            recorder.wrap(link) if recorder else link,
            post=connection.post,
            resumed=resumed,
            pipeline_hook=recorder.adapt if recorder else None,
            confirmed=lambda: connection.confirms_checkpoints,
            counted=lambda: connection.counts_usage,
            steps=lambda: connection.takes_steps,
            exits=self.exits,
        )
        if recorder:
            recorder.follow(session.call)
        self._sessions[offer.call_id] = session
        self._owner[session] = connection
        self._on_session(session)
        self.media.add(offer.call_id, link, connection)
        callers = offer.from_number or "somebody without a name"
        log.info("call from {} to {} ({})", callers, offer.to_number or offer.agent_id, offer.kind)
        try:
            await session.run(self._callback)
        finally:
            self._owner.pop(session, None)
            if self._sessions.get(offer.call_id) is session:  # the call may have come back meanwhile
                del self._sessions[offer.call_id]
                self.media.discard(offer.call_id)
            if recorder:
                await asyncio.shield(recorder.close())
