"""The task queue inside a program: a service on embedded storage, one instance, some tasks.

python examples/basic_usage.py
"""

import subprocess
import sys
import tempfile
import time

from pilotage import Client, Scheduler


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Scheduler({"database": f"sqlite:///{folder}/tasks.sqlite3"}) as queue:
        options = [
            "--model",
            "demo",
            "--run-ms",
            "20",
            "--slots",
            "4",
            "--scheduler",
            queue.url,
            "--log-level",
            "error",
        ]
        instance = subprocess.Popen([sys.executable, "-m", "pilotage", "instance", *options])
        try:
            while not queue.total_capacity():
                time.sleep(0.1)
            with Client(queue.url) as client:  # any other process would do the same
                ids = [client.submit("demo", {"number": number})["id"] for number in range(20)]
                for task_id in ids:
                    client.result(task_id, timeout_s=60)
            times = queue.timing_statistics()
            print(f"{times['count']} tasks completed, median {times['total_ms']['p50']:.0f} ms")
        finally:
            instance.terminate()
            instance.wait()


if __name__ == "__main__":
    main()
