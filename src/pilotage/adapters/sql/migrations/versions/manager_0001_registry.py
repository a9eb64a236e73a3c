"""The manager's registry, with a first cluster of each kind that takes every host."""

import time
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "manager_0001"
down_revision = None
branch_labels = ("manager",)
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_ALIVE = sa.text("is_del = 0")
_CONFIG = '{"candidate_parent_limit":3,"filter_parent_limit":15,"job_rate_limit":10}'


def _table(name: str, unique: list[str], *columns: "sa.Column[Any]") -> sa.Table:
    table = op.create_table(
        f"manager_{name}",
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
        sa.Column("is_del", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("revision", sa.BigInteger, nullable=False),
        *columns,
        sqlite_autoincrement=True,
    )
    op.create_index(f"ix_manager_{name}_revision", f"manager_{name}", ["revision"])
    index = f"uk_manager_{name}"
    op.create_index(index, f"manager_{name}", unique, unique=True, sqlite_where=_ALIVE, postgresql_where=_ALIVE)
    return table


def _text(name: str, default: str = "") -> "sa.Column[Any]":
    return sa.Column(name, sa.Text, nullable=False, server_default=default)


def _integer(name: str) -> "sa.Column[Any]":
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=sa.text("0"))


def _member() -> "list[sa.Column[Any]]":
    return [
        *(_text(name) for name in ("host_name", "ip", "idc", "location", "owner")),
        _text("state", "inactive"),
        _integer("port"),
        _integer("generation"),
        sa.Column("last_keep_alive_at", sa.Float),
    ]


def upgrade() -> None:
    """Create the tables."""
    revisions = op.create_table(
        "manager_revision",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "manager_replica",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("beat", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.Float, nullable=False),
    )
    default = sa.Column("is_default", sa.Boolean, nullable=False, server_default=sa.text("false"))
    texts = [_text(name, "{}") for name in ("config", "client_config", "seed_client_config", "scopes")]
    clusters = _table("scheduler_cluster", ["name"], _text("name"), _text("bio"), *texts, default)
    place = ["host_name", "ip"]
    _table(
        "scheduler",
        [*place, "scheduler_cluster_id"],
        *_member(),
        _text("features", "[]"),
        _text("config", "{}"),
        _integer("scheduler_cluster_id"),
    )
    seeds = _table("seed_peer_cluster", ["name"], _text("name"), _text("bio"), _text("config", "{}"))
    links = op.create_table(
        "manager_seed_peer_cluster_scheduler_cluster",
        sa.Column("seed_peer_cluster_id", sa.BigInteger, primary_key=True),
        sa.Column("scheduler_cluster_id", sa.BigInteger, primary_key=True),
    )
    _table(
        "seed_peer",
        [*place, "seed_peer_cluster_id"],
        *_member(),
        _text("type", "super"),
        _integer("download_port"),
        _integer("object_storage_port"),
        _integer("seed_peer_cluster_id"),
    )
    _table("application", ["name"], _text("name"), _text("url"), _text("bio"), _text("priority", "{}"))
    _models()
    now = time.time()
    row = {"name": "cluster-1", "created_at": now, "updated_at": now, "revision": 1}
    op.bulk_insert(revisions, [{"id": 1, "revision": 1}])
    scheduler_row = {**row, "config": _CONFIG, "client_config": '{"load_limit":200}', "is_default": True}
    op.bulk_insert(clusters, [scheduler_row])
    op.bulk_insert(seeds, [{**row, "config": '{"load_limit":2000}'}])
    op.bulk_insert(links, [{"seed_peer_cluster_id": 1, "scheduler_cluster_id": 1}])


def _models() -> None:
    _table(
        "model",
        ["type", "version", "scheduler_id"],
        _text("type"),
        _integer("version"),
        _integer("scheduler_id"),
        _text("digest"),
        _integer("size_bytes"),
        _text("state", "inactive"),
        _text("bio"),
        _text("evaluation", "{}"),
    )
    op.create_table(
        "manager_model_data",
        sa.Column("model_id", sa.BigInteger, primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    for name in ("scheduler_cluster", "scheduler", "seed_peer_cluster", "seed_peer", "application", "model"):
        op.drop_table(f"manager_{name}")
    for name in ("model_data", "seed_peer_cluster_scheduler_cluster", "replica", "revision"):
        op.drop_table(f"manager_{name}")
