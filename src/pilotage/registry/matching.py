"""Indexes from a host's values to the clusters whose scopes they meet: a search touches only those.

Each matcher is built once from all clusters' scopes and answers with ``{position of the cluster: value 0..1}``.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import re2
from msgspec import Struct

from pilotage.registry.affinity import SEPARATOR, idc_affinity, location_affinity, parse_cidr, parse_ip
from pilotage.registry.scopes import Scopes, expression_fault, options

Matches = dict[int, float]
Fold = Callable[[str], str]


class Host(Struct, frozen=True):
    """Who asks, and what it says about its place."""

    hostname: str
    ip: str
    idc: str = ""
    location: str = ""
    security_domain: str = ""
    net_topology: str = ""


class CidrMatcher:
    """1 for every cluster with a network that holds the address."""

    def __init__(self, scopes: Sequence[Scopes]) -> None:
        self._by_length: dict[tuple[int, int], dict[int, list[int]]] = {}
        for position, each in enumerate(scopes):
            for network in [parsed for cidr in each.cidrs if (parsed := parse_cidr(cidr)) is not None]:
                networks = self._by_length.setdefault((network.version, network.prefixlen), {})
                networks.setdefault(int(network.network_address), []).append(position)

    def match(self, host: Host) -> Matches:
        """Look the address up once per length of prefix."""
        found: Matches = {}
        address = parse_ip(host.ip)
        if address is None:
            return found
        number, bits = int(address), address.max_prefixlen
        for (version, length), networks in self._by_length.items():
            if version == address.version:
                prefix = number >> (bits - length) << (bits - length)
                for position in networks.get(prefix, ()):
                    found[position] = 1.0
        return found


class HostnameMatcher:
    """1 for every cluster with an expression found anywhere in the hostname, with its case.

    All expressions are searched at once, in time linear in the hostname: RE2 looks for their literal parts first.
    """

    def __init__(self, scopes: Sequence[Scopes]) -> None:
        clusters_of: dict[str, list[int]] = defaultdict(list)
        for position, each in enumerate(scopes):
            for expression in each.hostnames:
                clusters_of[expression].append(position)
        self._filter = re2.Filter()
        self._clusters: list[list[int]] = []
        how = options()
        for expression, positions in clusters_of.items():
            if expression_fault(expression) is None:
                self._filter.Add(expression, how)
                self._clusters.append(positions)
        if self._clusters:
            self._filter.Compile()

    def match(self, host: Host) -> Matches:
        """Search the hostname; an empty one matches nothing."""
        if not self._clusters or not host.hostname:
            return {}
        hits: Iterable[int] = self._filter.Match(host.hostname) or ()
        return {position: 1.0 for hit in hits for position in self._clusters[hit]}


class IdcMatcher:
    """1 for every cluster whose set holds the idc, which is never split."""

    def __init__(self, scopes: Sequence[Scopes], fold: Fold) -> None:
        self._fold = fold
        self._clusters: dict[str, list[int]] = defaultdict(list)
        for position, each in enumerate(scopes):
            scope = fold(each.idc)
            for value in {scope, *scope.split(SEPARATOR)}:
                if idc_affinity(value, scope):
                    self._clusters[value].append(position)

    def match(self, host: Host) -> Matches:
        """Look the idc up."""
        return dict.fromkeys(self._clusters.get(self._fold(host.idc), ()), 1.0)


class PathMatcher:
    """Leading elements that a path of the host shares with a path of the cluster (location, net topology)."""

    def __init__(self, paths: Sequence[str], fold: Fold, of_host: Callable[[Host], str]) -> None:
        self._fold = fold
        self._of_host = of_host
        self._paths = [fold(path) for path in paths]
        self._by_first: dict[str, list[int]] = defaultdict(list)
        for position, path in enumerate(self._paths):
            if path:
                self._by_first[path.split(SEPARATOR, 1)[0]].append(position)

    def match(self, host: Host) -> Matches:
        """Compare with the paths that begin alike: no other shares an element."""
        path = self._fold(self._of_host(host))
        if not path:
            return {}
        near = self._by_first.get(path.split(SEPARATOR, 1)[0], ())
        return {position: location_affinity(path, self._paths[position]) for position in near}


class DomainMatcher:
    """Security domains as v2.0.8 has them: any rule at all counts 1 once the host names a domain, matching or not."""

    def __init__(self, scopes: Sequence[Scopes], defaults: Sequence[int], fold: Fold) -> None:
        self._fold = fold
        self._defaults = frozenset(defaults)
        self._domains = {
            position: frozenset(map(fold, each.security_domains))
            for position, each in enumerate(scopes)
            if each.security_domains
        }

    def match(self, host: Host) -> Matches:
        """Give every cluster with rules its point."""
        return dict.fromkeys(self._domains, 1.0) if host.security_domain else {}

    def left_out(self, host: Host) -> frozenset[int]:
        """Return the clusters that have rules, none for the host's domain, and are no default."""
        if not host.security_domain:
            return frozenset()
        domain = self._fold(host.security_domain)
        return frozenset(
            position
            for position, domains in self._domains.items()
            if domain not in domains and position not in self._defaults
        )


class DefaultMatcher:
    """1 for every default cluster, whoever asks."""

    def __init__(self, defaults: Sequence[int]) -> None:
        self._matches = dict.fromkeys(defaults, 1.0)

    def match(self, host: Host) -> Matches:
        """Return the default clusters."""
        return self._matches
