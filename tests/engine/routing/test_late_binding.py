"""The strategy `pilotage` as a driver sees it: nothing lost, no slot used twice, orders kept, odds told."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pilotage.engine.routing.late_binding import LateBinding
from pilotage.engine.routing.orders import ORDERS, Order, to_order
from pilotage.engine.routing.run_time import RunTime, Sample
from pilotage.model.errors import InvalidInput
from pilotage.model.routing import Instance, RoutedTask

SPEED = {"fast": 1.0, "slow": 3.0}


class Known:
    """A forecaster that is told: run times are `work` of the task times the platform's speed."""

    def __init__(self) -> None:
        self.version = 0
        self.factors: dict[str, float] = {}
        self.quality: dict[str, tuple[float, float, bool]] = {}
        self.seen: list[tuple[str, float]] = []

    def forecast(self, model: str, metadata: Mapping[str, Any], platform: str) -> RunTime:
        return RunTime(Sample(metadata.get("work", (1.0,))), 0.0, SPEED[platform])

    def observe(self, model: str, metadata: Mapping[str, Any], platform: str, instance: str, run_s: float) -> None:
        self.seen.append((instance, run_s))

    def forget(self, instance: str) -> None:
        self.factors.pop(instance, None)


def task(name: str, work: float = 1.0, *, model: str = "m", **more: Any) -> RoutedTask:
    return RoutedTask(id=name, model=model, metadata={"work": (work,)}, **more)


def pool(*platforms: str, slots: int = 1, **options: Any) -> LateBinding:
    strategy = LateBinding(Known(), **options)
    for at, platform in enumerate(platforms):
        strategy.instance_changed(Instance(id=f"{platform}{at}", model="m", slots=slots, platform=platform), 0.0)
    return strategy


def sent(strategy: LateBinding, now: float) -> list[tuple[str, str]]:
    return [(made.task_id, made.instance) for made in strategy.decide(now)]


