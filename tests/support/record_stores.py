"""A gateway as its store sees it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import update

from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.event_bus import BusEvent
from piopiy_pipeline.gateway.records.record_builder import time_of_day
from piopiy_pipeline.gateway.records.store import Store
from piopiy_pipeline.gateway.records.tables import gateways
from piopiy_pipeline.gateway.records.write_queue import WriteQueue

__all__ = ["StoreGateway", "StoreGateways"]


class StoreGateway:
    """A gateway as its store sees it: its events are written to the store."""

    def __init__(self, config: GatewayConfig, name: str = "one:7860") -> None:
        self.config = config
        self.queue = WriteQueue()
        self.store = Store(config, name)

    def write(self, *events: BusEvent) -> None:
        for one in events:
            self.queue.add(one)
        assert self.store.write(self.queue.take()) == 0

    def die(self) -> None:
        """As if the process had been killed: the lease is not given back."""
        self.store._engine.dispose()

    def not_renewed_for(self, seconds: float) -> None:
        """Let the lease have been renewed so many seconds ago."""
        with self.store._engine.begin() as connection:
            now = time_of_day(time.time() - seconds)
            connection.execute(
                update(gateways).where(gateways.c.gateway_id == self.store.gateway_id).values(seen_at=now)
            )

    def has_held_its_lease_for(self, seconds: float) -> None:
        """Let the database have been there for so many seconds, without a gap."""
        self.store._lost_calls.held_since -= timedelta(seconds=seconds)

    def page(self, limit: int = 50, before: str | None = None, **only: Any) -> tuple[list[str], str | None]:
        page = self.store.page(limit, before, only.get("agent_id"), only.get("kind"), only.get("phase"))
        return [record.call_id for record in page.calls], page.next


StoreGateways = Callable[..., StoreGateway]
"""Makes gateways from their settings and names."""
