"""The change log: who has read less is told what came after, or to look at everything."""

from hypothesis import given
from hypothesis import strategies as st

from pilotage.engine.change_log import ChangeLog
from pilotage.kernel.plugin import Group

AMOUNTS, NODE, WORKLOAD = Group.AMOUNTS, Group.NODE, Group.WORKLOAD


def since(log: ChangeLog, groups: tuple[int, ...], position: list[int]) -> list[int] | None:
    """The rows as a list, None for all."""
    changed = log.since(groups, position)
    if changed is None:
        return None
    assert changed.array.tolist() == sorted(set(changed.rows))
    assert len(set(changed.rows)) == len(changed.rows)
    return changed.rows


def test_a_new_reader_looks_at_everything_once_there_is_anything() -> None:
    log, position = ChangeLog(), [-1]
    assert since(log, (AMOUNTS,), position) is None
    assert since(log, (AMOUNTS,), position) == []
    log.append(5, (AMOUNTS,))
    assert since(log, (AMOUNTS,), position) == [5]


def test_a_reader_hears_of_its_groups_only() -> None:
    log, position = ChangeLog(), [0]
    log.append(1, (AMOUNTS,))
    log.append(2, (AMOUNTS, NODE))
    log.append(3, (NODE,))
    assert since(log, (NODE,), position) == [2, 3]
    assert since(log, (NODE,), position) == []


def test_a_reader_of_two_groups_hears_of_both() -> None:
    log, position = ChangeLog(), [0, 0]
    log.append(1, (AMOUNTS,))
    log.append(2, (NODE,))
    assert sorted(since(log, (AMOUNTS, NODE), position)) == [1, 2]


def test_everything_changed_is_told_to_who_read_less_only() -> None:
    log, early, late = ChangeLog(), [0], [0]
    log.append_all(WORKLOAD)
    assert since(log, (WORKLOAD,), early) is None
    log.append(4, (WORKLOAD,))
    assert since(log, (WORKLOAD,), early) == [4]
    assert since(log, (WORKLOAD,), late) is None
    assert since(log, (WORKLOAD,), late) == []


def test_everything_changed_in_one_group_wins_over_rows_of_another() -> None:
    log, position = ChangeLog(), [0, 0]
    log.append(1, (AMOUNTS,))
    log.append_all(WORKLOAD)
    assert since(log, (AMOUNTS, WORKLOAD), position) is None
    assert since(log, (AMOUNTS, WORKLOAD), position) == []


def test_old_entries_are_dropped_and_who_missed_them_looks_at_everything() -> None:
    log, slow, quick = ChangeLog(keep=3), [0], [0]
    for row in range(6):
        log.append(row, (AMOUNTS,))
    assert since(log, (AMOUNTS,), quick) == [0, 1, 2, 3, 4, 5]
    log.append(6, (AMOUNTS,))
    assert since(log, (AMOUNTS,), quick) == [6]
    assert since(log, (AMOUNTS,), slow) is None
    assert since(log, (AMOUNTS,), slow) == []


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
            changed = since(log, groups[what], positions[what])
            assert changed is None or (missed[what] is not None and missed[what] == set(changed))
            missed[what] = set()
