"""Decisions that look at tasks on other nodes, held to a plain count of everything after every step."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pilotage import Node, Policy, Taint, Task, TaskSpec, filters, scorers
from pilotage.engine.engine import Engine
from pilotage.engine.state import State
from pilotage.engine.validate import validate
from pilotage.kernel.nodes import Nodes
from pilotage.model.company import Company, PreferredCompany, Selector, Spread
from pilotage.model.errors import InvalidInput
from pilotage.model.events import NodeAdded, NodeRemoved, NodeUpdated, TaskFinished, TaskPlaced, TaskSubmitted
from pilotage.model.expression import Expression, Operator
from pilotage.model.node import ZONE_LABEL
from pilotage.model.task import Toleration
from tests.engine.neighbourhood import HOSTNAME, Town

KEYS = (ZONE_LABEL, "rack", HOSTNAME)
APPS = ("a", "b", "c")


class Undone(Exception):  # noqa: N818
    """Rolls a transaction back."""


def policy() -> Policy:
    return Policy(
        filters=[*filters.DEFAULT, *filters.DOMAIN],
        scorers=[(scorers.even_spread(), 3), (scorers.welcome_company(2), 2), (scorers.least_allocated("cpu"), 1)],
        tie="heap",
    )


expressions = st.builds(
    Expression,
    st.just("app"),
    st.sampled_from([Operator.IN, Operator.NOT_IN]),
    st.lists(st.sampled_from(APPS), min_size=1, max_size=2, unique=True).map(tuple),
) | st.builds(Expression, st.sampled_from(["app", "tier"]), st.sampled_from([Operator.EXISTS, Operator.DOES_NOT_EXIST]))
selectors = st.builds(
    Selector,
    st.lists(expressions, max_size=2).map(tuple),
    st.sampled_from([(), ("x",), ("x", "y")]),
)
hard_spreads = st.builds(
    Spread,
    key=st.sampled_from(KEYS),
    selector=selectors,
    max_skew=st.integers(1, 2),
    min_domains=st.integers(1, 3),
    honour_affinity=st.booleans(),
    honour_taints=st.booleans(),
)
soft_spreads = st.builds(
    Spread,
    key=st.sampled_from(KEYS),
    selector=selectors,
    max_skew=st.integers(1, 5),
    hard=st.just(False),
    honour_affinity=st.booleans(),
    honour_taints=st.booleans(),
    lenient=st.booleans(),
)
companies = st.builds(Company, st.sampled_from(KEYS), st.none() | selectors)
weights = st.integers(1, 100) | st.integers(-100, -1)


@st.composite
def specs(draw):
    company = draw(st.lists(companies, max_size=2).map(tuple))
    no_company = draw(st.lists(companies, max_size=1).map(tuple))
    return TaskSpec(
        demand={"cpu": draw(st.integers(0, 3)) * 100},
        node_selector=draw(st.sampled_from([{}, {}, {"rack": "r1"}])),
        tolerations=draw(st.sampled_from([(), (Toleration("t", exists=True),)])),
        spread=draw(st.lists(hard_spreads | soft_spreads, max_size=2).map(tuple)),
        company=company,
        no_company=tuple(c for c in no_company if c not in company),
        preferred_company=draw(st.lists(st.builds(PreferredCompany, weights, companies), max_size=2).map(tuple)),
    )


tasks = st.builds(
    lambda spec, labels, namespace: Task(id="new", spec=spec, labels=labels, namespace=namespace),
    specs(),
    st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(APPS), max_size=2),
    st.sampled_from(["x", "y"]),
)


@st.composite
def nodes(draw, name):
    labels = {HOSTNAME: name} if draw(st.integers(0, 9)) else {}
    for key, values in ((ZONE_LABEL, ("z1", "z2")), ("rack", ("r1", "r2", "r3"))):
        value = draw(st.sampled_from([*values, None]))
        if value:
            labels[key] = value
    taints = draw(st.sampled_from([(), (), (Taint("t"),)]))
    return Node(name=name, capacity={"cpu": 1000}, labels=labels, taints=taints)


class Neighbourhood(RuleBasedStateMachine):
    """Nodes and tasks come, go and change; each decision is compared with the plain count."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine(policy(), retry=False)
        self.town = Town()
        self.made = 0

    @rule(data=st.data(), number=st.integers(0, 7))
    def node_comes_or_changes(self, data, number) -> None:
        node = data.draw(nodes(f"n{number}"))
        known = node.name in self.town.nodes
        self.engine.apply(NodeUpdated(node) if known else NodeAdded(node))
        self.town.nodes[node.name] = node

    @rule(task=tasks)
    def decide(self, task) -> None:
        self.made += 1
        task = Task(id=f"t{self.made}", spec=task.spec, labels=task.labels, namespace=task.namespace)
        feasible = self._feasible(task)
        scores = self._scores(task, feasible)
        self.engine.apply(TaskSubmitted(task))
        (effect,) = self.engine.decide()
        decision = effect.decision
        assert decision.feasible == len(feasible), task
        if not feasible:
            refused = sum(count for _, _, count in decision.rejections)
            assert refused >= len(self.town.nodes)
            return
        chosen = self.town.nodes[decision.node]
        assert chosen in feasible
        assert decision.score == scores[chosen.name] == max(scores.values()), (task, scores)
        self.town.tasks[task.id] = (task, chosen.name)

    @rule(task=tasks, number=st.integers(0, 7))
    def placed_from_outside(self, task, number) -> None:
        if f"n{number}" in self.town.nodes:
            self.made += 1
            task = Task(id=f"t{self.made}", spec=task.spec, labels=task.labels, namespace=task.namespace)
            self.engine.apply(TaskPlaced(task, f"n{number}"))
            self.town.tasks[task.id] = (task, f"n{number}")

    @precondition(lambda self: self.town.tasks)
    @rule(data=st.data())
    def finish(self, data) -> None:
        task_id = data.draw(st.sampled_from(sorted(self.town.tasks)))
        self.engine.apply(TaskFinished(task_id))
        del self.town.tasks[task_id]

    @precondition(lambda self: self.town.nodes)
    @rule(data=st.data())
    def node_goes(self, data) -> None:
        name = data.draw(st.sampled_from(sorted(self.town.nodes)))
        self.engine.apply(NodeRemoved(name))
        del self.town.nodes[name]
        for task_id in [t for t, (_, where) in self.town.tasks.items() if where == name]:
            del self.town.tasks[task_id]
            self.engine.apply(TaskFinished(task_id))
        self.engine.decide()

    @precondition(lambda self: self.town.nodes)
    @rule(task=tasks, data=st.data())
    def speculate(self, task, data) -> None:
        """Tasks come inside a transaction that is undone; counts are asked for in the middle."""
        names = data.draw(st.lists(st.sampled_from(sorted(self.town.nodes)), min_size=1, max_size=3))
        with pytest.raises(Undone):
            self._guests(task, names)

    def _guests(self, task: Task, names: list[str]) -> None:
        state: State = self.engine.state
        with state.transaction():
            for i, name in enumerate(names):
                guest = Task(id=f"guest-{i}", spec=task.spec, labels=task.labels, namespace=task.namespace)
                state.place(guest, state.row_of(name), (), known=True)
            self.engine.cycle.choose(task, 0.0)
            raise Undone

    @invariant()
    def all_is_well(self) -> None:
        validate(self.engine)

    def _feasible(self, task: Task) -> list[Node]:
        state, columns = self.engine.state, self.engine.state.columns
        admitted = {name for name, node in self.town.nodes.items() if self.town.admits(task, node)}
        for plugin in filters.DEFAULT:
            fragment = plugin.fragment(task)
            if fragment is not None:
                mask = plugin.mask(fragment, Nodes.all(columns))
                admitted -= {name for name in admitted if not mask[state.row_of(name)]}
        return [node for node in self.town.nodes.values() if node.name in admitted]

    def _scores(self, task: Task, feasible: list[Node]) -> dict[str, int]:
        state = self.engine.state
        spread = self.town.spread_score(task, feasible) if any(not c.hard for c in task.spec.spread) else {}
        company = self.town.company_score(task, feasible, required_weight=2)
        allocated = scorers.least_allocated("cpu")
        own = allocated.score(allocated.fragment(task), Nodes.all(state.columns))
        return {
            node.name: 3 * spread.get(node.name, 0) + 2 * company[node.name] + int(own[state.row_of(node.name)])
            for node in feasible
        }


