"""Hypothesis strategies that draw nodes, specs, tasks, workloads and histories of events, for anybody's tests.

In: nothing but what a strategy is told to vary. Out: small values from small pools, so that names, labels, taints,
ports and GPU shares collide often, which is where schedulers break. This room needs Hypothesis and is never imported
by shipped code.
"""

from pilotage.testing.strategies import events, nodes, specs, tasks, workloads

__all__ = ["events", "nodes", "specs", "tasks", "workloads"]
