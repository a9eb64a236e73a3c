"""The Standard Workload Format of the Parallel Workloads Archive: one line per job, 18 numbers, -1 where unknown.

Lines that start with ``;`` are comments; of those ``; MaxProcs: 128`` names the machine. A job that never ran (its run
time or processors are unknown) is passed over. Processors are interchangeable, as on the machines of these logs: the
machine is one node with a core per processor, and a job takes as many of them as it asked for. Memory is taken into
account where the log says it (KB a processor).
"""

import re

from immutabledict import immutabledict

from pilotage.model.amounts import MAX_AMOUNT
from pilotage.model.errors import InvalidInput
from pilotage.model.node import Node
from pilotage.model.task import Task, TaskSpec
from pilotage.model.workload import head_workload
from pilotage.sim.traces.census import Census
from pilotage.sim.traces.lines import Lines
from pilotage.sim.traces.trace import TaskList

FIELDS = (
    "job", "submit", "wait", "run time", "processors used", "mean CPU time", "memory used", "processors asked",
    "time asked", "memory asked", "status", "user", "group", "program", "queue", "partition", "preceding job",
    "think time",
)  # fmt: skip
_JOB, _SUBMIT, _RUN, _USED, _MEMORY_USED, _ASKED, _MEMORY_ASKED, _USER = 0, 1, 3, 4, 6, 7, 9, 11

_MACHINE = re.compile(r"^;\s*MaxProcs:\s*(\d+)")

_MAX_PROCESSORS = 10_000_000
_MAX_KB = MAX_AMOUNT >> 40
"""Memory a processor, in KB: times the most processors it is still an amount."""


def read(lines: Lines) -> tuple[TaskList, list[Node]]:
    """Return the jobs of a log, in its order, and the machine that it names (nothing if it names none)."""
    tasks: list[Task] = []
    durations: list[float] = []
    census, processors = Census(lines, FIELDS[_JOB]), 0
    specs: dict[tuple[int, int], TaskSpec] = {}
    for line in lines.text():
        if line.startswith(";") or not line.strip():
            found = _MACHINE.match(line)
            processors = int(found[1]) if found else processors
            continue
        fields = line.split()
        if len(fields) != len(FIELDS):
            raise InvalidInput(lines.where(), f"has {len(fields)} fields; a job has {len(FIELDS)}")
        census.enter(fields[_JOB])
        if (job := _job(lines, fields)) is None:
            continue
        asked, kilobytes, submit_s, run_s = job
        spec = specs.get((asked, kilobytes))
        if spec is None:
            demand = {"cpu": 1000 * asked, "memory": kilobytes * 1024 * asked}
            spec = specs[asked, kilobytes] = TaskSpec(demand=demand)
        labels = immutabledict(user=fields[_USER]) if fields[_USER] != "-1" else immutabledict[str, str]()
        tasks.append(Task(id=fields[_JOB], spec=spec, arrival_s=submit_s, labels=labels))
        durations.append(run_s)
    census.close("jobs")
    if not tasks:
        raise InvalidInput(lines.shown, "holds no job that ran")
    machine = [Node(name="machine", capacity={"cpu": 1000 * processors, "memory": MAX_AMOUNT})] if processors else []
    return TaskList(tasks, durations, head_workload(task.spec for task in tasks)), machine


def _job(lines: Lines, fields: list[str]) -> tuple[int, int, float, float] | None:
    """Return processors, KB a processor, submission and run time of a job, or None if it never ran."""
    used, asked = (lines.whole(fields[i], FIELDS[i], least=-1, most=_MAX_PROCESSORS) for i in (_USED, _ASKED))
    memory_used, memory_asked = (
        lines.number(fields[i], FIELDS[i], least=-1, most=_MAX_KB) for i in (_MEMORY_USED, _MEMORY_ASKED)
    )
    submit_s = lines.number(fields[_SUBMIT], FIELDS[_SUBMIT], least=-1, most=1e12)
    run_s = lines.number(fields[_RUN], FIELDS[_RUN], least=-1, most=1e12)
    wanted = asked if asked > 0 else used
    if run_s < 0 or wanted <= 0 or submit_s < 0:
        return None
    return wanted, max(0, int(memory_asked if memory_asked > 0 else memory_used)), submit_s, run_s
