"""Counts of tasks per domain: the sum over all nodes with the same value of a label, patched where rows changed."""

from typing import NamedTuple

import numpy as np

from pilotage.kernel.arrays import BoolArray, IntArray, longer
from pilotage.kernel.columns import ABSENT, Columns
from pilotage.kernel.neighbours import Count, Neighbours, Who
from pilotage.kernel.node_terms import Required, Tolerations, admitted, meets
from pilotage.kernel.nodes import Nodes

FEW = 64
"""Up to this many changed rows are patched one by one (about a microsecond each)."""


_NOBODY: IntArray = np.zeros(0, np.int64)


class Within(NamedTuple):
    """Which nodes are counted: those that carry all ``keys`` and admit what a task requires and tolerates."""

    keys: tuple[str, ...] = ()
    required: Required | None = None
    tolerations: Tolerations | None = None

    def mask(self, nodes: Nodes) -> BoolArray:
        """Return bool[n]: the nodes that are counted."""
        mask = nodes.of(nodes.columns.alive).copy()
        for key in self.keys:
            mask &= nodes.label(key) != ABSENT
        if self.required is not None:
            mask &= meets(self.required, nodes)
        if self.tolerations is not None:
            mask &= admitted(self.tolerations, nodes)
        return mask


EVERYWHERE = Within()


