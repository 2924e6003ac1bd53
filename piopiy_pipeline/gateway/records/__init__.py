"""The records of calls: who called whom, what was said, how it ended; in SQLite or PostgreSQL.

`records` is what the gateway holds in its hands. All that knows of databases is loaded in a thread of
its own, after the gateway listens: `store`, `tables`, `migrating`, and the folder `migrations`.
"""

from __future__ import annotations

from piopiy_pipeline.gateway.records.backlog import Backlog
from piopiy_pipeline.gateway.records.models import BadCursor, RecordsUnavailable
from piopiy_pipeline.gateway.records.record_builder import RecordBuilder
from piopiy_pipeline.gateway.records.records import Records

__all__ = ["Backlog", "BadCursor", "RecordBuilder", "Records", "RecordsUnavailable"]
