"""`NatsDirectory`: a directory over NATS servers.

A question goes to a subject of its agent, to which only gateways listen that have free places for it, in one queue
group: NATS gives it to one of them, and says at once if there is none. For a call whose place here is a busy one, there
is a second subject, to which those listen that have an instance with room. Nothing is stored there: a server that was
restarted knows all again as soon as the gateways have connected.

    <subject>.3.search.<agent>     a question, and its answer
    <subject>.3.room.<agent>       a question for an instance that is little busy
    <subject>.3.gateway.<name>     what one gateway says to another
    <subject>.3.presence           what every gateway says to all; it is heard in all versions
    <subject>.3.calls              what has changed among the calls of a gateway, while somebody looks at all of them
    <subject>.3.where              which gateway has a call? Only that one answers
    <subject>.3.request.<name>     a request of an operator, to be carried out by that gateway, and its answer

Names of agents and gateways are hashed, because a subject takes few characters; the messages have them in full.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

from loguru import logger
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error, NoRespondersError, SlowConsumerError, UnexpectedEOF

from piopiy_pipeline.compat.nats import NatsClient, NotEncryptedError
from piopiy_pipeline.gateway.cluster.config import ClusterConfig
from piopiy_pipeline.gateway.cluster.console_messages import (
    CallChanges,
    CallQuestion,
    RelayedAnswer,
    RelayedRequest,
)
from piopiy_pipeline.gateway.cluster.directory import DirectoryMember, GatewayGone
from piopiy_pipeline.gateway.cluster.directory_messages import (
    PROTOCOL,
    DirectoryAnswer,
    DirectorySearch,
    GatewayNotice,
    GatewayPresence,
    OtherVersion,
)
from piopiy_pipeline.gateway.cluster.nats_outbox import NatsOutbox
from piopiy_pipeline.gateway.cluster.nats_requests import NatsRequests, failure
from piopiy_pipeline.gateway.cluster.nats_stores import NatsStores
from piopiy_pipeline.gateway.cluster.nats_trouble import nats_trouble
from piopiy_pipeline.gateway.cluster.unreached_servers import UnreachedServers, is_refusal
from piopiy_pipeline.gateway.cluster.unsent_messages import UnsentMessages
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.signaling.json_messages import Message, ProtocolError, UnknownMessage, dump, parser

__all__ = ["NatsDirectory"]

FIRST_S = 2.0
"""How long a gateway's start waits for the servers, in seconds. It goes on without them then, and tries on."""
RECONNECT_S = 1
PING_S = 2
"""Seconds between two pings to the server. Of two that are not answered, it is gone."""
CLOSE_S = 1.0
FORBIDDEN = "the NATS servers do not let this gateway do what it needs: {}: allow its user all of {}.>"
TOO_SLOW = "this gateway does not take in all that others say: it, or its machine, has too much to do"

_parse_search: Callable[[bytes], DirectorySearch] = parser(DirectorySearch)
_parse_answer: Callable[[bytes], DirectoryAnswer] = parser(DirectoryAnswer)
_parse_notice: Callable[[bytes], GatewayNotice] = parser(GatewayNotice)
_parse_presence: Callable[[bytes], GatewayPresence] = parser(GatewayPresence)
_parse_other_version: Callable[[bytes], OtherVersion] = parser(OtherVersion)
_parse_changes: Callable[[bytes], CallChanges] = parser(CallChanges)
_parse_question: Callable[[bytes], CallQuestion] = parser(CallQuestion)
_parse_relayed_answer: Callable[[bytes], RelayedAnswer] = parser(RelayedAnswer)


