"""The scorers, by name, for use in a policy: ``scorers=[(scorers.least_allocated("cpu"), 1)]``."""

from collections.abc import Mapping, Sequence

from pilotage.kernel.plugin import Scorer
from pilotage.kernel.plugins.affinity import PreferredAffinity
from pilotage.kernel.plugins.allocated import Allocated
from pilotage.kernel.plugins.balanced import Balanced
from pilotage.kernel.plugins.best_fit import BestFit
from pilotage.kernel.plugins.dominant_share import DominantShare
from pilotage.kernel.plugins.dot_product import DotProduct
from pilotage.kernel.plugins.exponential_fit import ExponentialFit
from pilotage.kernel.plugins.fgd import FragmentationDescent
from pilotage.kernel.plugins.gpu_clustering import GpuClustering
from pilotage.kernel.plugins.gpu_packing import GpuPacking
from pilotage.kernel.plugins.group import PreferGroup
from pilotage.kernel.plugins.image_locality import ImageLocality
from pilotage.kernel.plugins.random_choice import RandomScore
from pilotage.kernel.plugins.shape import Shape
from pilotage.kernel.plugins.spread import EvenSpread
from pilotage.kernel.plugins.taints import FewestTaints
from pilotage.kernel.plugins.task_company import WelcomeCompany
from pilotage.kernel.plugins.worth_and_stranding import WorthAndStranding
from pilotage.kernel.weights import Pairs
from pilotage.model.amounts import checked_amount
from pilotage.model.errors import InvalidInput

LARGEST_NODE: Mapping[str, int] = {"cpu": 128_000, "gpu": 8_000}
"""Norms of the openb experiment: 128 cores in milli, 8 GPUs in thousandths."""


def least_allocated(*resources: str, **weights: int) -> Scorer:
    """Prefer nodes with much left: CPU and memory, or what is named, or weighed as in ``(cpu=3, gpu=1)``."""
    return Allocated(_pairs("least_allocated", resources, weights))


def most_allocated(*resources: str, **weights: int) -> Scorer:
    """Prefer nodes with little left; resources and weights as in `least_allocated`."""
    return Allocated(_pairs("most_allocated", resources, weights), most=True)


def balanced(*resources: str) -> Scorer:
    """Prefer nodes whose resources (CPU and memory if none is named) are taken evenly."""
    return Balanced(resources or ("cpu", "memory"))


def requested_to_capacity(points: Sequence[tuple[int, int]], *resources: str, **weights: int) -> Scorer:
    """Score utilisation by a line through ``points`` (percent, 0..10), as in ``[(0, 0), (100, 10)]`` for packing."""
    return Shape(tuple((u, s) for u, s in points), _pairs("requested_to_capacity", resources, weights))


def dot_product(norms: Mapping[str, int] = LARGEST_NODE) -> Scorer:
    """Prefer nodes whose free amounts line up least with the demand; ``norms``: what counts as one."""
    return DotProduct(_norms("dot_product", norms))


def best_fit(norms: Mapping[str, int] = LARGEST_NODE) -> Scorer:
    """Prefer nodes with the least left after the task; ``norms``: what counts as one."""
    return BestFit(_norms("best_fit", norms))


def exponential_fit(*, spread: bool = False) -> Scorer:
    """Prefer nodes that the task leaves full of CPU and memory alike (``spread``: empty), by Nomad's formula."""
    return ExponentialFit(spread)


def dominant_share() -> Scorer:
    """Prefer nodes whose scarcest resource the task uses up furthest: best fit in several dimensions."""
    return DominantShare()


def prefer_group() -> Scorer:
    """Prefer nodes in places where the task's group is, or is not, by the soft rule of the group."""
    return PreferGroup()


def gpu_packing() -> Scorer:
    """Fill used GPUs first, then free GPUs of used nodes, then free nodes."""
    return GpuPacking()


def gpu_clustering() -> Scorer:
    """Keep tasks with the same GPU request on the same nodes."""
    return GpuClustering()


def fgd() -> Scorer:
    """Prefer nodes where the task adds the least fragmentation for the expected workload."""
    return FragmentationDescent()


def worth_and_stranding() -> Scorer:
    """Prefer nodes where the task costs the least worth of GPU remainders and strands the least GPU."""
    return WorthAndStranding()


def fewest_taints() -> Scorer:
    """Prefer nodes with the fewest PreferNoSchedule taints that the task does not tolerate."""
    return FewestTaints()


def image_locality() -> Scorer:
    """Prefer nodes where the task's container images lie already."""
    return ImageLocality()


def preferred_affinity() -> Scorer:
    """Prefer nodes by the weights of the task's preferred label terms."""
    return PreferredAffinity()


def even_spread() -> Scorer:
    """Prefer domains with the fewest tasks that the task's soft spread constraints select."""
    return EvenSpread()


def welcome_company(required_weight: int = 1, ignore_others: bool = False) -> Scorer:
    """Prefer domains by the tasks there that the task likes, or that like it.

    ``required_weight`` (0 to 100) is what a task there counts whose required company the new one is;
    ``ignore_others``: a task that prefers nothing itself is not scored, whatever others like.
    """
    checked_amount("welcome_company.required_weight", required_weight, at_most=100)
    return WelcomeCompany(required_weight, ignore_others)


def random() -> Scorer:
    """One uniform number per task and node, keyed by the seed."""
    return RandomScore()


def _pairs(field: str, resources: Sequence[str], weights: Mapping[str, int]) -> Pairs:
    pairs = {**dict.fromkeys(resources, 1), **weights} or {"cpu": 1, "memory": 1}
    for resource, weight in pairs.items():
        if checked_amount(f"{field}.{resource}", weight, at_most=100) == 0:
            raise InvalidInput(f"{field}.{resource}", "weight must be from 1 to 100")
    return tuple(pairs.items())


def _norms(field: str, norms: Mapping[str, int]) -> Pairs:
    if not norms:
        raise InvalidInput(field, "needs at least one resource with its norm")
    for resource, norm in norms.items():
        if checked_amount(f"{field}.{resource}", norm) == 0:
            raise InvalidInput(f"{field}.{resource}", "the norm must be above 0")
    return tuple(norms.items())