class Driving(RuleBasedStateMachine):
    """A driver that does whatever the port allows, with its own books of where every task is."""

    @initialize(order=st.sampled_from(ORDERS), report_s=st.sampled_from([0.0, 5.0]), handed_over=st.booleans())
    def begin(self, order: Order, report_s: float, handed_over: bool) -> None:
        self.strategy = LateBinding(Known(), order=order, report_s=report_s)
        self.ahead = report_s > 0 or handed_over
        self.handed_over = handed_over
        self.now = 1000.0
        self.instances: dict[str, Instance] = {}
        self.waiting: dict[str, RoutedTask] = {}
        self.on: dict[str, tuple[RoutedTask, str]] = {}
        self.sent_s: dict[str, float] = {}
        self.made = 0

    def decide(self) -> None:
        for made in self.strategy.decide(self.now):
            routed = self.waiting.pop(made.task_id)  # fails for a task that does not wait
            instance = self.instances[made.instance]
            assert instance.ready
            assert instance.model == routed.model
            assert made.expected_s is not None
            assert made.expected_s > self.now
            there = sum(where == made.instance for _, where in self.on.values())
            if not self.ahead:
                assert there < instance.slots
            self.on[made.task_id] = (routed, made.instance)
            self.sent_s[made.task_id] = self.now

    @rule(work=st.floats(0.1, 50), model=st.sampled_from("mn"), priority=st.integers(0, 2), wait=st.floats(0, 5))
    def submit(self, work: float, model: str, priority: int, wait: float) -> None:
        self.now += wait
        self.made += 1
        deadline_s = self.now + 10 if self.made % 3 == 0 else None
        routed = task(f"t{self.made}", work, model=model, priority=priority, arrival_s=self.now, deadline_s=deadline_s)
        assert 0 <= self.strategy.odds(routed, self.now) <= 1
        self.waiting[routed.id] = routed
        self.strategy.submitted(routed, self.now)
        self.decide()

    @rule(
        number=st.integers(0, 4),
        model=st.sampled_from("mn"),
        slots=st.integers(1, 3),
        platform=st.sampled_from(["fast", "slow"]),
        ready=st.booleans(),
    )
    def change_instance(self, number: int, model: str, slots: int, platform: str, ready: bool) -> None:
        instance = Instance(id=f"i{number}", model=model, slots=slots, platform=platform, ready=ready)
        self.instances[instance.id] = instance
        self.strategy.instance_changed(instance, self.now)
        self.decide()

    @precondition(lambda self: self.on)
    @rule(data=st.data(), completed=st.booleans(), wait=st.floats(0, 30))
    def leave(self, data: st.DataObject, completed: bool, wait: float) -> None:
        self.now += wait
        name = data.draw(st.sampled_from(sorted(self.on)))
        routed, where = self.on.pop(name)
        run_s = (self.now - self.sent_s[name]) * (0.5 if self.handed_over else 1.0)
        self.strategy.left(name, run_s if completed else None, self.now)
        if not completed:
            again = task(
                name, routed.metadata["work"][0], model=routed.model, arrival_s=routed.arrival_s, avoid=(where,)
            )
            self.waiting[name] = again
            self.strategy.submitted(again, self.now)
        self.decide()

    @precondition(lambda self: self.on)
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        self.strategy.started(data.draw(st.sampled_from(sorted(self.on))), self.now)
        self.decide()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.waiting)))
        del self.waiting[name]
        self.strategy.withdrawn(name, self.now)
        self.decide()

    @precondition(lambda self: self.instances)
    @rule(data=st.data())
    def remove_instance(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.instances)))
        for each in [each for each, (_, where) in self.on.items() if where == name]:
            self.strategy.left(each, None, self.now)
            routed, _ = self.on.pop(each)
            self.waiting[each] = routed
            self.strategy.submitted(routed, self.now)
        del self.instances[name]
        self.strategy.instance_removed(name, self.now)
        self.decide()

    @precondition(lambda self: self.instances)
    @rule(wait=st.floats(0, 20))
    def report(self, wait: float) -> None:
        self.now += wait
        for name in self.instances:
            self.strategy.reported(name, self.now)
        self.decide()

    @invariant()
    def nothing_stalls(self) -> None:
        """With no task anywhere on a model's ready instances, none of the model waits."""
        for routed in self.waiting.values():
            ready = [each.id for each in self.instances.values() if each.ready and each.model == routed.model]
            busy = {where for _, where in self.on.values()}
            assert not ready or busy & set(ready), f"{routed.id} waits, and all of {ready} idle"

    @invariant()
    def the_outlook_is_sound(self) -> None:
        for name, routed in self.waiting.items():
            made = self.strategy.planned(name)
            if made is not None:
                assert self.instances[made.instance].model == routed.model


TestDriving = Driving.TestCase
TestDriving.settings = settings(stateful_step_count=30)


def test_a_task_is_bound_only_when_it_starts() -> None:
    strategy = pool("fast")
    for name in ("a", "b"):
        strategy.submitted(task(name), 0.0)
    assert sent(strategy, 0.0) == [("a", "fast0")]
    planned = strategy.planned("b")
    assert planned is not None
    assert (planned.instance, planned.expected_s) == ("fast0", 2.0)
    strategy.left("a", 1.0, 1.0)
    assert sent(strategy, 1.0) == [("b", "fast0")]


def test_a_slow_instance_is_left_idle_when_a_fast_one_is_free_soon() -> None:
    strategy = pool("fast", "slow")
    strategy.submitted(task("a", 4.0), 0.0)
    assert sent(strategy, 0.0) == [("a", "fast0")]
    strategy.submitted(task("b", 4.0), 3.5)
    assert sent(strategy, 3.5) == []
    strategy.submitted(task("c", 4.0), 3.5)
    assert sent(strategy, 3.5) == [("c", "slow1")]


def test_who_runs_longer_than_expected_is_given_more_time_and_others_do_not_wait_for_it() -> None:
    strategy = pool("fast", "slow")
    strategy.submitted(RoutedTask(id="a", model="m", metadata={"work": (1.0, 1.0, 1.0, 40.0)}), 0.0)
    assert sent(strategy, 0.0) == [("a", "fast0")]
    strategy.submitted(task("b", 4.0), 2.0)
    assert sent(strategy, 2.0) == [("b", "slow1")]


