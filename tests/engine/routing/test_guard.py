"""Circuit breakers and warm-up, as a strategy behind them sees its instances."""

from pilotage.engine.routing.guard import BreakerSettings, Guarded
from pilotage.model.routing import Assignment, Instance, RoutedTask

SETTINGS = BreakerSettings(failures=2, pause_s=1.0, longest_pause_s=3.0)


class Inner:
    """Sends every task to the first ready instance, and remembers what it was told."""

    name, late = "inner", True

    def __init__(self) -> None:
        self.told: dict[str, Instance] = {}
        self.waiting: list[RoutedTask] = []

    def instance_changed(self, instance: Instance, now: float) -> None:
        self.told[instance.id] = instance

    def instance_removed(self, instance_id: str, now: float) -> None:
        del self.told[instance_id]

    def submitted(self, task: RoutedTask, now: float) -> None:
        self.waiting.append(task)

    def withdrawn(self, task_id: str, now: float) -> None: ...

    def decide(self, now: float) -> list[Assignment]:
        ready = [each.id for each in self.told.values() if each.ready]
        made = [Assignment(task.id, ready[0]) for task in self.waiting[:1] if ready]
        del self.waiting[: len(made)]
        return made

    def placed(self, task: RoutedTask, instance_id: str, started_s: float | None, now: float) -> None: ...
    def started(self, task_id: str, now: float) -> None: ...
    def left(self, task_id: str, run_s: float | None, now: float) -> None: ...
    def planned(self, task_id: str) -> Assignment | None: ...

    def wait(self, instance_id: str, now: float) -> tuple[float, float]:
        return 0.0, 0.0


class Driver:
    """One instance behind breakers, and a count that makes new tasks."""

    def __init__(self, settings: BreakerSettings = SETTINGS, slots: int = 8) -> None:
        self.inner = Inner()
        self.guarded = Guarded(self.inner, settings)
        self.slots = slots
        self.made = 0
        self.set_ready(True, 0.0)

    def set_ready(self, ready: bool, now: float) -> None:
        self.guarded.instance_changed(Instance(id="i", model="m", slots=self.slots, ready=ready), now)

    def send(self, now: float) -> bool:
        self.made += 1
        self.inner.waiting.clear()
        self.guarded.submitted(RoutedTask(id=f"t{self.made}", model="m"), now)
        return bool(self.guarded.decide(now))

    def fail(self, now: float) -> None:
        """The task sent last comes back."""
        self.guarded.left(f"t{self.made}", None, now)
        self.guarded.submitted(RoutedTask(id=f"t{self.made}", model="m", avoid=("i",)), now)
        self.inner.waiting.clear()

    def end(self, now: float) -> None:
        self.guarded.left(f"t{self.made}", 1.0, now)

    def state(self, now: float) -> str:
        gate = self.guarded.gate("i")
        assert gate is not None
        return gate.state(now)


def open_at(now: float) -> Driver:
    driver = Driver()
    for _ in range(2):
        assert driver.send(now)
        driver.fail(now)
    return driver


def test_failures_in_a_row_open_it_for_a_pause() -> None:
    driver = open_at(10.0)
    assert driver.state(10.0) == "open"
    assert not driver.send(10.5)
    assert driver.state(11.0) == "half-open"


def test_failures_between_successes_do_not() -> None:
    driver = Driver()
    for _ in range(10):
        assert driver.send(1.0)
        driver.fail(1.0)
        assert driver.send(1.0)
        driver.end(1.0)
    assert driver.state(1.0) == "closed"


def test_half_open_one_task_tries_it() -> None:
    driver = open_at(10.0)
    assert driver.send(11.0)
    assert not driver.send(11.0), "only one"
    driver.made -= 1
    driver.end(12.0)
    assert driver.state(12.0) == "closed"
    assert driver.send(12.0)
    assert driver.send(12.0)
    assert driver.inner.told["i"].slots == 8


def test_each_failed_try_doubles_the_pause_up_to_the_longest() -> None:
    driver = open_at(0.0)
    for opens_s, pause_s in ((1.0, 2.0), (3.0, 3.0), (6.0, 3.0)):
        assert not driver.send(opens_s - 0.1)
        assert driver.send(opens_s)
        driver.fail(opens_s)
        assert driver.state(opens_s + pause_s - 0.1) == "open"
        assert driver.state(opens_s + pause_s) == "half-open"


def test_a_cancelled_try_leaves_room_for_another() -> None:
    driver = open_at(0.0)
    assert driver.send(1.0)
    driver.guarded.left(f"t{driver.made}", None, 1.5)
    assert driver.send(1.5)


def test_tasks_that_were_there_when_it_opened_do_not_prolong_the_pause() -> None:
    driver = Driver()
    for _ in range(4):
        assert driver.send(0.0)
    for number in (1, 2, 3, 4):
        driver.made = number
        driver.fail(0.1 * number)
    assert driver.state(1.2) == "half-open"


def test_no_breakers() -> None:
    driver = Driver(BreakerSettings(failures=0))
    for _ in range(20):
        assert driver.send(0.0)
        driver.fail(0.0)
    assert driver.state(0.0) == "closed"


def test_an_instance_that_is_new_or_back_warms_up() -> None:
    driver = Driver(BreakerSettings(warm_up_s=10.0))
    seen = []
    for now in (0.0, 5.0, 10.0):
        driver.guarded.decide(now)
        seen.append(driver.inner.told["i"].slots)
    assert seen == [1, 4, 8]
    driver.set_ready(False, 20.0)
    driver.set_ready(True, 30.0)
    assert driver.inner.told["i"].slots == 1
    driver.guarded.decide(40.0)
    assert driver.inner.told["i"].slots == 8


def test_a_removed_instance_is_forgotten() -> None:
    driver = open_at(0.0)
    driver.guarded.instance_removed("i", 0.0)
    assert driver.guarded.gate("i") is None
    assert driver.guarded.decide(5.0) == []


def test_odds_are_passed_on_where_they_are_known() -> None:
    driver = Driver()
    assert driver.guarded.odds(RoutedTask(id="x", model="m", deadline_s=1.0), 0.0) == 1.0
