"""How many nodes a decision looks at: kube-scheduler's percentageOfNodesToScore."""

from dataclasses import dataclass

from pilotage.model.amounts import checked_amount

FEW_NODES = 100
"""As many feasible nodes are always looked for."""


@dataclass(frozen=True)
class Sampling:
    """Look for feasible nodes until there are enough, going on each time where the time before stopped.

    Nodes are visited one of each zone in turn. ``percentage`` of all nodes is enough; 0 adapts it to their number:
    50 - nodes / 125, at least 5. Source: kube-scheduler 1.35 with parallelism 1.
    """

    percentage: int = 0

    def __post_init__(self) -> None:
        checked_amount("sampling.percentage", self.percentage, at_most=100)

    def wanted(self, nodes: int) -> int:
        """Return how many feasible nodes are enough where there are ``nodes`` to look at."""
        if nodes < FEW_NODES:
            return nodes
        percentage = self.percentage or max(5, 50 - nodes // 125)
        return max(FEW_NODES, nodes * percentage // 100)
