"""This project's own policy for clusters with shared GPUs."""

from pilotage.kernel import devices, filters, scorers
from pilotage.kernel.policy import Mix, Policy


def pilotage() -> Policy:
    """The node and GPU where the task costs the least worth of remainders and strands the least GPU."""
    return _policy("pilotage", "told")


def pilotage_learned() -> Policy:
    """`pilotage` that learns the mix of tasks from what arrives, whatever it is told."""
    return _policy("pilotage-learned", "learned")


def _policy(name: str, mix: Mix) -> Policy:
    return Policy(
        name=name,
        filters=filters.DEFAULT,
        scorers=[(scorers.worth_and_stranding(), 1)],
        devices=devices.least_worth,
        mix=mix,
    )
