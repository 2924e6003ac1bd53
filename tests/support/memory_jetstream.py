"""A JetStream in memory with one bucket, as far as gateways use it. Its answers fail or are late when tests say so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from nats.errors import TimeoutError as NatsTimeout
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError

__all__ = ["MemoryJetStream"]


class MemoryJetStream:
    """The client of a gateway, its JetStream and the bucket, all in one."""

    max_payload = 1 << 20

    def __init__(self) -> None:
        self.is_connected = True
        self.trouble: Exception | None = None
        """What every question fails with."""
        self.late = False
        """Whether the next answer to a write comes too late."""
        self.rows: dict[str, bytes] = {}
        self._revisions: dict[str, int] = {}
        self._last = 0

    def jetstream(self, timeout: float) -> MemoryJetStream:
        return self

    async def create_key_value(self, config: object) -> MemoryJetStream:
        self._ask()
        return self

    async def stream_info(self, name: str, subjects_filter: str) -> Any:
        self._ask()
        bucket, prefix = name.removeprefix("KV_"), subjects_filter.removesuffix(">")
        subjects = [f"$KV.{bucket}.{key}" for key in self.rows]
        found = {subject: 1 for subject in subjects if subject.startswith(prefix)}
        return SimpleNamespace(state=SimpleNamespace(subjects=found))

    async def purge_stream(self, name: str, subject: str) -> None:
        self._ask()
        self.rows.pop(subject.removeprefix(f"$KV.{name.removeprefix('KV_')}."), None)

    async def get(self, key: str) -> Any:
        self._ask()
        if key not in self.rows:
            raise KeyNotFoundError
        return SimpleNamespace(value=self.rows[key], revision=self._revisions[key])

    async def put(self, key: str, value: bytes) -> None:
        self._ask()
        self._last += 1
        self.rows[key], self._revisions[key] = value, self._last
        if self.late:
            self.late = False
            raise NatsTimeout

    async def update(self, key: str, value: bytes, last: int) -> None:
        self._ask()
        if key not in self.rows or self._revisions[key] != last:
            raise KeyWrongLastSequenceError
        await self.put(key, value)

    create = put

    def _ask(self) -> None:
        if self.trouble is not None:
            raise self.trouble
