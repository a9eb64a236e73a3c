"""Traces: what a file says, and what is said about a file that can not be used."""

import gzip
import os
from pathlib import Path

import pytest

from pilotage.model.errors import InvalidInput
from pilotage.model.node import Taint, TaintEffect
from pilotage.sim.traces.catalogue import BUNDLED, Format, load_trace
from pilotage.sim.traces.lines import MAX_LINE
from pilotage.sim.traces.trace import FOREVER_S
from tests.sim.files import NODES, OPENB_NODES, OPENB_PODS, TASKS, write

# ---------------------------------------------------------------- bundled traces


@pytest.mark.parametrize(
    ("name", "tasks", "demand_pct"),
    [
        ("openb", 8152, 98.0),
        ("openb:cpu200", 8832, 98.0),
        ("openb:gpushare40", 8152, 90.8),
        ("openb:gpuspec25", 8152, 98.0),
        ("openb:multigpu20", 8324, 114.1),
    ],
)
def test_a_bundled_trace_is_the_published_one(name: str, tasks: int, demand_pct: float) -> None:
    trace = load_trace(name)
    assert len(trace.tasks) == tasks
    assert not trace.timed
    assert sum(task.demand["gpu"] for task in trace.tasks) / trace.gpu_capacity * 100 == pytest.approx(
        demand_pct, abs=0.05
    )


def test_the_bundled_cluster_is_the_published_one() -> None:
    nodes = load_trace("openb").nodes
    assert len(nodes) == 1213
    assert sum(node.gpus for node in nodes) == 6212
    assert sum(node.capacity["cpu"] for node in nodes) == 107_018_000
    assert sum(node.capacity["memory"] for node in nodes) == 492_020 << 30
    models = {model: sum(node.gpu_model == model for node in nodes) for model in {node.gpu_model for node in nodes}}
    assert models == {"G2": 549, "T4": 404, "P100": 134, "V100M16": 55, "G3": 39, "V100M32": 30, "A10": 2}


def test_tasks_with_equal_needs_share_one_spec() -> None:
    tasks = load_trace("openb").tasks
    assert len({id(task.spec) for task in tasks}) == len({task.spec for task in tasks}) == 151


def test_every_bundled_file_is_there() -> None:
    assert all(bundle.path.exists() for bundle in BUNDLED.values())


# ---------------------------------------------------------------- files


def test_an_openb_file_runs_on_the_bundled_nodes_by_default(tmp_path: Path) -> None:
    trace = load_trace(write(tmp_path, "pods.csv.gz", OPENB_PODS + "a,6000,1024,1,460,T4|P100\n"))
    assert len(trace.nodes) == 1213
    (task,) = trace.tasks
    assert task.id == "a"
    assert task.demand == {"cpu": 6000, "memory": 1 << 30, "gpu": 460, "tasks": 1}
    assert task.spec.gpu_models == ("P100", "T4")


def test_an_openb_file_may_have_five_columns_and_columns_of_no_meaning(tmp_path: Path) -> None:
    nodes = write(tmp_path, "nodes.csv", OPENB_NODES + "n,4000,8192,2,T4\n")
    five = write(tmp_path, "five.csv", "name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,1,2,2,1000\n")
    more = write(tmp_path, "more.csv", "qos,name,cpu_milli,memory_mib,num_gpu,gpu_milli\nBE,a,1,2,2,1000\n")
    assert load_trace(five, nodes=nodes).tasks == load_trace(more, nodes=nodes).tasks
    assert load_trace(five, nodes=nodes).nodes[0].capacity["tasks"] == 1001


def test_our_own_format_says_everything(tmp_path: Path) -> None:
    nodes = write(
        tmp_path,
        "nodes.csv",
        NODES + 'n1,8000,1024,4,T4,10,"zone=a;disk=ssd","team=x:NoSchedule;old:NoExecute"\nn2,1,,,,,,\n',
    )
    text = TASKS + "a,500,1.5,60,256,1,250,T4,-3,zone=a\n\nb,1000,,,,2,,,,\n"
    trace = load_trace(write(tmp_path, "tasks.csv", text), nodes=nodes)
    n1, n2 = trace.nodes
    assert n1.capacity == {"cpu": 8000, "memory": 1 << 30, "gpu": 4000, "tasks": 10}
    assert n1.labels == {"zone": "a", "disk": "ssd"}
    assert n1.taints == (Taint("team", "x"), Taint("old", "", TaintEffect.NO_EXECUTE))
    assert (n2.gpus, n2.capacity["memory"]) == (0, 0)
    a, b = trace.tasks
    assert (a.arrival_s, a.priority, a.spec.node_selector) == (1.5, -3, {"zone": "a"})
    assert a.demand == {"cpu": 500, "memory": 256 << 20, "gpu": 250, "tasks": 1}
    assert (b.arrival_s, b.gpus, b.gpu_share) == (0, 2, 1000)
    assert trace.durations_s == (60, FOREVER_S)
    assert trace.timed


