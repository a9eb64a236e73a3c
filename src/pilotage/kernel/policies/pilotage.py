"""This project's own policy for clusters with shared GPUs."""

from pilotage.kernel import devices, filters, scorers
from pilotage.kernel.policy import Policy


def pilotage() -> Policy:
    """The node and GPU where the task costs the least worth of remainders and strands the least GPU."""
    return Policy(
        name="pilotage",
        filters=filters.DEFAULT,
        scorers=[(scorers.worth_and_stranding(), 1)],
        devices=devices.least_worth,
    )
