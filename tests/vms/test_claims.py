"""Claims: the database itself says no, whoever asks, and a refusal tells what is there now."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from pilotage.adapters.sql.vms.claims import commit
from pilotage.adapters.sql.vms.feed import changes_since
from pilotage.adapters.sql.vms.inventory import remove_hosts, set_state
from pilotage.adapters.sql.vms.lifecycle import confirm, release, renew, suspect_overdue
from pilotage.adapters.sql.vms.requests import cancel, list_tasks
from pilotage.adapters.sql.writer import Writer
from pilotage.model.claim import Batch, Letter
from pilotage.model.errors import InvalidInput, NotFound, WrongState
from pilotage.model.group import Group
from tests.vms.cloud import Cloud, decided, host, request

if TYPE_CHECKING:
    from pilotage.model.claim import Decided


def grouped(task_id: str, on: str, place: str, **rule: Any) -> Decided:
    group = Group(**{"name": "g", "rule": "anti-affinity", "scope": "rack", **rule})
    return decided(
        request(task_id, group=group),
        on=on,
        group_name=group.name,
        group_rule=msgspec.json.encode(group).decode(),
        place=place,
        at_most=group.at_most if group.rule == "anti-affinity" and group.mode == "hard" else None,
    )


@pytest.mark.parametrize("resource", ["cpu", "memory", "storage", "gpu", "vms"])
def test_each_amount_has_its_limit(cloud: Cloud, resource: str) -> None:
    amounts = {"cpu": 4, "memory": 4096, "storage": 40, "gpu": 2, "max_vms": 10}
    small = {"cpu": 2, "memory": 2048, "storage": 20, "gpu": 1, "vms": 1}
    if resource == "vms":
        amounts = {name: amount * 10 for name, amount in amounts.items()} | {"max_vms": 2}
    else:
        amounts = {name: amount * 10 for name, amount in amounts.items()} | {resource: amounts[resource]}
    cloud.bring_in(host(**amounts))
    wanted = [
        request(
            f"t{i}",
            requested_cpu=small["cpu"],
            requested_memory=small["memory"],
            requested_storage=small["storage"],
            requested_gpu=small["gpu"],
        )
        for i in range(3)
    ]
    done = cloud.commit(*(decided(each, "bm1") for each in wanted))
    assert done.outcomes == ["committed", "committed", "refused"]
    assert done.hosts["bm1"].name == "bm1", "a refusal returns the host's row"
    assert cloud.used()[resource] == 2 * small[resource]
    again = cloud.commit(decided(wanted[2], "bm1"), read=done.seq)
    assert again.outcomes == ["refused"]
    assert again.hosts["bm1"].used[resource] == again.hosts["bm1"].capacity[resource]
    assert cloud.status("t2")["status"] == "running"
    assert cloud.verdict().problems == []


def test_no_program_can_over_commit_a_host(cloud: Cloud) -> None:
    cloud.bring_in(host())
    for statement in (
        "UPDATE vm_hosts SET used_cpu = used_cpu + 9",
        "UPDATE vm_hosts SET used_cpu = 8, used_memory = 16385",
        "UPDATE vm_hosts SET used_cpu = -1",
    ):
        with pytest.raises(DBAPIError):
            cloud.run(lambda c, s=statement: c.execute(text(s)).rowcount)
    assert cloud.used()["cpu"] == 0


def test_a_host_that_shrank_keeps_its_claims_and_gets_no_more(cloud: Cloud) -> None:
    cloud.bring_in(host())
    cloud.commit(decided(request("t1", requested_cpu=6), "bm1"))
    report = cloud.bring_in(host(cpu=4))
    assert report.short == {"bm1": {"cpu": [6, 4]}}
    assert cloud.commit(decided(request("t2", requested_cpu=1), "bm1")).outcomes == ["refused"]
    cloud.run(lambda c: release(c, "t1.1", 2e9))
    assert cloud.commit(decided(request("t2", requested_cpu=1), "bm1")).outcomes == ["committed"]
    assert cloud.verdict().problems == []


def test_a_final_state_is_written_once(cloud: Cloud) -> None:
    cloud.bring_in(host(), host("bm2"))
    first = cloud.commit(decided(request("t1"), "bm1"), decided(request("t1"), "bm2"), receivers=("hook",))
    assert first.outcomes == ["committed", "duplicate"]
    assert cloud.commit(decided(request("t1"), "bm2"), receivers=("hook",)).outcomes == ["duplicate"]
    other = request("t1", requested_cpu=3)
    assert cloud.commit(decided(other, "bm2"), receivers=("hook",)).outcomes == ["conflict"]
    letters = cloud.read(lambda c: c.execute(text("SELECT error_class, field FROM vm_dead_letters")).all())
    assert [tuple(row) for row in letters] == [("conflict", "task_id")]
    assert cloud.status("t1")["selected_node"] == "bm1"
    assert cloud.used("bm2")["vms"] == 0
    verdict = cloud.verdict(settled=True)
    assert (verdict.problems, verdict.webhooks) == ([], 1)


def test_a_rejection_on_old_knowledge_does_not_count(cloud: Cloud) -> None:
    cloud.bring_in(host())
    seq = cloud.commit(decided(request("t1", requested_cpu=8), "bm1")).seq
    rejected = decided(request("t2"), error_class="unsatisfiable_now", error="full")
    cloud.run(lambda c: release(c, "t1.1", 2e9))
    stale = cloud.commit(rejected, known=seq, read=seq)
    assert stale.outcomes == ["stale"]
    assert [change.kind for change in stale.changes] == ["released"]
    assert cloud.status("t2")["status"] == "running"
    assert cloud.commit(rejected, known=stale.seq, read=stale.seq).outcomes == ["committed"]
    assert cloud.status("t2")["error_class"] == "unsatisfiable_now"
    assert cloud.verdict(settled=True).problems == []


@pytest.mark.parametrize("change", ["cordon", "pool", "dedicated", "gone"])
def test_a_host_that_is_another_one_now_refuses(cloud: Cloud, change: str) -> None:
    cloud.bring_in(host())
    if change == "cordon":
        cloud.run(lambda c: set_state(c, ["bm1"], "cordoned"))
    elif change == "gone":
        cloud.run(lambda c: remove_hosts(c, ["bm1"]))
    else:
        cloud.bring_in(host(**{change: "other" if change == "pool" else True}))
    done = cloud.commit(decided(request(), "bm1"))
    assert done.outcomes == ["refused"]
    assert ("bm1" in done.hosts) == (change != "gone")
    assert [each.kind for each in done.changes][-1] == "host"


def test_groups_are_guarded_in_the_transaction(cloud: Cloud) -> None:
    cloud.bring_in(*(host(f"bm{i}", rack=f"r{i % 2}") for i in range(4)))
    done = cloud.commit(grouped("a", "bm0", "r0"), grouped("b", "bm2", "r0"), grouped("c", "bm1", "r1"))
    assert done.outcomes == ["committed", "refused", "committed"]
    cloud.run(lambda c: release(c, "a.1", 2e9))
    assert cloud.commit(grouped("b", "bm2", "r0"), read=done.seq).outcomes == ["committed"]
    together = {"name": "h", "rule": "affinity"}
    done = cloud.commit(grouped("x", "bm0", "r0", **together), grouped("y", "bm1", "r1", **together))
    assert done.outcomes == ["committed", "refused"]
    other_rule = grouped("z", "bm1", "r1", rule="affinity")
    assert cloud.commit(other_rule).outcomes == ["refused"], "a group has one rule"
    assert cloud.verdict().problems == []


def test_a_claim_is_confirmed_renewed_suspected_and_released(cloud: Cloud) -> None:
    cloud.bring_in(host())
    cloud.commit(*(decided(request(f"t{i}"), "bm1", expires_at=1e9 + 10) for i in range(3)))
    token = cloud.status("t0")["token"]
    with pytest.raises(WrongState, match=f"has the token {token}, not 99"):
        cloud.run(lambda c: confirm(c, "t0.1", 1e9, token=99))
    assert cloud.run(lambda c: confirm(c, "t0.1", 1e9, token=token))["state"] == "confirmed"
    assert cloud.run(lambda c: renew(c, "t1.1", 1e9, 3600))["expires_at"] == 1e9 + 3600
    assert cloud.run(lambda c: suspect_overdue(c, 1e9 + 60)) == 1
    assert cloud.status("t2")["claim_state"] == "suspect"
    assert cloud.used()["vms"] == 3, "what is suspect still counts"
    report = cloud.bring_in(host(vms=("t2",)))
    assert report.disowned == [], "the inventory sees its VM"
    report = cloud.bring_in(host(vms=()))
    assert report.disowned == ["t2.1"]
    assert cloud.used()["vms"] == 2
    assert cloud.run(lambda c: release(c, "t0.1", 2e9))["state"] == "released"
    assert cloud.run(lambda c: release(c, "t0.1", 2e9))["state"] == "released"
    with pytest.raises(WrongState, match="was released"):
        cloud.run(lambda c: confirm(c, "t0.1", 2e9))
    with pytest.raises(NotFound, match="no claim"):
        cloud.run(lambda c: release(c, "t9.1", 2e9))
    assert [each["status"] for each in cloud.status("t2")["history"]] == ["queued", "running", "success", "disowned"]
    assert cloud.verdict().problems == []


def test_an_inventory_that_lost_most_hosts_empties_nothing(cloud: Cloud) -> None:
    hosts = [host(f"bm{i}") for i in range(10)]
    cloud.bring_in(*hosts, complete=True)
    with pytest.raises(InvalidInput, match="8 of 10 hosts of test would be missing"):
        cloud.bring_in(*hosts[:2], complete=True)
    report = cloud.bring_in(*hosts[:9], complete=True)
    assert report.missing == ["bm9"]
    assert cloud.commit(decided(request(), "bm9")).outcomes == ["refused"]
    assert cloud.bring_in(*hosts, complete=True).back == ["bm9"]
    cloud.commit(decided(request("t2"), "bm0"))
    with pytest.raises(WrongState, match="holds 1 claims"):
        cloud.run(lambda c: remove_hosts(c, ["bm0"]))
    with pytest.raises(InvalidInput, match="'bm0' is there twice"):
        cloud.bring_in(hosts[0], hosts[0])


def test_what_runs_there_counts_until_it_is_ours(cloud: Cloud) -> None:
    told = host(cpu=10, usage_cpu=0.25, usage_mem=0.5, current_vms=3, max_vms=5)
    cloud.bring_in(told)
    assert told.capacity() == {"cpu": 7, "memory": 8192, "storage": 0, "gpu": 0, "vms": 2}
    cloud.commit(decided(request("t1"), "bm1"))
    ours_too = msgspec.structs.replace(told, usage_cpu=0.45, current_vms=4)
    assert cloud.bring_in(ours_too).same == 1, "our own VM must not be counted a second time"


def test_a_cancelled_task_is_never_placed(cloud: Cloud) -> None:
    cloud.bring_in(host())
    cloud.submit(request("t1"), request("t2"))
    cloud.run(lambda c: cancel(c, "t1", 2e9, ["hook"]))
    assert cloud.commit(decided(request("t1"), "bm1"), decided(request("t2"), "bm1")).outcomes == [
        "duplicate",
        "committed",
    ]
    assert cloud.status("t1")["status"] == "cancelled"
    with pytest.raises(WrongState, match="final already: success; release its claim instead"):
        cloud.run(lambda c: cancel(c, "t2", 2e9, []))
    assert cloud.verdict(settled=True).problems == []


def test_the_same_submission_is_one_task_and_another_is_refused(cloud: Cloud) -> None:
    assert [each.new for each in cloud.submit(request("t1"), request("t2"))] == [True, True]
    assert [(each.new, each.status) for each in cloud.submit(request("t1"))] == [(False, "queued")]
    with pytest.raises(WrongState, match="'t1' belongs to another request"):
        cloud.submit(request("t3"), request("t1", requested_cpu=5))
    assert cloud.read(lambda c: c.execute(text("SELECT count(*) FROM vm_queue")).scalar_one()) == 2


def test_pages_of_tasks_hold_each_task_once(cloud: Cloud) -> None:
    cloud.submit(*(request(f"t{i}") for i in range(25)))
    seen, after = [], ""
    while True:
        page, after = cloud.read(list_tasks, after=after, limit=10)
        seen += [each["task_id"] for each in page]
        if not after:
            break
    assert sorted(seen) == sorted(f"t{i}" for i in range(25))


def test_a_bad_letter_does_not_hide_a_good_task(cloud: Cloud) -> None:
    cloud.bring_in(host())
    cloud.commit(decided(request("t1"), "bm1"))
    letter = Letter(task_id="t1", message_id="t1", field="requested_cpu", reason="must be `int` >= 1", body=b"{}")
    cloud.commit(letters=[letter])
    assert cloud.status("t1")["status"] == "success"
    assert cloud.verdict(settled=True).problems == []


def test_one_batch_may_fit_here_in_part_there_and_join_a_group_elsewhere(cloud: Cloud) -> None:
    cloud.bring_in(host("a"), host("b"), host("c"), host("gone"))
    cloud.run(lambda c: set_state(c, ["gone"], "cordoned"))
    wanted = {
        "a1": decided(request("a1"), "a"),
        "a2": decided(request("a2"), "a"),
        "b1": decided(request("b1", requested_cpu=5), "b"),
        "b2": decided(request("b2", requested_cpu=5), "b"),
        "b3": decided(request("b3", requested_cpu=3), "b"),
        "c1": grouped("c1", "c", "c"),
        "c2": decided(request("c2"), "c"),
        "c3": grouped("c3", "c", "c"),
        "no": decided(request("no"), "gone"),
    }
    done = cloud.commit(*wanted.values())
    refused = {name for name, outcome in zip(wanted, done.outcomes, strict=True) if outcome == "refused"}
    assert refused == {"b2", "c3", "no"}
    assert set(done.hosts) == {"b", "c", "gone"}, "who refused tells what it has now"
    assert [cloud.used(name)["vms"] for name in ("a", "b", "c", "gone")] == [2, 2, 2, 0]
    assert cloud.used("b")["cpu"] == 8
    assert cloud.verdict().problems == []


def test_writers_that_want_the_same_hosts_at_once(cloud: Cloud) -> None:
    cloud.bring_in(*(host(f"bm{i}", cpu=20, memory=65_536) for i in range(3)))
    writers = [Writer(cloud.database) for _ in range(4)]
    outcomes: list[str] = []

    def claim(number: int) -> None:
        for i in range(15):
            batch = [decided(request(f"w{number}-{i}-{k}", requested_cpu=1), f"bm{(i + k) % 3}") for k in range(3)]
            work = Batch(worker=f"w{number}", now=1e9, decided=batch, letters=[], known=0, read=0)
            outcomes.extend(writers[number].run(lambda c, w=work: commit(c, w)).result(60).outcomes)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers:
        writer.close()
    assert outcomes.count("committed") == 60
    assert outcomes.count("refused") == 4 * 15 * 3 - 60
    assert sum(cloud.used(f"bm{i}")["cpu"] for i in range(3)) == 60
    sequence = [each.seq for each in cloud.read(changes_since, 0)]
    assert sequence == list(range(1, len(sequence) + 1)), "numbers have no gaps: commit order is their order"
    assert cloud.verdict().problems == []


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("UPDATE vm_hosts SET used_cpu = 1", "says 1 cpu are used, its claims are 2"),
        ("DELETE FROM vm_events WHERE seq = 1", "number 1 is missing"),
        ("UPDATE vm_events SET cpu = 9 WHERE kind = 'claimed'", "over capacity at number 2, cpu 9 of 8"),
        ("UPDATE task_status SET status = 'failed' WHERE task_id = 't1'", "its history has the ends ['success']"),
        ("UPDATE task_status SET event_id = 'x' WHERE task_id = 't1'", "its final state has the event x"),
        ("DELETE FROM vm_claims", "but not in the table"),
        ("UPDATE vm_claims SET state = 'released'", "is released, but history says otherwise"),
        ("DELETE FROM task_status", "task t1: was submitted, but is lost"),
        ("UPDATE vm_outbox SET event_id = 'y'", "message tells y"),
        ("UPDATE vm_shards SET seq = 7", "ends at 2, the shard's number is 7"),
    ],
)
def test_the_checker_finds_what_is_wrong(cloud: Cloud, damage: str, told: str) -> None:
    cloud.bring_in(host())
    cloud.commit(decided(request("t1"), "bm1"), receivers=("hook",))
    assert cloud.verdict(settled=True, expected=["t1"]).problems == []
    cloud.run(lambda c: c.execute(text(damage)).rowcount)
    problems = cloud.verdict(settled=True, expected=["t1"]).problems
    assert any(told in problem for problem in problems), problems
