"""What a task wants of other tasks: company, distance, an even spread over domains.

A *domain* is the set of nodes with the same value of a label, the *topology key*: a host, a rack, a zone.
"""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import force_setattr

from pilotage.model.amounts import checked_amount, checked_name, checked_tuple
from pilotage.model.errors import InvalidInput
from pilotage.model.expression import Expression


class Selector(Struct, frozen=True, cache_hash=True):
    """Tasks whose labels meet all ``expressions`` (none: all tasks) in one of ``namespaces`` (none: in any)."""

    expressions: tuple[Expression, ...] = ()
    namespaces: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        force_setattr(self, "expressions", checked_tuple("selector.expressions", self.expressions, Expression))
        names = checked_tuple("selector.namespaces", self.namespaces, str)
        force_setattr(self, "namespaces", tuple(sorted(set(names))))

    def matches(self, labels: Mapping[str, str], namespace: str) -> bool:
        """Return whether a task with ``labels`` in ``namespace`` is meant."""
        if self.namespaces and namespace not in self.namespaces:
            return False
        return all(expression.holds(labels.get(expression.key)) for expression in self.expressions)


class Spread(Struct, frozen=True, cache_hash=True, kw_only=True):
    """At most ``max_skew`` more of the selected tasks in a domain of ``key`` than in the one with the fewest.

    ``hard``: nodes that would break it are refused; otherwise they score less. Domains are those of nodes that carry
    the keys of all constraints of their kind (hard, soft) and, by ``honour_affinity`` and ``honour_taints``, that the
    task's own affinity and tolerations admit. With fewer than ``min_domains`` of them the fewest count as 0 (hard
    only). ``lenient`` (soft only): a node without the key is scored like others instead of last. Source: Kubernetes'
    pod topology spread constraints.
    """

    key: str
    selector: Selector
    max_skew: int = 1
    hard: bool = True
    min_domains: int = 1
    honour_affinity: bool = True
    honour_taints: bool = False
    lenient: bool = False

    def __post_init__(self) -> None:
        checked_name("spread.key", self.key)
        for name in ("max_skew", "min_domains"):
            if checked_amount(f"spread.{name}", getattr(self, name), at_most=2**31 - 1) == 0:
                raise InvalidInput(f"spread.{name}", "must be at least 1")
        if self.min_domains > 1 and not self.hard:
            raise InvalidInput("spread.min_domains", "only a hard constraint can ask for a number of domains")
        if self.lenient and self.hard:
            raise InvalidInput("spread.lenient", "only a soft constraint can be lenient")


class Company(Struct, frozen=True, cache_hash=True):
    """The selected tasks, anywhere in the node's domain of ``key``; ``selector`` None selects no task."""

    key: str
    selector: Selector | None

    def __post_init__(self) -> None:
        checked_name("company.key", self.key)


class PreferredCompany(Struct, frozen=True, cache_hash=True):
    """Company that is welcome (``weight`` 1 to 100) or not (-100 to -1); each task of it counts."""

    weight: int
    company: Company

    def __post_init__(self) -> None:
        if checked_amount("preferred_company.weight", abs(self.weight), at_most=100) == 0:
            raise InvalidInput("preferred_company.weight", "must be 1 to 100 or -100 to -1, got 0")
