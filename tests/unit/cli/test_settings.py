"""Which settings a command works with."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.settings import settings_of


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("HUB_REDIS_URL", raising=False)
    config = tmp_path / "config"
    for bot in ("support", "hr"):
        (config / bot).mkdir(parents=True)
        (config / bot / "config.yaml").write_text("handler: echo\n")
    (config / "hub.yaml").write_text("max_body: 2MiB\nredis: {url: redis://elsewhere:6379/0}\n")
    return config


def test_one_bot_is_run_by_the_hub_yaml_around_it_unless_it_has_its_own(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config / "hr" / "hub.yaml").write_text("max_body: 3MiB\n")
    assert [settings_of(one).max_body >> 20 for one in (config, config / "support", config / "hr")] == [2, 2, 3]
    monkeypatch.chdir(config / "support")
    assert settings_of(Path(".")).max_body == 2 << 20


def test_many_bots_are_not(config: Path) -> None:
    (config / "many").mkdir()
    assert settings_of(config / "many").max_body == 1 << 20


def test_a_trials_data_directory_has_its_engine_beside_it(config: Path, tmp_path: Path) -> None:
    assert settings_of(config, tmp_path).redis.url == "redis://elsewhere:6379/0"
    (tmp_path / "playground.key").touch()
    assert settings_of(config, tmp_path).redis.url == "embedded"
    assert settings_of(config).redis.url == "redis://elsewhere:6379/0"
