"""A scorer that thinks about one node at a time: easy to write, and some fifty times slower than arrays.

pilotage policy check examples/per_node.py
"""

from pilotage import Policy, filters, scorer

OLD_MODELS = {"P100", "T4"}


@scorer(per_node=True)
def old_gpus_first(task, node):
    if not task.gpus:
        # A task without GPUs should stay away from those that have some.
        return -node.gpu_count
    opened = sum(share == 1000 for share in node.gpu_free)
    return (10 if node.gpu_model in OLD_MODELS else 0) - opened


policy = Policy(filters=[*filters.DEFAULT], scorers=[(old_gpus_first, 1)])
