"""Everything goes wrong at once, and the checker finds nothing wrong."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.integration.postgres import running_postgres
from tests.integration.rabbitmq import running_broker
from tests.vms.faults import TASK_IDS, Run, fault_run

if TYPE_CHECKING:
    from pathlib import Path

REQUESTS = int(os.environ.get("PILOTAGE_FAULT_REQUESTS", "200"))
SEED = int(os.environ.get("PILOTAGE_FAULT_SEED", "0")) or random.randrange(1, 2**31)


def test_nothing_is_lost_doubled_or_over_committed_whatever_happens(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    with running_broker(tmp_path) as broker, running_postgres() as postgres:
        run = Run(tmp_path, broker, postgres, requests=REQUESTS, seed=SEED)
        try:
            seen = fault_run(
                run, pause_s=(0.3, 1.5) if REQUESTS < 2000 else (1.5, 5.0), within_s=max(240, REQUESTS / 10)
            )
            command = [sys.executable, "-m", "pilotage", "verify", "--database", run.database_url, "--settled"]
            command += ["--expect", str(tmp_path / TASK_IDS), "--json"]
            told = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        finally:
            run.close()
    verdict = json.loads(told.stdout)
    print(json.dumps({**seen, "verdict": verdict}, indent=1))
    assert verdict["problems"] == [], f"seed {SEED}"
    assert told.returncode == 0
    assert verdict["tasks"] == REQUESTS + REQUESTS // 200
    assert seen["exit codes"] == [0, 0], "workers stop cleanly"
    assert run.outside.forged == 0
    assert len(run.outside.heard) == verdict["webhooks"] == verdict["tasks"]
    assert seen["faults"]["kill leader"] == 2
