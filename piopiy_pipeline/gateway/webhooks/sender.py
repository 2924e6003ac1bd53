"""Sends webhooks: one task for each receiver, which posts a few messages at a time. No call waits for it.

Its `DeliveryQueue` decides when a message that failed is tried again.

Messages are signed by the scheme of Standard Webhooks, version 1, with a secret that the receiver knows. The
signature is the HMAC-SHA256 of ``<id>.<timestamp>.<body>``: nobody can forge a message without the secret,
and a receiver recognises an old message that is repeated by its time.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import math
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
from loguru import logger

from piopiy_pipeline._version import __version__
from piopiy_pipeline.gateway.core.event_bus import BusEvent
from piopiy_pipeline.gateway.records import Records
from piopiy_pipeline.gateway.webhooks.config import WebhookConfig
from piopiy_pipeline.gateway.webhooks.delivery_queue import (
    DeliveryAttempt,
    DeliveryQueue,
    DeliveryReply,
    Verdict,
)
from piopiy_pipeline.gateway.webhooks.undelivered import Undelivered
from piopiy_pipeline.gateway.webhooks.webhook_messages import WebhookMessage, WebhookMessages

__all__ = ["ReceiverCounts", "Webhooks", "retry_after_s", "signed_headers"]

ATTEMPT_S = 10.0
"""How long a receiver may take to answer."""
ANSWER_BYTES = 64 << 10
"""An answer that says what comes next, and is longer, is not read."""
AT_ONCE = 8
"""The most attempts under way at one receiver."""
FLUSH_S = 3.0
"""How long the end of the gateway waits for what can be delivered at once."""
AGAIN_S = 1.0
"""After an error that nobody foresaw a receiver's messages go on in so many seconds."""


@dataclass(frozen=True, slots=True)
class ReceiverCounts:
    """What became of the messages to one receiver, or to all with the same origin, since the start."""

    name: str
    """The origin of the address: its path may be a secret."""
    waiting: int = 0
    delivered: int = 0
    failures: int = 0
    """Attempts that failed."""
    lost: int = 0
    """Messages that were given up, or had no room."""

    def plus(self, other: ReceiverCounts) -> ReceiverCounts:
        """Return the sums of both."""
        return ReceiverCounts(
            self.name,
            self.waiting + other.waiting,
            self.delivered + other.delivered,
            self.failures + other.failures,
            self.lost + other.lost,
        )


class Webhooks:
    """All receivers of a gateway. `on_event` must get every event of the bus, also before `start`.

    Args:
        configs: The receivers.
        wall: The clock that people read: Unix time in seconds.
        chance: Returns numbers from 0 to 1, for the pauses between attempts.
        records: Where messages that are not delivered yet are saved. None: in memory alone.
    """

    def __init__(
        self,
        configs: Sequence[WebhookConfig],
        *,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        records: Records | None = None,
    ) -> None:
        self._messages = WebhookMessages({event for config in configs for event in config.events})
        self._undelivered = Undelivered(records)
        self._receivers = [_Receiver(config, wall, chance, self._undelivered) for config in configs]
        self._session: aiohttp.ClientSession | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    def on_event(self, event: BusEvent) -> None:
        """Queue the messages about an event of the bus."""
        self._add(self._messages.messages_for(event))

    def _add(self, messages: Iterable[WebhookMessage]) -> None:
        for message in messages:
            for receiver in self._receivers:
                receiver.add(message)

    def counts(self) -> list[ReceiverCounts]:
        """Return what became of the messages, for each origin."""
        sums: dict[str, ReceiverCounts] = {}
        for receiver in self._receivers:
            counts = receiver.counts()
            known = sums.get(counts.name)
            sums[counts.name] = counts if known is None else known.plus(counts)
        return list(sums.values())

    def gone(self) -> frozenset[str]:
        """Return the addresses that have answered 410, and are told no more until a restart."""
        return frozenset(receiver.url for receiver in self._receivers if receiver.gone)

    async def recover(self) -> None:
        """Queue what runs before left undelivered, and tell of the calls that were lost with their gateway. To be
        called when the records are open, and again if they do not answer.

        Raises:
            RecordsUnavailable: The database does not answer.
        """
        receivers = {receiver.receiver_id: receiver for receiver in self._receivers}
        for name, message in await self._undelivered.left():
            receiver = receivers.get(name)
            if receiver is None or receiver.gone:  # it is not configured any more, or has answered 410
                self._undelivered.done(name, message)
            else:
                receiver.queue(message)
        for detail in await self._undelivered.lost_calls():
            self._add(self._messages.messages_for_lost(detail))
            self._undelivered.lost_call_saved(detail)

    async def start(self) -> None:
        """Begin to send. Messages of earlier events have waited until now."""
        if self._closed:
            return
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=AT_ONCE * len(self._receivers)),
            timeout=aiohttp.ClientTimeout(total=ATTEMPT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"piopiy-gateway/{__version__}", "Content-Type": "application/json"},
        )
        for receiver in self._receivers:
            self._tasks.append(
                asyncio.create_task(receiver.run(self._session), name=f"webhooks to {receiver.name}")
            )

    async def close(self) -> None:
        """Send what can be sent within `FLUSH_S`. The rest is sent after the next start if there are records, and is
        lost otherwise: the log says how much.
        """
        if self._closed:
            return
        self._closed = True
        for receiver in self._receivers:
            receiver.finish()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=FLUSH_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        for receiver in self._receivers:
            receiver.report()
        if self._session is not None:
            await self._session.close()


