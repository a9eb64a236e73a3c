"""The change log: who has read less is told what came after, or to look at everything."""

from hypothesis import given
from hypothesis import strategies as st

from pilotage.engine.change_log import ChangeLog
from pilotage.kernel.plugin import Group

AMOUNTS, NODE, WORKLOAD = Group.AMOUNTS, Group.NODE, Group.WORKLOAD


def test_a_new_reader_looks_at_everything_once_there_is_anything() -> None:
    log, position = ChangeLog(), [-1]
    assert log.since((AMOUNTS,), position) is None
    assert log.since((AMOUNTS,), position) == []
    log.append(5, (AMOUNTS,))
    assert log.since((AMOUNTS,), position) == [5]


def test_a_reader_hears_of_its_groups_only() -> None:
    log, position = ChangeLog(), [0]
    log.append(1, (AMOUNTS,))
    log.append(2, (AMOUNTS, NODE))
    log.append(3, (NODE,))
    assert log.since((NODE,), position) == [2, 3]
    assert log.since((NODE,), position) == []


def test_a_reader_of_two_groups_hears_of_both() -> None:
    log, position = ChangeLog(), [0, 0]
    log.append(1, (AMOUNTS,))
    log.append(2, (NODE,))
    assert sorted(log.since((AMOUNTS, NODE), position)) == [1, 2]


def test_everything_changed_is_told_to_who_read_less_only() -> None:
    log, early, late = ChangeLog(), [0], [0]
    log.append_all(WORKLOAD)
    assert log.since((WORKLOAD,), early) is None
    log.append(4, (WORKLOAD,))
    assert log.since((WORKLOAD,), early) == [4]
    assert log.since((WORKLOAD,), late) is None
    assert log.since((WORKLOAD,), late) == []


def test_everything_changed_in_one_group_wins_over_rows_of_another() -> None:
    log, position = ChangeLog(), [0, 0]
    log.append(1, (AMOUNTS,))
    log.append_all(WORKLOAD)
    assert log.since((AMOUNTS, WORKLOAD), position) is None
    assert log.since((AMOUNTS, WORKLOAD), position) == []


def test_old_entries_are_dropped_and_who_missed_them_looks_at_everything() -> None:
    log, slow, quick = ChangeLog(keep=3), [0], [0]
    for row in range(6):
        log.append(row, (AMOUNTS,))
    assert log.since((AMOUNTS,), quick) == [0, 1, 2, 3, 4, 5]
    log.append(6, (AMOUNTS,))
    assert log.since((AMOUNTS,), quick) == [6]
    assert log.since((AMOUNTS,), slow) is None
    assert log.since((AMOUNTS,), slow) == []


def test_the_version_rises_with_every_change_of_anything() -> None:
    log, versions = ChangeLog(), []
    for change in (lambda: log.append(0, (AMOUNTS, NODE)), lambda: log.append_all(WORKLOAD), lambda: log.append(0, ())):
        change()
        versions.append(log.version)
    assert versions == sorted(set(versions))


steps = st.lists(st.tuples(st.sampled_from(("write", "write", "all", "read a", "read b")), st.integers(0, 9)))


@given(st.integers(1, 5), steps)
def test_no_change_is_ever_missed(keep, history) -> None:
    log = ChangeLog(keep)
    groups = {"read a": (AMOUNTS,), "read b": (AMOUNTS, NODE)}
    positions = {name: [-1] * len(read) for name, read in groups.items()}
    missed: dict[str, set[int] | None] = dict.fromkeys(groups)
    for what, row in history:
        if what == "write":
            written = (AMOUNTS,) if row % 2 else (NODE,)
            log.append(row, written)
            for name, read in groups.items():
                if missed[name] is not None and written[0] in read:
                    missed[name].add(row)
        elif what == "all":
            log.append_all(AMOUNTS)
            missed = dict.fromkeys(groups)
        else:
            changed = log.since(groups[what], positions[what])
            assert changed is None or (missed[what] is not None and missed[what] == set(changed))
            missed[what] = set()
