"""Gavel's deep-learning jobs (Narayanan et al., OSDI'20; arrivals of Microsoft's Philly clusters, Jeon et al., ATC'19).

Seven fields between tabs, no header: job type, command (not used), argument name, whether data is needed, total steps,
arrival in seconds, number of workers. How long a job runs follows from its steps and the throughput of its type: the
file ``simulation_throughputs.json`` beside the trace says it per GPU model, in steps a second for the whole job. A
worker takes a GPU; a job of more than eight workers is cut into parts of eight, which start when each finds room.
"""

import ast
import gzip
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from pilotage.model.errors import InvalidInput
from pilotage.model.task import Task, TaskSpec
from pilotage.model.workload import head_workload
from pilotage.sim.traces.lines import Lines
from pilotage.sim.traces.trace import TaskList

FIELDS = ("job type", "command", "argument", "needs data", "total steps", "arrival", "workers")
_TYPE, _STEPS, _ARRIVAL, _WORKERS = 0, 4, 5, 6

THROUGHPUTS = "simulation_throughputs.json"
MODEL = "v100"
"""The GPU model whose throughput gives the durations."""

MOST_TOGETHER = 8
"""Workers of one part: GPUs of one server, and the most that throughputs were measured for."""

Throughputs = dict[tuple[str, int], float]


def read(lines: Lines) -> TaskList:
    """Return the jobs of a trace, in its order."""
    throughputs = _throughputs(lines.path.parent)
    tasks: list[Task] = []
    durations: list[float] = []
    for number, line in enumerate(lines.text()):
        fields = line.rstrip("\n").split("\t")
        if len(fields) != len(FIELDS):
            raise InvalidInput(lines.where(), f"has {len(fields)} fields between tabs; a job has {len(FIELDS)}")
        workers = lines.whole(fields[_WORKERS], FIELDS[_WORKERS], least=1, most=1024)
        steps = lines.number(fields[_STEPS], FIELDS[_STEPS])
        arrival_s = lines.number(fields[_ARRIVAL], FIELDS[_ARRIVAL], most=1e12)
        duration_s = steps / _rate(lines, throughputs, fields[_TYPE], workers)
        for part, gpus in enumerate(_parts(workers)):
            name = f"job-{number}" if workers <= MOST_TOGETHER else f"job-{number}.{part}"
            tasks.append(Task(id=name, spec=_spec(gpus), arrival_s=arrival_s))
            durations.append(duration_s)
    if not tasks:
        raise InvalidInput(lines.shown, "holds no jobs")
    return TaskList(tasks, durations, head_workload(task.spec for task in tasks))


@cache
def _spec(gpus: int) -> TaskSpec:
    return TaskSpec(demand={"cpu": 0, "memory": 0}, gpus=gpus)


def _parts(workers: int) -> list[int]:
    whole, rest = divmod(workers, MOST_TOGETHER)
    return [MOST_TOGETHER] * whole + ([rest] if rest else [])


def _rate(lines: Lines, throughputs: Throughputs, kind: str, workers: int) -> float:
    """Return steps a second; beyond what was measured each worker adds what the last measured ones add on average."""
    for measured in range(min(workers, MOST_TOGETHER), 0, -1):
        rate = throughputs.get((kind, measured))
        if rate:
            return rate * (workers / measured)
    raise InvalidInput(lines.where(FIELDS[_TYPE]), f"{THROUGHPUTS} knows no throughput of {kind[:60]!r} on {MODEL}")


def _throughputs(folder: Path) -> Throughputs:
    path = next((p for p in (folder / THROUGHPUTS, folder / f"{THROUGHPUTS}.gz") if p.exists()), None)
    if path is None:
        raise InvalidInput(str(folder / THROUGHPUTS), "is missing: it must stand beside the trace (.json or .json.gz)")
    try:
        data = path.read_bytes()
        models = msgspec.json.decode(gzip.decompress(data) if path.suffix == ".gz" else data, type=dict[str, Any])
        return {_key(key): float(rates["null"]) for key, rates in models[MODEL].items()}
    except OSError as error:
        raise InvalidInput(str(path), f"can not be read: {error.strerror or error}") from None
    except (EOFError, zlib.error):
        raise InvalidInput(str(path), "is a damaged gzip file") from None
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, SyntaxError) as error:
        raise InvalidInput(str(path), f"is no table of throughputs by model and (job type, workers): {error}") from None


def _key(text: str) -> tuple[str, int]:
    kind, workers = ast.literal_eval(text)
    return str(kind), int(workers)
