"""``python -m benchmarks [QUESTION ...]``: answer all questions, or some, each in a process of its own.

A question is a module of this folder with a function ``run``.
"""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

from pilotage.app.allocator import keep_freed_memory

HERE = Path(__file__).parent


def questions() -> list[str]:
    """Return the names of all questions."""
    return sorted(file.stem for file in HERE.glob("*.py") if "\ndef run() -> None:" in file.read_text())


def main() -> int:
    """Run the named benchmarks, all if none is named."""
    known = questions()
    names = sys.argv[1:] or known
    for name in names:
        if name not in known:
            print(f"error: no benchmark is called {name!r}; known: {', '.join(known)}", file=sys.stderr)
            return 2
    if len(names) > 1:
        # One process would measure the second question on the first one's memory.
        return max(subprocess.run([sys.executable, "-m", "benchmarks", name], check=False).returncode for name in names)
    keep_freed_memory()
    import_module(f"benchmarks.{names[0]}").run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
