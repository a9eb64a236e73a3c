"""The published cases of the searcher: every order and score, by release."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.model.errors import InvalidInput
from pilotage.registry.affinity import fold, idc_affinity, location_affinity
from pilotage.registry.entities import SchedulerCluster
from pilotage.registry.matching import Host
from pilotage.registry.profiles import PROFILES, V2_0_8, V2_1_0, V2_1_1, V2_1_33, Profile
from pilotage.registry.searcher import NoCluster, Searcher

HERE = Host(hostname="foo", ip="128.168.1.0")
NET = ["128.168.1.0/24"]


def clusters(*entries: tuple[Any, ...]) -> list[SchedulerCluster]:
    """(name, scopes, is default) in order of creation."""
    return [
        SchedulerCluster(
            id=index,
            name=name,
            scopes=json.dumps(rest[0] if rest else {}),
            is_default=len(rest) > 1 and rest[1],
        )
        for index, (name, *rest) in enumerate(entries, start=1)
    ]


def ranked(given: list[SchedulerCluster], host: Host, profile: Profile = V2_1_33, **more: Any) -> dict[str, float]:
    names = {cluster.id: cluster.name for cluster in given}
    searcher = Searcher(given, profile, **more)
    told = {names[each.cluster_id]: round(each.score, 6) for each in searcher.explain(host)}
    order = searcher.order(host)
    spelled = [*order.first]
    if order.others_follow:
        spelled += [i for i in names if i not in order.first and i not in order.left_out]
    assert [names[i] for i in spelled] == list(told), "order() and explain() agree"
    return told


def at(**values: str) -> Host:
    return Host(hostname=HERE.hostname, ip=HERE.ip, **values)


S7 = clusters(
    ("foo", {"idc": "idc-3", "location": "location-1"}),
    ("bar", {"idc": "idc-1", "location": "location-3"}),
    ("baz", {"idc": "idc-1", "location": "location-1|location-2"}),
    ("bax", {"idc": "idc-3", "location": "location-3"}, True),
    ("bac", {"idc": "idc-1", "location": "location-2"}),
)


def s8(*, hostnames: bool = True) -> list[SchedulerCluster]:
    def entry(name: str, location: str, expression: str, default: bool = False, cidr: str = NET[0]) -> Any:
        scopes: dict[str, Any] = {"idc": "IDC-1", "location": location, "cidrs": [cidr]}
        if hostnames:
            scopes["hostnames"] = [expression]
        return name, scopes, default

    return clusters(
        entry("foo", "LOCATION-2", "b.*"),
        entry("bar", "LOCATION-1", "c.*"),
        entry("baz", "LOCATION-1|LOCATION-2", "f.*"),
        entry("bax", "LOCATION-2", "d.*", True),
        entry("bac", "LOCATION-2", "e.*"),
        entry("bae", "LOCATION-2", "a.*", True),
        entry("bat", "LOCATION-2", "g.*", True, "192.168.1.0/24"),
    )


NEAR = at(idc="idc-1", location="location-1|location-2")

CURRENT_CASES = {
    "S2": (clusters(("foo",), ("bar", {}, True)), HERE, {"bar": 0.01, "foo": 0}),
    "S3": (
        clusters(("foo", {"location": "location-1"}), ("bar",)),
        at(location="location-1"),
        {"foo": 0.14, "bar": 0},
    ),
    "S4": (
        clusters(("foo", {"idc": "idc|idc-1"}), ("bar", {"idc": "idc-2|idc-3"})),
        at(idc="idc-2"),
        {"bar": 0.25, "foo": 0},
    ),
    "S5": (clusters(("foo", {"cidrs": NET}), ("bar",)), HERE, {"foo": 0.3, "bar": 0}),
    "S6": (clusters(("foo", {"hostnames": ["f.*"]}), ("bar",)), HERE, {"foo": 0.3, "bar": 0}),
    "S7": (S7, NEAR, {"baz": 0.39, "bar": 0.25, "bac": 0.25, "foo": 0.028, "bax": 0.01}),
    "S8": (
        s8(),
        NEAR,
        {"baz": 0.99, "bar": 0.578, "bax": 0.56, "bae": 0.56, "foo": 0.55, "bac": 0.55, "bat": 0.26},
    ),
}


@pytest.mark.parametrize("case", CURRENT_CASES)
def test_the_current_release(case: str) -> None:
    given, host, expected = CURRENT_CASES[case]
    told = ranked(given, host)
    assert told == expected
    assert list(told) == list(expected)


def test_s1_no_clusters_is_an_error() -> None:
    with pytest.raises(NoCluster, match="no scheduler clusters"):
        Searcher([]).order(at(location="foo"))


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (V2_1_1, {"baz": 0.99, "bar": 0.798, "bax": 0.76, "bae": 0.76, "foo": 0.75, "bac": 0.75, "bat": 0.36}),
        (V2_1_0, {"bax": 0.41, "bae": 0.41, "foo": 0.4, "bar": 0.4, "baz": 0.4, "bac": 0.4, "bat": 0.01}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_s8_without_hostnames_under_older_releases(profile: Profile, expected: dict[str, float]) -> None:
    told = ranked(s8(hostnames=False), NEAR, profile)
    assert told == expected
    assert list(told) == list(expected)


SIX = "a|b|c|d|e|f"


@pytest.mark.parametrize(
    ("mine", "theirs", "value"),
    [
        ("", "", 0),
        ("", "baz", 0),
        ("bar", "", 0),
        ("foo", "foo", 1),
        ("foo", "bar", 0),
        ("foo|bar", "foo|bar", 1),
        ("foo|bar", "bar|foo", 0),
        ("foo|bar|baz", "foo|bar", 0.4),
        ("foo|bar", "foo|bar|baz", 0.4),
        (SIX, "a|b|c", 0.6),
        ("a|b|c", SIX, 0.6),
        (SIX, "a|b|c|d|e|g", 1),
        (f"{SIX}|g", f"{SIX}|h", 1),
        ("cn", "cn|zj", 0.2),
        ("a||b", "a||c", 0.4),
    ],
)
def test_the_location_table(mine: str, theirs: str, value: float) -> None:
    assert location_affinity(mine, theirs) == value


def test_an_idc_is_never_split_and_a_scope_always() -> None:
    assert idc_affinity("a", "a|b") == 1
    assert idc_affinity("a|b", "a|b") == 1
    assert idc_affinity("a|b", "a|b|c") == 0
    assert idc_affinity("", "a||b") == 0


# ---------------------------------------------------------------- v2.0.8


def domain(*names: str, **scopes: str) -> dict[str, Any]:
    return {"security_domains": list(names), **scopes}


D1 = {"security_domain": "domain-1"}
LOCATIONS = "location-1|location-2"
ALL = at(**D1, idc="idc-1|idc-2", location=LOCATIONS, net_topology="net-1|net-2")

OLD_CASES: dict[str, tuple[list[SchedulerCluster], Host, dict[str, float]]] = {
    "default": (
        clusters(("foo", domain("domain-2")), ("bar", {}, True), ("baz",)),
        at(**D1),
        {"bar": 0.03, "baz": 0},
    ),
    "no rules": (clusters(("foo", domain("domain-2")), ("bar",)), at(**D1), {"bar": 0}),
    "domain": (
        clusters(("foo", domain("domain-2")), ("bar",), ("baz", domain("domain-1"))),
        at(**D1),
        {"baz": 0.4, "bar": 0},
    ),
    "location": (
        clusters(("foo", {"location": "location-1"}), ("bar",)),
        at(location="location-1"),
        {"foo": 0.07, "bar": 0},
    ),
    "idc": (
        clusters(("foo", {"idc": "idc|idc-1"}), ("bar", {"idc": "idc-2|idc-3"})),
        at(idc="idc-2"),
        {"bar": 0.3, "foo": 0},
    ),
    "net topology": (
        clusters(("foo", {"net_topology": "net-1"}), ("bar",)),
        at(net_topology="net-1"),
        {"foo": 0.2, "bar": 0},
    ),
    "location and idc": (
        clusters(("foo", {"location": LOCATIONS, "idc": "idc-1|idc-2"}), ("bar",)),
        at(location="location-1", idc="idc-1"),
        {"foo": 0.314, "bar": 0},
    ),
    "domain and location": (
        clusters(("foo", domain("domain-1", location="location-1")), ("bar",)),
        at(**D1, location="location-1"),
        {"foo": 0.47, "bar": 0},
    ),
    "domain and idc": (
        clusters(("foo", domain("domain-1", idc="idc-1")), ("bar",)),
        at(**D1, idc="idc-1"),
        {"foo": 0.7, "bar": 0},
    ),
    "domain, idc and location": (
        clusters(
            ("foo", domain("domain-1", idc="idc-1", location="location-1")),
            ("bar", domain("domain-1", idc="idc-2", location=LOCATIONS)),
            ("baz", domain("domain-2", idc="idc-2", location="location-1")),
        ),
        at(**D1, idc="idc-1|idc-2", location=LOCATIONS),
        {"bar": 0.47, "foo": 0.414},
    ),
    "all": (
        clusters(
            ("foo", domain("domain-1", idc="idc-1", location="location-2")),
            ("bar", domain("domain-1", idc="idc-1", location="location-1")),
            ("baz", {"idc": "idc-1", "location": LOCATIONS, "net_topology": "net-1"}),
            ("bax", {"idc": "idc-1", "location": "location-2", "net_topology": "net-1"}, True),
            ("bac", domain("domain-2", idc="idc-1", location="location-2")),
        ),
        ALL,
        {"bar": 0.414, "foo": 0.4, "baz": 0.11, "bax": 0.07},
    ),
    "all, other case": (
        clusters(
            ("foo", domain("DOMAIN-1", idc="IDC-1", location="LOCATION-2")),
            ("bar", domain("DOMAIN-1", idc="IDC-1", location="LOCATION-1")),
            ("baz", {"idc": "IDC-1", "location": LOCATIONS.upper(), "net_topology": "NET-1"}),
            ("bax", {"idc": "IDC-1", "location": "LOCATION-2", "net_topology": "NET-1"}, True),
            ("bac", domain("DOMAIN-2", idc="IDC-1", location="LOCATION-2")),
            ("bae", domain("DOMAIN-2", idc="IDC-1", location="LOCATION-2", net_topology="NET-1"), True),
        ),
        ALL,
        {"bae": 0.47, "bar": 0.414, "foo": 0.4, "baz": 0.11, "bax": 0.07},
    ),
}


@pytest.mark.parametrize("case", OLD_CASES)
def test_v2_0_8(case: str) -> None:
    given, host, expected = OLD_CASES[case]
    told = ranked(given, host, V2_0_8)
    assert told == expected
    assert list(told) == list(expected)


@pytest.mark.parametrize(
    ("given", "host", "reason"),
    [
        (clusters(("foo",)), HERE, "needs a condition"),
        ([], at(location="foo"), "no scheduler clusters"),
        (clusters(("foo", domain("domain-2"))), at(**D1), "security domain 'domain-1'"),
    ],
    ids=["empty conditions", "no clusters", "other domains only"],
)
def test_errors_of_v2_0_8(given: list[SchedulerCluster], host: Host, reason: str) -> None:
    with pytest.raises(NoCluster, match=reason):
        Searcher(given, V2_0_8).order(host)


# ---------------------------------------------------------------- what the published cases leave open


def test_nothing_matches_and_two_defaults() -> None:
    given = clusters(("a",), ("b", {}, True), ("c",), ("d", {}, True))
    assert list(ranked(given, HERE)) == ["b", "d", "a", "c"]


def test_many_ties_keep_the_order_of_creation() -> None:
    given = clusters(*((f"c{i}", {"idc": "x"} if i % 2 else {}) for i in range(40)))
    assert list(ranked(given, at(idc="X"))) == [f"c{i}" for i in [*range(1, 40, 2), *range(0, 40, 2)]]


def test_bad_entries_are_skipped_and_good_ones_beside_them_count() -> None:
    given = clusters(
        ("plain",),
        ("mixed", {"cidrs": ["no", "128.168.1.0", "300.0.0.0/8", *NET], "hostnames": ["(", "(?=x)", "^foo$"]}),
    )
    assert ranked(given, HERE) == {"mixed": 0.6, "plain": 0}


@pytest.mark.parametrize(
    ("ip", "cidr", "matches"),
    [
        ("::ffff:128.168.1.7", "128.168.1.0/24", True),
        ("128.168.1.7", "::ffff:128.168.1.0/120", True),
        ("2001:db8::1", "2001:db8::ffff/32", True),
        ("2001:db9::1", "2001:db8::/32", False),
        ("128.168.1.7", "0.0.0.0/0", True),
        ("2001:db8::1", "0.0.0.0/0", False),
        ("fe80::1%eth0", "fe80::/10", False),
        ("nonsense", "0.0.0.0/0", False),
        ("", "0.0.0.0/0", False),
    ],
)
def test_addresses(ip: str, cidr: str, matches: bool) -> None:
    given = clusters(("only", {"cidrs": [cidr]}))
    assert ranked(given, Host("foo", ip)) == {"only": 0.3 if matches else 0}


@pytest.mark.parametrize("scopes", ["{", '{"cidrs": "10.0.0.0/8"}', "[]", '"text"', "null", "", '{"idc": 3}'])
def test_scopes_that_can_not_be_decoded_score_nothing(scopes: str) -> None:
    given = [SchedulerCluster(1, "broken", scopes=scopes), *clusters(("x",), ("good", {"idc": "a"}))[1:]]
    assert ranked(given, at(idc="a")) == {"good": 0.25, "broken": 0}


def test_an_empty_hostname_matches_no_expression() -> None:
    assert ranked(clusters(("a", {"hostnames": [".*", ""]})), Host("", "1.1.1.1")) == {"a": 0}


def test_hostnames_are_searched_with_case_and_anywhere() -> None:
    given = clusters(("upper", {"hostnames": ["FOO"]}), ("middle", {"hostnames": ["o"]}))
    assert ranked(given, HERE) == {"middle": 0.3, "upper": 0}


def test_folding_is_simple() -> None:
    assert fold("Straße") == "straße"
    assert fold("ẞ") == "ß"
    assert fold("İ") == "İ"
    assert fold("ΣΑΣ") == fold("σας")


# ---------------------------------------------------------------- hard filter


def test_a_required_term_keeps_only_clusters_that_meet_it() -> None:
    assert ranked(S7, NEAR, require=["idc"]) == {"baz": 0.39, "bar": 0.25, "bac": 0.25}
    assert ranked(S7, NEAR, require=["idc", "location"]) == {"baz": 0.39}


def test_default_clusters_stand_in_when_none_meets_what_is_required() -> None:
    assert ranked(S7, at(idc="elsewhere"), require=["idc"]) == {"bax": 0.01}
    assert ranked(clusters(("a",)), at(idc="elsewhere"), require=["idc"]) == {}


@pytest.mark.parametrize("term", ["nearness", "type", "net_topology"])
def test_what_can_not_be_required(term: str) -> None:
    with pytest.raises(InvalidInput, match="require: "):
        Searcher([], V2_1_33, [term])


# ---------------------------------------------------------------- against the definition, one cluster at a time

words = st.sampled_from(["", "a", "B", "b", "a|b", "A|b|c", "b||c", "a|b|c|d|e|f", "a|b|c|d|e|g"])
scopes_of = st.fixed_dictionaries(
    {},
    optional={
        "idc": words,
        "location": words,
        "net_topology": words,
        "cidrs": st.lists(st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "::/0", "bad"]), max_size=3),
        "hostnames": st.lists(st.sampled_from(["^a", "b$", "[0-9]+", "(", ".*"]), max_size=3),
        "security_domains": st.lists(st.sampled_from(["x", "Y"]), max_size=2),
    },
)
hosts = st.builds(
    Host,
    hostname=st.sampled_from(["", "ab", "b1", "zz"]),
    ip=st.sampled_from(["10.1.2.3", "10.9.9.9", "192.168.0.1", "::1", "bad"]),
    idc=words,
    location=words,
    security_domain=st.sampled_from(["", "X", "y", "z"]),
    net_topology=words,
)


@given(
    st.lists(st.tuples(scopes_of, st.booleans()), min_size=1, max_size=20),
    hosts,
    st.sampled_from(sorted(PROFILES)),
)
def test_an_index_finds_what_looking_at_each_cluster_alone_finds(
    drawn: list[tuple[dict[str, Any], bool]], host: Host, name: str
) -> None:
    profile = PROFILES[name]
    given = clusters(*((str(i), scopes, default) for i, (scopes, default) in enumerate(drawn)))
    alone: list[tuple[float, int, str]] = []
    for cluster in given:
        try:
            alone += [(-each.score, cluster.id, cluster.name) for each in Searcher([cluster], profile).explain(host)]
        except NoCluster:
            continue
    try:
        together = ranked(given, host, profile)
    except NoCluster:
        assert not alone
        return
    # Sums that look alike may differ in their last bit: what is sorted is not rounded.
    assert list(together.items()) == [(name, round(-score, 6)) for score, _, name in sorted(alone)]
