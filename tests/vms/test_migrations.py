"""A database of an older version is brought to this one, and back, with nothing lost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from pilotage.adapters.sql import migrate as migrating
from pilotage.adapters.sql.vms.outbox import take_due
from pilotage.adapters.sql.vms.requests import submit
from tests.vms.cloud import Cloud, decided, host, request

if TYPE_CHECKING:
    from collections.abc import Callable


def move(cloud: Cloud, step: Callable[[Config, str], None], to: str) -> None:
    """Carry out migrations as `migrate` does, in either direction."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrating.__file__).parent / "migrations"))
    with cloud.database.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        step(config, to)


def told(cloud: Cloud) -> dict[tuple[str, str], object]:
    """What the messages that are due say, by kind and task."""
    kinds = ("publish", "webhook")
    due = [each for kind in kinds for each in cloud.run(lambda c, k=kind: take_due(c, k, 2e9, at_most=10, lease_s=0))]
    return {(each.kind, each.task_id): msgspec.json.decode(each.payload) for each in due}


@pytest.mark.parametrize("on", ["bm1", ""])
def test_what_is_to_be_told_is_the_same_with_and_without_a_text_of_its_own(cloud: Cloud, on: str) -> None:
    cloud.bring_in(host())
    why = {} if on else {"error_class": "unsatisfiable_now", "error": 'no host has "room"'}
    cloud.commit(decided(request("t1"), on, **why), receivers=("hook",), known=1)
    cloud.run(lambda c: submit(c, [request("t2", owner="me")], 1.8e9, through_broker=True))
    before = told(cloud)
    assert before["publish", "t2"] == msgspec.to_builtins(request("t2", owner="me"))
    assert before["webhook", "t1"]["selected_node"] == (on or None)  # type: ignore[index]
    move(cloud, command.downgrade, "vms_0002")
    rows = cloud.read(lambda c: c.execute(text("SELECT kind, task_id, payload FROM vm_outbox")).all())
    assert {(row.kind, row.task_id): msgspec.json.decode(row.payload) for row in rows} == before
    move(cloud, command.upgrade, "vms@head")
    assert told(cloud) == before
    assert cloud.verdict().problems == []
