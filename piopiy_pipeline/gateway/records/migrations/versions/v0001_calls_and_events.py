"""Creates the tables of calls, their events, and the gateways that take them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "gateways",
        sa.Column("gateway_id", sa.Text, primary_key=True),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("seen_at", time, nullable=False),
    )
    op.create_table(
        "calls",
        sa.Column("call_id", sa.Text, primary_key=True),
        sa.Column("gateway_id", sa.Text, nullable=False),
        sa.Column("agent_id", sa.Text, nullable=False),
        sa.Column("instance_id", sa.Text),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("from_number", sa.Text),
        sa.Column("to_number", sa.Text),
        sa.Column("metadata", sa.JSON),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("placed_at", time, nullable=False),
        sa.Column("answered_at", time),
        sa.Column("ended_at", time),
        sa.Column("reason", sa.Text),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("gaps", sa.Integer, nullable=False),
        sa.Column("worst_gap_s", sa.Double, nullable=False),
        sa.Column("frames_dropped", sa.Integer, nullable=False),
        sa.Column("caller_dropped_s", sa.Double, nullable=False),
        sa.Column("recording", sa.Text),
    )
    op.create_index("calls_by_time", "calls", ["placed_at", "call_id"])
    op.create_index("calls_by_agent", "calls", ["agent_id", "placed_at", "call_id"])
    op.create_index("calls_by_end", "calls", ["ended_at"])
    op.create_table(
        "events",
        sa.Column("call_id", sa.Text, sa.ForeignKey("calls.call_id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("told_at", time, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("events")
    op.drop_table("calls")
    op.drop_table("gateways")
