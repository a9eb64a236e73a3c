"""The task queue: tasks, instances, choices."""

import sqlalchemy as sa
from alembic import op

revision = "tasks_0001"
down_revision = None
branch_labels = ("tasks",)
depends_on = None


def upgrade() -> None:
    """Create the tables of the task queue."""
    op.create_table(
        "tasks_task",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("deadline_s", sa.Float(53)),
        sa.Column("key", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("remote_id", sa.Text),
        sa.Column("submitted_s", sa.Float(53), nullable=False),
        sa.Column("scheduled_s", sa.Float(53)),
        sa.Column("started_s", sa.Float(53)),
        sa.Column("finished_s", sa.Float(53)),
        sa.Column("run_s", sa.Float(53)),
        sa.Column("input", sa.LargeBinary, nullable=False),
        sa.Column("metadata", sa.LargeBinary, nullable=False),
        sa.Column("result", sa.LargeBinary),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("attempts", sa.Text, nullable=False),
    )
    op.create_index("tasks_task_status", "tasks_task", ["status", "seq"])
    for column in ("key", "remote_id"):
        where = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"tasks_task_{column}",
            "tasks_task",
            ["tenant", "key"] if column == "key" else [column],
            unique=column == "key",
            sqlite_where=where,
            postgresql_where=where,
        )
    op.create_table(
        "tasks_instance",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("port", sa.Integer, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("registered_s", sa.Float(53), nullable=False),
        sa.Column("draining", sa.Boolean, nullable=False),
    )
    op.create_table(
        "tasks_setting",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("tasks_setting", "tasks_instance", "tasks_task"):
        op.drop_table(table)
