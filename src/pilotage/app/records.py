"""Records of engines: where they are written, and what replay makes of them."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np
from msgspec import Struct

from pilotage import __version__
from pilotage.adapters.records.reader import read_record
from pilotage.adapters.records.writer import RecordWriter
from pilotage.app.config import RecordSettings
from pilotage.app.policy_files import load_policy
from pilotage.engine.record import Header, Item, Opened
from pilotage.engine.recorder import Recording
from pilotage.kernel.policy import Policy
from pilotage.model.errors import InvalidInput


class RecordPlan(Struct, frozen=True):
    """A file to record in; a new one follows after ``segment_bytes``, of full ones ``keep`` stay (None: all)."""

    path: str
    segment_bytes: int
    keep: int | None


def record_plan(path: str, settings: RecordSettings) -> RecordPlan:
    """Return the plan for a file under the settings in effect."""
    return RecordPlan(path, settings.segment_mib * 2**20, settings.keep or None)


@contextmanager
def recording(plan: RecordPlan, about: str, policy: str) -> Iterator[Recording]:
    """Open a record, for an engine under the policy that the text names, and close it in the end."""
    versions = {"pilotage": __version__, "python": platform.python_version(), "numpy": np.__version__}
    with RecordWriter(Path(plan.path), segment_bytes=plan.segment_bytes, keep=plan.keep) as writer:
        yield Recording(writer, about, policy, versions)


class Record(Struct, frozen=True):
    """A record that is being read: its first header, and all its items."""

    header: Header
    items: Iterator[Item]


def open_record(path: str, *, partial: bool = False) -> Record:
    """Begin to read a record. What is wrong with its first segment shows at once, the rest when it is reached."""
    items = read_record(Path(path), partial=partial)
    first = next(items)
    assert isinstance(first, Opened)
    return Record(first.header, chain([first], items))


def policy_on_record(header: Header) -> Policy:
    """Return the policy that decided; raises `InvalidInput` if it can not be had, or does something else today."""
    try:
        policy = load_policy(header.policy)
    except InvalidInput as error:
        raise InvalidInput("policy", f"{header.policy!r} decided here and can not be loaded ({error})") from None
    if policy.digest != header.policy_digest:
        now = f"digest {policy.digest}, on record {header.policy_digest}"
        raise InvalidInput(
            "policy", f"{header.policy!r} is not what it was ({now}): say --policy to replay under another one"
        )
    return policy
