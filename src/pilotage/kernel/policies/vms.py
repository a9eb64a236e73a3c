"""Strategies for VMs on bare-metal hosts, by name: the same filters, each with a scorer of its own."""

from collections.abc import Callable

from pilotage.kernel import filters, scorers
from pilotage.kernel.plugin import Scorer
from pilotage.kernel.policy import Policy

_SOFT = 2
"""Weight of a soft rule of a group; a strategy's own scores weigh 1."""


def strategy(name: str, scorer: Scorer) -> Policy:
    """The VM filters with one scorer and the soft rules of groups; of equals the first in the order of the hosts.

    Several workers have the hosts in several orders: they seldom want the same one at the same time.
    """
    preferences = [(scorer, 1), (scorers.prefer_group(), _SOFT)]
    return Policy(name=name, filters=filters.VMS, scorers=preferences, tie="first")


STRATEGIES: dict[str, Callable[[], Policy]] = {
    "cpu": lambda: strategy("cpu", scorers.least_allocated("cpu")),
    "memory": lambda: strategy("memory", scorers.least_allocated("memory")),
    "hybrid": lambda: strategy("hybrid", scorers.least_allocated("cpu", "memory")),
    "binpack": lambda: strategy("binpack", scorers.exponential_fit()),
    "spread": lambda: strategy("spread", scorers.exponential_fit(spread=True)),
    "best-fit": lambda: strategy("best-fit", scorers.dominant_share()),
}
