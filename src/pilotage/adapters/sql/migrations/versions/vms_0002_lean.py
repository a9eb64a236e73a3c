"""VMs: what a claim costs the database: one index less, one that holds only what may expire, room beside each host."""

from alembic import op

revision = "vms_0002"
down_revision = "vms_0001"
branch_labels = None
depends_on = None

_OVER = " OR ".join(
    f"(NEW.used_{each} > OLD.used_{each} AND NEW.used_{each} > NEW.cap_{each})"
    for each in ("cpu", "memory", "storage", "gpu", "vms")
)
_GUARD = "CREATE TRIGGER vm_hosts_guard BEFORE UPDATE ON vm_hosts FOR EACH ROW"
_RAISE = "RAISE EXCEPTION 'host % would be over-committed', NEW.name USING ERRCODE = '23514';"


def upgrade() -> None:
    """The id of a claim follows from its task's, and its primary key says already that there is one."""
    op.drop_index("vm_claims_by_task", "vm_claims")
    op.drop_index("vm_claims_by_expiry", "vm_claims")
    op.execute("CREATE INDEX vm_claims_by_expiry ON vm_claims (expires_at) WHERE expires_at IS NOT NULL")
    if op.get_bind().dialect.name == "sqlite":
        return
    # A row that finds room on its own page changes no index.
    op.execute("ALTER TABLE vm_hosts SET (fillfactor = 50)")
    # The condition as part of the trigger: the function is called for a row that breaks it, not for every row.
    op.execute("DROP TRIGGER vm_hosts_guard ON vm_hosts")
    op.execute(
        f"CREATE OR REPLACE FUNCTION vm_hosts_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_RAISE} END $$"
    )
    op.execute(f"{_GUARD} WHEN ({_OVER}) EXECUTE FUNCTION vm_hosts_guard()")


def downgrade() -> None:
    """As it was."""
    op.drop_index("vm_claims_by_expiry", "vm_claims")
    op.create_index("vm_claims_by_expiry", "vm_claims", ["state", "expires_at"])
    op.create_index("vm_claims_by_task", "vm_claims", ["task_id"], unique=True)
    if op.get_bind().dialect.name == "sqlite":
        return
    op.execute("ALTER TABLE vm_hosts RESET (fillfactor)")
    op.execute("DROP TRIGGER vm_hosts_guard ON vm_hosts")
    body = f"IF {_OVER} THEN {_RAISE} END IF; RETURN NEW;"
    op.execute(
        f"CREATE OR REPLACE FUNCTION vm_hosts_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$"
    )
    op.execute(f"{_GUARD} EXECUTE FUNCTION vm_hosts_guard()")