Neighbourhood.TestCase.settings = settings(stateful_step_count=25)
TestNeighbourhood = Neighbourhood.TestCase


def select(app: str) -> Selector:
    return Selector((Expression("app", Operator.IN, (app,)),))


def engine_of(*zones: str) -> Engine:
    engine = Engine(policy())
    for i, zone in enumerate(zones):
        engine.apply(
            NodeAdded(Node(name=f"n{i}", capacity={"cpu": 1000}, labels={ZONE_LABEL: zone, HOSTNAME: f"n{i}"}))
        )
    return engine


def decide(engine: Engine, spec: TaskSpec, count: int, **labels: str) -> list[str]:
    for i in range(count):
        engine.apply(TaskSubmitted(Task(id=f"{labels}-{i}", spec=spec, labels=labels)))
    return [getattr(effect, "node", "") for effect in engine.decide()]


def test_hard_spread_fills_the_emptiest_zones_first() -> None:
    engine = engine_of("a", "a", "b")
    placed = decide(engine, TaskSpec(spread=(Spread(key=ZONE_LABEL, selector=select("web")),)), 6, app="web")
    assert placed.count("n2") == 3, "zone a has two nodes, zone b has one, and each zone takes three"


def test_no_company_keeps_equals_apart_and_wakes_up_when_one_leaves() -> None:
    engine = engine_of("a", "b")
    spec = TaskSpec(no_company=(Company(HOSTNAME, select("web")),))
    assert sorted(decide(engine, spec, 3, app="web")) == ["", "n0", "n1"]
    engine.apply(TaskFinished("{'app': 'web'}-0"), 100.0)
    (bind,) = engine.decide(100.0)
    assert bind.task_id == "{'app': 'web'}-2"