@pytest.mark.parametrize(
    ("order", "expected"),
    [("arrival", "abc"), ("priority", "bac"), ("deadline", "cab"), ("aged", "bac")],
)
def test_orders(order: Order, expected: str) -> None:
    strategy = pool("fast", order=order, theta=10.0)
    strategy.submitted(task("first"), 0.0)
    sent(strategy, 0.0)
    strategy.submitted(task("a", 2.0, arrival_s=0.1), 0.1)
    strategy.submitted(task("b", 1.0, arrival_s=0.2, priority=5), 0.2)
    strategy.submitted(task("c", 9.0, arrival_s=0.3, deadline_s=50.0), 0.3)
    found, last = "", "first"
    for now in (1.0, 10.0, 20.0):
        strategy.left(last, 1.0, now)
        ((last, _),) = sent(strategy, now)
        found += last
    assert found == expected


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(InvalidInput, match="order: must be one of arrival, priority, deadline, aged, got 'best'"):
        to_order("best")


def test_the_odds_fall_as_the_queue_grows() -> None:
    strategy = pool("fast")
    due = task("due", 1.0, deadline_s=2.5)
    found = []
    for at in range(4):
        found.append(strategy.odds(due, 0.0))
        strategy.submitted(task(f"t{at}"), 0.0)
        strategy.decide(0.0)
    assert found == [1.0, 1.0, 1.0, 0.0], "run times without spread: yes or no"


def test_uncertain_run_times_give_uncertain_odds() -> None:
    strategy = pool("fast")
    spread = {"work": (0.5, 1.5)}
    for at in range(4):
        strategy.submitted(RoutedTask(id=f"t{at}", model="m", metadata=spread), 0.0)
    strategy.decide(0.0)
    due = [RoutedTask(id="due", model="m", metadata=spread, deadline_s=deadline_s) for deadline_s in (2.0, 4.0, 6.0)]
    few, even, many = (strategy.odds(each, 0.0) for each in due)
    assert 0.0 < few < 0.1
    assert even == pytest.approx(0.5)
    assert 0.9 < many < 1.0


def test_an_instance_that_hangs_is_waited_for_no_longer_than_it_is_overdue() -> None:
    """No event comes from an instance that hangs; the clock alone sends the task to the slow one."""
    strategy = pool("fast", "slow")
    strategy.submitted(task("a", 4.0), 0.0)
    sent(strategy, 0.0)
    strategy.submitted(task("b", 4.0), 3.5)
    assert [sent(strategy, now) for now in (3.5, 4.0, 6.0, 12.0)] == [[], [], [], [("b", "slow1")]]


def test_a_deviating_instance_gets_less() -> None:
    strategy = pool("fast", "fast")
    forecaster = strategy._forecaster
    assert isinstance(forecaster, Known)
    forecaster.factors["fast0"] = 10.0
    strategy.submitted(task("a"), 0.0)
    strategy.submitted(task("b"), 0.0)
    assert sent(strategy, 0.0) == [("a", "fast1")]


def test_with_late_news_a_slot_gets_its_next_task_ahead() -> None:
    strategy = pool("fast", report_s=5.0)
    for name in ("a", "b", "c"):
        strategy.submitted(task(name, 8.0), 0.0)
    assert sent(strategy, 0.0) == [("a", "fast0"), ("b", "fast0")]
    strategy.left("a", 8.0, 10.0)
    strategy.started("b", 8.0)
    strategy.reported("fast0", 10.0)
    assert sent(strategy, 10.0) == [("c", "fast0")]


def served(strategy: LateBinding, beside_s: float, tasks: int = 4) -> float:
    """Let tasks of one second run one by one on the only instance, each taking so long beside; return the time."""
    now = 0.0
    for at in range(tasks):
        strategy.submitted(task(f"before{at}"), now)
        assert sent(strategy, now) == [(f"before{at}", "fast0")]
        now += 1.0 + beside_s
        strategy.left(f"before{at}", 1.0, now)
    return now


