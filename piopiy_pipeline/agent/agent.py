"""`Agent`: registers with a gateway, accepts calls, runs one `Session` per call.

agent = Agent(agent_id=..., agent_token=..., create_session=on_new_session)
await agent.connect()
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import random
import signal
import sys
import threading
import uuid
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from loguru import logger
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from piopiy_pipeline._version import __version__
from piopiy_pipeline.agent.callback import CreateSession, bind_callback
from piopiy_pipeline.agent.preload import preload
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.capture import CallCapture, Redaction
from piopiy_pipeline.log import log_to_stderr
from piopiy_pipeline.session import ResumableState, Session, resumable_from
from piopiy_pipeline.signaling.agent_protocol import AgentProtocol, AgentStep, Backoff
from piopiy_pipeline.signaling.messages import (
    Accept,
    AgentMessage,
    Cancel,
    Confirm,
    Control,
    Ended,
    GatewayMessage,
    Offer,
    Registered,
    Reject,
    Status,
    TransferResult,
    dump,
)
from piopiy_pipeline.signaling.websocket import DirectClientConnection
from piopiy_pipeline.transports.link import WebSocketLink

__all__ = ["ROOM_CTX", "TOKEN_CTX", "URL_CTX", "Agent", "AuthenticationError"]

DEFAULT_URL = "ws://127.0.0.1:7860"
CONFIRM_S = 2.0
"""How long after the offer's deadline the gateway's word on an accept is waited for."""
SHUTDOWN_S = 10.0

URL_CTX: contextvars.ContextVar[str] = contextvars.ContextVar("piopiy_url")
"""The address of the call's media stream, within a callback."""
TOKEN_CTX: contextvars.ContextVar[str] = contextvars.ContextVar("piopiy_token")
"""The token of the call's media stream, within a callback. It works once, and has been used."""
ROOM_CTX: contextvars.ContextVar[str] = contextvars.ContextVar("piopiy_room")
"""The call's id, within a callback."""


class AuthenticationError(Exception):
    """The gateway will not have this agent: its token or its id is wrong. Trying again would not help."""


