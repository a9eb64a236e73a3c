"""Keep whole GPU nodes free for the big tasks that are still to come.

pilotage policy check examples/keep_big_gpus_free.py
pilotage simulate openb --policy examples/keep_big_gpus_free.py,fgd --seeds 2
"""

from pilotage import Policy, filters, scorer, scorers


@scorer(reads=("gpu",), depends="row")
def keep_big_gpus_free(task, nodes):
    # int64, one entry per node: thousandths of a GPU that nobody has taken. The less is left, the better.
    return -nodes.free["gpu"]


policy = Policy(
    filters=[*filters.DEFAULT],
    scorers=[(keep_big_gpus_free, 2), (scorers.best_fit(), 1)],
)
