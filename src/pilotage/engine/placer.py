"""Decides VM requests: one engine per pool, fed by what the store says, asked for batches.

::

    host rows ──▶ set_host ┐
    history   ──▶ follow   ├─▶ engine of the pool ──▶ decide ──▶ Decided (a host, or why not)
    outcomes  ──▶ learn    ┘

A pool is a wall that no VM crosses, so each pool may have a strategy of its own. What is decided counts at once; it
becomes a claim when the store has committed it, and is forgotten when a host refused it. Claims of other workers come
in through the history, under the names of the claims.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

import msgspec
import numpy as np
from msgspec import Struct

from pilotage.engine.engine import Engine
from pilotage.kernel.hashing import key_hash
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.policy import Policy
from pilotage.model.claim import Change, Decided, ErrorClass, HostRow, Outcome, claim_of
from pilotage.model.effects import Bind, Effect, Reject
from pilotage.model.events import (
    NodeAdded,
    NodeRemoved,
    NodeUpdated,
    TaskFinished,
    TaskPlaced,
    TaskSubmitted,
)
from pilotage.model.group import Group
from pilotage.model.host import Host, node_of
from pilotage.model.task import Task, TaskSpec
from pilotage.model.vm import SchedulingRequest, digest_of, encode_request

PolicyOf = Callable[[str], Policy]
"""From a pool to its strategy."""

_SPECS_KEPT = 65_536
_EVER = ("pool", "dedicated", "traits")
"""Filters whose no does not depend on what else is placed."""


class Pending(Struct):
    """A request that is to be decided, and when it came in."""

    request: SchedulingRequest
    received_at: float
    attempts: int = 1


class Placer:
    """All pools of one worker. ``seed`` tells workers apart: among equals they seldom take the same host."""

    def __init__(self, policy_of: PolicyOf, *, seed: int = 0, reservation_s: float = 0) -> None:
        self.policy_of = policy_of
        self.seed = seed
        self.reservation_s = reservation_s
        """How long a claim is reserved if its request does not say; 0: for ever."""
        self.seq = 0
        """History is known up to here."""
        self.hosts: dict[str, HostRow] = {}
        self._engines: dict[str, Engine] = {}
        self._places: dict[str, dict[str, str]] = {}
        self._claims: dict[str, tuple[str, str]] = {}
        """Pool and engine's name of every claim that counts."""

    # -- what is known -------------------------------------------------------------------------------------------

    def set_hosts(self, rows: Mapping[str, HostRow]) -> None:
        """Take note of hosts in an order that the seed gives: of equals each worker then takes another first."""
        for name in sorted(rows, key=lambda name: key_hash(self.seed, name)):
            self.set_host(name, rows[name])

    def set_host(self, name: str, row: HostRow | None) -> None:
        """Take note of a host as it is now; None: it is gone."""
        before = self.hosts.get(name)
        moves = before is not None and (row is None or before.pool != row.pool)
        moved = self._take_out(name) if moves else []
        if row is None:
            self.hosts.pop(name, None)
            return
        host = msgspec.json.decode(row.spec, type=Host)
        node = node_of(
            name,
            row.capacity,
            pool=row.pool,
            dedicated=row.dedicated,
            rack=host.rack,
            zone=host.zone,
            traits=host.traits,
            cordoned=row.state != "active",
        )
        engine = self._engine(row.pool)
        engine.apply(NodeUpdated(node) if name in engine.state.nodes else NodeAdded(node))
        self.hosts[name] = row
        self._places[name] = {"host": name, "rack": host.rack, "zone": host.zone}
        for task in moved:
            engine.apply(TaskPlaced(task, name))
        if moved:
            ids = {task.id for task in moved}
            self._claims |= {claim: (row.pool, task) for claim, (_, task) in self._claims.items() if task in ids}

    def _take_out(self, name: str) -> list[Task]:
        """Remove a host from its engine and return the tasks that were on it."""
        before = self.hosts.get(name)
        if before is None:
            return []
        engine = self._engines[before.pool]
        on = list(engine.state.tasks_on[engine.state.row_of(name)])
        tasks = [engine.state.placements[task_id].task for task_id in on]
        for task_id in on:
            engine.apply(TaskFinished(task_id))
        engine.apply(NodeRemoved(name))
        return tasks

    def follow(self, changes: Iterable[Change]) -> set[str]:
        """Take in what others committed, oldest first; return the hosts whose rows must be read anew."""
        stale: set[str] = set()
        for change in changes:
            if change.kind == "claimed" and change.claim_id not in self._claims:
                self._place(change)
            elif change.kind == "released":
                self._forget(change.claim_id)
            elif change.kind == "host":
                stale.add(change.host)
        return stale

    def _place(self, change: Change) -> None:
        engine = self._engine(change.pool)
        if change.host not in engine.state.nodes:
            return  # its host is gone, or not known yet: reading its row will bring it with its claims
        group = msgspec.json.decode(change.group_rule, type=Group) if change.group_rule else None
        spec = _spec(change.cpu, change.memory, change.storage, change.gpu, change.pool, False, (), (), group)
        engine.apply(TaskPlaced(Task(id=change.claim_id, spec=spec), change.host))
        self._claims[change.claim_id] = (change.pool, change.claim_id)

    def _forget(self, claim_id: str) -> None:
        pool, task_id = self._claims.pop(claim_id, ("", ""))
        if pool in self._engines and task_id in self._engines[pool].state.placements:
            self._engines[pool].apply(TaskFinished(task_id))

    def use(self, policy_of: PolicyOf) -> list[str]:
        """Switch strategies; return the pools whose strategy is another one now. Claims and hosts stay."""
        self.policy_of = policy_of
        switched = []
        for pool, old in list(self._engines.items()):
            policy = policy_of(pool)
            if policy.digest != old.policy.digest:
                self._engines[pool] = _rebuilt(old, policy, self.seed)
                switched.append(pool)
        return switched

    def _engine(self, pool: str) -> Engine:
        engine = self._engines.get(pool)
        if engine is None:
            engine = self._engines[pool] = Engine(self.policy_of(pool), seed=self.seed, retry=False)
        return engine

    # -- decisions -----------------------------------------------------------------------------------------------

    def decide(self, pending: Sequence[Pending], now: float) -> list[Decided]:
        """Decide requests with different ids; each gets a host, or an error with its class.

        Higher priority goes first; among equals a batch is decided spec by spec, in the order of their first requests.
        """
        by_pool: dict[str, dict[str, Pending]] = {}
        decided: list[Decided] = []
        for each in pending:
            if claim_of(each.request.task_id) in self._claims:
                # It came again after it was placed: the store will find it done, or the id in use.
                decided.append(self._failed(each, ErrorClass.CONFLICT, "is placed already", now))
            else:
                by_pool.setdefault(each.request.requested_pool, {})[each.request.task_id] = each
        for pool, waiting in by_pool.items():
            if pool not in self._engines or not self._engines[pool].state.nodes:
                decided += [self._no_pool(each, now) for each in waiting.values()]
                continue
            for effect in self._effects(pool, waiting, now, decided):
                if isinstance(effect, Bind):
                    decided.append(self._placed(waiting[effect.task_id], effect.node, now))
                elif isinstance(effect, Reject):
                    decided.append(self._rejected(waiting[effect.task_id], effect, now))
        return decided

    def _effects(self, pool: str, waiting: dict[str, Pending], now: float, decided: list[Decided]) -> Iterable[Effect]:
        """Decide through the engine; a request on which a plugin fails is set aside, the others go on."""
        engine = self._engines[pool]
        # Equal requests in a row: between two of them one host changed, and that is all the engine looks at again.
        runs: dict[TaskSpec, list[Pending]] = {}
        for each in waiting.values():
            runs.setdefault(spec_of(each.request), []).append(each)
        for spec, each in ((spec, each) for spec, run in runs.items() for each in run):
            try:
                engine.apply(TaskSubmitted(each.request.task(spec)), now)
            except Exception as error:
                decided.append(self._failed(each, ErrorClass.BUG, f"{type(error).__name__}: {error}", now))
        while True:
            try:
                return engine.decide(now)
            except Exception as error:
                failing = engine.room.pop().task.id
                told = f"{type(error).__name__}: {error}"
                decided.append(self._failed(waiting[failing], ErrorClass.BUG, told, now))

    def _placed(self, each: Pending, host: str, now: float) -> Decided:
        decided = self._failed(each, "", "", now)
        request, group = each.request, each.request.group
        decided.host, decided.on_dedicated = host, self.hosts[host].dedicated
        if group is not None:
            decided.group_name = group.name
            decided.group_rule = msgspec.json.encode(group).decode()
            decided.place = self._places[host][group.scope]
            decided.at_most = group.at_most if (group.rule, group.mode) == ("anti-affinity", "hard") else None
        seconds = self.reservation_s if request.reservation_s is None else request.reservation_s
        decided.expires_at = now + seconds if seconds else None
        return decided

    def _rejected(self, each: Pending, effect: Reject, now: float) -> Decided:
        told = "; ".join(f"{count} {reason}" for _, reason, count in effect.decision.rejections)
        total = len(self._engines[each.request.requested_pool].state.nodes)
        if self._could_ever(each.request):
            return self._failed(each, ErrorClass.NOW, f"no host of {total} has room now: {told}", now)
        return self._failed(each, ErrorClass.EVER, f"no host of {total} could ever take it: {told}", now)

    def _could_ever(self, request: SchedulingRequest) -> bool:
        """Whether some host would take the request if nothing else were on it."""
        engine = self._engines[request.requested_pool]
        columns, task = engine.state.columns, request.task(spec_of(request))
        nodes = Nodes.all(columns)
        fits = columns.alive[: columns.n].copy()
        for plugin in engine.policy.filters:
            fragment = plugin.fragment(task) if plugin.name in _EVER else None
            if fragment is not None:
                fits &= plugin.mask(fragment, nodes)
        for name, amount in task.spec.demand.items():
            if amount and name != "gpu":
                fits &= nodes.capacity[name] >= amount if name in columns.resources else False
        return bool(np.any(fits))

    def _no_pool(self, each: Pending, now: float) -> Decided:
        known = sorted({row.pool for row in self.hosts.values()})
        told = f"requested_pool: no host is in pool {each.request.requested_pool!r}; known: {', '.join(known)}"
        return self._failed(each, ErrorClass.EVER, told[:4096], now)

    def _failed(self, each: Pending, error_class: str, error: str, now: float) -> Decided:
        request = each.request
        encoded = encode_request(request)
        return Decided(
            task_id=request.task_id,
            digest=digest_of(encoded, request.task_id),
            request=encoded.decode(),
            received_at=each.received_at,
            decided_at=now,
            pool=request.requested_pool,
            cpu=request.requested_cpu,
            memory=request.requested_memory,
            storage=request.requested_storage,
            gpu=request.requested_gpu,
            owner=request.owner,
            callback_url=request.callback_url,
            attempts=each.attempts,
            error_class=error_class,
            error=error,
        )

    def learn(self, decided: Sequence[Decided], outcomes: Sequence[Outcome]) -> None:
        """Take in what the store made of a batch: what became a claim counts already, everything else is forgotten."""
        for each, outcome in zip(decided, outcomes, strict=True):
            if each.host and outcome == "committed":
                self._claims[claim_of(each.task_id)] = (each.pool, each.task_id)
            elif each.host and each.task_id in self._engines[each.pool].state.placements:
                self._engines[each.pool].apply(TaskFinished(each.task_id))


