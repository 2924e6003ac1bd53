"""Saved items: the little beside the records that a gateway must still know after it was killed.

A webhook that is not delivered yet, the idempotency key of a call that was dialled, the checkpoint of a
conversation. They are rows of one table, by kind and key, written in the transactions of the records
(`saved_item_rows`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["RESUME_S", "SAVED_S", "ItemKind", "SavedItem", "size_of"]

ItemKind = Literal["webhook", "lost_call", "order", "checkpoint"]
"""A webhook that is not delivered yet, a lost call of which no webhook tells yet, an idempotency key with its order,
the checkpoint of a conversation.
"""

SAVED_S = 86_400.0
"""How long a webhook or an idempotency key is kept: longer than a webhook is tried."""
RESUME_S = 600.0
"""How long after the end of its call a checkpoint is kept."""


@dataclass(frozen=True, slots=True)
class SavedItem:
    """A saved item. Without `data` it is one that is to be deleted."""

    kind: ItemKind
    key: str
    data: dict[str, Any] | None
    saved_at: float = 0.0
    """Unix time in seconds."""
    number: int = 0
    """Its place among the items of one run of the gateway."""
    size: int = field(default=0, compare=False)
    """About how many bytes it takes."""

    @property
    def identity(self) -> tuple[ItemKind, str]:
        """Its kind and key: of two items with the same, the later one counts."""
        return self.kind, self.key


def size_of(data: dict[str, Any] | None) -> int:
    """About how many bytes an item or an event with this `data` takes."""
    if data is None:
        return 100
    return 100 + len(json.dumps(data, ensure_ascii=False, default=str).encode(errors="replace"))
