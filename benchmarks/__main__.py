"""``python -m benchmarks [QUESTION ...]``: answer all questions, or some, each in a process of its own."""

import subprocess
import sys

from benchmarks import decisions, events, manager, openb, tasks
from pilotage.app.allocator import keep_freed_memory

QUESTIONS = {
    "decisions": decisions.run,
    "events": events.run,
    "manager": manager.run,
    "openb": openb.run,
    "tasks": tasks.run,
}


def main() -> int:
    """Run the named benchmarks, all if none is named."""
    names = sys.argv[1:] or list(QUESTIONS)
    for name in names:
        if name not in QUESTIONS:
            print(f"error: no benchmark is called {name!r}; known: {', '.join(QUESTIONS)}", file=sys.stderr)
            return 2
    if len(names) > 1:
        # One process would measure the second question on the first one's memory.
        return max(subprocess.run([sys.executable, "-m", "benchmarks", name], check=False).returncode for name in names)
    keep_freed_memory()
    QUESTIONS[names[0]]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
