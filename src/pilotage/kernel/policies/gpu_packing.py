"""GpuPacking of the openb experiment."""

from pilotage.kernel import filters, scorers
from pilotage.kernel.policy import Policy


def gpu_packing() -> Policy:
    """Used GPUs first, then used nodes; tightest GPU."""
    return Policy(name="gpu-packing", filters=filters.DEFAULT, scorers=[(scorers.gpu_packing(), 1)])
