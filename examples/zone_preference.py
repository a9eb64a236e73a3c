"""Labels, a filter and an order of the queue: cheap zones first, CPU kept for GPUs, big tasks before small ones.

pilotage policy check examples/zone_preference.py
"""

import numpy as np

from pilotage import Policy, filters, node_filter, scorer, scorers

ZONE = "topology.kubernetes.io/zone"
CENTS_PER_HOUR = {"north": 31, "south": 44, "west": 36}
UNKNOWN_ZONE = 50


@scorer(reads=("labels",), depends="row")
def cheap_zones(task, nodes):
    cents = np.full(len(nodes), UNKNOWN_ZONE)
    for zone, price in CENTS_PER_HOUR.items():
        cents[nodes.has_label(ZONE, zone)] = price
    return -cents


@node_filter(reads=("cpu", "gpu"), depends="row", reason="CPU is kept for tasks with GPUs")
def keep_cpu_for_gpus(task, nodes):
    if task.gpus:
        return np.ones(len(nodes), np.bool_)
    # Four cores for every free GPU stay out of reach of tasks that want none.
    reserved = nodes.free["gpu"] * 4
    return nodes.free["cpu"] - task.demand.get("cpu", 0) >= reserved


def big_tasks_first(task):
    return (-task.priority, -task.gpus * task.gpu_share, task.arrival_s)


policy = Policy(
    filters=[*filters.DEFAULT, keep_cpu_for_gpus],
    scorers=[(cheap_zones, 1), (scorers.best_fit(), 1)],
    order=big_tasks_first,
    tie="seeded-random",
)
