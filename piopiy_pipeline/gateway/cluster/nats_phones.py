"""`NatsPhones`: the records of registered phones in a key-value bucket of NATS' JetStream, by a hash of the user.

Gateways write the same record in turn: a write that would undo another one's is refused by the server, and made anew.
Written is the newest of each user, one after another. A record that nobody writes again is gone after a day: no
registration lasts longer. Servers that come back may have lost their store, and a phone may not register again for an
hour: then each gateway writes what it has said before.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence

from loguru import logger
from nats.aio.client import Client
from nats.errors import Error
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from piopiy_pipeline.gateway.cluster.nats_bucket import NatsBucket
from piopiy_pipeline.gateway.cluster.nats_trouble import nats_trouble
from piopiy_pipeline.gateway.cluster.phone_records import FIND_S, PhoneRecord, rewritten
from piopiy_pipeline.gateway.cluster.unsent_messages import UnsentMessages
from piopiy_pipeline.gateway.phones.registered_phone import RegisteredPhone
from piopiy_pipeline.signaling.json_messages import ProtocolError, dump, parser

__all__ = ["NatsPhones"]

KEPT_S = 86_400.0
AGAIN_S = 1.0
MOST_CONFLICTS = 8
"""After so many writes in a row that another gateway's came before, the next one waits `AGAIN_S`."""
MOST_WAITING = 10_000
"""For so many users a record waits to be written. Of more, those that come are left out until they register again."""
BUCKET_BYTES = 256 << 20
"""A record of one phone has 0.4 kB: room for half a million users."""

_parse: Callable[[bytes], PhoneRecord] = parser(PhoneRecord)


class NatsPhones:
    """The bucket, as one gateway uses it. It is a `PhoneStore`.

    Args:
        client: The connection to the servers.
        subject: What the names of this cluster begin with.
    """

    def __init__(self, client: Client, subject: str) -> None:
        self._client = client
        whose = "phones cannot be called from other gateways"
        self._bucket = NatsBucket(client, f"{subject}-phones", whose, kept_s=KEPT_S, most_bytes=BUCKET_BYTES)
        self._waiting: dict[str, tuple[str, tuple[RegisteredPhone, ...]]] = {}  # by user
        self._said: dict[
            str, tuple[str, tuple[RegisteredPhone, ...]]
        ] = {}  # by user: those of the configuration
        self._work = asyncio.Event()
        self._writing = asyncio.create_task(self._write(), name="write phones")
        self.unsent = UnsentMessages()
        """What was not kept lately although the servers could be reached."""

    @property
    def problem(self) -> str:
        """Why other gateways cannot find the phones of this one, a sentence; empty if they can."""
        return self._bucket.problem

    async def close(self) -> None:
        """Write no more."""
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)

    def write_again(self) -> None:
        """Write what is registered here once more: the servers may have come back without their store."""
        self._bucket.lost()
        now = time.time()
        for user, (gateway, phones) in self._said.items():
            if user not in self._waiting and any(one.expires_at > now for one in phones):
                self.keep(user, gateway, phones)

    def keep(self, user: str, gateway: str, phones: Sequence[RegisteredPhone]) -> None:
        said = self._said[user] = gateway, tuple(phones)
        if user in self._waiting or len(self._waiting) < MOST_WAITING:
            self._waiting[user] = said
            self._work.set()
        else:
            problem = f"phones cannot be called from other gateways: {MOST_WAITING} wait for JetStream, which is slow"
            self.unsent.note("too many", problem, asyncio.get_running_loop().time())

    async def find(self, user: str) -> PhoneRecord | None:
        if not self._client.is_connected:
            return None
        try:
            async with asyncio.timeout(FIND_S):
                found = await self._read(await self._bucket.open(), user)
        except (Error, TimeoutError, OSError) as error:
            logger.warning("the cluster's phones cannot be asked: {}", nats_trouble(error))
            return None
        return found[0]

    @staticmethod
    async def _read(bucket: KeyValue, user: str) -> tuple[PhoneRecord | None, int]:
        """Return the record of a user and its revision; 0: there is none. One that cannot be read is as if there were
        none, and is written anew with the next registration.
        """
        try:
            entry = await bucket.get(_key(user))
        except KeyNotFoundError:
            return None, 0
        try:
            record = _parse(entry.value or b"")
        except ProtocolError as error:
            logger.warning("what another gateway says of the phones of {!r} cannot be read: {}", user, error)
            return None, entry.revision or 0
        return (record if record.user == user else None), entry.revision or 0

    async def _write(self) -> None:
        conflicts = 0
        while True:
            await self._work.wait()
            self._work.clear()
            while self._waiting:
                user, written = next(iter(self._waiting.items()))
                try:
                    await self._rewrite(await self._bucket.open(), user, *written)
                except KeyWrongLastSequenceError:  # another gateway was faster: it is read anew
                    self._waiting[user] = self._waiting.pop(user)
                    conflicts += 1
                    if conflicts % MOST_CONFLICTS == 0:
                        await asyncio.sleep(AGAIN_S)
                    continue
                except (Error, TimeoutError, OSError) as error:
                    self._bucket.failed(error)
                    self._waiting[user] = self._waiting.pop(user)
                    await asyncio.sleep(AGAIN_S)
                    continue
                except Exception:
                    logger.exception("a registered phone could not be written for the other gateways")
                conflicts = 0
                if self._waiting.get(user) is written:  # else a newer one has come meanwhile
                    del self._waiting[user]

    async def _rewrite(
        self, bucket: KeyValue, user: str, gateway: str, phones: tuple[RegisteredPhone, ...]
    ) -> None:
        before, revision = await self._read(bucket, user)
        record = rewritten(before, user, gateway, phones, time.time())
        if record == before:
            return
        if revision:
            await bucket.update(_key(user), dump(record).encode(), last=revision)
        elif record.phones:
            await bucket.create(_key(user), dump(record).encode())


def _key(user: str) -> str:
    return hashlib.sha256(user.encode("utf-8", "surrogateescape")).hexdigest()[:32]
