"""Alembic runs this for every command, on the connection and in the transaction that `migrate` opened."""

from __future__ import annotations

from alembic import context

from piopiy_pipeline.gateway.records.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite can do that too, once a transaction has begun
    render_as_batch=True,  # SQLite alters tables by copying them
)
with context.begin_transaction():
    context.run_migrations()
