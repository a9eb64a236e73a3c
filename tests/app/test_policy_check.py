"""Every plugin and policy of ours passes the generic checks; each way of breaking a policy is found and named."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pilotage import Policy, filters, scorers
from pilotage.app.policy_check import Report, check_policy
from pilotage.app.policy_files import load_policy
from pilotage.cli.main import app
from pilotage.kernel.plugins.devices import RandomGpus, Tightest
from pilotage.kernel.plugins.fgd import FragmentationDevices
from pilotage.kernel.plugins.worth_and_stranding import LeastWorth
from pilotage.kernel.policies import NAMED, named

EVERY_SCORER = {
    "least_allocated": scorers.least_allocated(),
    "least_allocated, weighed": scorers.least_allocated(cpu=3, gpu=1, scratch=2),
    "most_allocated": scorers.most_allocated("cpu", "memory", "gpu"),
    "balanced": scorers.balanced(),
    "balanced, three": scorers.balanced("cpu", "memory", "gpu"),
    "requested_to_capacity": scorers.requested_to_capacity([(0, 0), (40, 8), (100, 3)], "cpu", "memory"),
    "dot_product": scorers.dot_product(),
    "best_fit": scorers.best_fit(),
    "exponential_fit": scorers.exponential_fit(),
    "exponential_fit, spread": scorers.exponential_fit(spread=True),
    "dominant_share": scorers.dominant_share(),
    "prefer_group": scorers.prefer_group(),
    "gpu_packing": scorers.gpu_packing(),
    "gpu_clustering": scorers.gpu_clustering(),
    "fgd": scorers.fgd(),
    "worth_and_stranding": scorers.worth_and_stranding(),
    "fewest_taints": scorers.fewest_taints(),
    "preferred_affinity": scorers.preferred_affinity(),
    "even_spread": scorers.even_spread(),
    "welcome_company": scorers.welcome_company(),
    "image_locality": scorers.image_locality(),
    "random": scorers.random(),
}

HEAD = "import numpy as np\nfrom pilotage import Policy, filters, node_filter, scorer, scorers\n"
FIRST_LINE = 3
"""The line of the file at which the code of a test starts."""


def written(folder: Path, code: str, policy: str) -> str:
    path = folder / "mine.py"
    path.write_text(f"{HEAD}{code}\npolicy = Policy({policy})\n")
    return str(path)


def checked(folder: Path, code: str, policy: str) -> Report:
    return check_policy(load_policy(written(folder, code, policy)), nodes=100, timed=False)


def told(report: Report) -> str:
    return "\n".join(f"{f.level} {f.where} {f.plugin} {f.check}: {f.text} ({f.advice})" for f in report.findings)


# ---------------------------------------------------------------- ours


@pytest.mark.parametrize("name", NAMED)
def test_our_policies_pass(name: str) -> None:
    report = check_policy(named(name), timed=False)
    assert report.sound, told(report)


@pytest.mark.parametrize("name", EVERY_SCORER)
def test_our_scorers_pass(name: str) -> None:
    report = check_policy(Policy(filters=filters.DEFAULT, scorers=[(EVERY_SCORER[name], 1)]), timed=False)
    assert report.sound, told(report)


def test_every_scorer_of_ours_is_among_them() -> None:
    ours = {name for name in dir(scorers) if not name.startswith("_") and getattr(scorers, name).__doc__}
    ours = {name for name in ours if getattr(getattr(scorers, name), "__module__", "") == scorers.__name__}
    assert ours == {name.partition(",")[0] for name in EVERY_SCORER}


@pytest.mark.parametrize("tie", ["first", "heap", "seeded-random"])
@pytest.mark.parametrize(
    "rule", [Tightest(), RandomGpus(), FragmentationDevices(), LeastWorth()], ids=lambda rule: rule.name
)
def test_our_device_and_tie_rules_pass(tie: str, rule: object) -> None:
    policy = Policy(filters=filters.DEFAULT, scorers=[(scorers.gpu_packing(), 1)], tie=tie, devices=rule)
    report = check_policy(policy, seed=3, timed=False)
    assert report.sound, told(report)


# ---------------------------------------------------------------- broken scorers and filters

SCORERS_WITH_FAULTS = {
    # name of the case: (code of a scorer called bad, check that fails, line below the first, part of the message)
    "a number for all nodes": ("@scorer\ndef bad(task, nodes):\n    return 1", "answers", 0, "one entry per node"),
    "one entry too few": (
        '@scorer\ndef bad(task, nodes):\n    return nodes.free["cpu"][1:]',
        "answers",
        0,
        "must return one entry per node",
    ),
    "words": ("@scorer\ndef bad(task, nodes):\n    return np.array(nodes.names)", "answers", 0, "must return numbers"),
    "not a number": (
        '@scorer\ndef bad(task, nodes):\n    return np.where(nodes.free["gpu"] > 0, 1.0, np.nan)',
        "answers",
        0,
        "returned nan for node",
    ),
    "an exception": (
        "@scorer\ndef bad(task, nodes):\n    number = 0\n    return nodes.gpu_count + 1 // number",
        "answers",
        3,
        "ZeroDivisionError: integer division or modulo by zero",
    ),
    "an exception further down": (
        "def inner():\n    raise KeyError('model')\n@scorer\ndef bad(task, nodes):\n    return inner()",
        "answers",
        1,
        "KeyError: 'model'",
    ),
    "an unknown resource": (
        '@scorer\ndef bad(task, nodes):\n    return nodes.free["cpus"]',
        "answers",
        2,
        "no such resource; known: cpu, memory",
    ),
    "random numbers": (
        "@scorer\ndef bad(task, nodes):\n    return np.random.rand(len(nodes))",
        "pure",
        0,
        "asked twice",
    ),
    "hidden state": (
        '@scorer(reads=("cpu",), depends="row")\ndef bad(task, nodes):\n    calls.append(1)\n'
        '    return nodes.free["cpu"] + len(calls)\ncalls = []',
        "pure",
        0,
        "asked twice",
    ),
    "positions": ("@scorer\ndef bad(task, nodes):\n    return np.arange(len(nodes))", "order", 0, "in another order"),
    "codes as numbers": (
        '@scorer(reads=("labels",), depends="row")\ndef bad(task, nodes):\n    return nodes.label("disk")',
        "order",
        0,
        "in another order",
    ),
    "neighbours, promised as row": (
        '@scorer(reads=("cpu",), depends="row")\ndef bad(task, nodes):\n'
        '    return nodes.free["cpu"] - nodes.free["cpu"].max()',
        "subset",
        0,
        "otherwise than about all",
    ),
    "an undeclared resource": (
        '@scorer(reads=("cpu",), depends="row")\ndef bad(task, nodes):\n'
        '    return nodes.free["cpu"] - nodes.free["memory"] // 2**20',
        "reads",
        0,
        'reads "memory", which it does not declare',
    ),
    "undeclared labels, node by node": (
        '@scorer(reads=("cpu",), depends="row", per_node=True)\ndef bad(task, node):\n'
        '    return node.free["cpu"] if node.label("disk") == "ssd" else 0',
        "reads",
        0,
        'reads "labels"',
    ),
    "undeclared GPU shares, behind the view": (
        '@scorer(reads=("cpu",), depends="row")\ndef bad(task, nodes):\n'
        '    return nodes.columns.gpu_free[:, nodes.rows].sum(axis=0) + nodes.free["cpu"]',
        "reads",
        0,
        'reads "devices"',
    ),
    "task.id in a row function": (
        '@scorer(reads=("cpu",), depends="row")\ndef bad(task, nodes):\n    return nodes.free["cpu"] + len(task.id)',
        "answers",
        2,
        'task.id is not there with depends="row"',
    ),
    "task.labels in a row function": (
        '@scorer(reads=("cpu",), depends="row")\ndef bad(task, nodes):\n'
        '    return nodes.free["cpu"] * (task.labels["app"] == "web")',
        "answers",
        2,
        'leave out depends="row" to read it',
    ),
    "the seed in a row function": (
        '@scorer(reads=("cpu",), depends="row")\ndef bad(task, nodes):\n    return nodes.free["cpu"] * nodes.seed',
        "moment",
        0,
        "with another seed",
    ),
    "the time in a row function": (
        '@scorer(reads=("cpu",), depends="row")\ndef bad(task, nodes):\n    return nodes.free["cpu"] * nodes.now',
        "moment",
        0,
        "at another time",
    ),
    "writing to the view": (
        '@scorer(reads=("cpu",), depends="row")\ndef bad(task, nodes):\n    used = nodes.used["cpu"]\n'
        "    used += 1\n    return used",
        "answers",
        3,
        "read-only",
    ),
    "writing to shares": (
        "@scorer\ndef bad(task, nodes):\n    nodes.gpu_free[:] = 0\n    return nodes.gpu_count",
        "answers",
        2,
        "read-only",
    ),
    "writing behind the view": (
        '@scorer\ndef bad(task, nodes):\n    nodes.columns.capacity[0] = 5\n    return nodes.capacity["cpu"]',
        "answers",
        2,
        "does not support item assignment",
    ),
    "None for a node": (
        '@scorer(per_node=True)\ndef bad(task, node):\n    if node.free["gpu"] > 0:\n        return 1',
        "answers",
        0,
        "returned None for node",
    ),
    "ends the program": ("@scorer\ndef bad(task, nodes):\n    raise SystemExit(0)", "answers", 2, "ends the program"),
}


@pytest.mark.parametrize("case", SCORERS_WITH_FAULTS)
def test_a_broken_scorer_is_found(case: str, tmp_path: Path) -> None:
    code, check, line, message = SCORERS_WITH_FAULTS[case]
    report = checked(tmp_path, code, "filters=filters.DEFAULT, scorers=[(scorers.best_fit(), 1), (bad, 2)]")
    errors = [finding for finding in report.findings if finding.level == "error"]
    # What it does in the engine may be wrong as well; the check of the plugin comes first and says why.
    assert errors, told(report)
    assert errors[0].plugin == "bad"
    assert errors[0].check == check, told(report)
    assert message in errors[0].text, told(report)
    assert errors[0].where == f"{tmp_path / 'mine.py'}:{FIRST_LINE + line}", told(report)
    assert [plugin.name for plugin in report.plugins if not plugin.sound] == ["bad"]


FILTERS_WITH_FAULTS = {
    "whole numbers": (
        '@node_filter\ndef bad(task, nodes):\n    return np.minimum(nodes.free["cpu"], 1)',
        "must return truth values, got an array of int64",
    ),
    "whole numbers, node by node": (
        "@node_filter(per_node=True)\ndef bad(task, node):\n    return int(not node.cordoned)",
        "must return truth values, got an array of int64",
    ),
    "one truth for all": ("@node_filter\ndef bad(task, nodes):\n    return True", "one entry per node"),
    "nothing": (
        "@node_filter\ndef bad(task, nodes):\n    nodes.cordoned",
        "one entry per node, shape (100,), got None",
    ),
}


@pytest.mark.parametrize("case", FILTERS_WITH_FAULTS)
def test_a_broken_filter_is_found(case: str, tmp_path: Path) -> None:
    code, message = FILTERS_WITH_FAULTS[case]
    report = checked(tmp_path, code, "filters=[*filters.DEFAULT, bad]")
    errors = [finding for finding in report.findings if finding.level == "error"]
    assert [(error.plugin, error.check) for error in errors] == [("bad", "answers")], told(report)
    assert message in errors[0].text


def test_what_is_remembered_too_long_is_found(tmp_path: Path) -> None:
    """A class of the user's own that declares too little, and hides what it reads from the recording."""
    code = (
        "from pilotage.kernel.plugin import Scorer\n"
        "columns = []\n"
        "class Sly(Scorer):\n"
        "    name, reads = 'sly', ('ports',)\n"
        "    def fragment(self, task):\n"
        "        return task.spec.gpus\n"
        "    def score(self, fragment, nodes):\n"
        "        real = getattr(nodes.columns, '_columns', nodes.columns)\n"
        "        return real.used[0, nodes.rows]\n"
    )
    report = checked(tmp_path, code, "filters=filters.DEFAULT, scorers=[(Sly(), 1)]")
    stale = [finding for finding in report.findings if finding.check == "cache"]
    assert [finding.plugin for finding in stale] == ["sly"], told(report)
    assert stale[0].where.endswith("mine.py:9")
    assert "is stale after" in stale[0].text