def spec_of(request: SchedulingRequest) -> TaskSpec:
    """The spec of a request; equal requests share one."""
    return _spec(
        request.requested_cpu,
        request.requested_memory,
        request.requested_storage,
        request.requested_gpu,
        request.requested_pool,
        request.dedicated,
        request.traits_required,
        request.traits_forbidden,
        request.group,
    )


@lru_cache(_SPECS_KEPT)
def _spec(
    cpu: int,
    memory: int,
    storage: int,
    gpu: int,
    pool: str,
    dedicated: bool,
    required: tuple[str, ...],
    forbidden: tuple[str, ...],
    group: Group | None,
) -> TaskSpec:
    return SchedulingRequest(
        requested_cpu=cpu,
        requested_memory=memory,
        requested_storage=storage,
        requested_gpu=gpu,
        requested_pool=pool,
        dedicated=dedicated,
        traits_required=required,
        traits_forbidden=forbidden,
        group=group,
    ).spec


def _rebuilt(old: Engine, policy: Policy, seed: int) -> Engine:
    """An engine with another policy that knows what the old one knew."""
    engine = Engine(policy, seed=seed, retry=False)
    for node in old.state.nodes.values():
        engine.apply(NodeAdded(node))
    for placement in old.state.placements.values():
        engine.apply(TaskPlaced(placement.task, old.state.columns.names[placement.row], placement.gpus))
    return engine
