"""Sends webhooks: for each receiver one task, which makes a few attempts at once. Nothing waits for it.

A shell around `notices` and `outbox`. aiohttp is loaded at the start, in a thread.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import import_module
from typing import TYPE_CHECKING

from loguru import logger

from piopiy_pipeline._version import __version__
from piopiy_pipeline.gateway.core.event_bus import BusEvent
from piopiy_pipeline.gateway.webhooks.config import WebhookConfig
from piopiy_pipeline.gateway.webhooks.delivery_queue import (
    DeliveryAttempt,
    DeliveryQueue,
    DeliveryReply,
    Verdict,
)
from piopiy_pipeline.gateway.webhooks.signature import signed_headers
from piopiy_pipeline.gateway.webhooks.webhook_messages import WebhookMessage, WebhookMessages
from piopiy_pipeline.offload import offload

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Webhooks", "retry_after_s"]

ATTEMPT_S = 10.0
"""How long a receiver may take to answer."""
AT_ONCE = 8
"""How many attempts are under way at one receiver at most."""
DRAIN_S = 3.0
"""How long the end of the gateway waits for what can be delivered at once."""


class Webhooks:
    """All receivers of a gateway. `watcher` is to be told of everything, from before `start` on.

    `wall` is Unix time in seconds, `chance` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        configs: Sequence[WebhookConfig],
        *,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._notices = WebhookMessages({event for config in configs for event in config.events})
        self._receivers = [_Receiver(config, wall, chance) for config in configs]
        self._session: aiohttp.ClientSession | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    def watcher(self, news: BusEvent) -> None:
        """Take what happened."""
        for notice in self._notices.tell(news):
            for receiver in self._receivers:
                receiver.tell(notice)

    async def start(self) -> None:
        """Begin to send. What was told before waits until now."""
        await offload(import_module, "aiohttp")
        import aiohttp

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
        """Send what can be sent within `DRAIN_S`; the rest is lost, and the log says how much."""
        if self._closed:
            return
        self._closed = True
        for receiver in self._receivers:
            receiver.finish()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=DRAIN_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        for receiver in self._receivers:
            receiver.report()
        if self._session is not None:
            await self._session.close()


class _Receiver:
    """One address, what it is still to be told, and the attempts under way."""

    def __init__(self, config: WebhookConfig, wall: Callable[[], float], chance: Callable[[], float]) -> None:
        self.name = config.origin
        self._config = config
        self._events = frozenset(config.events)
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        self._outbox = DeliveryQueue(random=chance, at_once=AT_ONCE)
        self._changed = asyncio.Event()
        self._finishing = False
        self._failing = False
        self._full = False

    def tell(self, notice: WebhookMessage) -> None:
        if notice.event not in self._events:
            return
        if self._outbox.add(notice, self._loop.time()):
            self._changed.set()
        elif not self._full and not self._outbox.gone:
            self._full = True
            logger.error("webhooks to {}: {} wait, and more are lost", self.name, len(self._outbox))

    def finish(self) -> None:
        """Return from `run` as soon as nothing can be sent at once."""
        self._finishing = True
        self._changed.set()

    def report(self) -> None:
        """Say what will never be delivered."""
        outbox = self._outbox
        unsent = len(outbox) + outbox.lost + outbox.given_up
        if unsent:
            logger.warning(
                "webhooks to {}: {} were not delivered ({} for want of room, {} given up)",
                self.name,
                unsent,
                outbox.lost,
                outbox.given_up,
            )

    async def run(self, session: aiohttp.ClientSession) -> None:
        async with asyncio.TaskGroup() as attempts:
            while True:
                now = self._loop.time()
                while (attempt := self._outbox.next(now)) is not None:
                    attempts.create_task(self._try(session, attempt))
                self._changed.clear()
                wake_at = self._outbox.wake_at
                if self._finishing and (wake_at is None or wake_at > now) and not self._outbox.busy:
                    return
                try:
                    async with asyncio.timeout_at(wake_at):
                        await self._changed.wait()
                except TimeoutError:
                    continue

    async def _try(self, session: aiohttp.ClientSession, attempt: DeliveryAttempt) -> None:
        reply = DeliveryReply(None, detail="internal error of the gateway")
        try:
            reply = await self._post(session, attempt.notice)
        except Exception:
            logger.exception("a webhook to {} failed", self.name)
        self._note(attempt, reply, self._outbox.reply(attempt, reply, self._loop.time()))
        self._changed.set()

    async def _post(self, session: aiohttp.ClientSession, notice: WebhookMessage) -> DeliveryReply:
        import aiohttp

        headers = signed_headers(self._config.key, notice.message_id, notice.body, self._wall())
        try:
            async with session.post(
                self._config.url, data=notice.body, headers=headers, allow_redirects=False
            ) as response:
                after_s = retry_after_s(response.headers.get("Retry-After"), self._wall())
                return DeliveryReply(response.status, after_s)
        except TimeoutError:
            return DeliveryReply(None, detail=f"it did not answer within {ATTEMPT_S:g} s")
        except (aiohttp.ClientError, OSError) as error:
            # Not the error's own text: some of them have the whole address in it.
            return DeliveryReply(None, detail=getattr(error, "strerror", None) or type(error).__name__)

    def _note(self, attempt: DeliveryAttempt, reply: DeliveryReply, verdict: Verdict) -> None:
        """One line when a receiver begins to fail and one when it has all it missed, not one for each attempt."""
        event, call_id = attempt.notice.event, attempt.notice.call_id
        if verdict == "delivered":
            if (self._failing or self._full) and not len(self._outbox):
                logger.info("webhooks to {}: it takes them again", self.name)
                self._failing = self._full = False
        elif verdict == "gone":
            if reply.status == 410:
                logger.error(
                    "webhooks to {}: it answered 410, and is told no more until a restart", self.name
                )
        elif verdict == "given_up":
            logger.error("webhooks to {}: {} of call {} is given up: {}", self.name, event, call_id, reply)
        elif not self._failing:
            self._failing = True
            logger.warning("webhooks to {}: {}; they are tried again for hours", self.name, reply)


def retry_after_s(value: str | None, unix_s: float) -> float | None:
    """A header ``Retry-After`` (RFC 9110, 10.2.3), seconds or a date, in seconds from the Unix time `unix_s`."""
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
