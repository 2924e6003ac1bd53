"""`NatsCheckpoints`: the last checkpoints of calls that can go on elsewhere, where every gateway finds them.

They are in a key-value bucket of NATS' JetStream, by the call's id, each for ten minutes from when it was written. Of a
call whose gateway was killed the page shows its resume token at any other gateway: that takes the checkpoint, if nobody
has done so before. Written is the newest of each call, one after another, so a server that is slow holds nobody up.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import Callable
from typing import Any

from loguru import logger
from nats.aio.client import Client
from nats.errors import Error
from nats.js.errors import InvalidKeyError, KeyNotFoundError, KeyWrongLastSequenceError

from piopiy_pipeline.gateway.cluster.nats_bucket import WAIT_S, NatsBucket
from piopiy_pipeline.gateway.cluster.nats_trouble import is_without_jetstream, nats_trouble
from piopiy_pipeline.gateway.cluster.unsent_messages import UnsentMessages
from piopiy_pipeline.gateway.records.models import RecordsUnavailable

__all__ = ["NatsCheckpoints"]

KEPT_S = 600.0
"""How long after it was written a checkpoint is kept, in seconds: as those in the records after the end of a call."""
AGAIN_S = 1.0
MOST_BYTES = 900 << 10
"""The server takes messages of a megabyte. A longer conversation cannot go on elsewhere."""
MOST_WAITING = 2000
"""For so many calls a checkpoint waits to be written. Those of the others are left out until their next turn."""
BUCKET_BYTES = 1 << 30
MOST_FORGOTTEN = 2 * MOST_WAITING
"""So many calls wait in all, those that have ended among them. What is left of others is gone after ten minutes."""
TAKEN_S = 5.0
"""What another gateway has marked as taken, and not deleted for so many seconds, can be taken here: it never learnt
that it has it, or it is lost. Until then whoever asks here is asked for patience."""
TAKEN = "another gateway may have taken it just now: ask again"
_MARK = "taken"
MOST_UNSURE = 100
"""Of so many calls it is remembered that they may have been taken."""


class NatsCheckpoints:
    """The bucket, as one gateway uses it. It is a `CheckpointStore`.

    Args:
        client: The connection to the servers.
        subject: What the names of this cluster begin with.
        kind: Of which calls they are: what the bucket's name ends with.
        whose: The same for people.
    """

    def __init__(
        self,
        client: Client,
        subject: str,
        kind: str = "checkpoints",
        whose: str = "browsers' conversations cannot go on at other gateways",
    ) -> None:
        self._client = client
        self._whose = whose
        self._bucket = NatsBucket(client, f"{subject}-{kind}", whose, kept_s=KEPT_S, most_bytes=BUCKET_BYTES)
        self._waiting: dict[str, bytes | None] = {}  # by call; None: it has ended
        self._unsure: dict[str, str] = {}  # by call: who has taken it, in its mark
        self._work = asyncio.Event()
        self._written = asyncio.Event()
        self._writing = asyncio.create_task(self._write(), name="write checkpoints")
        self.unsent = UnsentMessages()
        """What was not kept lately although the servers could be reached."""

    @property
    def problem(self) -> str:
        """Why no checkpoint is kept for other gateways, a sentence; empty if they are."""
        return self._bucket.problem

    async def close(self) -> None:
        """Write what waits, for two seconds at most, and no more: a call that has ended must not go on later."""
        if self._waiting and self._client.is_connected:
            self._written.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WAIT_S):
                    await self._written.wait()
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)

    def save(self, call_id: str, data: dict[str, Any]) -> None:
        """Keep the latest checkpoint of a call, in the background."""
        text = _text(data)
        most_bytes, now = min(MOST_BYTES, self._client.max_payload), asyncio.get_running_loop().time()
        if len(text) > most_bytes:
            size = f"{len(text) >> 10} kB, of which {most_bytes >> 10} are taken"
            self.unsent.note("too long", f"{self._whose} as they are now: one has {size}", now)
        elif call_id in self._waiting or len(self._waiting) < MOST_WAITING:
            self._waiting[call_id] = text
            self._work.set()
        else:
            self.unsent.note(
                "too many", f"{self._whose}: {MOST_WAITING} wait for JetStream, which is slow", now
            )

    def put_back(self, call_id: str, data: dict[str, Any]) -> None:
        """Keep again what was taken and not used, in the background."""
        self.save(call_id, data)

    def forget(self, call_id: str) -> None:
        """Forget a call that has ended, in the background."""
        if call_id in self._waiting or len(self._waiting) < MOST_FORGOTTEN:
            self._waiting[call_id] = None
            self._work.set()

    async def kept(self, prefix: str) -> list[str]:
        """Return the ids of what is kept, as far as they begin so. Of some nothing may be left.

        Args:
            prefix: What they begin with: words that end with a dot.

        Raises:
            RecordsUnavailable: The servers cannot be asked now.
        """
        if not self._client.is_connected:
            raise RecordsUnavailable("the NATS servers cannot be reached")
        begin = f"$KV.{self._bucket.name}."
        try:
            await self._bucket.open()  # `KeyValue.keys` would wait for ever now and then, while others write
            info = await self._client.jetstream(timeout=WAIT_S).stream_info(
                f"KV_{self._bucket.name}", subjects_filter=f"{begin}{prefix}>"
            )
        except (Error, TimeoutError, OSError) as error:
            self._bucket.failed(error)
            if is_without_jetstream(error):
                return []
            raise RecordsUnavailable(nats_trouble(error)) from None
        return [subject.removeprefix(begin) for subject in info.state.subjects or {}]

    async def take(self, call_id: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
        """Return what is kept of a call, and let nobody have it again.

        It is marked as taken, and deleted when the answer to that has come. If that answer is late, the mark may be
        there: then whoever asks here again gets what is marked, and whoever asks another gateway after `TAKEN_S`.

        Args:
            call_id: The call, as somebody says.
            fits: Says whether whoever asks may have it.

        Raises:
            RecordsUnavailable: The servers cannot be asked now, or another gateway may have taken it a moment ago:
                there may be something.
        """
        if self._waiting.get(call_id, b"") is None:
            return None  # it was taken here
        own = self._unsure.get(call_id) or secrets.token_hex(16)
        found: dict[str, Any] | None = None

        def marked(value: bytes) -> bytes | None:
            nonlocal found
            data = json.loads(value)
            mark = data.pop(_MARK, None) if isinstance(data, dict) else None
            if not isinstance(data, dict) or not fits(data):
                return None
            now = time.time()  # the clock that gateways have in common
            if isinstance(mark, dict) and mark["by"] != own and 0 <= now - mark["at"] < TAKEN_S:
                raise RecordsUnavailable(TAKEN)
            found = data
            return _text({**data, _MARK: {"by": own, "at": now}})

        try:
            if not await self._replace(call_id, marked):
                if found is not None:  # somebody was faster
                    raise RecordsUnavailable(TAKEN)  # noqa: TRY301
                return None
        except RecordsUnavailable as error:
            if found is not None:
                self._unsure[call_id] = own
                if len(self._unsure) > MOST_UNSURE:
                    del self._unsure[next(iter(self._unsure))]
            logger.bind(call_id=call_id).error("a conversation is not resumed now: {}", error)
            raise
        self._unsure.pop(call_id, None)
        self.forget(call_id)
        return found

    async def claim(
        self, call_id: str, again: Callable[[dict[str, Any]], dict[str, Any] | None]
    ) -> dict[str, Any] | None:
        """Return what is kept of a call, and leave it there until the call is saved or forgotten: who goes on with it
        may be lost as well. Of several who claim it at once, one gets it.

        Args:
            call_id: The call.
            again: Returns what is kept from now on; None: nobody here may have the call.

        Raises:
            RecordsUnavailable: The servers cannot be asked now, or the call may be claimed: it can be tried again.
        """
        kept: dict[str, Any] | None = None

        def rewritten(value: bytes) -> bytes | None:
            nonlocal kept
            data = json.loads(value)
            kept = again(data) if isinstance(data, dict) else None
            return None if kept is None else _text(kept)

        return kept if await self._replace(call_id, rewritten) else None

    async def _replace(self, call_id: str, other: Callable[[bytes], bytes | None]) -> bool:
        """Write in the place of what is kept what `other` makes of it. Returns whether that was done: not if there is
        nothing, if it makes None, or if somebody else was faster. Raises `RecordsUnavailable`.
        """
        try:
            bucket = await self._bucket.open()
            entry = await bucket.get(call_id)
            value = other(entry.value or b"null")
            if value is None:
                return False
            await bucket.update(call_id, value, last=entry.revision)
        except (KeyNotFoundError, KeyWrongLastSequenceError, InvalidKeyError, ValueError):
            return False
        except (Error, TimeoutError, OSError) as error:
            self._bucket.lost()
            if is_without_jetstream(error):
                return False
            raise RecordsUnavailable(nats_trouble(error)) from None
        return True

    async def _write(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._waiting:
                call_id, text = next(iter(self._waiting.items()))
                try:
                    bucket = await self._bucket.open()
                    if text is None:
                        await self._remove(call_id)
                    else:
                        await bucket.put(call_id, text)
                except (Error, TimeoutError, OSError) as error:
                    self._bucket.failed(error)
                    self._waiting[call_id] = self._waiting.pop(call_id)  # behind the others, which may fit
                    await asyncio.sleep(AGAIN_S)
                    continue
                except Exception:
                    logger.exception("{} could not be kept in JetStream", call_id)
                if self._waiting.get(call_id) is text:  # else a newer one has come meanwhile
                    del self._waiting[call_id]
            self._written.set()

    async def _remove(self, call_id: str) -> None:
        """Leave nothing of a call: `KeyValue.purge` would leave a mark, for as long as what is kept."""
        subject = f"$KV.{self._bucket.name}.{call_id}"
        stream = self._client.jetstream(timeout=WAIT_S)
        await stream.purge_stream(f"KV_{self._bucket.name}", subject=subject)


def _text(data: dict[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
