"""Azure's VM trace of 2017 (Cortez et al., SOSP'17) in the form of Bergsma et al. (SOSP'21).

Four files, each as text or ``.gz``: ``v1.dev.txt`` has a line per bin of 300 seconds, its start and the VMs that arrive
in it, flavour letters with commas between them, ``|`` at the end of each batch; ``v1.dev.c2100000.txt`` has the
lifetimes in the same places, ``U`` (ended) or ``C`` (still running when the trace ends) and a lifetime bin;
``flav_map.txt`` says ``vCPU,GiB letter``, ``v1.interval_map.txt`` says ``seconds bin``. The first is the trace, the
others stand beside it. A VM lives as long as the middle of its bin; one that still runs at the end never leaves.
"""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from immutabledict import immutabledict

from pilotage.model.errors import InvalidInput
from pilotage.model.task import Task, TaskSpec
from pilotage.model.workload import head_workload
from pilotage.sim.traces.lines import Lines
from pilotage.sim.traces.trace import FOREVER_S, TaskList

BIN_S = 300.0
"""Seconds from one start to the next; lifetimes are told in steps of the same length."""


class _WideLines(Lines):
    longest = 4 * 2**20
    """A bin may see a hundred thousand VMs."""


def read(lines: Lines) -> TaskList:
    """Return the VMs of a trace, in its order, from second 0 on."""
    folder, name = lines.path.parent, lines.path.name.removesuffix(".gz").removesuffix(".txt")
    flavours = _flavours(_beside(folder, "flav_map.txt"))
    lifetimes = _lifetimes(_beside(folder, f"{name.partition('.')[0]}.interval_map.txt"))
    tasks: list[Task] = []
    durations: list[float] = []
    first_s = None
    with _WideLines(lines.path) as kinds, _WideLines(_beside(folder, f"{name}.c*.txt")) as lives:
        for (start, letters), (other, codes) in _together(kinds, lives):
            if start != other or len(letters) != len(codes):
                raise InvalidInput(lives.where(), f"does not tell the VMs of the same line of {kinds.shown}")
            start_s = kinds.number(start, "start", most=1e12)
            first_s = start_s if first_s is None else first_s
            if start_s < first_s:
                raise InvalidInput(kinds.where("start"), f"{start} is before the first start")
            for letter, code in zip(letters, codes, strict=True):
                if letter == "|" and code == "|":
                    continue
                spec = flavours.get(letter)
                if spec is None:
                    raise InvalidInput(kinds.where(), f"no flavour is called {letter[:20]!r}")
                tasks.append(Task(id=f"vm-{len(tasks)}", spec=spec, arrival_s=start_s - first_s))
                durations.append(_duration(lives, lifetimes, code))
    if not tasks:
        raise InvalidInput(lines.shown, "holds no VMs")
    return TaskList(tasks, durations, head_workload(task.spec for task in tasks))


def _together(kinds: Lines, lives: Lines) -> Iterator[tuple[tuple[str, list[str]], tuple[str, list[str]]]]:
    for one, other in zip_longest(kinds.text(), lives.text()):
        if one is None or other is None:
            short = kinds if one is None else lives
            raise InvalidInput(short.shown, f"ends after line {short.line}, before the other file")
        yield _entries(kinds, one), _entries(lives, other)


def _entries(lines: Lines, line: str) -> tuple[str, list[str]]:
    start, space, rest = line.strip().partition(" ")
    if not space and not start:
        raise InvalidInput(lines.where(), "is empty")
    return start, [entry for entry in rest.split(",") if entry]


def _duration(lines: Lines, lifetimes: dict[int, float], code: str) -> float:
    if code[:1] == "C":
        return FOREVER_S
    if code[:1] != "U":
        raise InvalidInput(lines.where(), f"must be U or C and a lifetime bin, got {code[:20]!r}")
    known = lifetimes.get(lines.whole(code[1:], "lifetime bin"))
    if known is None:
        raise InvalidInput(lines.where(), f"no lifetime bin has the number {code[1:][:20]}")
    return known


def _beside(folder: Path, pattern: str) -> Path:
    found = sorted([*folder.glob(pattern), *folder.glob(f"{pattern}.gz")])
    if len(found) != 1:
        what = "is missing: it must stand beside the trace" if not found else "is there more than once"
        raise InvalidInput(str(folder / pattern), f"{what} (.txt or .txt.gz)")
    return found[0]


def _flavours(path: Path) -> dict[str, TaskSpec]:
    flavours = {}
    with Lines(path) as lines:
        for line in lines.text():
            amounts, _, letter = line.strip().partition(" ")
            cpu, comma, gib = amounts.partition(",")
            if not (comma and letter):
                raise InvalidInput(lines.where(), f"must be vCPU,GiB letter, got {line.strip()[:60]!r}")
            vcpus = lines.number(cpu, "vCPU", most=1e6)
            memory_gib = lines.number(gib, "GiB", most=1e6)
            demand = immutabledict(cpu=round(1000 * vcpus), memory=round(memory_gib * 2**30))
            flavours[letter] = TaskSpec(demand=demand)
    return flavours


def _lifetimes(path: Path) -> dict[int, float]:
    """Return the middle of each bin, in seconds."""
    ends: dict[int, tuple[float, float]] = {}
    with Lines(path) as lines:
        for line in lines.text():
            seconds, _, number = line.strip().partition(" ")
            at, bin_number = lines.number(seconds, "seconds", most=1e12), lines.whole(number, "bin")
            low, high = ends.get(bin_number, (at, at))
            ends[bin_number] = min(low, at), max(high, at + BIN_S)
    return {number: (low + high) / 2 for number, (low, high) in ends.items()}
