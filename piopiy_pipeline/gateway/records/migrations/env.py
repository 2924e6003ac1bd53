"""What Alembic runs for every command: on the connection that `migrating` opened, in its transaction."""

from __future__ import annotations

from alembic import context

from piopiy_pipeline.gateway.records.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite can, too, when somebody begins the transaction
    render_as_batch=True,  # SQLite alters tables by copying them
)
with context.begin_transaction():
    context.run_migrations()