class NatsDirectory:
    """The directory of one gateway. It is a `ClusterDirectory`.

    Args:
        config: Where the servers are, and how to log in.
        name: The gateway's name.
    """

    def __init__(self, config: ClusterConfig, name: str) -> None:
        self._config = config
        self._name = name
        self._client = NatsClient()
        self._unreached = UnreachedServers(config.servers)
        self._member: DirectoryMember | None = None
        self._refused = False
        self._opening = True
        self._connecting: asyncio.Task[None] | None = None
        self._working: asyncio.Task[None] | None = None
        self._work = asyncio.Event()
        self._unsent = UnsentMessages()
        self._outbox = NatsOutbox(self._client, self._unsent)
        self._requests = NatsRequests(self._respond, lambda: self._outbox.most_bytes)
        self._heard: set[str] = set()  # the subjects that are listened to for as long as it is open
        self._wanted: set[str] = set()  # the subjects of agents for which there are places here
        self._subscriptions: dict[str, Subscription] = {}
        self._closing = False
        self.stores: NatsStores | None = None
        """What is kept for other gateways, once it is open."""

    @property
    def problem(self) -> str:
        if self._closing or self._client.is_connected:
            return ""
        return self._unreached.problem

    @property
    def cause(self) -> str:
        return self._unreached.cause if self.problem else ""

    @property
    def store_problems(self) -> list[str]:
        return [] if self.problem or self.stores is None else self.stores.problems

    @property
    def unsent(self) -> list[str]:
        kept = [] if self.stores is None else self.stores.unsent(self._now)
        return [*self._unsent.problems(self._now), *kept]

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def open(self, member: DirectoryMember) -> None:
        self._member = member
        self._connecting = asyncio.create_task(self._connect(), name="connect to NATS")
        await asyncio.wait((self._connecting,), timeout=FIRST_S)
        self._opening = False
        if self._refused:
            problem = self._unreached.problem
            await self.close()
            raise GatewayError(f"cluster: {problem}")
        if self._connecting.done() and (error := self._connecting.exception()) is not None:
            if not isinstance(error, Error | OSError | ValueError):
                raise error
            await self.close()
            raise GatewayError(
                f"cluster: this gateway cannot join by its NATS servers: {nats_trouble(error)}: look at servers and"
                " credentials in [cluster]"
            ) from error
        self.stores = NatsStores(self._client, self._config.subject)
        self._working = asyncio.create_task(self._run(self.stores), name="tell the directory")

    async def close(self) -> None:
        self._closing = True
        if self._client.is_connected:
            await self._outbox.send_all()
        if self.stores is not None:
            await self.stores.close()
        for task in (self._connecting, self._working):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._requests.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._client.close()
        except (TimeoutError, Error, OSError) as error:
            logger.debug("the connection to NATS did not close: {}", nats_trouble(error))

    async def search(self, search: DirectorySearch, timeout_s: float) -> DirectoryAnswer | None:
        if not self._client.is_connected:
            return None
        try:
            reply = await self._client.request(
                self._subject("search" if search.most_busy is None else "room", search.agent_id),
                dump(search).encode(),
                timeout=timeout_s,
            )
            return _parse_answer(reply.data)
        except (Error, TimeoutError, OSError):  # nobody has a place, or nobody answers
            return None
        except ProtocolError as error:
            logger.warning("another gateway's answer cannot be read: {}", error)
            return None

    async def request(self, request: RelayedRequest, timeout_s: float) -> RelayedAnswer | None:
        if len(dump(request).encode()) > self._outbox.most_bytes:
            return failure(413, "the request is too long to be sent from gateway to gateway: send it there")
        data = await self._ask(self._subject("request", request.gateway), request, timeout_s)
        try:
            return None if data is None else _parse_relayed_answer(data)
        except ProtocolError as error:
            logger.warning("another gateway's answer cannot be read: {}", error)
            return None

    async def find_call(self, call_id: str, timeout_s: float) -> str | None:
        question = CallQuestion(call_id=call_id, asker=self._name)
        try:
            data = await self._ask(self._subject("where"), question, timeout_s)
        except GatewayGone:
            return None
        return None if data is None else data.decode(errors="replace")

    async def _ask(self, subject: str, message: Message, timeout_s: float) -> bytes | None:
        if not self._client.is_connected:
            return None
        try:
            return bytes(
                (await self._client.request(subject, dump(message).encode(), timeout=timeout_s)).data
            )
        except NoRespondersError:
            raise GatewayGone from None
        except (Error, TimeoutError, OSError):
            return None

    def publish_changes(self, changes: CallChanges) -> None:
        self._send(self._subject("calls"), changes)

    def serve(self, agent_id: str, *, on: bool, room: bool = False) -> None:
        for kind, wanted in (("search", on), ("room", room)):
            subject = self._subject(kind, agent_id)
            if wanted != (subject in self._wanted):
                (self._wanted.add if wanted else self._wanted.discard)(subject)
                self._work.set()

    def notify(self, gateway: str, notice: GatewayNotice) -> None:
        self._send(self._subject("gateway", gateway), notice)

    def announce(self, presence: GatewayPresence) -> None:
        self._send(self._subject("presence"), presence)

    # ------------------------------------------------------------------ the connection

    async def _connect(self) -> None:
        """Connect, and listen. What fails once the gateway has started is tried again."""
        while True:
            try:
                if not self._client.is_connected:
                    await self._reach_servers()
                await self._listen_all()
            except Exception:
                if self._opening:
                    raise
                logger.exception("NATS: the connection could not be made: it is tried again")
            else:
                return
            await asyncio.sleep(RECONNECT_S)

    async def _reach_servers(self) -> None:
        config = self._config
        await self._client.connect(
            servers=list(config.servers),
            name=f"piopiy gateway {self._name}",
            user=config.user,
            password=config.password,
            token=config.token,
            user_credentials=None if config.credentials is None else str(config.credentials),
            error_cb=self._on_error,
            disconnected_cb=self._on_connection,
            reconnected_cb=self._on_connection,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_S,
            connect_timeout=2,
            ping_interval=PING_S,
            max_outstanding_pings=2,
        )

    async def _listen_all(self) -> None:
        config = self._config
        await self._listen(self._subject("gateway", self._name), self._on_notice)
        await self._listen(f"{config.subject}.*.presence", self._on_presence)
        await self._listen(self._subject("calls"), self._on_call_changes)
        await self._subscribe(self._subject("where"), self._on_where)
        await self._subscribe(self._subject("request", self._name), self._on_request)
        await self._on_connection()

    async def _subscribe(self, subject: str, on_message: Callable[[Msg], Awaitable[None]]) -> None:
        if subject not in self._heard:
            await self._client.subscribe(subject, cb=on_message)
            self._heard.add(subject)

    async def _listen(self, subject: str, take: Callable[[bytes, str], None]) -> None:
        async def on_message(message: Msg) -> None:
            try:
                take(message.data, message.subject)
            except UnknownMessage as error:
                logger.debug("another gateway says what is not known here: {}", error)
            except ProtocolError as error:
                problem = f"what another gateway says cannot be read: {error}"
                self._unsent.note("unreadable", problem[:199], self._now)
            await asyncio.sleep(0)  # else audio would wait for all that has come

        await self._subscribe(subject, on_message)

    async def _on_error(self, error: Exception) -> None:
        text = str(error)
        if is_refusal(error) or isinstance(error, OSError | UnexpectedEOF) or not self._client.is_connected:
            self._unreached.note(self._client.trying, error)
            if self._opening and (is_refusal(error) or isinstance(error, NotEncryptedError)):
                self._refused = True
                if self._connecting is not None:
                    # It would try for ever. It closes its socket first, and waits for RECONNECT_S after that.
                    asyncio.get_running_loop().call_later(RECONNECT_S / 2, self._connecting.cancel)
            if not self._opening and not self._closing and self._member is not None:
                self._member.on_connection()
        elif "permissions violation" in text.lower():
            problem = FORBIDDEN.format(nats_trouble(error), self._config.subject)
            self._unsent.note("forbidden", problem, self._now)
        elif isinstance(error, SlowConsumerError):
            self._unsent.note("too slow", TOO_SLOW, self._now)
        else:
            logger.debug("NATS: {}", nats_trouble(error))

    async def _on_connection(self) -> None:
        if self._client.is_connected:
            self._unreached.clear()
        if not self._closing and self._member is not None:
            if self.stores is not None:
                self.stores.look_again()
            self._member.on_connection()
            self._work.set()

    # ------------------------------------------------------------------ what is told

    def _send(self, subject: str, message: Message) -> None:
        if self._client.is_connected:  # later it would be old
            self._outbox.put(subject, message)
            self._work.set()

    async def _run(self, stores: NatsStores) -> None:
        """Tell the servers what has changed, one after another."""
        while True:
            await self._work.wait()
            self._work.clear()
            if not self._client.is_connected:
                continue
            try:
                await self._outbox.send_all()
                await self._update_subscriptions()
                await stores.look()
            except Exception as error:
                if isinstance(error, Error | OSError):
                    logger.debug("NATS: {}", nats_trouble(error))
                else:
                    logger.exception("NATS: the servers were not told what has changed: it is tried again")
                await asyncio.sleep(RECONNECT_S)
                self._work.set()

    async def _update_subscriptions(self) -> None:
        for subject in self._subscriptions.keys() - self._wanted:
            await self._subscriptions.pop(subject).unsubscribe()
        for subject in self._wanted - self._subscriptions.keys():
            self._subscriptions[subject] = await self._client.subscribe(
                subject, queue="gateways", cb=self._on_search
            )

    # ------------------------------------------------------------------ what is heard

    async def _on_search(self, message: Msg) -> None:
        if self._member is None or self._closing:
            return
        try:
            search = _parse_search(message.data)
        except ProtocolError as error:
            logger.warning("another gateway's question cannot be read: {}", error)
            return
        await self._respond(message, dump(self._member.on_search(search)).encode())

    async def _on_where(self, message: Msg) -> None:
        try:
            question = _parse_question(message.data)
        except ProtocolError as error:
            logger.warning("another gateway's question cannot be read: {}", error)
            return
        if (
            self._member is not None
            and question.asker != self._name
            and self._member.has_call(question.call_id)
        ):
            await self._respond(message, self._name.encode())

    async def _on_request(self, message: Msg) -> None:
        if self._member is not None and not self._closing:
            await self._requests.take(self._member, message)

    async def _respond(self, message: Msg, data: bytes) -> None:
        try:
            await message.respond(data)
        except (Error, OSError) as error:
            logger.debug("NATS: {}", nats_trouble(error))

    def _on_call_changes(self, data: bytes, subject: str) -> None:
        if self._member is not None:
            self._member.on_call_changes(_parse_changes(data))

    def _on_notice(self, data: bytes, subject: str) -> None:
        if self._member is not None:
            self._member.on_notice(_parse_notice(data))

    def _on_presence(self, data: bytes, subject: str) -> None:
        protocol = subject.split(".")[1]
        if self._member is not None and protocol == PROTOCOL:
            self._member.on_presence(_parse_presence(data))
        elif self._member is not None:
            self._member.on_other_version(_parse_other_version(data), protocol[:16])

    def _subject(self, kind: str, name: str | None = None) -> str:
        parts = [self._config.subject, PROTOCOL, kind]
        if name is not None:
            parts.append(hashlib.sha256(name.encode()).hexdigest()[:32])
        return ".".join(parts)