def test_without_columns_of_time_a_trace_is_untimed(tmp_path: Path) -> None:
    assert not load_trace(write(tmp_path, "t.csv", "id,cpu_milli\na,1\n"), nodes="openb").timed


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    assert (
        load_trace(write(tmp_path, "t.csv", b"\xef\xbb\xbfid,cpu_milli\r\na,1\r\n"), nodes="openb").tasks[0].id == "a"
    )


# ---------------------------------------------------------------- bad files

GOOD = "ok,1,1,0,0,\n"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (OPENB_PODS + GOOD + "b,-5,1,0,0,\n", "t.csv:3: cpu_milli: must be a whole number >= 0, got '-5'"),
        (OPENB_PODS + "b,nan,1,0,0,\n", "t.csv:2: cpu_milli: must be a whole number, got 'nan'"),
        (OPENB_PODS + "b,1.5,1,0,0,\n", "t.csv:2: cpu_milli: must be a whole number, got '1.5'"),
        (OPENB_PODS + "b,1,lots,0,0,\n", "t.csv:2: memory_mib: must be a whole number, got 'lots'"),
        (
            OPENB_PODS + "b,1,99999999999,0,0,\n",
            "t.csv:2: memory_mib: must be a whole number <= 8589934592, got '99999999999'",
        ),
        (OPENB_PODS + "b,1,1,9999,1000,\n", "t.csv:2: num_gpu: must be a whole number <= 1024, got '9999'"),
        (OPENB_PODS + "b,1,1,1,1001,\n", "t.csv:2: gpu_milli: must be a whole number <= 1000, got '1001'"),
        (OPENB_PODS + "b,,1,0,0,\n", "t.csv:2: cpu_milli: is missing"),
        (OPENB_PODS + ",1,1,0,0,\n", "t.csv:2: name: is missing"),
        (OPENB_PODS + "b,1,1\n", "t.csv:2: has 3 cells where the header names 6 columns"),
        (OPENB_PODS + "b,1,1,0,0,,,\n", "t.csv:2: has 8 cells where the header names 6 columns"),
        (OPENB_PODS + "b,1,1,2,500,\n", "t.csv:2: gpu_milli: must be 1000 when several GPUs are asked for, got 500"),
        (OPENB_PODS + "b,1,1,1,0,\n", "t.csv:2: gpu_milli: must be from 1 to 1000 thousandths when GPUs are asked for"),
        (OPENB_PODS + "b,1,1,0,500,\n", "t.csv:2: gpu_milli: must be 0 when num_gpu is 0, got 500"),
        (OPENB_PODS + "b,1,1,0,0,T4\n", "t.csv:2: gpu_spec: names models but no GPU is asked for"),
        (
            OPENB_PODS + "b,1,1,1,500,T4|H100\n",
            "t.csv:2: gpu_spec: no node has a GPU of model 'H100'; known: A10, G2, G3, P100, T4, V100M16, V100M32",
        ),
        (OPENB_PODS + GOOD + "b,1,1,0,0,\n" + GOOD, "t.csv:4: name: 'ok' stands on line 2 already"),
        (OPENB_PODS, "t.csv: holds no pods, only a header"),
        ("", "t.csv: is empty; its first line must name the columns"),
        ("\n\n", "t.csv: is empty; its first line must name the columns"),
        ("name,cpu_milli\na,1\n", "t.csv:1: memory_mib: the header has no such column"),
        ("name,name\na,1\n", "t.csv:1: name: the header names this column twice"),
        ("a,b\n1,2\n", "t.csv:1: the header has neither 'name' (openb) nor 'id' (pilotage); see --format"),
        (OPENB_PODS.encode() + b"\xff\xfe,1,1,0,0,\n", "t.csv:2: is not UTF-8 text"),
        (OPENB_PODS + '"b,1,1,0,0,\n', "t.csv:2: is not CSV: unexpected end of data"),
        (OPENB_PODS + "x" * 600 + ",1,1,0,0,\n", f"t.csv:2: name: must be text of length <= 500, got '{'x' * 37}...'"),
        (OPENB_PODS + "x" * (MAX_LINE + 1) + ",1,1,0,0,\n", "t.csv:2: the line is longer than 65,536 bytes"),
        (TASKS + "a,1,nan,,,,,,,\n", "t.csv:2: arrival_s: must be a number >= 0.0, got 'nan'"),
        (TASKS + "a,1,-1,,,,,,,\n", "t.csv:2: arrival_s: must be a number >= 0.0, got '-1'"),
        (TASKS + "a,1,1,inf,,,,,,\n", "t.csv:2: duration_s: must be a number <= 1000000000000.0, got 'inf'"),
        (
            TASKS + "a,1,1,1,,,,,9999999999,\n",
            "t.csv:2: priority: must be a whole number <= 2147483647, got '9999999999'",
        ),
        (TASKS + "a,1,1,1,,,,,,zone\n", "t.csv:2: node_selector: must be key=value;key=value, got 'zone'"),
        (TASKS + "a,1,1,1,,1,,H100,,\n", "t.csv:2: gpu_models: no node has a GPU of model 'H100'"),
        ("id,cpu_milli,gpu_mili\na,1,1\n", "t.csv:1: 'gpu_mili': is no column; known: id, cpu_milli"),
    ],
)
def test_a_bad_task_list_is_told_by_file_line_and_column(tmp_path: Path, text: str | bytes, error: str) -> None:
    path = write(tmp_path, "t.csv", text)
    with pytest.raises(InvalidInput) as told:
        load_trace(path, nodes="openb")
    message = str(told.value)
    assert message.startswith(f"{tmp_path}/{error}")
    assert "\n" not in message
    assert len(message) < len(str(tmp_path)) + 300


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (OPENB_NODES + "n,1,1,-2,T4\n", "n.csv:2: gpu: must be a whole number >= 0, got '-2'"),
        (OPENB_NODES + "n,1,1,0,\nn,1,1,0,\n", "n.csv:3: sn: 'n' stands on line 2 already"),
        (OPENB_NODES, "n.csv: holds no nodes, only a header"),
        (NODES + "n,x,,,,,,\n", "n.csv:2: cpu_milli: must be a whole number, got 'x'"),
        (NODES + "n,1,,,,,=a,\n", "n.csv:2: labels: must be key=value;key=value, got '=a'"),
        (NODES + "n,1,,,,,,k=v:Never\n", "n.csv:2: taints: must be key=value:EFFECT with NoSchedule,"),
        ("node,cpu\nn,1\n", "n.csv:1: the header has neither 'sn' (openb) nor 'name' (pilotage)"),
    ],
)
def test_a_bad_node_list_is_told_by_file_line_and_column(tmp_path: Path, text: str, error: str) -> None:
    nodes = write(tmp_path, "n.csv", text)
    with pytest.raises(InvalidInput) as told:
        load_trace(write(tmp_path, "t.csv", "id,cpu_milli\na,1\n"), nodes=nodes)
    assert str(told.value).startswith(f"{tmp_path}/{error}")


