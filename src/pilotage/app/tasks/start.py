"""From files, environment and flags to what `Serve` is told; the original's forms are understood too."""

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct
from pydantic import ValidationError

from pilotage.app.tasks.settings import ORIGINAL_FILES, ORIGINAL_VARIABLES, ServeSettings
from pilotage.model.errors import InvalidInput


class Place(Struct, frozen=True):
    """An instance that the configuration names."""

    host: str
    port: int
    model: str = ""


def original_file(environ: Mapping[str, str]) -> str | None:
    """The configuration file that a variable of the original names."""
    return next((environ[name] for name in ORIGINAL_FILES if environ.get(name)), None)


def serve_settings(
    configured: ServeSettings, defaults: Collection[str], flags: Mapping[str, Any], environ: Mapping[str, str]
) -> ServeSettings:
    """The settings in effect: what is configured, then flags (None: not given).

    ``defaults`` names the settings that nobody configured: there the original's environment variables count. Raises
    `InvalidInput`.
    """
    said: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    for variable, name in ORIGINAL_VARIABLES.items():
        if environ.get(variable) and name in defaults:
            said.setdefault(name, environ[variable].lower() if name == "log_level" else environ[variable])
    try:
        return ServeSettings.model_validate(configured.model_dump() | said)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidInput(f"{first['loc'][0]}", f"{first['msg']}, got {first['input']!r:.60}") from None


def places(listed: Any) -> tuple[Place, ...]:
    """Instances of a configuration: mappings with ``host``, ``port``, ``model_name``, or URLs."""
    if listed is None:
        return ()
    if not isinstance(listed, list):
        raise InvalidInput("instances", "must be a list of {host, port} or of URLs")
    return tuple(_place(index, each) for index, each in enumerate(listed))


def _place(index: int, each: Any) -> Place:
    where = f"instances.{index}"
    if isinstance(each, str):
        try:
            url = urlsplit(each if "//" in each else f"//{each}")
            host, port = url.hostname or "localhost", url.port or 8100
        except ValueError as error:
            raise InvalidInput(where, f"{each!r:.80} is no URL: {error}") from None
        return Place(host, port)
    if not isinstance(each, dict):
        raise InvalidInput(where, f"must be a mapping or a URL, got {each!r:.60}")
    unknown = set(each) - {"host", "port", "model_name"}
    if unknown:
        raise InvalidInput(f"{where}.{min(map(str, unknown))}", "is not known; known: host, port, model_name")
    host, port, model = each.get("host", "localhost"), each.get("port", 8100), each.get("model_name") or ""
    if not isinstance(host, str) or not host:
        raise InvalidInput(f"{where}.host", f"must be text, got {host!r:.60}")
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        raise InvalidInput(f"{where}.port", f"must be 1 to 65535, got {port!r:.60}")
    return Place(host, port, str(model))
