"""The manager's tables. Column names are those of the data model that operators know; keys are our field names.

Every row carries the ``revision`` that wrote it, and ``is_del``: deleted rows stay for a day, so that every manager
that follows the revisions hears of them. Names are unique among the rows that are not deleted.
"""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, Table, Text, text

from pilotage.registry.entities import (
    Application,
    Entity,
    Model,
    Scheduler,
    SchedulerCluster,
    SeedPeer,
    SeedPeerCluster,
)

metadata = MetaData()

_NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up INTEGER PRIMARY KEYs only


def _base() -> list[Column[Any]]:
    return [
        Column("id", _NUMBER, primary_key=True, autoincrement=True),
        Column("created_at", Float, nullable=False),
        Column("updated_at", Float, nullable=False),
        Column("is_del", Integer, nullable=False, server_default=text("0")),
        Column("revision", BigInteger, nullable=False, index=True),
    ]


def _text(name: str, key: str | None = None, default: str = "") -> Column[Any]:
    return Column(name, Text, nullable=False, server_default=default, key=key or name)


def _member() -> list[Column[Any]]:
    return [
        _text("host_name", "hostname"),
        _text("ip"),
        Column("port", BigInteger, nullable=False, server_default=text("0")),
        _text("idc"),
        _text("location"),
        _text("state", default="inactive"),
        _text("owner"),
        Column("generation", BigInteger, nullable=False, server_default=text("0")),
        Column("last_keep_alive_at", Float),
    ]


def _unique(name: str, *columns: str) -> Index:
    alive = text("is_del = 0")
    return Index(name, *columns, unique=True, sqlite_where=alive, postgresql_where=alive)


revision = Table(
    "manager_revision",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("revision", BigInteger, nullable=False),
)
"""One row. Whoever writes raises it first and holds its lock to the commit: revisions are in the order of commits."""

replica = Table(
    "manager_replica",
    metadata,
    Column("name", Text, primary_key=True),
    Column("beat", BigInteger, nullable=False),
    Column("seen_at", Float, nullable=False),
)

scheduler_cluster = Table(
    "manager_scheduler_cluster",
    metadata,
    *_base(),
    _text("name"),
    _text("bio"),
    _text("config", default="{}"),
    _text("client_config", default="{}"),
    _text("seed_client_config", default="{}"),
    _text("scopes", default="{}"),
    Column("is_default", Boolean, nullable=False, server_default=text("false")),
    _unique("uk_manager_scheduler_cluster", "name"),
)

scheduler = Table(
    "manager_scheduler",
    metadata,
    *_base(),
    *_member(),
    _text("features", default="[]"),
    _text("config", default="{}"),
    Column("scheduler_cluster_id", BigInteger, nullable=False, key="cluster_id"),
    _unique("uk_manager_scheduler", "hostname", "ip", "cluster_id"),
)

seed_peer_cluster = Table(
    "manager_seed_peer_cluster",
    metadata,
    *_base(),
    _text("name"),
    _text("bio"),
    _text("config", default="{}"),
    _unique("uk_manager_seed_peer_cluster", "name"),
)

link = Table(
    "manager_seed_peer_cluster_scheduler_cluster",
    metadata,
    Column("seed_peer_cluster_id", BigInteger, primary_key=True),
    Column("scheduler_cluster_id", BigInteger, primary_key=True),
)

seed_peer = Table(
    "manager_seed_peer",
    metadata,
    *_base(),
    *_member(),
    _text("type", default="super"),
    Column("download_port", BigInteger, nullable=False, server_default=text("0")),
    Column("object_storage_port", BigInteger, nullable=False, server_default=text("0")),
    Column("seed_peer_cluster_id", BigInteger, nullable=False, key="cluster_id"),
    _unique("uk_manager_seed_peer", "hostname", "ip", "cluster_id"),
)

application = Table(
    "manager_application",
    metadata,
    *_base(),
    _text("name"),
    _text("url"),
    _text("bio"),
    _text("priority", default="{}"),
    _unique("uk_manager_application", "name"),
)

model = Table(
    "manager_model",
    metadata,
    *_base(),
    _text("type"),
    Column("version", BigInteger, nullable=False),
    Column("scheduler_id", BigInteger, nullable=False),
    _text("digest"),
    Column("size_bytes", BigInteger, nullable=False),
    _text("state", default="inactive"),
    _text("bio"),
    _text("evaluation", default="{}"),
    _unique("uk_manager_model", "type", "version", "scheduler_id"),
)

model_data = Table(
    "manager_model_data",
    metadata,
    Column("model_id", BigInteger, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

TABLES: dict[type[Entity], Table] = {
    SchedulerCluster: scheduler_cluster,
    SeedPeerCluster: seed_peer_cluster,
    Scheduler: scheduler,
    SeedPeer: seed_peer,
    Application: application,
    Model: model,
}
