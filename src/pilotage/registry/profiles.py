"""Profiles of the searcher: the weights of a release and its rules, by the release that brought them."""

from msgspec import Struct

from pilotage.model.errors import InvalidInput

TERMS = ("security_domain", "cidr", "hostname", "idc", "net_topology", "location", "type")


class Profile(Struct, frozen=True):
    """Weight of each term, in the order in which they are added up; a term that is not named is not looked at."""

    name: str
    weights: tuple[tuple[str, float], ...]
    ignores_case: bool = True
    domains_filter: bool = False
    """Whether a cluster with rules for other security domains only is left out."""
    needs_conditions: bool = False
    """Whether a request without any condition is refused."""


V2_0_8 = Profile(
    "v2.0.8",
    (("security_domain", 0.4), ("idc", 0.3), ("net_topology", 0.2), ("location", 0.07), ("type", 0.03)),
    domains_filter=True,
    needs_conditions=True,
)
V2_1_0 = Profile("v2.1.0", (("cidr", 0.4), ("idc", 0.35), ("location", 0.24), ("type", 0.01)), ignores_case=False)
V2_1_1 = Profile("v2.1.1", V2_1_0.weights)
V2_1_33 = Profile("v2.1.33", (("cidr", 0.3), ("hostname", 0.3), ("idc", 0.25), ("location", 0.14), ("type", 0.01)))
CURRENT = V2_1_33

PROFILES = {profile.name: profile for profile in (V2_0_8, V2_1_0, V2_1_1, V2_1_33)}


def profile_named(name: str) -> Profile:
    """Return the profile of that release. Raises `InvalidInput` listing the known ones."""
    if name not in PROFILES:
        raise InvalidInput("profile", f"{name!r} is unknown; known: {', '.join(PROFILES)}")
    return PROFILES[name]
