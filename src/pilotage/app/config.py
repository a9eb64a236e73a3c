"""Configuration: every setting, its default, and where its value came from.

Later sources win: defaults, then a file, TOML or YAML (``pilotage.toml`` in the working directory, or the one that
``--config`` or ``PILOTAGE_CONFIG`` names), then environment variables ``PILOTAGE_SECTION_SETTING``. Flags of a
command come after all of them.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pilotage.app.manager.settings import ManagerSettings
from pilotage.app.tasks.settings import ServeSettings
from pilotage.app.vms.settings import VmsSettings
from pilotage.model.errors import InvalidInput

FILE = "pilotage.toml"
PREFIX = "PILOTAGE_"
FILE_VARIABLE = "PILOTAGE_CONFIG"

INSTANCES = "instances"
"""The one part of a file that is no section: a list of task instances."""


class SimulateSettings(BaseModel):
    """What ``pilotage simulate`` does when no flag says otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    policies: Annotated[str, Field(description="policies to compare, separated by commas")] = (
        "random,dotprod,bestfit,fgd"
    )
    seeds: Annotated[int, Field(ge=1, le=100_000, description="runs per policy, with seeds from 42 up")] = 1
    fill_ratio: Annotated[
        float, Field(gt=0, le=1000, description="GPU demand of all arrivals, as a part of the cluster's GPUs")
    ] = 1.3
    workers: Annotated[int, Field(ge=0, le=256, description="processes; 0: one per CPU")] = 0

    @field_validator("policies", mode="before")
    @classmethod
    def _joined(cls, value: object) -> object:
        """In a file a list reads better; in an environment variable there is only text."""
        return ",".join(map(str, value)) if isinstance(value, list) else value


class EngineSettings(BaseModel):
    """What every engine is told, in the simulator as in production."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cache_mib: Annotated[int, Field(ge=1, le=1_048_576, description="bound of what is kept between decisions")] = 256
    backoff_initial_s: Annotated[
        float, Field(ge=0, le=86_400, description="seconds a task sits out after its first rejection")
    ] = 1.0
    backoff_longest_s: Annotated[
        float, Field(ge=0, le=86_400, description="longest that a task sits out; it doubles up to there")
    ] = 10.0


class RecordSettings(BaseModel):
    """How records of engines lie on disk."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    segment_mib: Annotated[int, Field(ge=1, le=65_536, description="a record goes on in a new file after so much")] = 64
    keep: Annotated[int, Field(ge=0, le=1_000_000, description="full files that are kept; 0: all")] = 0


class Settings(BaseSettings):
    """All settings, by section."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="_", env_nested_max_split=1, extra="forbid", frozen=True
    )

    simulate: SimulateSettings = SimulateSettings()
    engine: EngineSettings = EngineSettings()
    manager: ManagerSettings = ManagerSettings()
    serve: ServeSettings = ServeSettings()
    record: RecordSettings = RecordSettings()
    vms: VmsSettings = VmsSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment goes before what is passed in, which is what the file says."""
        return env_settings, init_settings


class Value(Struct, frozen=True):
    """One setting as it is in effect. ``source`` is ``default``, ``file PATH`` or ``environment NAME``."""

    setting: str
    value: str | int | float
    source: str
    meaning: str


class Configuration(Struct, frozen=True):
    """The settings in effect, and where each came from."""

    settings: Settings
    values: tuple[Value, ...]
    instances: Any = None
    """What the file has below ``instances``, as it stands there: the task service reads it."""


def load_config(path: str | None = None, environ: Mapping[str, str] | None = None) -> Configuration:
    """Return the configuration in effect; ``path`` is what ``--config`` named, if it was given.

    Raises `InvalidInput` naming the source and the setting that can not be used.
    """
    environ = os.environ if environ is None else environ
    file = path or environ.get(FILE_VARIABLE) or (FILE if Path(FILE).exists() else None)
    said = _read(Path(file)) if file else {}
    instances = said.pop(INSTANCES, None)
    _check_sections(file or "", said)
    _check_variables(environ)
    try:
        settings = Settings(**said)
    except ValidationError as error:
        raise _fault(error, file or "", environ) from None
    return Configuration(settings, tuple(_values(settings, said, file or "", environ)), instances)


