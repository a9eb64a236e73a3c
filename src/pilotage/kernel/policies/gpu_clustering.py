"""GpuClustering of the openb experiment."""

from pilotage.kernel import filters, scorers
from pilotage.kernel.policy import Policy


def gpu_clustering() -> Policy:
    """Tasks of one GPU request together; tightest GPU."""
    return Policy(name="gpu-clustering", filters=filters.DEFAULT, scorers=[(scorers.gpu_clustering(), 1)])
