"""One number for everything that an engine does under every policy; `python -m tests.engine.digest` prints it.

The history is long enough to meet every path: growth, reused rows, shares, rejections, backoff, displacement.
"""

import random
from hashlib import sha256

import msgspec

from pilotage.engine.engine import Engine
from pilotage.kernel.policies import NAMED, named
from pilotage.kernel.policy import Policy
from pilotage.model.effects import Bind
from pilotage.model.events import (
    BindConfirmed,
    BindFailed,
    NodeAdded,
    NodeRemoved,
    TaskFinished,
    TaskSubmitted,
    WorkloadExpected,
)
from pilotage.model.expression import Expression, Operator
from pilotage.model.node import ZONE_LABEL, Node, Taint, TaintEffect
from pilotage.model.task import Preference, Task, TaskSpec, Term, Toleration
from pilotage.model.workload import head_workload
from tests.engine.user_policy import user_policy

NODES, TASKS = 80, 400


def node(draw: random.Random, i: int) -> Node:
    gpus = draw.choice((0, 2, 4, 8))
    return Node(
        name=f"node-{i}",
        capacity={"cpu": draw.choice((16_000, 64_000, 96_000)), "memory": draw.randrange(2**34, 2**38), "fpga": i % 3},
        gpus=gpus,
        gpu_model=draw.choice(("T4", "A10", "V100")) if gpus else "",
        labels={ZONE_LABEL: draw.choice("abc"), "disk": draw.choice(("ssd", "hdd"))},
        taints=(Taint("team", "x", draw.choice(list(TaintEffect))),) if draw.random() < 0.2 else (),
    )


def spec(draw: random.Random) -> TaskSpec:
    gpus = draw.choice((0, 1, 1, 1, 2, 4))
    ssd = Term((Expression("disk", Operator.IN, ("ssd",)),))
    return TaskSpec(
        demand={"cpu": draw.randrange(0, 12_000), "memory": draw.randrange(2**33)},
        gpus=gpus,
        gpu_share=draw.choice((120, 333, 470, 810, 1000)) if gpus == 1 else 1000,
        gpu_models=draw.choice(((), (), ("T4",), ("A10", "V100"))) if gpus else (),
        preferences=(Preference(draw.randrange(1, 50), ssd),) if draw.random() < 0.3 else (),
        tolerations=(Toleration("team", exists=True),) if draw.random() < 0.3 else (),
    )


def effects_under(policy: Policy) -> list[bytes]:
    """Return every effect of a fixed history, encoded."""
    draw, encoder = random.Random(20240607), msgspec.msgpack.Encoder()
    engine = Engine(policy, seed=11, cache_bytes=200_000)
    specs = [spec(draw) for _ in range(60)]
    engine.apply(WorkloadExpected(head_workload(specs * 3 + specs[:10], keep=0.9)))
    for i in range(NODES):
        engine.apply(NodeAdded(node(draw, i)))
    written: list[bytes] = []
    for i in range(TASKS):
        engine.apply(TaskSubmitted(Task(id=f"task-{i}", spec=draw.choice(specs), priority=i % 2)), float(i))
        if i % 100 == 99:
            engine.apply(NodeRemoved(f"node-{i // 20}"), float(i))
            engine.apply(NodeAdded(node(draw, NODES + i)), float(i))
        if i % 3 == 0:
            effects = engine.decide(float(i), None if i % 2 else 5)
            written += [encoder.encode(effect) for effect in effects]
            for n, effect in enumerate(effects):
                if isinstance(effect, Bind):
                    engine.apply(
                        BindFailed(effect.task_id, "no") if n % 9 == 8 else BindConfirmed(effect.task_id), float(i)
                    )
        if i % 2 and engine.state.placements:
            gone = min(engine.state.placements, key=lambda name: (len(name), name))
            engine.apply(TaskFinished(gone), float(i))
    return written


def digests() -> dict[str, str]:
    """Return the digest of all effects, policy by policy."""
    policies = {**{name: named(name) for name in NAMED}, "user": user_policy()}
    found = {}
    for name, policy in policies.items():
        written = effects_under(policy)
        assert len(written) > TASKS, f"{name}: {len(written)} effects for {TASKS} tasks"
        found[name] = sha256(b"".join(written)).hexdigest()
    return found


if __name__ == "__main__":
    for policy_name, digest in digests().items():
        print(policy_name, digest)