def test_a_truncated_compressed_file_is_told(tmp_path: Path) -> None:
    whole = gzip.compress("".join([OPENB_PODS, *(f"{os.urandom(9).hex()},1,1,0,0,\n" for _ in range(500))]).encode())
    (tmp_path / "t.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidInput, match=r"t\.csv\.gz: the compressed file ends too early, after line \d+$"):
        load_trace(str(tmp_path / "t.csv.gz"))


def test_a_damaged_compressed_file_is_told(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress((OPENB_PODS + GOOD).encode()))
    whole[-6] ^= 0xFF  # in the checksum
    (tmp_path / "t.csv.gz").write_bytes(whole)
    with pytest.raises(InvalidInput, match=r"t\.csv\.gz: is (not a gzip file|damaged after line \d+)$"):
        load_trace(str(tmp_path / "t.csv.gz"))


def test_a_file_that_is_not_compressed_at_all_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_text("name\n")
    with pytest.raises(InvalidInput, match=r"t\.csv\.gz: is not a gzip file$"):
        load_trace(str(tmp_path / "t.csv.gz"))


@pytest.mark.parametrize(
    ("name", "form", "nodes", "error"),
    [
        ("openbb", None, None, r"TRACE: no trace is called 'openbb'; known: openb, openb:cpu200, .* or the path of a"),
        ("", None, None, "TRACE: no trace is called ''"),
        ("openb", "pilotage", None, "--format: the bundled trace 'openb' is in the openb format"),
        ("{folder}/none.csv", None, None, r"none\.csv: can not be read: No such file or directory"),
        ("{folder}", None, None, "can not be read: Is a directory"),
        ("{folder}/t.csv", None, None, r"--nodes: which nodes is .*t\.csv to run on"),
        ("{folder}/t.csv", "openb", None, r"t\.csv:1: name: the header has no such column"),
        ("{folder}/t.csv", None, "{folder}/no.csv", r"no\.csv: can not be read: No such file"),
    ],
)
def test_what_can_not_be_found_is_told(
    tmp_path: Path, name: str, form: Format | None, nodes: str | None, error: str
) -> None:
    write(tmp_path, "t.csv", "id,cpu_milli\na,1\n")
    with pytest.raises(InvalidInput, match=error):
        load_trace(name.format(folder=tmp_path), form=form, nodes=nodes and nodes.format(folder=tmp_path))
