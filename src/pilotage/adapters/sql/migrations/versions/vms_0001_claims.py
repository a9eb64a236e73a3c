"""VMs: hosts, tasks, claims, groups, events, outbox, dead letters, and the queue for who has no broker."""

import sqlalchemy as sa
from alembic import op

revision = "vms_0001"
down_revision = None
branch_labels = ("vms",)
depends_on = None

AMOUNTS = ("cpu", "memory", "storage", "gpu", "vms")


def _text(name: str, **options: object) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, **options)  # type: ignore[arg-type]


def _number(name: str, default: int | None = 0) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=None if default is None else str(default))


def _time(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Float)


def _identity(name: str = "id") -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True)


def upgrade() -> None:
    """Create all of it."""
    _hosts_and_groups()
    _tasks_and_claims()
    _outbox_and_letters()
    _guard()


def _hosts_and_groups() -> None:
    op.create_table("vm_shards", _text("name", primary_key=True), _number("seq"))
    op.execute("INSERT INTO vm_shards (name, seq) VALUES ('main', 0)")
    op.create_table(
        "vm_hosts",
        _text("name", primary_key=True),
        _text("pool"),
        sa.Column("dedicated", sa.Boolean, nullable=False),
        _text("state"),
        _text("source"),
        _text("spec"),
        *(_number(f"cap_{each}") for each in AMOUNTS),
        *(_number(f"used_{each}") for each in AMOUNTS),
        _number("seq"),
        _time("seen_at"),
        *(sa.CheckConstraint(f"used_{each} >= 0", name=f"vm_hosts_{each}_not_negative") for each in AMOUNTS),
    )
    op.create_table(
        "vm_groups",
        _text("pool", primary_key=True),
        _text("name", primary_key=True),
        _text("rule"),
        _number("members"),
    )
    op.create_table(
        "vm_group_places",
        _text("pool", primary_key=True),
        _text("name", primary_key=True),
        _text("place", primary_key=True),
        _number("members"),
        sa.Column("at_most", sa.BigInteger),
        sa.CheckConstraint("members >= 0", name="vm_group_places_not_negative"),
        sa.CheckConstraint("at_most IS NULL OR members <= at_most", name="vm_group_places_hard_rule"),
    )


def _tasks_and_claims() -> None:
    op.create_table(
        "task_status",
        _text("task_id", primary_key=True),
        _text("status"),
        sa.Column("selected_node", sa.Text),
        sa.Column("updated_at", sa.Float, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("error_class", sa.Text),
        _text("digest"),
        _text("request"),
        _text("history"),
        sa.Column("created_at", sa.Float, nullable=False),
        _time("finished_at"),
        _time("processing_ms"),
        _number("attempts"),
        sa.Column("worker", sa.Text),
        sa.Column("event_id", sa.Text, unique=True),
    )
    op.create_index("task_status_by_status", "task_status", ["status", "created_at"])
    op.create_index("task_status_by_time", "task_status", ["created_at", "task_id"])
    op.create_table(
        "vm_claims",
        _text("claim_id", primary_key=True),
        _text("task_id"),
        _text("host"),
        _text("pool"),
        *(_number(each) for each in AMOUNTS if each != "vms"),
        _text("group_name"),
        _text("place"),
        _text("owner"),
        _text("state"),
        _number("token"),
        sa.Column("reserved_at", sa.Float, nullable=False),
        _time("expires_at"),
        _time("changed_at"),
    )
    op.create_index("vm_claims_by_host", "vm_claims", ["host", "state"])
    op.create_index("vm_claims_by_task", "vm_claims", ["task_id"], unique=True)
    op.create_index("vm_claims_by_expiry", "vm_claims", ["state", "expires_at"])
    op.create_table(
        "vm_events",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Float, nullable=False),
        _text("kind"),
        _text("worker"),
        _text("host"),
        _text("pool"),
        _text("claim_id"),
        _text("task_id"),
        *(_number(each) for each in AMOUNTS),
        _text("group_rule"),
        _text("place"),
    )


def _outbox_and_letters() -> None:
    op.create_table(
        "vm_outbox",
        _identity(),
        _text("kind"),
        _text("event_id"),
        _text("receiver"),
        _text("task_id"),
        _text("payload"),
        _text("state"),
        _number("attempts"),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("next_at", sa.Float, nullable=False),
        _time("done_at"),
        sa.Column("error", sa.Text),
        sa.UniqueConstraint("event_id", "receiver", name="vm_outbox_once"),
    )
    op.create_index("vm_outbox_due", "vm_outbox", ["state", "kind", "next_at"])
    op.create_table(
        "vm_deliveries",
        _identity(),
        sa.Column("outbox_id", sa.BigInteger, nullable=False, index=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("status", sa.BigInteger),
        sa.Column("took_ms", sa.Float, nullable=False),
        sa.Column("error", sa.Text),
    )
    op.create_table(
        "vm_dead_letters",
        _identity(),
        sa.Column("at", sa.Float, nullable=False),
        _text("task_id"),
        _text("message_id"),
        _text("error_class"),
        _text("field"),
        _text("reason"),
        sa.Column("body", sa.LargeBinary, nullable=False),
        _number("body_bytes"),
        _text("state"),
        _number("retries"),
    )
    op.create_table(
        "vm_queue",
        _identity(),
        _text("message_id"),
        sa.Column("body", sa.LargeBinary, nullable=False),
        _number("deliveries"),
        sa.Column("taken_until", sa.Float, nullable=False, server_default="0"),
        _text("taken_by", server_default=""),
    )


def _guard() -> None:
    """Whatever a program does: an update that takes more of a host than it has fails."""
    over = " OR ".join(f"(NEW.used_{a} > OLD.used_{a} AND NEW.used_{a} > NEW.cap_{a})" for a in AMOUNTS)
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"CREATE TRIGGER vm_hosts_guard BEFORE UPDATE ON vm_hosts WHEN {over} "
            "BEGIN SELECT RAISE(ABORT, 'host would be over-committed'); END"
        )
        return
    op.execute(
        "CREATE FUNCTION vm_hosts_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {over} THEN RAISE EXCEPTION 'host % would be over-committed', NEW.name USING ERRCODE = '23514'; END IF; "
        "RETURN NEW; END $$"
    )
    op.execute("CREATE TRIGGER vm_hosts_guard BEFORE UPDATE ON vm_hosts FOR EACH ROW EXECUTE FUNCTION vm_hosts_guard()")


def downgrade() -> None:
    """Drop all of it."""
    tables = ("vm_queue", "vm_dead_letters", "vm_deliveries", "vm_outbox", "vm_events", "vm_claims", "task_status")
    for table in (*tables, "vm_group_places", "vm_groups", "vm_hosts", "vm_shards"):
        op.drop_table(table)
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION vm_hosts_guard()")
