"""A policy by its name or from a file; everything that can be wrong with a file is one line that says where."""

import sys
from pathlib import Path

import pytest

from pilotage.app.policy_files import load_policy
from pilotage.kernel.plugin import PolicyFault
from pilotage.kernel.policies import NAMED
from pilotage.model.errors import InvalidInput
from pilotage.model.task import Task, TaskSpec

GOOD = """\
from __future__ import annotations
from dataclasses import dataclass
from pilotage import Policy, filters, scorers, scorer
import neighbour

@dataclass
class Settings:
    weight: int = neighbour.WEIGHT

@scorer
def keep(task, nodes):
    return -nodes.free["gpu"]

policy = Policy(filters=filters.DEFAULT, scorers=[(keep, Settings().weight)])
other = Policy(filters=filters.DEFAULT)
called = Policy(filters=filters.DEFAULT, name="mine")
number = 3
def make() -> Policy:
    return policy
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    (tmp_path / "neighbour.py").write_text("WEIGHT = 5\n")
    path = tmp_path / "good.py"
    path.write_text(GOOD)
    return path


@pytest.mark.parametrize("name", NAMED)
def test_a_named_policy(name: str) -> None:
    assert load_policy(name).name == name


@pytest.mark.parametrize(
    ("suffix", "name"), [("", "good"), (":policy", "good:policy"), (":other", "good:other"), (":called", "mine")]
)
def test_a_policy_in_a_file(good: Path, suffix: str, name: str) -> None:
    assert load_policy(f"{good}{suffix}").name == name


def test_loading_leaves_nothing_behind(good: Path) -> None:
    modules, path = set(sys.modules), list(sys.path)
    first, second = load_policy(str(good)), load_policy(str(good))
    assert first is not second
    assert first.digest == second.digest
    assert set(sys.modules) - modules == set()
    assert sys.path == path


def test_the_digest_tells_what_a_function_takes_from_around_it(tmp_path: Path) -> None:
    text = (
        "from pilotage import Policy, scorer\nLIMIT = {}\n"
        "@scorer\ndef f(task, nodes):\n    return nodes.free['gpu'] + LIMIT\n"
        "policy = Policy(filters=[], scorers=[(f, 1)])"
    )
    digests = []
    for limit in (1, 1, 2):
        (tmp_path / "f.py").write_text(text.format(limit))
        digests.append(load_policy(f"{tmp_path}/f.py").digest)
    assert digests[0] == digests[1] != digests[2]


FAULTS = {
    # name of the case: (text of bad.py, message after the folder)
    "a syntax error": ("x = 1\ndef f(:\n", "bad.py:2:7: syntax error: invalid syntax"),
    "an exception": ("def g():\n  return 1/0\n\ng()\n", "bad.py:2: ZeroDivisionError: division by zero"),
    "an unknown module": ("import nosuchmodule\n", "bad.py:1: ModuleNotFoundError: No module named 'nosuchmodule'"),
    "an end of the program": ("import sys\nsys.exit(3)\n", "bad.py:2: ends the program (exit 3)"),
    "other text": ("x = 'é'\n".encode("latin-1"), "bad.py:1: is not UTF-8 text: byte 0xe9"),
    "a null byte": (b"x\0y\n", "bad.py: syntax error: source code string cannot contain null bytes"),
    "no policy": ("x = 1\n", "bad.py: has no 'policy' and no other Policy: write policy = Policy(filters=...)"),
    "a policy of another name": (
        "from pilotage import Policy\nmine = Policy(filters=[])\n",
        "bad.py: has no 'policy'; its policies: mine (say {folder}/bad.py:mine)",
    ),
    "a function": (
        "def policy():\n  pass\n",
        "bad.py:policy: is not a Policy but the function policy: if it returns a Policy, write policy = policy()",
    ),
    "the class": (
        "from pilotage import Policy as policy\n",
        "bad.py:policy: is not a Policy but the class Policy itself: call it, Policy(filters=...)",
    ),
    "a list": ("policy = [1, 2]\n", "bad.py:policy: is not a Policy but a list of 2"),
    "a plain function as a scorer": (
        "from pilotage import Policy\ndef f(t, n): return 1\n\npolicy = Policy(\n  filters=[], scorers=[(f, 1)])\n",
        "bad.py:4: scorers[0]: is not a scorer but the plain function f: decorate it with @scorer or @node_filter",
    ),
    "a weight that is no whole number": (
        "from pilotage import Policy, scorers\npolicy = Policy(filters=[], scorers=[(scorers.fgd(), 0.5)])\n",
        "bad.py:2: scorers[0]: weight must be a whole number from 1 to 10,000, got 0.5",
    ),
    "a decorator's fault": (
        'from pilotage import scorer\n\n@scorer(reads="cpu", depends="row")\ndef f(task, nodes):\n  return 1\n',
        'bad.py:3: f.reads: must be a tuple: reads=("cpu",)',
    ),
    "a function of one argument": (
        "from pilotage import scorer\n@scorer\ndef f(nodes):\n  return 1\n",
        "bad.py:2: f: must be a function of (task, nodes)",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_is_wrong_with_a_file(case: str, tmp_path: Path) -> None:
    text, message = FAULTS[case]
    path = tmp_path / "bad.py"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidInput) as caught:
        load_policy(str(path))
    # Older interpreters put null bytes into other words.
    wanted = f"{tmp_path}/{message.format(folder=tmp_path)}"
    assert str(caught.value) == wanted or (case == "a null byte" and "null bytes" in str(caught.value))


def test_what_is_no_file(tmp_path: Path) -> None:
    for text, message in {
        f"{tmp_path}/nosuch.py": "policy: no such file:",
        f"{tmp_path}/": "is a folder; give a Python file",
        f"{tmp_path}/a\0.py": "can not be read",
        f"{tmp_path}/x.py:a b": "'a b' after",
        "nosuch": "no policy is called 'nosuch'; known: random, dotprod",
    }.items():
        with pytest.raises(InvalidInput, match="policy") as caught:
            load_policy(text)
        assert message in str(caught.value)


def test_an_object_that_is_not_there(good: Path) -> None:
    with pytest.raises(InvalidInput, match="has no 'nosuch'; its policies: policy, other, called"):
        load_policy(f"{good}:nosuch")


def test_an_error_in_the_order_of_the_queue_says_where(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(
        "from pilotage import Policy\ndef order(task):\n    return task.labels['x']\n"
        "policy = Policy(filters=[], order=order)\n"
    )
    policy = load_policy(f"{tmp_path}/bad.py")
    with pytest.raises(PolicyFault, match=r"bad.py:3: order: KeyError: 'x'"):
        policy.order(Task(id="t", spec=TaskSpec()))
