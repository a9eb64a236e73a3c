"""The settings of the face ``vms`` in effect, with the names that VirtFlow's environment has for some of them."""

import os
from collections.abc import Mapping
from pathlib import Path

from pilotage.app.config import FILE, FILE_VARIABLE, load_config
from pilotage.app.vms.settings import VmsSettings, database_url

CONFIG = "configs/config.yaml"
"""Read by the commands of this face if nothing else was named and it is there."""

VIRTFLOW = {
    "RABBITMQ_URL": "rabbitmq",
    "POSTGRES_CONN": "database",
    "SCHEDULING_STRATEGY": "strategy",
}
"""Environment variables of VirtFlow, and our settings; PILOTAGE_VMS_... go before them."""


def load_vms_settings(
    config: str | None, flags: Mapping[str, object], environ: Mapping[str, str] | None = None
) -> VmsSettings:
    """Return the settings in effect: flags, then PILOTAGE_VMS_..., then VirtFlow's variables, then a file, defaults.

    Raises `InvalidInput` naming source and setting.
    """
    environ = os.environ if environ is None else environ
    nothing_named = not config and FILE_VARIABLE not in environ and not Path(FILE).exists()
    if nothing_named and Path(CONFIG).exists():
        config = CONFIG
    settings = load_config(config, environ).settings.vms
    said: dict[str, object] = {
        setting: environ[name]
        for name, setting in VIRTFLOW.items()
        if environ.get(name) and f"PILOTAGE_VMS_{setting.upper()}" not in environ
    }
    said |= {name: value for name, value in flags.items() if value is not None}
    settings = settings.model_copy(update=said)
    return settings.model_copy(update={"database": database_url(settings.database)})
