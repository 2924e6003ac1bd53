"""Lets the caller of a call that was lost with its gateway go on with the conversation in a new call.

A caller who can call again by itself, such as a page, is given a resume token with the answer to its offer. The
last checkpoint of its call is a saved item until the call ends. When the gateway was killed, the item is still there:
whoever shows the token with a new offer gets the checkpoint, once, for the same agent and under the same identity.
If the new call ends before it was answered, the checkpoint is put back, and the token is good again.
A token is 32 random bytes and not a signed text, because what signatures are made with may not outlive a gateway.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from piopiy_pipeline.gateway.core.event_bus import BusEvent, CallChanged
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.gateway.records.records import Records

__all__ = ["CheckpointStore", "Resumptions", "TakenCheckpoint"]

GRANTED = 10_000
"""For how many calls a token is remembered: those that have not had a turn for the longest time are forgotten."""


class CheckpointStore(Protocol):
    """Where the last checkpoints of calls are kept, beyond the life of their gateway."""

    def save(self, call_id: str, data: dict[str, Any]) -> None:
        """Keep the latest checkpoint of a call, in the background."""

    def forget(self, call_id: str) -> None:
        """Forget a call that has ended, in the background."""

    async def take(self, call_id: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
        """Return what is kept of a call, if it fits, and let nobody have it again. Raises `RecordsUnavailable`."""

    def put_back(self, call_id: str, data: dict[str, Any]) -> None:
        """Keep again what was taken and not used, in the background."""


class _InRecords:
    """A `CheckpointStore` in the database of records, which forgets a call by itself when it has ended."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def save(self, call_id: str, data: dict[str, Any]) -> None:
        self._records.save("checkpoint", call_id, data)

    def forget(self, call_id: str) -> None: ...

    async def take(self, call_id: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
        return await self._records.take_item("checkpoint", call_id, fits)

    def put_back(self, call_id: str, data: dict[str, Any]) -> None:
        self._records.save("checkpoint", call_id, data, of_lost_call=True)


class TakenCheckpoint:
    """A checkpoint that nobody else gets, unless it is put back.

    Args:
        state: The checkpoint.
        put_back: Called at most once, if no conversation has gone on with it.
    """

    def __init__(self, state: dict[str, Any], put_back: Callable[[], None]) -> None:
        self.state = state
        self._put_back: Callable[[], None] | None = put_back

    def put_back(self) -> None:
        """Let its token be shown again. May be called more than once, and counts once."""
        put_back, self._put_back = self._put_back, None
        if put_back is not None:
            put_back()


class Resumptions:
    """The resume tokens of a gateway's calls, and their checkpoints.

    Args:
        records: Where checkpoints are saved, unless they are shared.
    """

    def __init__(self, records: Records | None) -> None:
        self._store: CheckpointStore | None = None if records is None else _InRecords(records)
        self._granted: OrderedDict[str, dict[str, str]] = OrderedDict()

    def grant(self, call_id: str, *, agent_id: str, identity: str) -> str:
        """Return a resume token for a call that begins.

        Args:
            call_id: The call.
            agent_id: The agent whom it is for.
            identity: The caller.
        """
        secret = secrets.token_urlsafe(32)
        self._granted[call_id] = {"secret": _digest(secret), "agent_id": agent_id, "identity": identity}
        if len(self._granted) > GRANTED:
            self._granted.popitem(last=False)
        return f"{call_id}.{secret}"

    def on_checkpoint(self, call_id: str, state: dict[str, Any]) -> None:
        """Save the latest checkpoint of a call, if it has a resume token."""
        grant = self._granted.get(call_id)
        if grant is not None:
            self._granted.move_to_end(call_id)
            if self._store is not None:
                self._store.save(call_id, {**grant, "state": state})

    def share(self, store: CheckpointStore) -> None:
        """Keep checkpoints where other gateways find them, from now on. It is the only place: none is given twice."""
        self._store = store

    def on_event(self, event: BusEvent) -> None:
        """Forget calls that end in order."""
        if not isinstance(event, CallChanged) or event.call.phase is not Phase.ENDED:
            return
        if self._granted.pop(event.call.call_id, None) is not None and self._store is not None:
            self._store.forget(event.call.call_id)

    async def take(self, token: str, *, agent_id: str, identity: str) -> TakenCheckpoint | None:
        """Return the checkpoint that a token is for. Nobody gets it a second time, unless it is put back.

        Args:
            token: The resume token.
            agent_id: The agent that is called now.
            identity: Who calls now.

        Returns:
            The checkpoint; None if there is none: the call ended properly, too long ago, was resumed
            already, or the token is not the call's.

        Raises:
            RecordsUnavailable: The database cannot be asked now: it may have one.
        """
        call_id, _, secret = token.partition(".")
        shown = {"secret": _digest(secret), "agent_id": agent_id, "identity": identity}

        def fits(data: dict[str, Any]) -> bool:
            theirs = [
                hmac.compare_digest(str(data.get(name)).encode(), shown[name].encode()) for name in shown
            ]
            return all(theirs)

        store = self._store
        data = None if store is None else await store.take(call_id, fits)
        if store is None or data is None or not isinstance(state := data.get("state"), dict):
            return None
        return TakenCheckpoint(state, lambda: store.put_back(call_id, data))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
