"""Pilotage: a scheduler that its users program in Python.

A policy file needs only what this module exports: it names filters, scorers with weights and a tie rule, and the
same object then drives the simulator and every production face. Names load on first use, so that
``pilotage --help`` never pays for numpy. This module never holds logic of its own.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pilotage.app.tasks.embedded import Scheduler
    from pilotage.client import AsyncClient, Client
    from pilotage.kernel import devices, filters, policies, scorers
    from pilotage.kernel.functions import node_filter, scorer
    from pilotage.kernel.nodes import Nodes
    from pilotage.kernel.policy import Policy
    from pilotage.model.node import Node, Taint
    from pilotage.model.task import Task, TaskSpec

__version__ = "0.1.0"

_HOME = {
    "Scheduler": "pilotage.app.tasks.embedded",
    "AsyncClient": "pilotage.client",
    "Client": "pilotage.client",
    "Node": "pilotage.model.node",
    "Nodes": "pilotage.kernel.nodes",
    "Policy": "pilotage.kernel.policy",
    "Taint": "pilotage.model.node",
    "Task": "pilotage.model.task",
    "TaskSpec": "pilotage.model.task",
    "devices": "pilotage.kernel.devices",
    "filters": "pilotage.kernel.filters",
    "node_filter": "pilotage.kernel.functions",
    "policies": "pilotage.kernel.policies",
    "scorer": "pilotage.kernel.functions",
    "scorers": "pilotage.kernel.scorers",
}

__all__ = [
    "AsyncClient",
    "Client",
    "Node",
    "Nodes",
    "Policy",
    "Scheduler",
    "Taint",
    "Task",
    "TaskSpec",
    "devices",
    "filters",
    "node_filter",
    "policies",
    "scorer",
    "scorers",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pilotage' has no attribute {name!r}")
    module = import_module(_HOME[name])
    return module if _HOME[name].rpartition(".")[2] == name else getattr(module, name)
