"""Adds the quality of the caller's line, as its leg measured it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("calls", sa.Column("line", sa.JSON, nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("calls", "line")