class _Receiver:
    """One receiver of webhooks: its queue, and the attempts in progress."""

    def __init__(
        self,
        config: WebhookConfig,
        wall: Callable[[], float],
        chance: Callable[[], float],
        undelivered: Undelivered,
    ) -> None:
        self.name = config.name
        self.url = config.url
        self.receiver_id = config.receiver_id
        self._undelivered = undelivered
        self._config = config
        self._events = frozenset(config.events)
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        self._queue = DeliveryQueue(random=chance, at_once=AT_ONCE, on_dropped=self._on_dropped)
        self._changed = asyncio.Event()
        self._finishing = False
        self._delivered = self._failures = 0
        self._failing = False
        self._full = False

    def add(self, message: WebhookMessage) -> None:
        message = message.told_to(self.url)
        if message.event in self._events and self.queue(message):
            self._undelivered.add(self.receiver_id, message)

    def queue(self, message: WebhookMessage) -> bool:
        """Queue a message that is saved already. Says whether there was room."""
        if self._queue.add(message, self._loop.time()):
            self._changed.set()
            return True
        if not self._full and not self._queue.gone:
            self._full = True
            logger.error("webhooks to {}: {} wait, and more are lost", self.name, len(self._queue))
        return False

    def counts(self) -> ReceiverCounts:
        """Return what became of its messages."""
        lost = self._queue.lost + self._queue.given_up
        return ReceiverCounts(self._config.origin, len(self._queue), self._delivered, self._failures, lost)

    @property
    def gone(self) -> bool:
        """Whether it has answered 410, and is told no more."""
        return self._queue.gone

    def finish(self) -> None:
        """Let `run` return as soon as nothing can be sent at once."""
        self._finishing = True
        self._changed.set()

    def report(self) -> None:
        """Log how many messages will never be delivered."""
        unsent = len(self._queue) + self._queue.lost + self._queue.given_up
        if unsent:
            logger.warning(
                "webhooks to {}: {} were not delivered ({} for want of room, {} given up)",
                self.name,
                unsent,
                self._queue.lost,
                self._queue.given_up,
            )

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Send until `finish`, whatever fails."""
        while True:
            try:
                await self._send_all(session)
            except Exception:
                logger.exception("webhooks to {} have failed: they go on in {:g} s", self.name, AGAIN_S)
            else:
                return
            await asyncio.sleep(AGAIN_S)

    async def _send_all(self, session: aiohttp.ClientSession) -> None:
        async with asyncio.TaskGroup() as attempts:
            while True:
                now = self._loop.time()
                while (attempt := self._queue.next(now)) is not None:
                    attempts.create_task(self._try(session, attempt))
                self._changed.clear()
                wake_at = self._queue.wake_at
                if self._finishing and (wake_at is None or wake_at > now) and not self._queue.busy:
                    return
                try:
                    async with asyncio.timeout_at(wake_at):
                        await self._changed.wait()
                except TimeoutError:
                    continue

    async def _try(self, session: aiohttp.ClientSession, attempt: DeliveryAttempt) -> None:
        try:
            await self._attempt(session, attempt)
        except Exception:  # the other attempts go on
            logger.exception("what became of a webhook to {} is not known", self.name)

    async def _attempt(self, session: aiohttp.ClientSession, attempt: DeliveryAttempt) -> None:
        reply, answer = DeliveryReply(None, detail="internal error of the gateway"), b""
        try:
            reply, answer = await self._post(session, attempt.message)
        except Exception:
            logger.exception("a webhook to {} failed", self.name)
        verdict = self._queue.reply(attempt, reply, self._loop.time())
        self._delivered += reply.is_success
        self._failures += not reply.is_success
        if verdict in ("delivered", "given_up"):
            self._undelivered.done(self.receiver_id, attempt.message)
        self._log(attempt, reply, verdict)
        self._changed.set()
        if reply.is_success and attempt.message.on_answer is not None:
            try:
                await attempt.message.on_answer(answer)
            except Exception:
                logger.exception("what a webhook to {} has answered failed", self.name)

    def _on_dropped(self, message: WebhookMessage) -> None:
        self._undelivered.done(self.receiver_id, message)

    async def _post(
        self, session: aiohttp.ClientSession, message: WebhookMessage
    ) -> tuple[DeliveryReply, bytes]:
        """Return what became of an attempt, and the body of the answer if somebody wants that."""
        headers = signed_headers(self._config.key, message.message_id, message.body, self._wall())
        try:
            async with session.post(
                self._config.url, data=message.body, headers=headers, allow_redirects=False
            ) as response:
                after_s = retry_after_s(response.headers.get("Retry-After"), self._wall())
                answer = b"" if message.on_answer is None else await _body_of(response)
                return DeliveryReply(response.status, after_s), answer
        except TimeoutError:
            return DeliveryReply(None, detail=f"it did not answer within {ATTEMPT_S:g} s"), b""
        except (aiohttp.ClientError, OSError) as error:
            # The error's own text is not logged: some errors have the whole address in it.
            return DeliveryReply(None, detail=getattr(error, "strerror", None) or type(error).__name__), b""

    def _log(self, attempt: DeliveryAttempt, reply: DeliveryReply, verdict: Verdict) -> None:
        """Log one line when a receiver begins to fail and one when it has got everything, not one for each attempt."""
        event, call_id = attempt.message.event, attempt.message.call_id
        if verdict == "delivered":
            if (self._failing or self._full) and not len(self._queue):
                logger.info("webhooks to {}: it takes them again", self.name)
                self._failing = self._full = False
        elif verdict == "gone":
            if reply.status == 410:
                logger.error(
                    "webhooks to {}: it answered 410, and is told no more until a restart", self.name
                )
        elif verdict == "given_up":
            logger.bind(call_id=call_id).error("webhooks to {}: {} is given up: {}", self.name, event, reply)
        elif not self._failing:
            self._failing = True
            logger.warning("webhooks to {}: {}; they are tried again for hours", self.name, reply)


async def _body_of(response: aiohttp.ClientResponse) -> bytes:
    """Return the body of an answer; nothing of one that is longer than `ANSWER_BYTES`."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > ANSWER_BYTES:
            return b""
    return bytes(body)


def signed_headers(key: bytes, message_id: str, body: bytes, unix_s: float) -> dict[str, str]:
    """Return the headers that identify and sign a message.

    Args:
        key: The secret that the receiver knows.
        message_id: The same at every attempt.
        body: What is POSTed.
        unix_s: The Unix time of the attempt in seconds.
    """
    timestamp = str(int(unix_s))
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def retry_after_s(value: str | None, unix_s: float) -> float | None:
    """Return how long to wait by a header ``Retry-After`` (RFC 9110, 10.2.3), which has seconds or a date.

    Args:
        value: The header, or None without one.
        unix_s: The Unix time of the answer in seconds.

    Returns:
        Seconds from then, or None if the header says nothing that can be read.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text)
        return seconds if math.isfinite(seconds) else None
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.fromtimestamp(unix_s, UTC)).total_seconds())
