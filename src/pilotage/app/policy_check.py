"""Is a policy sound, and what does it cost: every generic check of its plugins and of the whole, with times."""

import warnings
from collections.abc import Iterator
from typing import NamedTuple

from pilotage.app.engine_checks import EngineCheck, check_order
from pilotage.app.findings import Finding, where
from pilotage.app.plugin_checks import FACTS, Part, PluginCheck, reads_text
from pilotage.app.plugin_times import SIZES, DecisionTime, decision_time, plugin_time
from pilotage.app.sample_cluster import Sample, sample_cluster
from pilotage.kernel.columns import Columns
from pilotage.kernel.policy import Policy

NODES = 200
"""Nodes of the sample on which answers are checked."""

_ADVERTISED_US = "10 to 50"


class PluginReport(NamedTuple):
    """One plugin of a policy.

    ``why_not``: on what its answers depend where they can not be remembered (``global``, ``time``). ``times_us``:
    microseconds to ask it about every node, by number of nodes.
    """

    name: str
    kind: str
    weight: int | None
    where: str
    sound: bool
    vectorised: bool
    cacheable: bool
    why_not: str
    times_us: dict[int, float]


class Report(NamedTuple):
    """What was found out about a policy. ``decisions``: times of whole decisions, by number of nodes."""

    policy: str
    seed: int
    nodes: int
    plugins: tuple[PluginReport, ...]
    findings: tuple[Finding, ...]
    decisions: dict[int, DecisionTime]

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong; warnings and hints are no wrongs."""
        return not any(finding.level == "error" for finding in self.findings)


class PolicyCheck:
    """The check of one policy; `report` does the work."""

    def __init__(self, policy: Policy, *, seed: int = 0, nodes: int = NODES, timed: bool = True) -> None:
        self.policy = policy
        self.seed = seed
        self.nodes = nodes
        self.sizes = SIZES if timed else ()
        self.parts: list[tuple[Part, int | None]] = [(item, None) for item in policy.filters]
        self.parts += list(policy.scorers)
        self._resources = _resources(policy)
        self._promises: dict[int, tuple[str, ...]] = {}

    def report(self) -> Report:
        """Run all checks, and time what is sound enough to run."""
        findings: list[Finding] = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            findings += self._check()
        findings += _heard(caught, self.policy)
        broken = {finding.plugin for finding in findings if finding.level == "error"}
        times: dict[int, dict[int, float]] = {}
        decisions: dict[int, DecisionTime] = {}
        if not broken:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                times, decisions = self._time()
        plugins = tuple(self._plugin(i, broken, times.get(i, {})) for i in range(len(self.parts)))
        findings += self._costs(plugins)
        return Report(self.policy.name, self.seed, self.nodes, plugins, tuple(findings), decisions)

    def _sample(self, nodes: int) -> Sample:
        return sample_cluster(nodes, self.seed, self._resources)

    def _check(self) -> list[Finding]:
        sample = self._sample(self.nodes)
        findings = list(check_order(self.policy, sample.tasks))
        engine, other = (sample.engine(self.policy, self.seed, order) for order in (None, 1))
        for i, (plugin, _) in enumerate(self.parts):
            check = PluginCheck(plugin, engine, other, sample.kinds, self.seed)
            findings += check.findings()
            self._promises[i] = check.row_promise()
        # What a broken plugin does to the whole would only repeat what is said already.
        if not any(finding.level == "error" for finding in findings):
            findings += EngineCheck(self.policy, sample, self.seed).findings()
        return findings

    def _time(self) -> tuple[dict[int, dict[int, float]], dict[int, DecisionTime]]:
        times: dict[int, dict[int, float]] = {i: {} for i in range(len(self.parts))}
        decisions = {}
        for size in self.sizes:
            sample = self._sample(size)
            engine = sample.engine(self.policy, self.seed)
            for i, (plugin, _) in enumerate(self.parts):
                times[i][size] = plugin_time(plugin, engine, sample.kinds)
            decisions[size] = decision_time(self.policy, sample, self.seed)
        return times, decisions

    def _plugin(self, i: int, broken: set[str], times: dict[int, float]) -> PluginReport:
        plugin, weight = self.parts[i]
        cacheable = plugin.depends == "row"
        return PluginReport(
            name=plugin.name,
            kind="filter" if weight is None else "scorer",
            weight=weight,
            where=where(plugin),
            sound=plugin.name not in broken,
            vectorised=not getattr(plugin, "per_node", False),
            cacheable=cacheable,
            why_not="" if cacheable else plugin.depends,
            times_us=times,
        )

    def _costs(self, plugins: tuple[PluginReport, ...]) -> Iterator[Finding]:
        """Say what could be faster, and by how much."""
        for i, plugin in enumerate(plugins):
            size, took = next(iter(plugin.times_us.items()), (0, 0.0))
            if not plugin.vectorised:
                when = "per change of many nodes" if plugin.cacheable else "per decision"
                cost = f": {took:,.0f} us {when} at {size:,} nodes" if size else ""
                yield Finding(
                    "warning",
                    plugin.name,
                    plugin.where,
                    "speed",
                    f"asked node by node{cost}",
                    f"a function of (task, nodes) that answers for all nodes at once usually costs {_ADVERTISED_US} us",
                )
            promise = self._promises.get(i)
            if promise:
                cost = f": {took:,.0f} us at {size:,} nodes" if size else ""
                yield Finding(
                    "hint",
                    plugin.name,
                    plugin.where,
                    "speed",
                    f"asked again about every feasible node at each decision{cost}",
                    f'its answers rest on single nodes: with reads={reads_text(promise)}, depends="row" they are '
                    "remembered, and only changed nodes are asked about again",
                )


def check_policy(policy: Policy, *, seed: int = 0, nodes: int = NODES, timed: bool = True) -> Report:
    """Return what the generic checks find out about ``policy`` on a sample cluster of ``nodes`` nodes."""
    return PolicyCheck(policy, seed=seed, nodes=nodes, timed=timed).report()


def _resources(policy: Policy) -> tuple[str, ...]:
    """Resources that plugins declare and no ordinary node has: the sample gets them too."""
    plugins = (*policy.filters, *(scorer for scorer, _ in policy.scorers))
    declared = {fact for plugin in plugins for fact in plugin.reads}
    usual = {*FACTS, *Columns().resources, "scratch", "any other resource"}
    return tuple(sorted(fact for fact in declared - usual))


def _heard(caught: list[warnings.WarningMessage], policy: Policy) -> list[Finding]:
    """Warnings that were raised while plugins ran, each line once."""
    lines = {f"{w.filename}:{w.lineno}": " ".join(str(w.message).split()) for w in caught}
    return [
        Finding(
            "warning", policy.name, place, "warning", text, "np.errstate or np.where keeps it quiet where it is meant"
        )
        for place, text in lines.items()
    ]
