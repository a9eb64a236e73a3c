"""FGD of the openb experiment."""

from pilotage.kernel import devices, filters, scorers
from pilotage.kernel.policy import Policy


def fgd() -> Policy:
    """The node and the GPU where the task adds the least fragmentation."""
    return Policy(name="fgd", filters=filters.DEFAULT, scorers=[(scorers.fgd(), 1)], devices=devices.fgd)
