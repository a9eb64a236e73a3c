"""Scenario files: workload x faults, played by the real engine with every invariant checked after every step."""

import json
from pathlib import Path

import pytest

from pilotage import Policy, filters, scorers
from pilotage.app.scenarios import ScenarioPlan, run_scenario
from pilotage.engine.engine import Engine
from pilotage.engine.replay import replay
from pilotage.engine.validate import validate
from pilotage.kernel.policies import named
from pilotage.model.errors import InvalidInput
from pilotage.sim.scenario import load_scenario, script_of
from pilotage.sim.scenario_run import ScenarioRun, ScenarioWorld
from tests.cli.test_simulate import pilotage
from tests.engine.records import recorder

FILES = sorted((Path(__file__).resolve().parents[1] / "scenarios").glob("*.toml"))
SEEDS = range(1, 6)


def domains() -> Policy:
    """A policy that heeds spread and company, too."""
    weighted = [(scorers.least_allocated(), 1), (scorers.balanced(), 1)]
    return Policy(filters=[*filters.DEFAULT, *filters.DOMAIN], scorers=weighted, tie="seeded-random", name="domains")


POLICIES = {"domains": domains, "kubernetes": lambda: named("kubernetes"), "bestfit": lambda: named("bestfit")}


def played(path: Path, seed: int, policy: Policy, **options) -> ScenarioRun:
    scenario = load_scenario(path)
    policy = policy.preempting() if scenario.preempt else policy
    return ScenarioWorld(Engine(policy, seed=seed), scenario, seed, **options).play()


def test_there_are_scenarios() -> None:
    assert {"churn", "gangs", "relabel"} <= {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_invariant_holds_and_everybody_is_placed_in_the_end(path, seed) -> None:
    checks = []

    def check(engine: Engine) -> None:
        validate(engine)
        checks.append(engine.state.version)

    run = played(path, seed, domains(), check=check)
    assert len(checks) > 100
    assert run.unplaced == load_scenario(path).unplaced, f"{path.stem}, seed {seed}"
    assert run.displaced > 0
    assert run.bind_failures > 0
    assert run.placed >= run.arrived - run.cancelled


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_equal_seeds_make_equal_runs_and_records_replay(path) -> None:
    scenario = load_scenario(path)
    policy = domains().preempting() if scenario.preempt else domains()
    engine, sink = recorder(policy, 500, seed=3)
    recorded = ScenarioWorld(engine, scenario, 3).play()
    engine.close()
    assert recorded.digest == played(path, 3, domains()).digest != played(path, 4, domains()).digest
    assert replay(sink.items(), policy).difference is None
    for i in range(len(sink.all)):
        assert replay(sink.items(i), policy).difference is None


def test_faults_reach_the_engine() -> None:
    """Over the seeds every sort of effect and fault is met, or these scenarios show less than they say."""
    runs = [played(path, seed, domains()) for path in FILES for seed in SEEDS]
    for count in ("rejections", "displaced", "bind_failures", "evicted", "cancelled"):
        assert sum(getattr(run, count) for run in runs) > 0, count


def test_a_sweep_runs_policies_and_seeds() -> None:
    runs = run_scenario(ScenarioPlan(path=str(FILES[0]), policies=("bestfit", "random"), seeds=2, workers=1))
    assert [(run.policy, run.seed) for run in runs] == [(p, s) for p in ("bestfit", "random") for s in (42, 43)]


def test_a_script_is_in_the_order_of_time() -> None:
    for path in FILES:
        script = script_of(load_scenario(path), 5)
        assert [a.now for a in script.arrivals] == sorted(a.now for a in script.arrivals)
        assert [m.now for m in script.mishaps] == sorted(m.now for m in script.mishaps)


GOOD = (
    'about = "x"\n[[nodes]]\nname = "n"\ncount = 1\ncpu_milli = 10\n[[tasks]]\nname = "t"\ncount = 2\ncpu_milli = 10\n'
)


def test_the_command_prints_seed_and_commit(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(GOOD + "duration_s = 5\n")
    done = pilotage("simulate", "s.toml", "--seeds", "2", "--record", "r", folder=tmp_path)
    assert done.returncode == 2
    done = pilotage("simulate", "s.toml", "--record", "r", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "seed 42, pilotage 0.1.0" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert pilotage("replay", "r", folder=tmp_path).returncode == 0
    document = json.loads(pilotage("simulate", "s.toml", "--json", folder=tmp_path).stdout)
    assert document["commit"].startswith("0.1.0")
    (run,) = document["runs"]
    assert (run["seed"], run["arrived"], run["placed"], run["unplaced"]) == (42, 2, 2, 0)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (GOOD.replace('about = "x"', ""), "Object missing required field `about`"),
        ("nodes = 3", "Expected `array`, got `int` - at `$.nodes`"),
        (GOOD + "cpus = 3\n", "Object contains unknown field `cpus`"),
        (GOOD.replace("count = 2", "count = 0"), "Expected `int` >= 1"),
        (GOOD + '[[faults]]\nkind = "meteor"\nevery_s = 5\n', "Invalid enum value 'meteor'"),
        (GOOD + '[[faults]]\nkind = "cancel"\nevery_s = 0\n', "Expected `float` > 0"),
        ("about = ", "Invalid value"),
    ],
)
def test_a_bad_scenario_is_one_line_that_names_the_field(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput) as raised:
        load_scenario(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert error in str(raised.value)
    assert "\n" not in str(raised.value)