def test_forms_that_differ_are_found(tmp_path: Path) -> None:
    code = (
        "from pilotage.kernel.plugin import Scorer\n"
        "class Two(Scorer):\n"
        "    name, reads = 'two', ('cpu',)\n"
        "    def fragment(self, task):\n"
        "        return 1\n"
        "    def score(self, fragment, nodes):\n"
        "        return nodes.free['cpu']\n"
        "    def score_row(self, fragment, columns, row):\n"
        "        return columns.used.item(0, row)\n"
    )
    report = checked(tmp_path, code, "filters=filters.DEFAULT, scorers=[(Two(), 1)]")
    assert any("both forms must give the same bits" in f.advice for f in report.findings), told(report)


def test_a_fragment_beyond_the_spec_is_found(tmp_path: Path) -> None:
    code = (
        "from pilotage.kernel.plugin import Scorer\n"
        "class Own(Scorer):\n"
        "    name, reads = 'own', ('cpu',)\n"
        "    def fragment(self, task):\n"
        "        return task.id\n"
        "    def score(self, fragment, nodes):\n"
        "        return nodes.free['cpu']\n"
    )
    report = checked(tmp_path, code, "filters=filters.DEFAULT, scorers=[(Own(), 1)]")
    assert [(f.plugin, f.check) for f in report.findings if f.level == "error"] == [("own", "fragment")], told(report)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("lambda task: task.labels['nosuch']", "KeyError: 'nosuch'"),
        ("lambda task: None if task.gpus else 1", "'<' not supported"),
        ("lambda task: np.random.rand()", "another key when asked again"),
    ],
)
def test_a_broken_order_of_the_queue_is_found(order: str, message: str, tmp_path: Path) -> None:
    report = checked(tmp_path, f"order = {order}", "filters=filters.DEFAULT, order=order")
    errors = [finding for finding in report.findings if finding.level == "error"]
    assert [error.check for error in errors] == ["queue"], told(report)
    assert message in errors[0].text
    assert errors[0].where.startswith(str(tmp_path / "mine.py:"))


