"""What a check has to say: a finding, and where a plugin of a policy is defined."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import pilotage
from pilotage.kernel.faults import line_in, told
from pilotage.kernel.functions import FunctionFilter, FunctionScorer
from pilotage.kernel.plugin import Filter, Plugin, PolicyFault

Level = Literal["error", "warning", "hint"]


class Finding(NamedTuple):
    """One thing that is wrong (``error``), costly (``warning``) or could be better (``hint``) with a plugin."""

    level: Level
    plugin: str
    where: str
    check: str
    text: str
    advice: str = ""


def is_function(plugin: object) -> bool:
    """Whether the plugin is a user's decorated function."""
    return isinstance(plugin, FunctionFilter | FunctionScorer)


def where(plugin: Plugin) -> str:
    """Return file and line of what a plugin does; files of this package from its name on."""
    if isinstance(plugin, FunctionFilter | FunctionScorer):
        return plugin.where
    method: Any = type(plugin).mask if isinstance(plugin, Filter) else getattr(type(plugin), "score", plugin.fragment)
    return _shown(method.__code__.co_filename, method.__code__.co_firstlineno)


def fault(plugin: Plugin, check: str, error: BaseException, advice: str = "") -> Finding:
    """Return the finding for an exception that came out of a plugin, with the innermost line of the plugin's file."""
    if isinstance(error, PolicyFault) and plugin.name in error.field:
        place = error.field.removesuffix(f": {plugin.name}")
        return Finding("error", plugin.name, place, check, error.reason, advice)
    file = where(plugin).rpartition(":")[0]
    line = line_in(file, error.__traceback__)
    return Finding("error", plugin.name, f"{file}:{line}" if line else where(plugin), check, told(error), advice)


def _shown(file: str, line: int) -> str:
    package = Path(pilotage.__file__).parent
    path = Path(file)
    return f"{path.relative_to(package.parent).as_posix() if path.is_relative_to(package) else file}:{line}"