class Agent:
    """An agent of `agent_id` in this process. Instances with the same id share its calls.

    `create_session` is the author's callback, one call of it per call of a caller. `signaling_url` is
    the gateway's address (``PIOPIY_URL``, or ``ws://127.0.0.1:7860``). `debug` logs everything, pipecat
    included. `capacity` is how many calls this process takes at once. `record` (``PIOPIY_RECORD``) is a
    folder in which each call leaves one file (docs/recording-format.md); `redact` changes what is
    written there. Raises `TypeError` and `ValueError` for what cannot work.
    """

    def __init__(
        self,
        agent_id: str | None,
        agent_token: str | None,
        create_session: CreateSession,
        signaling_url: str | None = None,
        debug: bool = False,
        *,
        capacity: int = 50,
        record: str | Path | None = None,
        redact: Redaction | None = None,
    ) -> None:
        if not agent_id or not agent_token:  # as os.getenv() leaves them
            name = "agent_token" if agent_id else "agent_id"
            raise ValueError(f"{name} is missing: set {name.upper()} in the environment, or pass it")
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        self.agent_id = agent_id
        self.instance_id = f"{agent_id}-{uuid.uuid4().hex[:8]}"
        self.capacity = capacity
        self._token = agent_token
        self._callback = bind_callback(create_session)
        self._url = _checked_url(signaling_url or os.environ.get("PIOPIY_URL") or DEFAULT_URL)
        self._record = _checked_folder(record or os.environ.get("PIOPIY_RECORD"))
        self._redact = redact
        self._socket: DirectClientConnection | None = None
        self._protocol: AgentProtocol | None = None
        self._verdicts: dict[str, asyncio.Future[bool]] = {}
        self._sessions: dict[str, Session] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._draining = False
        self._closing: asyncio.Event | None = None
        self._refused: str | None = None
        self._backoff = Backoff()
        log_to_stderr(debug=debug)

    # ------------------------------------------------------------------ public

    @property
    def active(self) -> int:
        """How many calls are in progress, or about to be."""
        return len(self._tasks)

    async def connect(self) -> None:
        """Serve calls until `shutdown()`, or until a SIGTERM and the end of the last call.

        A gateway that is not there is waited for, for ever. Raises `AuthenticationError` at once when
        the gateway refuses the token or the id, and `RuntimeError` when it is called twice.
        """
        if self._closing is not None:
            raise RuntimeError("connect() was called before: make another Agent to connect again")
        self._closing = asyncio.Event()
        if self._draining:
            return  # it was shut down before it began
        loop = asyncio.get_running_loop()
        has_signals = self._handle_sigterm(loop)
        try:
            await preload()
            await self._serve()
        finally:
            if has_signals:
                loop.remove_signal_handler(signal.SIGTERM)
            await self._close_everything()

    async def shutdown(self, *, drain_s: float = 0) -> None:
        """End: take no more calls, give those in progress `drain_s`, then end them and return from `connect()`."""
        self.drain()
        if drain_s and self._tasks:
            await asyncio.wait(set(self._tasks.values()), timeout=drain_s)
        if self._closing is not None:
            self._closing.set()

    def drain(self) -> None:
        """Take no more calls; `connect()` returns when the last one has ended."""
        if not self._draining:
            self._draining = True
            logger.info("draining: {} calls in progress, no new ones", self.active)
            self._report()
            self._maybe_done()

    # ------------------------------------------------------------------ the connection

    async def _serve(self) -> None:
        assert self._closing is not None
        missing = False
        while not self._closing.is_set():
            try:
                await self._connection()
                missing = False
            except InvalidStatus as error:
                body = (error.response.body or b"").decode("utf-8", "replace").strip()[:200]
                if error.response.status_code in (401, 403):
                    raise AuthenticationError(
                        f"{self._url}: the gateway refuses agent {self.agent_id!r}: {body or 'wrong token'}"
                    ) from None
                if not missing:
                    status = error.response.status_code
                    logger.warning("no gateway at {} (HTTP {}: {}): trying on", self._url, status, body)
                missing = True
            except (OSError, TimeoutError, WebSocketException) as error:
                if not missing:
                    logger.warning("no gateway at {} ({}): trying until there is one", self._url, error)
                missing = True
            if self._refused:
                raise AuthenticationError(f"{self._url}: {self._refused}")
            if not self._closing.is_set():
                await self._pause(self._backoff.wait(random.random()))

    async def _pause(self, seconds: float) -> None:
        assert self._closing is not None
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            pass

    async def _connection(self) -> None:
        """One connection, from the handshake until it is gone."""
        assert self._closing is not None
        loop = asyncio.get_running_loop()
        socket = await connect(
            f"{self._url}/agent",
            create_connection=DirectClientConnection,
            additional_headers={"Authorization": f"Bearer {self._token}"},
            compression=None,
            proxy=None,
            open_timeout=5,
            ping_interval=None,
        )
        assert isinstance(socket, DirectClientConnection)
        self._socket = socket
        protocol = self._protocol = AgentProtocol(
            agent_id=self.agent_id,
            instance_id=self.instance_id,
            capacity=self.capacity,
            version=__version__,
            now=loop.time(),
        )
        gone = asyncio.Event()
        socket.listen(on_text=lambda text: self._do(protocol.receive(text, loop.time())), on_close=gone.set)
        self._do(protocol.start())
        closing = asyncio.ensure_future(self._closing.wait())
        waiting = asyncio.ensure_future(gone.wait())
        try:
            while not (gone.is_set() or self._closing.is_set()) and protocol.wake_at is not None:
                wait_s = max(0.01, protocol.wake_at - loop.time())
                await asyncio.wait({closing, waiting}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                self._do(protocol.tick(loop.time()))
            if not self._closing.is_set():
                self._lose_sessions()
        finally:
            closing.cancel()
            waiting.cancel()
            if self._closing.is_set():
                self._end_sessions()  # as long as there is somebody to tell why
            protocol.lost()
            self._socket = self._protocol = None
            await socket.close()
        if not self._closing.is_set():
            logger.warning("the connection to {} is gone: connecting again", self._url)

    def _do(self, step: AgentStep) -> None:
        for message in step.send:
            self._post(message)
        for event in step.events:
            self._on_event(event)
        if step.close is not None:
            logger.warning("closing the connection to the gateway: {}", step.close)
            if step.refused:
                self._refused = step.close
            if self._socket is not None:
                self._socket.finish(reason=step.close[:100])

    def _post(self, message: AgentMessage) -> None:
        """Send if there is a connection; without one nobody is left to tell."""
        if self._socket is not None:
            self._socket.post_text(dump(message))

    def _report(self) -> None:
        state: Literal["draining", "serving"] = "draining" if self._draining else "serving"
        self._post(Status(active=self.active, capacity=self.capacity, state=state))

    # ------------------------------------------------------------------ calls

    def _on_event(self, event: GatewayMessage) -> None:
        match event:
            case Registered():
                self._backoff.reset()
                logger.info("registered as {} at {}", self.agent_id, self._url)
                self._report()
            case Offer():
                self._on_offer(event)
            case Confirm(offer_id=offer_id):
                self._verdict(offer_id, True)
            case Cancel(offer_id=offer_id):
                self._verdict(offer_id, False)
            case Ended(call_id=call_id, reason=reason, detail=detail):
                if session := self._sessions.get(call_id):
                    session.end(reason, detail, by_gateway=True)
            case TransferResult(call_id=call_id):
                if session := self._sessions.get(call_id):
                    session.on_transfer_result(event)
            case Control(call_id=call_id):
                if session := self._sessions.get(call_id):
                    session.on_switched(event)

    def _verdict(self, offer_id: str, confirmed: bool) -> None:
        verdict = self._verdicts.get(offer_id)
        if verdict is not None and not verdict.done():
            verdict.set_result(confirmed)

    def _on_offer(self, offer: Offer) -> None:
        if self._draining or self.active >= self.capacity:
            reason: Literal["draining", "full"] = "draining" if self._draining else "full"
            self._post(Reject(call_id=offer.call_id, offer_id=offer.offer_id, reason=reason))
            return
        self._verdicts[offer.offer_id] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._take(offer), name=f"{offer.call_id}::session")
        self._tasks[offer.offer_id] = task
        task.add_done_callback(lambda _: self._call_done(offer.offer_id))
        self._report()

    def _call_done(self, offer_id: str) -> None:
        self._tasks.pop(offer_id, None)
        self._verdicts.pop(offer_id, None)
        self._report()
        self._maybe_done()

    def _maybe_done(self) -> None:
        if self._draining and not self._tasks and self._closing is not None:
            self._closing.set()

    async def _take(self, offer: Offer) -> None:
        """Open the media stream, accept, and run the call if the gateway confirms."""
        log = logger.bind(call_id=offer.call_id)
        url = f"{self._url}{offer.media_path}"
        deadline_s = offer.deadline_ms / 1000
        try:
            link = await WebSocketLink.open(
                url,
                offer.media_token,
                caller_rate=8000 if offer.caller_rate <= 8000 else 16000,
                bot_rate=max(rate for rate in (8000, 16000, 24000) if rate <= max(offer.caller_rate, 8000)),
                timeout_s=deadline_s,
            )
        except (OSError, TimeoutError, WebSocketException) as error:
            log.warning("the media stream of a call did not open: {}", error or "timeout")
            detail = f"media stream: {error or 'timeout'}"[:200]
            self._post(Reject(call_id=offer.call_id, offer_id=offer.offer_id, reason="error", detail=detail))
            return
        self._post(Accept(call_id=offer.call_id, offer_id=offer.offer_id))
        if not await self._confirmed(offer, deadline_s + CONFIRM_S):
            log.info("the call went elsewhere before the accept counted")
            await link.close()
            return
        URL_CTX.set(url)
        TOKEN_CTX.set(offer.media_token)
        ROOM_CTX.set(offer.call_id)
        resumed = resumable_from(offer.checkpoint)
        recorder = self._recorder(offer, resumed)
        session = Session(
            offer.info(),
            recorder.wrap(link) if recorder else link,
            post=self._post,
            resumed=resumed,
            pipeline_hook=recorder.adapt if recorder else None,
        )
        if recorder:
            recorder.follow(session.call)
        self._sessions[offer.call_id] = session
        log.info("call from {} to {} ({})", offer.from_number, offer.to_number, offer.kind)
        try:
            await session.run(self._callback)
        finally:
            if self._sessions.get(offer.call_id) is session:  # the call may have come back meanwhile
                del self._sessions[offer.call_id]
            if recorder:
                await asyncio.shield(recorder.close())

    def _recorder(self, offer: Offer, resumed: ResumableState | None) -> CallCapture | None:
        if self._record is None:
            return None
        return CallCapture(
            self._record,
            offer.info(),
            redact=self._redact,
            secrets={self._token, offer.media_token},
            resumed=None if resumed is None else resumed.to_checkpoint(),
        )

    async def _confirmed(self, offer: Offer, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._verdicts[offer.offer_id]
        except TimeoutError:
            return False

    # ------------------------------------------------------------------ the end

    def _handle_sigterm(self, loop: asyncio.AbstractEventLoop) -> bool:
        """SIGTERM drains; a second one ends the calls in progress."""
        if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
            return False

        def on_sigterm() -> None:
            if self._draining and self._closing is not None:
                self._closing.set()
            self.drain()

        loop.add_signal_handler(signal.SIGTERM, on_sigterm)
        return True

    def _lose_sessions(self) -> None:
        """The gateway gives the calls of a lost connection to others: nothing more is said about them."""
        for session in list(self._sessions.values()):
            session.end(EndReason.AGENT_LOST, "the connection to the gateway was lost", by_gateway=True)

    def _end_sessions(self) -> None:
        for session in list(self._sessions.values()):
            session.end(EndReason.SHUTDOWN, "the agent was shut down")

    async def _close_everything(self) -> None:
        self._end_sessions()
        tasks = set(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=SHUTDOWN_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=SHUTDOWN_S)


def _checked_folder(record: str | Path | None) -> Path | None:
    """Where calls are recorded. Raises `ValueError`."""
    if not record:
        return None
    folder = Path(record)
    if folder.suffix == ".zip" or (folder.exists() and not folder.is_dir()):
        raise ValueError(f"record={str(folder)!r}: an agent takes many calls, so this must be a folder")
    return folder


def _checked_url(url: str) -> str:
    """The gateway's address without a path. Raises `ValueError`."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if "@" in parts.netloc:
        raise ValueError(
            "leave user and password out of the gateway's address: agent_token is the credential"
        )
    if scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError(f"the gateway's address must look like ws://host:port, not {url!r}")
    try:
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"the gateway's address {url!r}: {error}") from None
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
