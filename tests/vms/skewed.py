"""``python -m tests.vms.skewed ...``: pilotage on a machine whose clock jumps by up to SKEW_S at each SIGUSR1."""

import os
import random
import runpy
import signal
import time

_real, _offset = time.time, [0.0]


def _jump(*_: object) -> None:
    _offset[0] = random.uniform(-1, 1) * float(os.environ["SKEW_S"])


if __name__ == "__main__":
    time.time = lambda: _real() + _offset[0]  # before anything of pilotage is imported and keeps it
    signal.signal(signal.SIGUSR1, _jump)
    runpy.run_module("pilotage", run_name="__main__", alter_sys=True)
