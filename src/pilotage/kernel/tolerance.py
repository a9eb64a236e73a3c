"""Which tolerations stand which taint (Kubernetes rules)."""

from pilotage.model.node import Taint
from pilotage.model.task import Toleration


def tolerates(tolerations: tuple[Toleration, ...], taint: Taint) -> bool:
    """Return whether any toleration matches: effect and key empty or equal, value equal unless ``exists``."""
    return any(
        (t.effect is None or t.effect == taint.effect)
        and (not t.key or t.key == taint.key)
        and (t.exists or t.value == taint.value)
        for t in tolerations
    )
