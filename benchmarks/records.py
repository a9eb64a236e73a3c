"""What does recording cost a decision, and how fast is a replay?

The peer is the same run without a record, interleaved, on openb: one decision at a time, GPUs, 1,213 nodes.
"""

import tempfile
from pathlib import Path
from statistics import median

from benchmarks.report import Row, publish, timed
from pilotage.adapters.records.reader import read_record
from pilotage.adapters.records.writer import RecordWriter
from pilotage.engine.recorder import Recording
from pilotage.engine.replay import replay
from pilotage.kernel.policies import named
from pilotage.sim.experiment import run as play
from pilotage.sim.traces.catalogue import load_trace

ROUNDS = 5
BAR_US = 10


def run() -> None:
    """Measure CPU seconds inside the engine with a record and without, round by round, and publish."""
    trace, rows = load_trace("openb"), list[Row]()
    for policy in ("bestfit", "kubernetes"):
        extra, plain_us, replayed, size = [], [], [], 0
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "run.log"
                plain = play(trace, named(policy), 42)
                with RecordWriter(path, segment_bytes=2**30) as writer:
                    recorded = play(trace, named(policy), 42, recording=Recording(writer, "openb", policy, {}))
                assert recorded.digest == plain.digest
                size = path.stat().st_size
                extra.append(1e6 * (recorded.cpu_s - plain.cpu_s) / plain.decisions)
                plain_us.append(1e6 * plain.cpu_s / plain.decisions)
                replayed.append(1e6 * timed(lambda p=path: replay(read_record(p), named(policy))) / plain.decisions)  # type: ignore[misc]
        rows.append({
            "policy": policy,
            "decisions": plain.decisions,
            "us a decision": round(median(plain_us), 1),
            "us more with a record": round(median(extra), 1),
            "spread": f"{min(extra):.1f} .. {max(extra):.1f}",
            "us a decision in replay": round(median(replayed), 1),
            "bytes a decision": round(size / plain.decisions),
        })  # fmt: skip
    worst = max(row["us more with a record"] for row in rows)
    publish("records", f"Recording openb, median of {ROUNDS} rounds", rows, [f"at most {worst} us more (bar {BAR_US})"])
