"""The row plugins of kube-scheduler's default profile, with its weights and its tie rule."""

from pilotage.kernel import filters, scorers
from pilotage.kernel.policy import Policy


def kubernetes() -> Policy:
    """Fewest unwelcome taints (3), preferred affinity (2), least allocated (1), balanced (1); ties as release 1.35."""
    return Policy(
        name="kubernetes",
        filters=filters.DEFAULT,
        scorers=[
            (scorers.fewest_taints(), 3),
            (scorers.preferred_affinity(), 2),
            (scorers.least_allocated(), 1),
            (scorers.balanced(), 1),
        ],
        tie="heap",
    )
