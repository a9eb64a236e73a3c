"""The checker: plays the history of a database again, line by line, and proves what must never have happened.

It shares no arithmetic with what it checks: sums are made here anew, from the lines alone, and then compared with
what the tables say now.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, text

from pilotage.model.claim import FINAL, HOLDING, Change, event_of

AMOUNTS = ("cpu", "memory", "storage", "gpu", "vms")
TOLD_AT_MOST = 50


class Verdict(Struct):
    """What was played and what is wrong; nothing is, if ``problems`` is empty."""

    events: int = 0
    hosts: int = 0
    claims: int = 0
    tasks: int = 0
    by_status: dict[str, int] = msgspec.field(default_factory=dict)
    webhooks: int = 0
    problem_count: int = 0
    problems: list[str] = msgspec.field(default_factory=list)

    def blame(self, problem: str) -> None:
        """Note a problem; only the first ones are told."""
        self.problem_count += 1
        if len(self.problems) < TOLD_AT_MOST:
            self.problems.append(problem)


class _Played:
    """Capacity, use and claims as the lines of history make them."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.capacity: dict[str, dict[str, int]] = {}
        self.used: dict[str, dict[str, int]] = {}
        self.holding: dict[str, Change] = {}
        self.claimed: Counter[str] = Counter()
        self.members: dict[tuple[str, str], Counter[str]] = {}
        self.last = 0

    def play(self, line: Change) -> None:
        """Carry out one line, and blame it if it breaks a rule."""
        if line.seq != self.last + 1:
            self.verdict.blame(f"history: number {self.last + 1} is missing or twice (next is {line.seq})")
        self.last = line.seq
        if line.kind == "host":
            self.capacity[line.host] = {each: getattr(line, each) for each in AMOUNTS}
        elif line.kind == "claimed":
            self._claim(line)
        elif line.kind == "released":
            self._release(line)

    def _claim(self, line: Change) -> None:
        self.claimed[line.task_id] += 1
        if self.claimed[line.task_id] > 1:
            self.verdict.blame(f"task {line.task_id}: claimed {self.claimed[line.task_id]} times")
        used = self.used.setdefault(line.host, dict.fromkeys(AMOUNTS, 0))
        capacity = self.capacity.get(line.host, dict.fromkeys(AMOUNTS, 0))
        for each in AMOUNTS:
            used[each] += getattr(line, each)
            if getattr(line, each) and used[each] > capacity[each]:
                self.verdict.blame(
                    f"host {line.host}: over capacity at number {line.seq}, {each} {used[each]} of {capacity[each]}"
                )
        self.holding[line.claim_id] = line
        if line.group_rule:
            self._join(line, msgspec.json.decode(line.group_rule))

    def _join(self, line: Change, rule: dict[str, Any]) -> None:
        members = self.members.setdefault((line.pool, rule["name"]), Counter())
        if rule.get("mode", "hard") == "hard":
            if rule["rule"] == "anti-affinity" and members[line.place] >= rule.get("at_most", 1):
                self.verdict.blame(f"group {rule['name']}: too many members in {line.place} at number {line.seq}")
            if rule["rule"] == "affinity" and members.total() and not members[line.place]:
                self.verdict.blame(f"group {rule['name']}: a member apart in {line.place} at number {line.seq}")
        members[line.place] += 1

    def _release(self, line: Change) -> None:
        claim = self.holding.pop(line.claim_id, None)
        if claim is None:
            self.verdict.blame(f"claim {line.claim_id}: released at number {line.seq}, but held nothing")
            return
        for each in AMOUNTS:
            self.used[claim.host][each] -= getattr(claim, each)
        if claim.group_rule:
            self.members[claim.pool, msgspec.json.decode(claim.group_rule)["name"]][claim.place] -= 1


def verify(connection: Connection, *, expected: Iterable[str] = (), settled: bool = False) -> Verdict:
    """Prove that no host was ever given away beyond its capacity, and that every task has one end and one event.

    ``expected``: ids that must be there with a final state (what was submitted). ``settled``: no task may be open.
    """
    verdict = Verdict()
    played = _Played(verdict)
    columns = ", ".join(Change.__struct_fields__)
    for row in connection.execute(text(f"SELECT {columns} FROM vm_events ORDER BY seq")):
        verdict.events += 1
        played.play(Change(*row))
    shard = connection.execute(text("SELECT seq FROM vm_shards WHERE name = 'main'")).scalar_one()
    if shard != played.last:
        verdict.blame(f"history: ends at {played.last}, the shard's number is {shard}")
    _hosts(connection, played)
    held = _claims(connection, played)
    _tasks(connection, played, held, set(expected), settled=settled)
    _webhooks(connection, verdict)
    return verdict


