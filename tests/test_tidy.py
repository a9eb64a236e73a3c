"""House rules that a machine can check. Each failure says what to do about it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "pilotage"

LINES_PER_MODULE = 500
LINES_PER_FUNCTION = 80
NAMES_THAT_SAY_NOTHING = {"utils", "util", "common", "helpers", "helper", "misc"}
LATER_MARKS = re.compile(r"\b(TODO|FIXME|XXX)\b")

# What is run or imported from outside the package: by the console script, `python -m`, or users' own files.
ENTRY_POINTS = {"pilotage", "pilotage.__main__", "pilotage.cli.main", "pilotage.testing"}
LANDING_AHEAD = {
    "pilotage.app.slices",
    "pilotage.testing.fault_proxy",
}
RUN_BY_ALEMBIC = "pilotage.adapters.sql.migrations."


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name; a package goes by the name of its folder."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    assert found, f"no module below {PACKAGE}: these checks would pass on nothing"
    return found


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported_by(importer: str) -> set[str]:
    """The package's modules that this one imports, wherever in its text (functions included)."""
    names = set()
    for node in ast.walk(tree_of(modules()[importer])):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{importer} has a relative import; write out from where"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names & modules().keys()


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def complain(offenders: list[str], mend: str) -> None:
    if offenders:
        pytest.fail("\n".join([mend, *(f"  - {each}" for each in offenders)]), pytrace=False)


# ---------------------------------------------------------------- sizes and names


def test_a_module_fits_a_sitting() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules().values()}
    complain(
        [f"{shown(path)}: {count} lines" for path, count in lengths.items() if count > LINES_PER_MODULE],
        f"More than {LINES_PER_MODULE} lines: split the module by noun (100 to 300 lines is a good size).",
    )


def test_a_function_fits_a_screen() -> None:
    offenders = [
        f"{shown(path)}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1} lines"
        for path in modules().values()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > LINES_PER_FUNCTION
    ]
    complain(
        offenders,
        f"More than {LINES_PER_FUNCTION} lines: name the steps as functions, and let this one call them.",
    )


def test_a_name_says_what_is_inside() -> None:
    complain(
        [shown(path) for name, path in modules().items() if name.split(".")[-1] in NAMES_THAT_SAY_NOTHING],
        "A drawer for everything: name the module by the noun it holds, or move each function to its user.",
    )


def test_nothing_is_put_off_in_the_source() -> None:
    offenders = [
        f"{shown(path)}:{number} {line.strip()}"
        for path in modules().values()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if LATER_MARKS.search(line)
    ]
    complain(offenders, "Do it now, or file an issue and say here only what is true today.")


# ---------------------------------------------------------------- rooms


def test_every_room_says_what_it_is_for() -> None:
    offenders = []
    for folder in sorted({path.parent for path in modules().values()}):
        init = folder / "__init__.py"
        if not init.exists():
            offenders.append(f"{shown(folder)}: has no __init__.py")
            continue
        docstring = ast.get_docstring(tree_of(init)) or ""
        sentences = len(re.findall(r"[.!?](?=\s|$)", docstring))
        if sentences < 2:
            offenders.append(f"{shown(init)}: {sentences} sentence(s)")
    complain(
        offenders,
        "The docstring of a room's __init__.py says what comes in, what goes out, and what it must never do.",
    )


def test_every_module_is_used() -> None:
    used = ENTRY_POINTS | LANDING_AHEAD | {name for name in modules() if name.startswith(RUN_BY_ALEMBIC)}
    for importer in modules():
        used |= imported_by(importer) - {importer}
    # Importing a module runs the packages above it.
    used |= {".".join(name.split(".")[:depth]) for name in used for depth in range(1, name.count(".") + 1)}
    complain(
        [f"{name} ({shown(path)})" for name, path in modules().items() if name not in used],
        "No other module imports these: delete them, use them, or (if they are run from outside) "
        "add them to ENTRY_POINTS here.",
    )


# ---------------------------------------------------------------- locks and documents


def lock_files() -> list[Path]:
    found = sorted((ROOT / "requirements").glob("*.lock"))
    assert [path.name for path in found] == ["dev.lock", "run.lock"], "requirements/ has dev.lock and run.lock"
    return found


def requirements_of(lock: Path) -> list[str]:
    """One logical line per requirement: its pin, its marker and its hashes."""
    joined = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


@pytest.mark.parametrize("lock", lock_files(), ids=lambda path: path.name)
def test_a_lock_names_no_place_to_download_from(lock: Path) -> None:
    lines = lock.read_text(encoding="utf-8").splitlines()
    complain(
        [f"{shown(lock)}:{number} {line}" for number, line in enumerate(lines, start=1) if "://" in line],
        "Where packages come from is the installer's choice: make it again with `make lock`.",
    )


@pytest.mark.parametrize("lock", lock_files(), ids=lambda path: path.name)
def test_a_lock_pins_every_requirement_with_a_hash(lock: Path) -> None:
    requirements = requirements_of(lock)
    assert requirements, f"{shown(lock)} pins nothing"
    complain(
        [line for line in requirements if "==" not in line or not re.search(r"--hash=sha256:[0-9a-f]{64}", line)],
        f"{shown(lock)} must pin a version and its hashes: make it again with `make lock`.",
    )


def test_the_development_lock_holds_every_pin_of_the_run_lock() -> None:
    dev, run = ({line.split(" --hash")[0].strip() for line in requirements_of(lock)} for lock in lock_files())
    complain(sorted(run - dev), "Pinned to run, but not (or otherwise) to develop: make both with `make lock`.")


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))


def targets_told_in(text: str) -> set[str]:
    """The X of each `make X`: in a code span, or at the start of a line of a fenced block."""
    fenced = "\n".join(re.findall(r"^```.*?\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL))
    commands = re.findall(r"`(?:sudo )?make ([^`]+)`", text)
    commands += re.findall(r"^\s*(?:\$ )?(?:sudo )?make ([^#\n]+)", fenced, flags=re.MULTILINE)
    words = {word for command in commands for word in re.sub(r"=('[^']*'|\"[^\"]*\")", "=", command).split()}
    return {word for word in words if re.fullmatch(r"[a-z][a-z-]*", word)}


def test_the_readme_tells_how_to_run() -> None:
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.fail("There is no README.md: write one that starts with `make run`.", pytrace=False)
    assert "run" in targets_told_in(readme.read_text(encoding="utf-8")), "README.md does not show `make run`"


def test_every_make_target_that_is_told_exists() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    offenders = [
        f"{shown(path)}: make {target}"
        for path in sorted(documents)
        for target in sorted(targets_told_in(path.read_text(encoding="utf-8")) - make_targets())
    ]
    complain(offenders, "No such target: mend the text, or add the target to the Makefile.")
