"""Random placement."""

from pilotage.kernel import devices, filters, scorers
from pilotage.kernel.policy import Policy


def random() -> Policy:
    """One feasible node uniformly, then feasible GPUs of it uniformly; keyed by the seed."""
    return Policy(name="random", filters=filters.DEFAULT, scorers=[(scorers.random(), 1)], devices=devices.random)