def _hosts(connection: Connection, played: _Played) -> None:
    """What hosts say is used must be what the lines add up to."""
    columns = ", ".join(f"used_{each}" for each in AMOUNTS)
    for row in connection.execute(text(f"SELECT name, {columns} FROM vm_hosts ORDER BY name")):
        played.verdict.hosts += 1
        used = played.used.get(row.name, dict.fromkeys(AMOUNTS, 0))
        for each in AMOUNTS:
            there = getattr(row, f"used_{each}")
            if there != used[each]:
                played.verdict.blame(f"host {row.name}: says {there} {each} are used, its claims are {used[each]}")


def _claims(connection: Connection, played: _Played) -> dict[str, str]:
    """Claims that hold must be those that were claimed and not released. Returns the host of each task's claim."""
    hosts: dict[str, str] = {}
    holding = dict(played.holding)
    for row in connection.execute(
        text("SELECT claim_id, task_id, host, state, cpu, memory, storage, gpu FROM vm_claims ORDER BY claim_id")
    ):
        played.verdict.claims += 1
        if row.task_id in hosts:
            played.verdict.blame(f"task {row.task_id}: has two claims")
        hosts[row.task_id] = row.host
        line = holding.pop(row.claim_id, None)
        if (line is not None) != (row.state in HOLDING):
            played.verdict.blame(f"claim {row.claim_id}: is {row.state}, but history says otherwise")
        elif line is not None and any(getattr(row, each) != getattr(line, each) for each in ("host", *AMOUNTS[:4])):
            played.verdict.blame(f"claim {row.claim_id}: differs from its line of history")
    for claim_id in holding:
        played.verdict.blame(f"claim {claim_id}: is in history, but not in the table")
    return hosts


def _tasks(connection: Connection, played: _Played, held: dict[str, str], expected: set[str], *, settled: bool) -> None:
    """Every task has exactly one final state, told by one event; success is a claim, anything else is none."""
    verdict, missing = played.verdict, expected
    statuses: Counter[str] = Counter()
    for row in connection.execute(
        text("SELECT task_id, status, selected_node, history, event_id FROM task_status ORDER BY task_id")
    ):
        verdict.tasks += 1
        statuses[row.status] += 1
        missing.discard(row.task_id)
        ends = [s for s in (msgspec.json.decode(line)["status"] for line in row.history.splitlines()) if s in FINAL]
        if row.status not in FINAL:
            if ends or settled:
                verdict.blame(f"task {row.task_id}: is {row.status}" + (f", but was {ends[0]} before" if ends else ""))
            continue
        if ends != [row.status]:
            verdict.blame(f"task {row.task_id}: is {row.status}, its history has the ends {ends}")
        if row.event_id != event_of(row.task_id, row.status):
            verdict.blame(f"task {row.task_id}: its final state has the event {row.event_id}")
        if (row.status == "success") != (row.task_id in held) or (held.get(row.task_id) or None) != row.selected_node:
            verdict.blame(f"task {row.task_id}: is {row.status} on {row.selected_node}, claim: {held.get(row.task_id)}")
    for task_id in held.keys() & {t for t, n in played.claimed.items() if n != 1}:
        verdict.blame(f"task {task_id}: claimed {played.claimed[task_id]} times")
    for task_id in sorted(missing):
        verdict.blame(f"task {task_id}: was submitted, but is lost")
    verdict.by_status = dict(sorted(statuses.items()))


def _webhooks(connection: Connection, verdict: Verdict) -> None:
    """Every message tells the one event of its task's final state, once per receiver."""
    seen: set[tuple[str, str]] = set()
    for row in connection.execute(
        text(
            "SELECT o.event_id, o.receiver, o.task_id, t.event_id AS expected FROM vm_outbox o "
            "LEFT JOIN task_status t ON t.task_id = o.task_id WHERE o.kind = 'webhook' ORDER BY o.id"
        )
    ):
        verdict.webhooks += 1
        if row.event_id != row.expected:
            verdict.blame(f"task {row.task_id}: message tells {row.event_id}, its event is {row.expected}")
        if (row.event_id, row.receiver) in seen:
            verdict.blame(f"task {row.task_id}: {row.receiver} has two messages of {row.event_id}")
        seen.add((row.event_id, row.receiver))
