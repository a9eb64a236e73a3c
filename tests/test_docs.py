"""What the documents show runs: every Python block of every file, in order, and every policy in them is sound."""

import re
from pathlib import Path
from typing import Any

import pytest

from pilotage import Policy
from pilotage.app.policy_check import check_policy

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def documents() -> list[Path]:
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(path for path in found if BLOCK.search(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_python_in_a_document_runs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": path.stem}
    policies: dict[int, Policy] = {}
    for block in BLOCK.finditer(text):
        # Blank lines in front keep line numbers of the document in a traceback.
        code = "\n" * text.count("\n", 0, block.start(1)) + block[1]
        exec(compile(code, str(path), "exec"), names)
        policies |= {id(value): value for value in names.values() if isinstance(value, Policy)}
    for policy in policies.values():
        report = check_policy(policy, nodes=80, timed=False)
        assert report.sound, report.findings


def test_there_is_python_to_run() -> None:
    assert ROOT / "docs" / "policies.md" in documents()
