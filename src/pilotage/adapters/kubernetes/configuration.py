"""Files of kind KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1), with every fault told at once."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pilotage.adapters.kubernetes.arguments import READERS, read_arguments
from pilotage.adapters.kubernetes.profile import DEFAULT_SCHEDULER, DEFAULTS, POINTS, RELEASES, Profile
from pilotage.adapters.kubernetes.reading import Faults, Part
from pilotage.model.errors import InvalidInput

API = "kubescheduler.config.k8s.io/v1"
KIND = "KubeSchedulerConfiguration"

_MULTI = "multiPoint"
_KNOWN = {name for names in POINTS.values() for name in names}
_REMOVED = ("AzureDiskLimits", "CinderLimits", "EBSLimits", "GCEPDLimits")

_POLICY = (
    f"is a scheduling Policy, which Kubernetes gave up in 1.23: write a {KIND} ({API}) instead, where a predicate is "
    "a plugin under profiles[].plugins.filter and a priority one under profiles[].plugins.score with its weight"
)


class Configuration(Struct, frozen=True, kw_only=True):
    """What of a configuration decides: its profiles, the backoff of rejected pods, and whom else it asks."""

    profiles: tuple[Profile, ...] = (Profile(),)
    backoff_initial_s: float = 1.0
    backoff_longest_s: float = 10.0
    extenders: tuple[str, ...] = ()


Plugins = list[tuple[str, int]]
"""(plugin, its weight or 0) in order."""


def read_configuration(value: Any) -> Configuration:
    """Return a configuration from what a file holds; raises one `InvalidInput` that tells all its faults."""
    faults = Faults()
    if isinstance(value, Mapping):
        _check_kind(value)
    part = Part("", value, faults)
    if part.text("apiVersion") != API:
        part.fault("apiVersion", f"must be {API}, got {part.text('apiVersion')!r:.60}")
    if part.text("kind") != KIND:
        part.fault("kind", f"must be {KIND}, got {part.text('kind')!r:.60}")
    percentage = part.whole("percentageOfNodesToScore", 0, 0, 100)
    profiles = [_profile(each, percentage) for each in part.parts("profiles")]
    if part.has("profiles") and not profiles:
        part.fault("profiles", "must hold at least one profile")
    _check_names(part, profiles)
    part.whole("parallelism", 16, at_least=1)
    initial = part.whole("podInitialBackoffSeconds", 1, at_least=1)
    longest = part.whole("podMaxBackoffSeconds", 10)
    if longest < initial:
        part.fault("podMaxBackoffSeconds", f"must be at least podInitialBackoffSeconds ({initial}), got {longest}")
    for name in ("enableProfiling", "enableContentionProfiling", "delayCacheUntilActive"):
        part.flag(name, True)
    _check_connection(part.part("clientConnection"))
    _check_election(part.part("leaderElection"))
    extenders = _extenders(part)
    part.done()
    faults.raise_all("configuration")
    return Configuration(
        profiles=tuple(profiles) or (Profile(percentage=percentage),),
        backoff_initial_s=float(initial),
        backoff_longest_s=float(longest),
        extenders=extenders,
    )


def of_release(configuration: Configuration, release: str) -> Configuration:
    """Return the configuration as another release of kube-scheduler carries it out; raises `InvalidInput`."""
    known = next((each for each in RELEASES if each == release), None)
    if known is None:
        raise InvalidInput("release", f"must be one of {', '.join(RELEASES)}, got {release!r:.60}")
    profiles = tuple(replace(profile, release=known) for profile in configuration.profiles)
    return replace(configuration, profiles=profiles)


def _check_kind(value: Mapping[str, Any]) -> None:
    """Refuse other kinds of files at once: nothing that is said about their fields would help."""
    if value.get("kind") == "Policy" or "predicates" in value or "priorities" in value:
        raise InvalidInput("kind", _POLICY)
    version = str(value.get("apiVersion", ""))
    if version.startswith("kubescheduler.config.k8s.io/") and version != API:
        raise InvalidInput("apiVersion", f"{version} is gone: write {API}, which has the same profiles and plugins")


def _check_names(part: Part, profiles: list[Profile]) -> None:
    names = [profile.name for profile in profiles]
    for i, name in enumerate(names):
        if name in names[:i]:
            part.fault(f"profiles[{i}].schedulerName", f"{name!r} is the name of profiles[{names.index(name)}] too")


def _profile(part: Part, percentage: int) -> Profile:
    name = part.text("schedulerName", DEFAULT_SCHEDULER)
    if part.has("schedulerName") and not name:
        part.fault("schedulerName", "must not be empty")
    percentage = part.whole("percentageOfNodesToScore", percentage, 0, 100)
    found: dict[str, Any] = {}
    seen: set[str] = set()
    for each in part.parts("pluginConfig"):
        plugin = each.text("name")
        if plugin in seen:
            each.fault("name", f"{plugin!r} is configured twice")
        elif plugin not in READERS:
            each.fault("name", f"{plugin!r} takes no arguments; those that do: {', '.join(sorted(READERS))}")
            each.take("args")
        else:
            found |= read_arguments(plugin, each.part("args"))
        seen.add(plugin)
        each.done()
    points = _points(part.part("plugins"))
    part.done()
    return Profile(
        name=name,
        percentage=percentage,
        pre_filters=tuple(plugin for plugin, _ in points["preFilter"]),
        filters=tuple(plugin for plugin, _ in points["filter"]),
        scorers=tuple((plugin, weight or 1) for plugin, weight in points["score"]),
        gates="SchedulingGates" in dict(points["preEnqueue"]),
        **found,
    )


def _points(part: Part) -> dict[str, Plugins]:
    """Return the plugins of each extension point after defaults, merging and the expansion of multiPoint."""
    sets = {point: _plugin_set(part.part(point), point) for point in (_MULTI, *POINTS)}
    part.done()
    everywhere, nowhere = sets.pop(_MULTI)
    multi = _merged(list(DEFAULTS), everywhere, nowhere)
    points = {}
    for point, (enabled, disabled) in sets.items():
        points[point] = _expanded(point, multi, enabled, disabled)
    if len(points["queueSort"]) != 1:
        part.fault("queueSort", f"exactly one plugin sorts the queue, got {len(points['queueSort'])}")
    if not points["bind"]:
        part.fault("bind", "at least one plugin must bind")
    weights = sum((weight or 1) for _, weight in points["score"])
    if weights * 100 > 2**63 - 1:
        part.fault("score", "the weights are so large that scores would overflow")
    return points


def _plugin_set(part: Part, point: str) -> tuple[Plugins, set[str]]:
    enabled: Plugins = []
    for each in part.parts("enabled"):
        name, weight = each.text("name"), each.whole("weight", 0, 0, 2**31 - 1)
        each.done()
        if name in _REMOVED:
            each.fault("name", f"{name} is gone; NodeVolumeLimits does its work")
        elif name not in _KNOWN:
            each.fault("name", f"no plugin is called {name!r:.60}")
        elif point != _MULTI and name not in POINTS[point]:
            each.fault("name", f"{name} has nothing to do at {point}")
        elif name in dict(enabled):
            each.fault("name", f"{name} is enabled twice")
        else:
            enabled.append((name, weight))
    disabled = set()
    for each in part.parts("disabled"):
        disabled.add(each.text("name"))
        each.take("weight")
        each.done()
    part.done()
    return enabled, disabled


def _merged(defaults: Plugins, enabled: Plugins, disabled: set[str]) -> Plugins:
    """Defaults keep their place, with a new weight if they are enabled again; what is new comes after them."""
    own = dict(enabled)
    kept = [] if "*" in disabled else [(n, own.pop(n, w)) for n, w in defaults if n not in disabled]
    return [*kept, *((name, weight) for name, weight in enabled if name in own)]


def _expanded(point: str, multi: Plugins, enabled: Plugins, disabled: set[str]) -> Plugins:
    """Explicit plugins that override a multiPoint one, then the other multiPoint ones, then the other explicit ones."""
    if "*" in disabled:
        return enabled
    able = [(name, weight) for name, weight in multi if name in POINTS[point] and name not in disabled]
    own, shared = dict(enabled), dict(able)
    return [
        *(each for each in enabled if each[0] in shared),
        *(each for each in able if each[0] not in own),
        *(each for each in enabled if each[0] not in shared),
    ]


def _check_connection(part: Part) -> None:
    for name in ("kubeconfig", "acceptContentTypes", "contentType"):
        part.text(name)
    qps = part.take("qps")
    if qps is not None and (isinstance(qps, bool) or not isinstance(qps, int | float)):
        part.fault("qps", f"must be a number, got {qps!r:.60}")
    part.whole("burst", 100, at_least=0)
    part.done()


def _check_election(part: Part) -> None:
    elects = part.flag("leaderElect", True)
    lease, renew = part.seconds("leaseDuration", 15.0), part.seconds("renewDeadline", 10.0)
    retry = part.seconds("retryPeriod", 2.0)
    lock = part.text("resourceLock", "leases")
    for name in ("resourceName", "resourceNamespace"):
        if part.text(name, "kube-system") == "" and elects:
            part.fault(name, "must not be empty")
    part.done()
    if not elects:
        return
    if not 0 < retry < renew < lease:
        part.fault(
            "leaseDuration",
            f"must be above renewDeadline, that above retryPeriod: {lease:g} s, {renew:g} s, {retry:g} s",
        )
    if lock != "leases":
        part.fault("resourceLock", f"must be leases, got {lock!r:.60}")


def _extenders(part: Part) -> tuple[str, ...]:
    found, binders = [], 0
    for each in part.parts("extenders"):
        url = each.text("urlPrefix")
        if not url.startswith(("http://", "https://")):
            each.fault("urlPrefix", f"must be an http or https address, got {url!r:.60}")
        for verb in ("filterVerb", "preemptVerb"):
            each.text(verb)
        weight = each.whole("weight", 1, at_least=0)
        if each.text("prioritizeVerb") and weight < 1:
            each.fault("weight", "must be above 0 where prioritizeVerb is set")
        binders += bool(each.text("bindVerb"))
        if binders > 1:
            each.fault("bindVerb", "only one extender may bind")
        for flag in ("enableHTTPS", "nodeCacheCapable", "ignorable"):
            each.flag(flag, False)
        each.seconds("httpTimeout", 5.0)
        each.take("tlsConfig")
        names = set()
        for resource in each.parts("managedResources"):
            name = resource.text("name")
            if "/" not in name:
                resource.fault("name", f"must be an extended resource (vendor.example/thing), got {name!r:.60}")
            if name in names:
                resource.fault("name", f"{name!r} is managed twice")
            names.add(name)
            resource.flag("ignoredByScheduler", False)
            resource.done()
        each.done()
        found.append(url)
    return tuple(found)
