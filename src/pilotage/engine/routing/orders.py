"""Orders of the queue: which waiting task is planned first, and which of those that may start does."""

from math import inf
from typing import Literal, get_args

from pilotage.model.errors import InvalidInput
from pilotage.model.routing import RoutedTask

Order = Literal["arrival", "priority", "deadline", "aged"]
ORDERS: tuple[Order, ...] = get_args(Order)
"""``arrival``: first come, first planned. ``priority``: higher first, then by arrival. ``deadline``: the earliest
first, those without one last. ``aged``: planned by arrival, and of those that may start the one of least arrival +
theta x predicted run time: short tasks first, but none waits for ever."""

THETA = 3.0


def to_order(text: str) -> Order:
    """Return the order called ``text``; raises `InvalidInput` naming the known ones."""
    for order in ORDERS:
        if text == order:
            return order
    raise InvalidInput("order", f"must be one of {', '.join(ORDERS)}, got {text!r:.60}")


def queue_key(order: Order, task: RoutedTask) -> tuple[float, float]:
    """Return the key by which a task is planned, least first; equal keys go by submission."""
    if order == "priority":
        return -task.priority, task.arrival_s
    if order == "deadline":
        return inf if task.deadline_s is None else task.deadline_s, task.arrival_s
    return task.arrival_s, 0.0
