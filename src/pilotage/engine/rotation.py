"""The order in which a sampling policy visits nodes: one of each zone in turn, from where the last decision stopped."""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from pilotage.kernel.arrays import IntArray
from pilotage.model.node import ZONE_LABEL, Node

REGION_LABEL = "topology.kubernetes.io/region"
_BETA = "failure-domain.beta.kubernetes.io/"


def zone_of(labels: Mapping[str, str]) -> tuple[str, str]:
    """Return (region, zone) of a node; the labels of old take precedence, what is missing is empty."""
    region = labels.get(f"{_BETA}region", labels.get(REGION_LABEL, ""))
    return region, labels.get(f"{_BETA}zone", labels.get(ZONE_LABEL, ""))


class RotationCheckpoint(Struct, frozen=True):
    """Where the next visit starts, the rows of each zone in the order of their arrival, and the order in force.

    ``order`` is None where the next decision works it out anew.
    """

    start: int
    zones: tuple[tuple[int, ...], ...]
    order: tuple[int, ...] | None = None


class Rotation:
    """Rows by zone, zones and rows in the order of their arrival, and the place where the next visit starts.

    A node that moves to another zone goes last there, but the order is worked out anew only by the first decision
    after a node joined or left. Source: kube-scheduler's node tree, its snapshot and its start index.
    """

    def __init__(self) -> None:
        self.start = 0
        self._zones: dict[tuple[str, str], dict[int, None]] = {}
        self._zone: dict[int, tuple[str, str]] = {}
        self._order: IntArray | None = None
        """The order in force, None where the next decision has to work it out."""
        self._places: tuple[int, IntArray] | None = None

    def __len__(self) -> int:
        return len(self._zone)

    def write(self, row: int, node: Node) -> None:
        """Note where the node of ``row`` stands."""
        zone = zone_of(node.labels)
        if row not in self._zone:
            self._order = self._places = None
        elif self._zone[row] != zone:
            self._leave(row)
        self._zone[row] = zone
        self._zones.setdefault(zone, {})[row] = None

    def drop(self, row: int) -> None:
        """Forget a row."""
        self._order = self._places = None
        self._leave(row)

    def _leave(self, row: int) -> None:
        zone = self._zone.pop(row, None)
        if zone is not None:
            del self._zones[zone][row]
            if not self._zones[zone]:
                del self._zones[zone]

    def checkpoint(self) -> RotationCheckpoint:
        """Return all that `restore` needs."""
        order = None if self._order is None else tuple(self._order.tolist())
        return RotationCheckpoint(self.start, tuple(tuple(rows) for rows in self._zones.values()), order)

    def restore(self, checkpoint: RotationCheckpoint, nodes: Sequence[Node | None]) -> None:
        """Fill this rotation, which must be new; ``nodes`` by row."""
        for rows in checkpoint.zones:
            for row in rows:
                node = nodes[row]
                assert node is not None
                self.write(row, node)
        self.start = checkpoint.start
        self._order = None if checkpoint.order is None else np.array(checkpoint.order, np.int64)

    def advance(self, visited: int) -> None:
        """Note that a decision looked at ``visited`` nodes."""
        self.start = (self.start + visited) % max(1, len(self))

    def settle(self) -> None:
        """Work the order out if a node joined or left: done by a decision, and by nothing that only looks."""
        self._order = self.order

    @property
    def order(self) -> IntArray:
        """All rows, one of each zone in turn, int64[nodes]."""
        if self._order is not None:
            return self._order
        zones = [np.fromiter(rows, np.int64, len(rows)) for rows in self._zones.values()]
        rounds = [np.arange(len(rows)) for rows in zones]
        none = [np.zeros(0, np.int64)]
        return np.concatenate(zones or none)[np.argsort(np.concatenate(rounds or none), kind="stable")]

    def visiting(self) -> IntArray:
        """All rows in the order of the next visit, int64[nodes]."""
        order, start = self.order, self.start % max(1, len(self))
        return np.concatenate((order[start:], order[:start])) if start else order

    def places(self, rows: int) -> IntArray:
        """Return the place of each row in the next visit, int64[rows]; undefined for blank rows."""
        if self._places is None or self._places[0] != self.start or len(self._places[1]) < rows:
            places = np.zeros(rows, np.int64)
            visiting = self.visiting()
            places[visiting] = np.arange(len(visiting))
            self._places = (self.start, places)
        return self._places[1]