def _read(path: Path) -> dict[str, Any]:
    """The content of a TOML file, or of a YAML file by its name."""
    try:
        text = path.read_text(encoding="utf-8")
        return _yaml(text, path) if path.suffix in (".yaml", ".yml") else tomllib.loads(text)
    except OSError as error:
        raise InvalidInput(str(path), f"can not be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InvalidInput(str(path), "is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(str(path), f"is not TOML: {error}") from None


def _yaml(text: str, path: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInput(str(path), f"is not YAML: {' '.join(str(error).split())}") from None
    if found is not None and not isinstance(found, dict):
        raise InvalidInput(str(path), "must hold sections, as in  instances: [...]")
    return {str(key): value for key, value in (found or {}).items()}


def _check_sections(file: str, said: dict[str, Any]) -> None:
    for section, content in said.items():
        if section not in Settings.model_fields:
            raise InvalidInput(f"{file}: {section}", f"is no section; known: {', '.join(Settings.model_fields)}")
        if not isinstance(content, dict):
            raise InvalidInput(f"{file}: {section}", f"is a section: write [{section}] and its settings below")


def _check_variables(environ: Mapping[str, str]) -> None:
    """Refuse unknown variables of a known section. Others with our prefix are not ours to judge.

    Kubernetes, for one, sets PILOTAGE_PORT and its like for a service of that name.
    """
    known = {name for section in Settings.model_fields for name in _variables(section).values()}
    for name in environ:
        section = name.removeprefix(PREFIX).partition("_")[0].lower()
        if name.startswith(PREFIX) and section in Settings.model_fields and name not in known:
            settings = ", ".join(_variables(section).values())
            raise InvalidInput(f"environment {name}", f"is no setting; known: {settings}")


def _section(section: str) -> type[BaseModel]:
    kind = Settings.model_fields[section].annotation
    assert isinstance(kind, type)
    assert issubclass(kind, BaseModel)
    return kind


def _variables(section: str) -> dict[str, str]:
    """Names of the environment variables of a section's settings."""
    return {field: f"{PREFIX}{section}_{field}".upper() for field in _section(section).model_fields}


def _fault(error: ValidationError, file: str, environ: Mapping[str, str]) -> InvalidInput:
    first = error.errors(include_url=False)[0]
    section, field = str(first["loc"][0]), str(first["loc"][1]) if len(first["loc"]) > 1 else ""
    variable = _variables(section).get(field, "")
    where = f"environment {variable}" if variable in environ else f"{file}: {section}.{field}"
    if first["type"] == "extra_forbidden":
        return InvalidInput(where, f"is no setting; known: {', '.join(_section(section).model_fields)}")
    reason = str(first["msg"]).replace("Input should be", "must be")
    return InvalidInput(where, f"{reason}, got {first['input']!r:.60}")


def _values(settings: Settings, said: dict[str, Any], file: str, environ: Mapping[str, str]) -> list[Value]:
    values = []
    for section in Settings.model_fields:
        for field, variable in _variables(section).items():
            if variable in environ:
                source = f"environment {variable}"
            elif field in said.get(section, {}):
                source = f"file {file}"
            else:
                source = "default"
            meaning = _section(section).model_fields[field].description or ""
            value = _showable(getattr(getattr(settings, section), field))
            values.append(Value(f"{section}.{field}", value, source, meaning))
    return values


def _showable(value: Any) -> Any:
    """A secret as stars, and a URL without its password."""
    if isinstance(value, SecretStr):
        return str(value)
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return re.sub(r"(://[^:/@]*):[^/]*@", r"\1:***@", value) if isinstance(value, str) else value
