"""When a pod queues: since it came, or since it was last refused as far as its status tells."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pilotage.adapters.kubernetes.objects import Pod
from pilotage.adapters.kubernetes.translate import task_of
from pilotage.model.errors import InvalidInput

CREATED, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"


def arrival(**condition: str) -> float:
    conditions: list[dict[str, Any]] = [{"type": "PodScheduled", "status": "False", **condition}] if condition else []
    pod = {"metadata": {"name": "p", "creationTimestamp": CREATED}, "spec": {}, "status": {"conditions": conditions}}
    return task_of(msgspec.convert(pod, Pod)).arrival_s


def test_a_pod_that_was_refused_queues_anew() -> None:
    assert arrival(reason="Unschedulable", lastTransitionTime=LATER) == arrival() + 300


def test_a_pod_that_gates_held_keeps_its_turn() -> None:
    assert arrival(reason="SchedulingGated", lastTransitionTime=LATER) == arrival()


def test_what_is_no_time_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"status\.conditions\[0\]\.lastTransitionTime: is no time: 'noon'"):
        arrival(reason="Unschedulable", lastTransitionTime="noon")
