"""The next release, judged by an oracle of its own: where it differs, the switch makes us differ likewise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from pilotage.adapters.kubernetes.configuration import of_release, read_configuration
from tests.conformance.kubernetes.cases import Cases
from tests.conformance.kubernetes.compare import check
from tests.conformance.kubernetes.test_plugins import FOCUS, FRESH, PROBES, configuration
from tests.conformance.kubernetes.test_sequences import play, sequence
from tests.conformance.kubernetes.twin import Twin
from tests.controlplane.oracle import Oracle
from tests.controlplane.programs import located

CLUSTERS = 3


@pytest.fixture(scope="module")
def later() -> Iterator[Oracle]:
    """The oracle of release 1.36."""
    asked = Oracle(located("oracle-1.36"))
    yield asked
    asked.close()


@pytest.mark.parametrize("seed", [1, FRESH], ids=["fixed", "fresh"])
@pytest.mark.parametrize("name", FOCUS)
def test_a_plugin_says_what_release_1_36_says(later: Oracle, name: str, seed: int) -> None:
    print(f"PILOTAGE_SEED={seed} repeats this run")
    focus, plugin_config = FOCUS[name]
    cases, config = Cases(seed, focus), configuration(plugin_config)
    profile = of_release(read_configuration(config), "1.36").profiles[0]
    for _ in range(CLUSTERS):
        objects = cases.cluster(cases.random.randint(1, 9))
        pods = [cases.pod() for _ in range(PROBES)]
        twin = Twin(objects, profile)
        for pod, probe in zip(pods, later.probe(objects, pods, config=config)["probes"], strict=True):
            check(twin, pod, probe)


def test_balance_is_where_they_differ(later: Oracle) -> None:
    cases, config = Cases(1, "balanced"), configuration([])
    objects, pods = cases.cluster(6), [cases.pod() for _ in range(PROBES)]
    (profile,) = read_configuration(config).profiles
    told = later.probe(objects, pods, config=config)["probes"]
    scored = [(pod, probe) for pod, probe in zip(pods, told, strict=True) if probe.get("raw")]
    plugin, unlike = "NodeResourcesBalancedAllocation", 0
    for pod, probe in scored:
        old = {s.plugin: s.raw for s in Twin(objects, replace(profile, release="1.35")).judge(pod).scores}
        unlike += old.get(plugin, {}) != probe["raw"].get(plugin, {})
    assert unlike > len(scored) // 2


@pytest.mark.parametrize("seed", [1, FRESH], ids=["fixed", "fresh"])
def test_every_pod_of_a_sequence_goes_where_release_1_36_puts_it(later: Oracle, seed: int) -> None:
    print(f"PILOTAGE_SEED={seed} repeats this run")
    cases, config = Cases(seed, "mixed"), configuration([])
    objects, steps = sequence(cases, 120, 500, churn=False)
    answer = later.run(objects, steps, config=config)
    twin = Twin(objects, of_release(read_configuration(config), "1.36").profiles[0])
    counts = play(twin, steps, answer["steps"])
    assert counts["placed"] > 60