def test_a_slot_gets_its_next_task_ahead_by_what_handing_over_takes() -> None:
    strategy = pool("fast")
    now = served(strategy, 0.02)
    for name in ("a", "b", "c"):
        strategy.submitted(task(name), now)
    assert sent(strategy, now) == [("a", "fast0")]
    strategy.started("a", now + 0.01)
    assert sent(strategy, now + 0.7) == []
    assert sent(strategy, now + 0.9) == [("b", "fast0")], "one ahead, and only shortly before"
    strategy.started("b", now + 0.91)
    strategy.left("a", 1.0, now + 1.02)
    made = strategy.planned("c")
    assert made is not None
    assert made.expected_s == pytest.approx(now + 1.02 + 2.0), "b counts from when its slot was free"
    assert sent(strategy, now + 1.02) == []


def test_where_handing_over_costs_nothing_no_task_is_bound_ahead() -> None:
    strategy = pool("fast")
    now = served(strategy, 0.0005)
    for name in ("a", "b"):
        strategy.submitted(task(name), now)
    assert sent(strategy, now) == [("a", "fast0")]
    assert sent(strategy, now + 0.9999) == []


def test_an_instance_whose_word_of_run_times_is_wrong_does_not_hoard_tasks() -> None:
    strategy = pool("fast")
    now = 0.0
    for at in range(5):  # it says 1 ms, and takes 5 s
        strategy.submitted(task(f"before{at}", 0.001), now)
        assert len(sent(strategy, now)) == 1
        now += 5.0
        strategy.left(f"before{at}", 0.001, now)
    for at in range(500):
        strategy.submitted(task(f"t{at}", 0.001), now)
        strategy.decide(now)
    assert sum(strategy.planned(f"t{at}") is None for at in range(500)) <= 17, "the others wait for any instance"


@pytest.mark.parametrize("slots", [3, 100])
def test_tasks_that_are_planned_together_are_spread_like_tasks_planned_one_by_one(slots: int) -> None:
    strategy = pool("fast", "fast", "fast", slots=slots)
    for number in range(8):
        strategy.submitted(task(f"t{number}"), 0)
    there = [instance for _, instance in sent(strategy, 0)]
    assert sorted(there.count(each) for each in set(there)) == [2, 3, 3]


def test_an_instance_that_is_not_ready_gets_nothing() -> None:
    strategy = pool("fast")
    strategy.instance_changed(Instance(id="fast0", model="m", platform="fast", ready=False), 0.0)
    strategy.submitted(task("a"), 0.0)
    assert sent(strategy, 0.0) == []
    strategy.instance_changed(Instance(id="fast0", model="m", platform="fast"), 1.0)
    assert sent(strategy, 1.0) == [("a", "fast0")]


def test_models_have_queues_of_their_own() -> None:
    strategy = pool("fast")
    strategy.submitted(task("other", model="n"), 0.0)
    strategy.submitted(task("ours"), 0.0)
    assert sent(strategy, 0.0) == [("ours", "fast0")]
    strategy.left("ours", 1.0, 1.0)
    strategy.instance_changed(Instance(id="fast0", model="n", platform="fast"), 2.0)
    assert sent(strategy, 2.0) == [("other", "fast0")]


class Asked(dict[str, float]):
    """Factors that count how often they are looked at: once for each instance that is."""

    times = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.times += 1
        return super().get(key, default)


def test_newcomers_look_at_the_instances_once_while_all_are_full_and_a_task_that_leaves_makes_room() -> None:
    known = Known()
    known.factors = asked = Asked()
    strategy = LateBinding(known)
    for at in range(20):
        strategy.instance_changed(Instance(id=f"i{at}", model="m", platform="fast"), 0.0)
    for at in range(21):
        strategy.submitted(task(f"t{at}"), 0.0)
    made = sent(strategy, 0.0)
    assert len(made) == 20
    asked.times = 0
    for at in range(50):
        strategy.submitted(task(f"late{at}"), 0.02)
        assert sent(strategy, 0.02) == []
    assert asked.times == 20, "only the first one looks"
    strategy.left(made[3][0], 1.0, 0.03)
    assert sent(strategy, 0.03) == [("t20", made[3][1])]
    assert sent(strategy, 0.04) == []
    strategy.instance_changed(Instance(id="more", model="m", platform="fast"), 0.05)
    assert sent(strategy, 0.05) == [("late0", "more")]