def test_who_is_refused_company_is_kept_away_though_it_asks_for_nothing() -> None:
    engine = engine_of("a", "b")
    decide(engine, TaskSpec(no_company=(Company(ZONE_LABEL, select("noisy")),)), 1, app="quiet")
    (there,) = {placement.row for placement in engine.state.placements.values()}
    placed = decide(engine, TaskSpec(), 4, app="noisy")
    assert set(placed) == {f"n{1 - there}"}


def test_company_waits_for_its_like_and_the_first_goes_anywhere() -> None:
    engine = engine_of("a", "b")
    spec = TaskSpec(company=(Company(ZONE_LABEL, select("web")),))
    assert decide(engine, spec, 1, app="other") == [""]
    assert len(set(decide(engine, spec, 4, app="web"))) == 1
    assert [effect.task_id for effect in engine.decide(100.0)] == ["{'app': 'other'}-0"], "company came: it is woken"


def test_an_unknown_key_is_told_as_such() -> None:
    engine = engine_of("a")
    engine.apply(TaskSubmitted(Task(id="t", spec=TaskSpec(spread=(Spread(key="row", selector=select("x")),)))))
    (reject,) = engine.decide()
    assert reject.decision.rejections == (
        ("spread", "node(s) didn't match pod topology spread constraints (missing required label)", 1),
    )


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Spread(key="", selector=Selector()), "spread.key"),
        (lambda: Spread(key="k", selector=Selector(), max_skew=0), "spread.max_skew"),
        (lambda: Spread(key="k", selector=Selector(), hard=False, min_domains=2), "spread.min_domains"),
        (lambda: Spread(key="k", selector=Selector(), lenient=True), "spread.lenient"),
        (lambda: PreferredCompany(0, Company("k", None)), "preferred_company.weight"),
        (lambda: PreferredCompany(101, Company("k", None)), "preferred_company.weight"),
        (lambda: scorers.welcome_company(101), "welcome_company.required_weight"),
    ],
)
def test_wishes_that_make_no_sense(make, field) -> None:
    with pytest.raises(InvalidInput) as error:
        make()
    assert error.value.field == field
