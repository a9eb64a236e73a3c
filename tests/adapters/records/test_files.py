"""Records as files: rotation, and one clear error for whatever may have happened to a file."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.adapters.records.layout import LENGTHS
from pilotage.adapters.records.reader import read_record, segments_of
from pilotage.adapters.records.writer import RecordWriter
from pilotage.engine.record import Closed, Opened
from pilotage.engine.recorder import Recording, RecordingEngine
from pilotage.engine.replay import replay
from pilotage.kernel.policies import named
from pilotage.model.errors import InvalidInput
from pilotage.model.events import NodeAdded, TaskFinished, TaskSubmitted
from pilotage.model.node import Node
from pilotage.model.task import Task, TaskSpec


def recorded(
    path: Path, tasks: int = 400, segment_bytes: int = 2**20, keep: int | None = None, policy: str = "bestfit"
) -> str:
    """Record a small run and return its digest."""
    with RecordWriter(path, segment_bytes=segment_bytes, keep=keep) as writer:
        engine = RecordingEngine(named(policy), Recording(writer, "a test", policy, {}))
        for i in range(3):
            engine.apply(NodeAdded(Node(name=f"n{i}", capacity={"cpu": 10_000})))
        for i in range(tasks):
            engine.apply(TaskSubmitted(Task(id=f"t{i}", spec=TaskSpec(demand={"cpu": 50 + i % 90}))), float(i))
            engine.decide(float(i))
            if i > 20:
                engine.apply(TaskFinished(f"t{i - 20}"), float(i))
            if i % 20 == 0:
                writer.flush()
        engine.close()
    return engine._digest.hex()


def test_a_record_of_many_segments_reads_as_one(tmp_path) -> None:
    path = tmp_path / "run.log"
    digest = recorded(path, segment_bytes=1000)
    assert len(segments_of(path)) > 4
    assert segments_of(path)[-1] == path
    outcome = replay(read_record(path), named("bestfit"))
    assert (outcome.difference, outcome.digest, outcome.effects) == (None, digest, 400)
    third = replay(read_record(segments_of(path)[2]), named("bestfit"))
    assert third.difference is None


def test_only_the_newest_segments_are_kept(tmp_path) -> None:
    path = tmp_path / "run.log"
    digest = recorded(path, segment_bytes=1000, keep=2)
    files = segments_of(path)
    assert len(files) == 3
    assert sorted(tmp_path.iterdir()) == sorted(files)
    items = list(read_record(path))
    assert items[0].header.segment > 2
    assert replay(items, named("bestfit")).digest == digest


def test_only_the_owner_may_read_it(tmp_path) -> None:
    recorded(tmp_path / "run.log", tasks=3)
    assert (tmp_path / "run.log").stat().st_mode & 0o077 == 0


def test_a_file_that_is_there_is_left_alone(tmp_path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("precious")
    with pytest.raises(InvalidInput, match="exists already"):
        RecordWriter(path, segment_bytes=1000)
    assert path.read_text() == "precious"
    recorded(tmp_path / "run.log", segment_bytes=1000)
    (tmp_path / "run.log").unlink()
    with pytest.raises(InvalidInput, match=r"run\.log\.0001 exists already"):
        RecordWriter(tmp_path / "run.log", segment_bytes=1000)


def test_a_folder_that_is_not_there(tmp_path) -> None:
    with pytest.raises(InvalidInput, match="can not be written: No such file"):
        RecordWriter(tmp_path / "none" / "run.log", segment_bytes=1000)
    with pytest.raises(InvalidInput, match="can not be read: No such file"):
        list(read_record(tmp_path / "none" / "run.log"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "run.log"
    recorded(path)
    return path.read_bytes()


def read(folder: Path, data: bytes, **options) -> list:
    path = folder / f"{os.getpid()}.log"
    path.write_bytes(data)
    try:
        return list(read_record(path, **options))
    finally:
        assert path.read_bytes() == data, "reading changed the file"


def test_a_record_that_is_cut_off_anywhere(tmp_path, whole) -> None:
    items = read(tmp_path, whole)
    assert isinstance(items[-1], Closed)
    for length in [*range(0, 60), *range(60, len(whole), 97), len(whole) - 1]:
        with pytest.raises(InvalidInput, match=r"is cut off|is not a record of Pilotage") as error:
            read(tmp_path, whole[:length])
        assert "\n" not in str(error.value)


def test_what_is_whole_of_a_record_that_is_cut_off(tmp_path, whole) -> None:
    items = read(tmp_path, whole)
    found = read(tmp_path, whole[: len(whole) * 2 // 3], partial=True)
    assert 0 < len(found) < len(items)
    assert found == items[: len(found)]
    assert replay(found, named("bestfit")).difference is None


@settings(max_examples=150)
@given(data=st.data())
def test_a_bit_that_flipped_is_found(tmp_path_factory, whole, data) -> None:
    at = data.draw(st.integers(0, len(whole) - 1))
    bit = data.draw(st.integers(0, 7))
    damaged = bytearray(whole)
    damaged[at] ^= 1 << bit
    items = None
    with suppress(InvalidInput):
        items = read(tmp_path_factory.getbasetemp(), bytes(damaged))
    # Some bits of a zlib stream only fill up a byte.
    assert items is None or items == read(tmp_path_factory.getbasetemp(), whole)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not a record of Pilotage"),
        (b"\x1f\x8b\x08 something else", "is not a record of Pilotage"),
        (b"pilotage record 0\n", "is not a record of Pilotage"),
        (b"pilotage record one\n", "is not a record of Pilotage"),
        (b"pilotage record 2\n", "is a record in format 2; this version reads up to 1: take a newer one"),
        (b"pilotage record 1\n", "is cut off"),
        (b"pilotage record 1\n" + LENGTHS.pack(2**31, 5), "is damaged after block 0"),
        (b"pilotage record 1\n" + LENGTHS.pack(5, 5) + b"abcde", "is damaged after block 0"),
    ],
)
def test_a_file_that_is_no_record(tmp_path, data, message) -> None:
    with pytest.raises(InvalidInput, match=message):
        read(tmp_path, data)


def test_a_folder_is_no_record(tmp_path) -> None:
    with pytest.raises(InvalidInput, match="can not be read: Is a directory"):
        list(read_record(tmp_path))


def test_segments_of_two_records_do_not_mix(tmp_path) -> None:
    recorded(tmp_path / "a.log", segment_bytes=1000)
    recorded(tmp_path / "b.log", segment_bytes=1000, policy="fgd")
    (tmp_path / "a.log.0002").replace(tmp_path / "b.log.0002")
    with pytest.raises(InvalidInput, match=r"b\.log\.0002: does not follow the segment before it"):
        list(read_record(tmp_path / "b.log"))


def test_a_segment_that_is_missing_in_between(tmp_path) -> None:
    recorded(tmp_path / "run.log", segment_bytes=1000)
    (tmp_path / "run.log.0002").unlink()
    with pytest.raises(InvalidInput, match=r"run\.log\.0003: does not follow"):
        list(read_record(tmp_path / "run.log"))
    (tmp_path / "run.log.0001").unlink()
    items = list(read_record(tmp_path / "run.log"))
    assert isinstance(items[0], Opened)
    assert items[0].header.segment == 3
