"""Brings a database to the form that this version reads; each face has its own line of migrations.

A face's line is a branch of one Alembic environment: files ``migrations/versions/FACE_0001_what.py`` with
``branch_labels = ("FACE",)`` on the first. A database may hold any set of faces.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

from pilotage.adapters.sql.engine import is_sqlite

SHARED = "shared"
"""The line of what all faces share: the lease."""

_LOCK = 0x70696C6F74616765
"""PostgreSQL's advisory lock that two processes starting at once take in turn."""


def migrate(engine: Engine, *faces: str) -> None:
    """Upgrade the shared tables and those of ``faces`` in one transaction; does nothing when they are current."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect() as connection, connection.begin():
        if not is_sqlite(connection):
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        config.attributes["connection"] = connection
        for face in (SHARED, *faces):
            command.upgrade(config, f"{face}@head")
