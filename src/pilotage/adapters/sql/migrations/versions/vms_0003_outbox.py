"""VMs: the outbox says who is to be told of which task; what is told is read from the task, which does not change."""

import sqlalchemy as sa
from alembic import op

revision = "vms_0003"
down_revision = "vms_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The text of a message was a copy of its task's row."""
    op.drop_column("vm_outbox", "payload")


def downgrade() -> None:
    """Write the copies again."""
    build = "json_object" if op.get_bind().dialect.name == "sqlite" else "json_build_object"
    op.add_column("vm_outbox", sa.Column("payload", sa.Text, nullable=False, server_default=""))
    op.execute(
        "UPDATE vm_outbox SET payload = (SELECT CASE WHEN vm_outbox.kind = 'publish' THEN t.request ELSE CAST("
        f"{build}('event_id', t.event_id, 'task_id', t.task_id, 'status', t.status, 'selected_node', t.selected_node,"
        " 'claim_id', CASE WHEN t.status = 'success' THEN t.task_id || '.1' END, 'error', t.error,"
        " 'error_class', t.error_class, 'at', t.finished_at) AS text) END"
        " FROM task_status t WHERE t.task_id = vm_outbox.task_id)"
    )
