"""`validate` sees every kind of damage, and tells the story of what it is about."""

import pytest

from pilotage.engine.engine import Engine
from pilotage.engine.placement import Placement
from pilotage.engine.validate import Broken, validate
from pilotage.kernel.policies import named
from pilotage.model.events import GangDeclared, NodeAdded, NodeRemoved, TaskSubmitted
from pilotage.model.gang import Gang
from pilotage.model.node import Node
from pilotage.model.task import HostPort, Task, TaskSpec

SPEC = TaskSpec(demand={"cpu": 10}, gpus=1, gpu_share=300, ports=(HostPort(80),))


def sound() -> Engine:
    """One task runs on `a`, and a gang; one waits, one sleeps, one is held for its gang; row 1 is blank."""
    engine = Engine(named("gpu-clustering"))
    for name in ("a", "gone", "b"):
        engine.apply(NodeAdded(Node(name=name, capacity={"cpu": 100}, gpus=2)))
    engine.apply(NodeRemoved("gone"))
    engine.apply(TaskSubmitted(Task(id="t", spec=SPEC)))
    engine.apply(TaskSubmitted(Task(id="asleep", spec=TaskSpec(gpus=3))))
    engine.apply(GangDeclared(Gang(name="ring", min_members=2)))
    engine.apply(GangDeclared(Gang(name="pair", min_members=2)))
    engine.apply(TaskSubmitted(Task(id="early", gang="pair", spec=TaskSpec())))
    for name in ("ring-0", "ring-1", "ring-2"):
        engine.apply(TaskSubmitted(Task(id=name, gang="ring", spec=TaskSpec())))
    engine.decide()
    engine.apply(TaskSubmitted(Task(id="waiting", spec=SPEC)))
    validate(engine)
    assert engine.state.placements["t"].row == 0
    assert len(engine.gangs.members["ring"].placed) == 3
    return engine


def used(engine: Engine) -> None:
    engine.state.columns.used[0, 0] += 1


def gpu_share(engine: Engine) -> None:
    engine.state.columns.gpu_free[1, 0] -= 1


def gpu_where_there_is_none(engine: Engine) -> None:
    engine.state.columns.gpu_free[0, 1] = 1000


def port_leaked(engine: Engine) -> None:
    engine.state.columns.ports[("TCP", 81)] = {0: {"0.0.0.0": 1}}


def port_lost(engine: Engine) -> None:
    engine.state.columns.ports[("TCP", 80)].clear()


def counter(engine: Engine) -> None:
    engine.state.columns._counts["gpu-class"][0][0] += 1


def capacity_of_a_node(engine: Engine) -> None:
    engine.state.columns.capacity[0, 0] += 1


def task_on_a_blank_row(engine: Engine) -> None:
    engine.state.placements["t"].row = 1


def task_not_listed(engine: Engine) -> None:
    del engine.state.tasks_on[0]["t"]


def task_listed_twice(engine: Engine) -> None:
    engine.state.tasks_on[2]["t"] = None


def task_lost(engine: Engine) -> None:
    del engine.state.placements["t"]


def task_waits_and_runs(engine: Engine) -> None:
    engine.state.placements["waiting"] = Placement(Task(id="waiting", spec=TaskSpec()), 0, (), False, 99)
    engine.state.tasks_on[0]["waiting"] = None
    engine.state.columns.used[engine.state.columns.resources["tasks"], 0] += 1


def name_points_elsewhere(engine: Engine) -> None:
    engine.state.columns.row_of["a"] = 2


def node_forgotten(engine: Engine) -> None:
    del engine.state.nodes["b"]


def node_dead(engine: Engine) -> None:
    engine.state.columns.alive[2] = False


def blank_row_in_use(engine: Engine) -> None:
    engine.state.columns.used[1, 1] = 1


def blank_row_alive(engine: Engine) -> None:
    engine.state.columns.alive[1] = True


def active_miscounted(engine: Engine) -> None:
    engine.room.active += 1


def active_entry_lost(engine: Engine) -> None:
    engine.room._active.clear()


def sleeper_lost(engine: Engine) -> None:
    engine.room._asleep.clear()


def gang_below_its_minimum(engine: Engine) -> None:
    engine.gangs.declared["ring"] = Gang(name="ring", min_members=4)


def gang_member_forgotten(engine: Engine) -> None:
    del engine.gangs.members["ring"].placed["ring-2"]


def gang_member_held_though_it_runs(engine: Engine) -> None:
    engine.gangs.members["ring"].held["ring-0"] = None


def gang_member_never_let_go(engine: Engine) -> None:
    engine.gangs.members["pair"].held.clear()


def gang_waits_for_nobody(engine: Engine) -> None:
    engine.gangs.members["ring"].waiting["ring-9"] = Task(id="ring-9", gang="ring", spec=TaskSpec())


DAMAGE = [
    used,
    gpu_share,
    gpu_where_there_is_none,
    port_leaked,
    port_lost,
    counter,
    capacity_of_a_node,
    task_on_a_blank_row,
    task_not_listed,
    task_listed_twice,
    task_lost,
    task_waits_and_runs,
    name_points_elsewhere,
    node_forgotten,
    node_dead,
    blank_row_in_use,
    blank_row_alive,
    active_miscounted,
    active_entry_lost,
    sleeper_lost,
    gang_below_its_minimum,
    gang_member_forgotten,
    gang_member_held_though_it_runs,
    gang_member_never_let_go,
    gang_waits_for_nobody,
]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_damage_is_seen(damage) -> None:
    engine = sound()
    damage(engine)
    with pytest.raises(Broken):
        validate(engine)


def test_the_error_tells_the_story_of_what_is_broken() -> None:
    engine = sound()
    task_on_a_blank_row(engine)
    engine.state.columns.used[:, 1] = engine.state.columns.used[:, 0]
    with pytest.raises(Broken) as broken:
        validate(engine)
    assert "story of" in str(broken.value)
    engine = sound()
    used(engine)
    with pytest.raises(Broken, match=r"(?s)'a'.*story of a:.*node added"):
        validate(engine)


def test_a_story_has_the_cause_of_each_line() -> None:
    engine = sound()
    assert [(line.cause, line.what) for line in engine.story.of("t")] == [(0, "submitted"), (1, "assumed")]
    assert [(line.cause, line.what) for line in engine.story.of("asleep")] == [(0, "submitted"), (2, "rejected")]
    assert [line.what for line in engine.story.of("gone")] == ["node added", "node removed"]
    assert engine.story.of("unheard-of") == []
    assert str(engine.story.of("t")[-1]) == "t=0 after decision 1: assumed: a"
