"""Ranks scheduler clusters for a host: a weighted sum of affinities, best first, ties in order of creation.

    score = 0.30 cidr + 0.30 hostname + 0.25 idc + 0.14 location + 0.01 type     (profile v2.1.33)

Nothing is cut off by a low score: affinities sort, and clusters without any follow in order of creation. Only the
optional hard filter (``require``) and the security domains of profile v2.0.8 leave clusters out.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from msgspec import Struct

from pilotage.model.errors import InvalidInput
from pilotage.registry.affinity import fold
from pilotage.registry.entities import SchedulerCluster
from pilotage.registry.matching import (
    CidrMatcher,
    DefaultMatcher,
    DomainMatcher,
    Host,
    HostnameMatcher,
    IdcMatcher,
    Matches,
    PathMatcher,
)
from pilotage.registry.profiles import CURRENT, TERMS, Profile
from pilotage.registry.scopes import scopes_or_none


class NoCluster(LookupError):  # noqa: N818 - reads as a statement at the place that raises it
    """No cluster can be ranked for this request; the text says why."""


class Order(Struct, frozen=True):
    """A ranking as short as it can be told: what comes first, and whether all other clusters follow by id.

    Hosts of one site share it, so it is small and hashable.
    """

    first: tuple[int, ...] = ()
    """Ids of clusters with a score above 0, best first."""
    left_out: frozenset[int] = frozenset()
    others_follow: bool = True


class Term(Struct, frozen=True):
    """One term of a score: ``value`` 0..1 times ``weight``."""

    name: str
    value: float
    weight: float


class Ranked(Struct, frozen=True):
    """A cluster's place, and why."""

    cluster_id: int
    score: float
    why: tuple[Term, ...]


class Matcher(Protocol):
    """Finds the clusters that meet one value of a host."""

    def match(self, host: Host) -> Matches:
        """Return the affinity, 0 < value <= 1, of each cluster (by position) that has one."""
        ...


class Searcher:
    """A ranking of fixed clusters; built when scopes change, asked for every host.

    A search costs what the clusters that match cost, not what all clusters cost. With ``require`` (names of terms)
    only clusters that meet every one of these are returned, or the default clusters if none does.
    """

    def __init__(
        self, clusters: Iterable[SchedulerCluster], profile: Profile = CURRENT, require: Sequence[str] = ()
    ) -> None:
        self._clusters = sorted(clusters, key=lambda cluster: cluster.id)
        self._ids = [cluster.id for cluster in self._clusters]
        self._profile = profile
        self._require = checked_terms(require, profile)
        self._defaults = [at for at, cluster in enumerate(self._clusters) if cluster.is_default]
        scopes = [scopes_or_none(cluster.scopes) for cluster in self._clusters]
        folded = fold if profile.ignores_case else str
        self._domains = DomainMatcher(scopes, self._defaults, folded)
        every: dict[str, Matcher] = {
            "security_domain": self._domains,
            "cidr": CidrMatcher(scopes),
            "hostname": HostnameMatcher(scopes),
            "idc": IdcMatcher(scopes, folded),
            "net_topology": PathMatcher([s.net_topology for s in scopes], folded, lambda host: host.net_topology),
            "location": PathMatcher([s.location for s in scopes], folded, lambda host: host.location),
            "type": DefaultMatcher(self._defaults),
        }
        self._terms = [(name, weight, every[name]) for name, weight in profile.weights]

    def order(self, host: Host) -> Order:
        """Return the ranking of the clusters for ``host``. Raises `NoCluster`."""
        scores, _, left_out = self._scored(host)
        first = sorted((at for at, score in scores.items() if score > 0), key=lambda at: (-scores[at], at))
        return Order(
            tuple(self._ids[at] for at in first),
            frozenset(self._ids[at] for at in left_out) if not self._require else frozenset(),
            others_follow=not self._require,
        )

    def explain(self, host: Host) -> list[Ranked]:
        """Return every cluster of the ranking in its order, with each term. Raises `NoCluster`."""
        scores, values, left_out = self._scored(host)
        places = scores if self._require else [at for at in range(len(self._ids)) if at not in left_out]
        ranked = sorted(places, key=lambda at: (-scores.get(at, 0.0), at))
        return [
            Ranked(
                self._ids[at],
                scores.get(at, 0.0),
                tuple(Term(name, values[name].get(at, 0.0), weight) for name, weight, _ in self._terms),
            )
            for at in ranked
        ]

    def _scored(self, host: Host) -> tuple[dict[int, float], dict[str, Matches], frozenset[int]]:
        """Return scores and values by position, and who is left out."""
        if not self._ids:
            raise NoCluster("there are no scheduler clusters")
        if self._profile.needs_conditions and not (
            host.idc or host.location or host.security_domain or host.net_topology
        ):
            raise NoCluster(f"profile {self._profile.name} needs a condition (idc, location, ...)")
        left_out = self._domains.left_out(host) if self._profile.domains_filter else frozenset()
        if len(left_out) == len(self._ids):
            raise NoCluster(f"no cluster is open to security domain {host.security_domain!r}")
        values = {name: matcher.match(host) for name, _, matcher in self._terms}
        scores: dict[int, float] = {}
        for name, weight, _ in self._terms:
            for at, value in values[name].items():
                if at not in left_out:
                    scores[at] = scores.get(at, 0.0) + weight * value
        if self._require:
            met = [at for at in scores if all(values[name].get(at) for name in self._require)]
            kept = met or [at for at in self._defaults if at not in left_out]
            scores = {at: scores.get(at, 0.0) for at in kept}
        return scores, values, left_out


def checked_terms(require: Sequence[str], profile: Profile) -> tuple[str, ...]:
    """Return ``require`` if the profile looks at each of these terms. Raises `InvalidInput`."""
    known = [name for name, _ in profile.weights if name != "type"]
    for name in require:
        if name not in known:
            hint = "is not looked at by profile " + profile.name if name in TERMS else "is no term"
            raise InvalidInput("require", f"{name!r} {hint}; known: {', '.join(known)}")
    return tuple(require)
