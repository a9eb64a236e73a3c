"""Configuration: which source wins, and what is said of one that can not be used."""

from pathlib import Path

import pytest

from pilotage.app.config import Configuration, load_config
from pilotage.model.errors import InvalidInput
from tests.sim.files import write


def sources(config: Configuration) -> dict[str, str]:
    return {value.setting: value.source for value in config.values}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder, with no variable of ours set."""
    monkeypatch.chdir(tmp_path)


def test_without_anything_the_defaults_hold() -> None:
    config = load_config(environ={})
    assert config.settings.simulate.fill_ratio == 1.3
    assert config.settings.engine.cache_mib == 256
    assert set(sources(config).values()) == {"default"}


def test_a_variable_wins_over_a_file_and_a_file_over_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "pilotage.toml", '[simulate]\npolicies = ["fgd", "bestfit"]\nseeds = 3\n[engine]\ncache_mib = 64\n')
    monkeypatch.setenv("PILOTAGE_SIMULATE_SEEDS", "7")
    monkeypatch.setenv("PILOTAGE_ENGINE_BACKOFF_INITIAL_S", "0.5")
    config = load_config()
    assert config.settings.simulate.policies == "fgd,bestfit"
    assert config.settings.simulate.seeds == 7
    assert config.settings.engine.cache_mib == 64
    assert config.settings.engine.backoff_initial_s == 0.5
    said = {setting: source for setting, source in sources(config).items() if source != "default"}
    assert said == {
        "simulate.policies": "file pilotage.toml",
        "simulate.seeds": "environment PILOTAGE_SIMULATE_SEEDS",
        "engine.cache_mib": "file pilotage.toml",
        "engine.backoff_initial_s": "environment PILOTAGE_ENGINE_BACKOFF_INITIAL_S",
    }


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTAGE_MANAGER_TOKENS", "sesame")
    monkeypatch.setenv("PILOTAGE_MANAGER_DATABASE", "postgresql://me:sesame@host/base")
    config = load_config()
    assert config.settings.manager.tokens.get_secret_value() == "sesame"
    assert not any("sesame" in str(value) for value in config.values)
    assert "postgresql://me:***@host/base" in {value.value for value in config.values}


def test_the_flag_names_the_file_before_the_variable_and_that_before_the_folder(tmp_path: Path) -> None:
    write(tmp_path, "pilotage.toml", "[simulate]\nseeds = 1\n")
    lab = write(tmp_path, "lab.toml", "[simulate]\nseeds = 2\n")
    other = write(tmp_path, "other.toml", "[simulate]\nseeds = 3\n")
    assert load_config(environ={}).settings.simulate.seeds == 1
    assert load_config(environ={"PILOTAGE_CONFIG": lab}).settings.simulate.seeds == 2
    assert load_config(other, environ={"PILOTAGE_CONFIG": lab}).settings.simulate.seeds == 3


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[simulate]\nseeds = 'x'\n", "pilotage.toml: simulate.seeds: must be a valid integer"),
        ("[simulate]\nseeds = -1\n", "pilotage.toml: simulate.seeds: must be greater than or equal to 1, got -1"),
        ("[simulate]\nfill_ratio = nan\n", "pilotage.toml: simulate.fill_ratio: must be "),
        ("[simulate]\nsedes = 1\n", "pilotage.toml: simulate.sedes: is no setting; known: policies, seeds, "),
        ("[simulation]\nseeds = 1\n", "pilotage.toml: simulation: is no section; known: simulate, engine"),
        ("simulate = 1\n", "pilotage.toml: simulate: is a section: write [simulate]"),
        ("[simulate\n", "pilotage.toml: is not TOML: "),
    ],
)
def test_a_bad_file_is_told_by_its_name_and_setting(tmp_path: Path, text: str, error: str) -> None:
    write(tmp_path, "pilotage.toml", text)
    with pytest.raises(InvalidInput) as told:
        load_config(environ={})
    assert str(told.value).startswith(error)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("PILOTAGE_SIMULATE_SEEDS", "many", "environment PILOTAGE_SIMULATE_SEEDS: must be a valid integer"),
        ("PILOTAGE_ENGINE_CACHE_MIB", "0", "environment PILOTAGE_ENGINE_CACHE_MIB: must be greater than or equal to 1"),
        (
            "PILOTAGE_SIMULATE_SEDES",
            "1",
            "environment PILOTAGE_SIMULATE_SEDES: is no setting; known: PILOTAGE_SIMULATE_",
        ),
    ],
)
def test_a_bad_variable_is_told_by_its_name(name: str, value: str, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput) as told:
        load_config()
    assert str(told.value).startswith(error)


def test_variables_that_a_cluster_sets_for_a_service_of_our_name_do_no_harm() -> None:
    load_config(environ={"PILOTAGE_PORT": "tcp://10.0.0.1:80", "PILOTAGE_SERVICE_HOST": "10.0.0.1"})


def test_a_missing_file_is_told() -> None:
    with pytest.raises(InvalidInput, match=r"no\.toml: can not be read: No such file"):
        load_config("no.toml", environ={})
