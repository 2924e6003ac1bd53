"""The records of calls: who called whom, what was said, how it ended. They are kept in SQLite or PostgreSQL.

`Records` is what the gateway uses. Everything that imports SQLAlchemy (`store`, `tables`, `database`,
`migration` and the folder `migrations`) is imported in the thread that opens the database.
"""

from __future__ import annotations

from piopiy_pipeline.gateway.records.models import BadCursor, RecordsUnavailable
from piopiy_pipeline.gateway.records.records import Records

__all__ = ["BadCursor", "Records", "RecordsUnavailable"]