class DomainCount:
    """Tasks of a count per domain of a key. Arrays are by label code; entry 0 stands for nodes without the label.

    ``sums`` int64[D]: tasks on the counted nodes of each domain; ``members`` int64[D]: number of those nodes.
    """

    def __init__(self, count: Count, key: str, within: Within) -> None:
        self.count = count
        self.key = key
        self.within = within
        self.sums: IntArray = np.zeros(1, np.int64)
        self.members: IntArray = np.zeros(1, np.int64)
        self.domain: IntArray = np.zeros(0, np.int64)
        """Code of the domain in which each row is counted, 0 for none: int64[rows]."""
        self.counted: IntArray = np.zeros(0, np.int64)
        """Tasks of each row that are in the sums now: int64[rows]."""
        self.total = 0
        self.position = -1
        self._lowest: int | None = None
        self._at_lowest = self._domains = 0
        """Number of domains with that many tasks, and of all domains."""
        self._witnesses = self._seen = _NOBODY
        self._fits: BoolArray | None = None
        self.fits_for = (0, True)
        """What `at_most` was asked last: how many, and what holds for nodes without the label."""
        self._carriers: IntArray | None = None
        """By label code, the rows that carry it, counted or not."""

    def lowest(self, min_domains: int) -> int:
        """Return the tasks in the domain with the fewest; 0 if there are fewer than ``min_domains`` domains."""
        if self._lowest is None:
            present = self.members[1:] > 0
            self._domains = int(np.count_nonzero(present))
            some = self.sums[1:][present]
            self._lowest = int(some.min()) if self._domains else 0
            self._at_lowest = int(np.count_nonzero(some == self._lowest))
        return self._lowest if self._domains >= min_domains else 0

    def seen(self, nodes: Nodes, mask: BoolArray) -> IntArray:
        """Return the codes of the domains that the ``nodes`` in ``mask`` stand in; 0 if some lack the label."""
        everywhere = isinstance(nodes.rows, slice)
        if everywhere and len(self._witnesses) and mask.take(self._witnesses).all():
            return self._seen
        codes = nodes.label(self.key)
        rows = mask.nonzero()[0]
        found, first = np.unique(codes.take(rows), return_index=True)
        # Where every domain there is was seen, one row of each that is still in the mask shows that all are.
        all_there_are = len(found) == np.count_nonzero(np.bincount(codes, nodes.of(nodes.columns.alive)))
        self._witnesses = rows.take(first) if everywhere and all_there_are else _NOBODY
        self._seen = found
        return found

    def in_domain(self, value: str, columns: Columns) -> int:
        """Return the tasks in the domain of that name, 0 if there is no such domain."""
        values = columns.label_values.get(self.key)
        code = None if values is None else values.known(value)
        return 0 if code is None else self.sums.item(code + 1)

    def named(self, code: int, columns: Columns) -> str:
        """Return the value of the label that a code (from 1) stands for."""
        return columns.label_values[self.key].values[code - 1]

    def at_most(self, most: int, nodes: Nodes, *, absent: bool) -> BoolArray:
        """Return bool[n]: nodes in whose domain at most ``most`` tasks are counted; without the label: ``absent``.

        Kept for the next call of this kind: do not write to it.
        """
        everywhere = isinstance(nodes.rows, slice)
        if everywhere and self._fits is not None and self.fits_for == (most, absent) and len(self._fits) == len(nodes):
            return self._fits
        allowed = self.sums <= most
        allowed[ABSENT] = absent
        fits: BoolArray = allowed.take(nodes.label(self.key))
        if everywhere:
            self._fits, self.fits_for = fits, (most, absent)
        return fits

    def refresh(self, neighbours: Neighbours, columns: Columns) -> None:
        """Bring the sums up to date with ``count``, which is so already."""
        end, codes = neighbours.end, columns.label_values.get(self.key)
        size = 1 + len(codes.values) if codes is not None else 1
        if self.position == end and len(self.sums) == size and len(self.domain) >= columns.rows:
            return
        entries = neighbours.log[max(self.position, neighbours.base) - neighbours.base :]
        if self.position < neighbours.base or len(entries) > FEW or len(self.domain) < columns.rows:
            self._rebuild(columns, size)
        else:
            if len(self.sums) < size:
                self.sums, self.members = longer(self.sums, size, axis=0), longer(self.members, size, axis=0)
            for row, face, _ in entries:
                if face is None:
                    self._move(columns, row)
            for row, _, _ in entries:
                self._recount(columns, row)
        self.position = end

    def _rebuild(self, columns: Columns, size: int) -> None:
        self.domain = np.zeros(columns.rows, np.int64)
        nodes = Nodes.all(columns)
        np.multiply(nodes.label(self.key), self.within.mask(nodes), out=self.domain[: columns.n])
        self.counted = np.where(self.domain > 0, self.count.values[: columns.rows], 0)
        self.sums = np.bincount(self.domain, self.counted, size).astype(np.int64)
        self.members = np.bincount(self.domain, minlength=size)
        self.total = int(self.sums.sum())
        self._forget()

    def _forget(self) -> None:
        """Trust nothing any more that was worked out of the sums and of who stands where."""
        self._lowest = None
        self._witnesses = _NOBODY
        self._fits = self._carriers = None

    def _move(self, columns: Columns, row: int) -> None:
        """Find the domain of a row anew; its tasks leave the old one and are entered by `_recount`."""
        before = self.domain.item(row)
        self.sums[before] -= self.counted[row]
        self.total -= self.counted.item(row)
        self.counted[row] = 0
        self.members[before] -= 1
        nodes = Nodes(columns, np.array([row]))
        after = nodes.label(self.key).item(0) if self.within.mask(nodes)[0] else 0
        self.domain[row] = after
        self.members[after] += 1
        self._forget()

    def _follow_lowest(self, before: int, after: int) -> None:
        """Keep the fewest of all domains as one of them changes, as long as that is plain to see."""
        if self._lowest is None:
            return
        if after < self._lowest:
            self._lowest, self._at_lowest = after, 1
        elif after == self._lowest:
            self._at_lowest += 1
        elif before == self._lowest:
            self._at_lowest -= 1
            if not self._at_lowest:
                self._lowest = None

    def _recount(self, columns: Columns, row: int) -> None:
        domain = self.domain.item(row)
        more = (self.count.values.item(row) if domain else 0) - self.counted.item(row)
        if not more:
            return
        before = self.sums.item(domain)
        self.sums[domain] += more
        self.counted[row] += more
        self.total += more
        self._follow_lowest(before, before + more)
        most = self.fits_for[0]
        if self._fits is not None and (before <= most) != (before + more <= most):
            # The usual case of a domain that fills or empties: a host.
            if self._carried(columns)[domain] == 1:
                self._fits[row] = before + more <= most
            else:
                self._fits = None

    def _carried(self, columns: Columns) -> IntArray:
        if self._carriers is None:
            self._carriers = np.bincount(Nodes.all(columns).label(self.key), minlength=len(self.sums))
        return self._carriers


def tasks_per_domain(columns: Columns, who: Who, key: str, within: Within = EVERYWHERE) -> DomainCount:
    """Return the tasks of ``who`` per domain of ``key`` on the nodes ``within``, up to date.

    Kept beside the other counts, within their budget; the least recently used goes first.
    """
    neighbours = columns.neighbours
    count = neighbours.count(who)
    at = (who, key, within)
    found: DomainCount | None = neighbours.derived.get(at)
    if found is None or found.count is not count:
        found = neighbours.derived[at] = DomainCount(count, key, within)
        while len(neighbours.derived) > 1 and 32 * columns.rows * len(neighbours.derived) > neighbours.budget_bytes:
            neighbours.derived.popitem(last=False)
    neighbours.derived.move_to_end(at)
    found.refresh(neighbours, columns)
    return found
