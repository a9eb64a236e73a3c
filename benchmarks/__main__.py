"""``python -m benchmarks [QUESTION ...]``: answer all questions, or some."""

import sys

from benchmarks import decisions, events, openb
from pilotage.app.allocator import keep_freed_memory

QUESTIONS = {"decisions": decisions.run, "events": events.run, "openb": openb.run}


def main() -> int:
    """Run the named benchmarks, all if none is named."""
    names = sys.argv[1:] or list(QUESTIONS)
    for name in names:
        if name not in QUESTIONS:
            print(f"error: no benchmark is called {name!r}; known: {', '.join(QUESTIONS)}", file=sys.stderr)
            return 2
    keep_freed_memory()
    for name in names:
        QUESTIONS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