def test_gpus_that_a_task_can_not_have_are_found(tmp_path: Path) -> None:
    code = (
        "from pilotage.kernel.plugin import DeviceRule\n"
        "class First(DeviceRule):\n"
        "    name = 'first'\n"
        "    def choose(self, task, columns, row, seed):\n"
        "        return (0,) * task.gpus\n"
    )
    report = checked(tmp_path, code, "filters=filters.DEFAULT, devices=First()")
    assert not report.sound
    assert [finding.check for finding in report.findings] == ["decides"], told(report)


# ---------------------------------------------------------------- warnings and hints


def test_a_slow_function_is_only_a_warning(tmp_path: Path) -> None:
    code = '@scorer(per_node=True)\ndef slow(task, node):\n    return -node.free["gpu"]'
    report = check_policy(load_policy(written(tmp_path, code, "filters=filters.DEFAULT, scorers=[(slow, 1)]")))
    assert report.sound, told(report)
    assert not report.plugins[-1].vectorised
    assert report.plugins[-1].times_us[5000] > report.plugins[-1].times_us[1000] > 0
    assert report.decisions[1000].warm_us > 0
    warning = next(finding for finding in report.findings if finding.level == "warning")
    assert "us per decision at 1,000 nodes" in warning.text


def test_a_function_that_could_be_remembered_is_told_how(tmp_path: Path) -> None:
    code = (
        "@scorer\ndef keep(task, nodes):\n    return -nodes.free['gpu'] * nodes.has_label('disk', 'ssd')\n"
        "@scorer\ndef relative(task, nodes):\n    return nodes.free['gpu'] - nodes.free['gpu'].mean()\n"
        "@scorer\ndef personal(task, nodes):\n    return nodes.free['gpu'] * len(task.labels)\n"
    )
    scorers = "scorers=[(keep, 1), (relative, 1), (personal, 1)]"
    report = checked(tmp_path, code, f"filters=filters.DEFAULT, {scorers}")
    assert report.sound, told(report)
    hints = {finding.plugin: finding.advice for finding in report.findings if finding.level == "hint"}
    assert hints.keys() == {"keep"}
    assert 'reads=("gpu", "labels"), depends="row"' in hints["keep"]


