"""What a kind remembers between decisions is what asking everybody anew would say, whatever came and went."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage import Node, Policy, Task, TaskSpec, filters, scorers
from pilotage.engine.engine import Engine
from pilotage.engine.explain import explain
from pilotage.kernel.ties import TIES
from pilotage.model.company import Company, Selector, Spread
from pilotage.model.effects import Bind
from pilotage.model.events import NodeAdded, NodeUpdated, TaskFinished, TaskSubmitted
from pilotage.model.expression import Expression, Operator
from pilotage.model.node import Taint, TaintEffect

WEB = Selector((Expression("app", Operator.IN, ("web",)),))
SPECS = (
    TaskSpec(demand={"cpu": 1, "memory": 1}),
    TaskSpec(demand={"cpu": 1, "memory": 2}, spread=(Spread(key="zone", selector=WEB),)),
    TaskSpec(demand={"cpu": 2}, no_company=(Company("host", WEB),)),
)
SCORERS = {
    "spreading": [(scorers.least_allocated("cpu", "memory"), 1)],
    "packing": [(scorers.most_allocated("cpu", "memory"), 1)],
    "by taints": [(scorers.fewest_taints(), 1), (scorers.least_allocated("cpu", "memory"), 2)],
}
NODES = 10
STEPS = (*["come"] * 8, *["leave"] * 4, "node")


def node(i: int, taints: int) -> Node:
    soft = tuple(Taint(f"k{t}", effect=TaintEffect.PREFER_NO_SCHEDULE) for t in range(taints))
    labels = {"zone": f"z{i % 3}", "host": f"n{i}"}
    return Node(name=f"n{i}", capacity={"cpu": 12, "memory": 15, "tasks": 9}, labels=labels, taints=soft)


@pytest.mark.parametrize("scored", SCORERS)
@given(
    st.sampled_from(TIES),
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 99)), min_size=20, max_size=60),
)
def test_decisions_are_those_of_one_who_remembers_nothing(scored, tie, steps) -> None:
    policy = Policy(filters=[*filters.DEFAULT, *filters.DOMAIN], scorers=SCORERS[scored], tie=tie)
    engine = Engine(policy, retry=False)
    for i in range(NODES):
        engine.apply(NodeAdded(node(i, 3 if i == NODES - 1 else i % 2)))
    on: list[str] = []
    for number, (what, which) in enumerate(steps):
        if what == "leave" and on:
            engine.apply(TaskFinished(on.pop(which % len(on))))
        elif what == "node":
            engine.apply(NodeUpdated(node(which % NODES, which // 10 % 4)))
        elif what == "come":
            spec, app = SPECS[max(0, which % 6 - 3)], "web" if which % 2 else "db"
            task = Task(id=f"t{number}", spec=spec, labels={"app": app})
            expected = explain(engine, task, 0.0).node
            engine.apply(TaskSubmitted(task))
            (effect,) = engine.decide()
            assert (effect.node if isinstance(effect, Bind) else "") == expected
            on += [task.id] if isinstance(effect, Bind) else []
