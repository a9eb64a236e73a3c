"""BestFit of the openb experiment."""

from pilotage.kernel import filters, scorers
from pilotage.kernel.policy import Policy


def bestfit() -> Policy:
    """Nodes with the least CPU and GPU left first; tightest GPU."""
    return Policy(name="bestfit", filters=filters.DEFAULT, scorers=[(scorers.best_fit(), 1)])
