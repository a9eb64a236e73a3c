"""Policies from text: a named one, or ``FILE[:object]``, a Python file of the user's.

A file is run as a module of its own that is taken out of ``sys.modules`` again, so a worker process simply loads it
anew. Whatever is wrong with it is one `InvalidInput` that says file, line and column where there are any.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import FunctionType, ModuleType

from pilotage.kernel.faults import line_in, told
from pilotage.kernel.policies import NAMED, named
from pilotage.kernel.policy import Policy
from pilotage.model.errors import InvalidInput

DEFAULT_OBJECT = "policy"
"""The object of a file that is meant when none is named."""

_UNNAMED = "policy"
"""The name of a policy whose author gave none."""


PREEMPT = "+preempt"
"""What a policy's name ends in where tasks may drive out less important ones."""


def load_policy(text: str) -> Policy:
    """Return the policy that ``text`` names: one of ours, or ``FILE[:object]`` (object: ``policy``).

    With ``+preempt`` behind it, the policy lets tasks drive out less important ones. A text with a path separator, or
    whose file part ends in ``.py``, is a file. A policy without a name of its own is called after its file (``stem``,
    or ``stem:object`` where the object was named). Raises `InvalidInput`.
    """
    if text.endswith(PREEMPT):
        return load_policy(text.removesuffix(PREEMPT)).preempting()
    if text in NAMED or not is_policy_file(text):
        return named(text)
    path, wanted = split_object(text)
    return policy_in(run_file(path), path, wanted)


def is_policy_file(text: str) -> bool:
    """Whether ``text`` means a file rather than a named policy."""
    separators = [separator for separator in (os.sep, os.altsep) if separator]
    return text.endswith(".py") or ".py:" in text or any(separator in text for separator in separators)


def split_object(text: str) -> tuple[Path, str | None]:
    """Return file and object of ``FILE[:object]``; the object is None if none is named."""
    head, colon, tail = text.rpartition(":")
    if not colon or text.endswith(".py"):
        return Path(text), None
    if tail.isidentifier():
        return Path(head), tail
    if head.endswith(".py"):
        raise InvalidInput("policy", f"{tail!r} after {head}: is not the name of an object")
    return Path(text), None


def run_file(path: Path) -> ModuleType:
    """Run a Python file as a module and return it; what it prints goes to standard error."""
    source = _read(path)
    try:
        code = compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        at = ":".join(str(part) for part in (path, error.lineno, error.offset) if part is not None)
        raise InvalidInput(at, f"syntax error: {error.msg}") from None
    except (ValueError, MemoryError, RecursionError) as error:
        raise InvalidInput(str(path), f"can not be compiled: {told(error)}") from None
    module = ModuleType(f"pilotage_policy_{sha256(str(path.resolve()).encode()).hexdigest()[:12]}")
    module.__file__ = str(path)
    try:
        with _importable(module, path.resolve().parent), contextlib.redirect_stdout(sys.stderr):
            exec(code, module.__dict__)
    except (Exception, SystemExit) as error:
        line = line_in(str(path), error.__traceback__)
        raise InvalidInput(f"{path}:{line}" if line else str(path), told(error)) from None
    return module


def policy_in(module: ModuleType, path: Path, wanted: str | None) -> Policy:
    """Return the policy called ``wanted`` (None: ``policy``) of a module that was run from ``path``."""
    found = vars(module)
    name = wanted or DEFAULT_OBJECT
    if name not in found:
        others = [key for key, value in found.items() if isinstance(value, Policy)]
        if others:
            raise InvalidInput(
                str(path), f"has no {name!r}; its policies: {', '.join(others)} (say {path}:{others[0]})"
            )
        raise InvalidInput(str(path), f"has no {name!r} and no other Policy: write policy = Policy(filters=...)")
    policy = found[name]
    if not isinstance(policy, Policy):
        raise InvalidInput(f"{path}:{name}", f"is not a Policy but {_described(policy)}")
    if policy.name == _UNNAMED:
        policy.name = f"{path.stem}:{wanted}" if wanted else path.stem
    return policy


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InvalidInput("policy", f"no such file: {path}") from None
    except IsADirectoryError:
        raise InvalidInput("policy", f"{path} is a folder; give a Python file") from None
    except (OSError, ValueError) as error:
        raise InvalidInput("policy", f"{path} can not be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidInput(f"{path}:{line}", f"is not UTF-8 text: byte 0x{data[error.start]:02x}") from None


@contextlib.contextmanager
def _importable(module: ModuleType, folder: Path) -> Iterator[None]:
    """While the file runs, let it be found by its classes and let it import its neighbours, then forget both.

    The folder goes to the end of the path: a neighbour called ``random.py`` must not hide the standard library's.
    """
    before, path = set(sys.modules), list(sys.path)
    sys.modules[module.__name__] = module
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path[:] = path
        neighbours = {name for name in set(sys.modules) - before if _lies_in(folder, name)}
        for name in set(sys.modules) - before:
            if name == module.__name__ or name.partition(".")[0] in neighbours:
                del sys.modules[name]


def _lies_in(folder: Path, name: str) -> bool:
    """Whether a top-level module is a file, or a package, right in ``folder``."""
    file = getattr(sys.modules[name], "__file__", None)
    return file is not None and Path(file) in (folder / f"{name}.py", folder / name / "__init__.py")


def _described(value: object) -> str:
    if value is Policy:
        return "the class Policy itself: call it, Policy(filters=...)"
    if isinstance(value, FunctionType):
        return f"the function {value.__name__}: if it returns a Policy, write policy = {value.__name__}()"
    if isinstance(value, list | tuple | dict | set):
        return f"a {type(value).__name__} of {len(value)}"
    shown = " ".join(repr(value).split())
    return f"{type(value).__name__} {shown}"[:120]
