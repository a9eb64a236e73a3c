"""What does recording cost a decision, and how fast is a replay?

The peer is the same run without a record, interleaved, on openb: one decision at a time, GPUs, 1,213 nodes.
"""

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.report import Row, publish
from pilotage.adapters.records.reader import read_record
from pilotage.adapters.records.writer import RecordWriter
from pilotage.engine.recorder import Recording
from pilotage.engine.replay import replay
from pilotage.kernel.policies import named
from pilotage.sim.experiment import run as play
from pilotage.sim.traces.catalogue import load_trace
from pilotage.sim.traces.trace import Trace

ROUNDS = 5
BAR_US = 10


class Round(NamedTuple):
    """Microseconds a decision: without a record, more with one, in a replay; and bytes a decision."""

    plain: float
    more: float
    replayed: float
    size: float


def run() -> None:
    """Measure CPU seconds inside the engine with a record and without, round by round, and publish."""
    trace, rows = load_trace("openb"), list[Row]()
    for policy in ("bestfit", "kubernetes"):
        rounds = [_round(trace, policy) for _ in range(ROUNDS)]
        more = [r.more for r in rounds]
        rows.append({
            "policy": policy,
            "us a decision": round(median(r.plain for r in rounds), 1),
            "us more with a record": round(median(more), 1),
            "spread": f"{min(more):.1f} .. {max(more):.1f}",
            "us a decision in replay": round(median(r.replayed for r in rounds), 1),
            "bytes a decision": round(rounds[0].size),
        })  # fmt: skip
    worst = max(row["us more with a record"] for row in rows)
    publish("records", f"Recording openb, median of {ROUNDS} rounds", rows, [f"at most {worst} us more (bar {BAR_US})"])


def _round(trace: Trace, policy: str) -> Round:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.log"
        plain = play(trace, named(policy), 42)
        with RecordWriter(path, segment_bytes=2**30) as writer:
            recorded = play(trace, named(policy), 42, recording=Recording(writer, "openb", policy, {}))
        if recorded.digest != plain.digest:
            raise AssertionError("recording changed the decisions")
        begin = time.process_time()
        outcome = replay(read_record(path), named(policy))
        replayed = time.process_time() - begin
        if outcome.difference is not None:
            raise AssertionError("the replay differs")
        n = plain.decisions
        more = recorded.cpu_s - plain.cpu_s
        return Round(1e6 * plain.cpu_s / n, 1e6 * more / n, 1e6 * replayed / n, path.stat().st_size / n)
