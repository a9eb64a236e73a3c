"""Named policies, each built from plugins in a file of its own.

In: nothing. Out: a `Policy` by its name. A policy never knows another one.
"""

from collections.abc import Callable

from pilotage.kernel.policies.bestfit import bestfit
from pilotage.kernel.policies.dotprod import dotprod
from pilotage.kernel.policies.fgd import fgd
from pilotage.kernel.policies.gpu_clustering import gpu_clustering
from pilotage.kernel.policies.gpu_packing import gpu_packing
from pilotage.kernel.policies.kubernetes import kubernetes
from pilotage.kernel.policies.pilotage import pilotage, pilotage_learned
from pilotage.kernel.policies.random import random
from pilotage.kernel.policies.vms import STRATEGIES
from pilotage.kernel.policy import Policy
from pilotage.model.errors import InvalidInput

NAMED: dict[str, Callable[[], Policy]] = {
    "random": random,
    "dotprod": dotprod,
    "gpu-clustering": gpu_clustering,
    "gpu-packing": gpu_packing,
    "bestfit": bestfit,
    "fgd": fgd,
    "pilotage": pilotage,
    "pilotage-learned": pilotage_learned,
    "kubernetes": kubernetes,
    **STRATEGIES,
}


def named(name: str) -> Policy:
    """Return the policy called ``name``; raises `InvalidInput` that lists the known ones."""
    if name not in NAMED:
        raise InvalidInput("policy", f"no policy is called {name!r}; known: {', '.join(NAMED)}, or give a file")
    return NAMED[name]()