def test_a_declared_fact_that_is_not_read_is_a_warning(tmp_path: Path) -> None:
    code = '@scorer(reads=("cpu", "tpus"), depends="row")\ndef one(task, nodes):\n    return nodes.free["cpu"]'
    report = checked(tmp_path, code, "filters=filters.DEFAULT, scorers=[(one, 1)]")
    assert report.sound, told(report)
    assert [(f.level, f.text.partition(";")[0]) for f in report.findings] == [
        ("warning", 'declares "tpus" and does not read it')
    ]


def test_a_resource_that_is_declared_is_in_the_sample(tmp_path: Path) -> None:
    code = '@scorer(reads=("example/tpu",), depends="row")\ndef one(task, nodes):\n    return nodes.used["example/tpu"]'
    report = checked(tmp_path, code, "filters=filters.DEFAULT, scorers=[(one, 1)]")
    assert report.sound
    assert not report.findings, told(report)


# ---------------------------------------------------------------- the command

SOUND = (
    '@scorer(reads=("gpu",), depends="row")\ndef keep(task, nodes):\n    print("noise")\n    return -nodes.free["gpu"]'
)
NEEDS_KEEP = "filters=filters.DEFAULT, scorers=[(keep, 1)]"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command time smaller clusters: what is tested here is what it prints."""
    monkeypatch.setattr("pilotage.app.policy_check.SIZES", (100, 300))


@pytest.mark.usefixtures("small")
def test_the_command_reports_and_exits_0(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(app, ["policy", "check", written(tmp_path, SOUND, NEEDS_KEEP)])
    assert outcome.exit_code == 0, outcome.output
    assert f"mine.py:{FIRST_LINE}" in outcome.stdout
    assert "A decision at 300 nodes" in outcome.stdout
    assert "✓ mine: sound" in outcome.stdout
    assert "noise" not in outcome.stdout


def test_the_command_exits_1_and_prints_the_finding(tmp_path: Path) -> None:
    bad = "@scorer\ndef bad(task, nodes):\n    return nodes.gpu_count / 0"
    path = written(tmp_path, bad.replace("/ 0", "+ 1 // 0"), "filters=filters.DEFAULT, scorers=[(bad, 1)]")
    outcome = CliRunner().invoke(app, ["policy", "check", path])
    assert outcome.exit_code == 1
    assert f"✗ {path}:5: bad: ZeroDivisionError" in outcome.stdout
    assert "Traceback" not in outcome.output


@pytest.mark.usefixtures("small")
def test_the_command_speaks_json(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(app, ["policy", "check", "--json", written(tmp_path, SOUND, NEEDS_KEEP)])
    report = json.loads(outcome.stdout)
    assert report["sound"] is True
    assert report["plugins"][-1]["name"] == "keep"
    assert report["plugins"][-1]["cacheable"] is True
    assert set(report["decisions"]) == {"100", "300"}
    assert outcome.exit_code == 0
