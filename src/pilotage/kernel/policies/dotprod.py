"""DotProd of the openb experiment."""

from pilotage.kernel import filters, scorers
from pilotage.kernel.policy import Policy


def dotprod() -> Policy:
    """Nodes whose free CPU and GPU line up least with the demand first; tightest GPU."""
    return Policy(name="dotprod", filters=filters.DEFAULT, scorers=[(scorers.dot_product(), 1)])
