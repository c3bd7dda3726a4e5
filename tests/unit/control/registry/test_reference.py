"""What is written about the configuration is what the models say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, SecretStr

from app.control.registry.reference import default_text, docs_reference, example, shown_values
from app.control.registry.scaffold import hub_text
from app.core.document import parse_document
from app.core.settings import SHORT_NAMES, Settings, env_name, load_settings
from app.core.shape import fit_document, keys_of
from app.model.bot import BotConfig, Credentials

REPOSITORY = Path(__file__).parents[4]


def test_the_reference_page_is_the_generated_one() -> None:
    page = (REPOSITORY / "docs" / "reference.md").read_text("utf-8")
    assert page == docs_reference(), "write docs_reference() to docs/reference.md"


def test_the_reference_names_every_key_variable_and_short_name() -> None:
    page = docs_reference()
    for model in (Settings, BotConfig, Credentials):
        for key in keys_of(model):
            assert f"| `{key.path}` |" in page
    for key in keys_of(Settings):
        assert f"`{env_name(key.path)}`" in page
    assert all(f"`{name}`" in page for name in SHORT_NAMES)


def test_the_shipped_hub_yaml_is_the_generated_one_and_means_the_defaults() -> None:
    path = REPOSITORY / "config" / "hub.yaml"
    assert path.read_text("utf-8") == hub_text()
    assert load_settings(path, {}) == Settings()


@pytest.mark.parametrize("bot", ["echo", "support", "hr"])
def test_the_shipped_bots_show_every_key(bot: str) -> None:
    text = (REPOSITORY / "config" / bot / "config.yaml").read_text("utf-8")
    for line in example(BotConfig).splitlines():
        key = line.split(":")[0].strip().lstrip("#")
        assert f"{key}:" in text


@pytest.mark.parametrize("model", [Settings, BotConfig])
def test_the_defaults_shown_are_the_defaults(model: type[BaseModel]) -> None:
    """With every comment sign in front of a key taken away, the file still says what the models say."""
    shown = "\n".join(
        line.replace("#", "", 1) if line.strip().startswith("#") else line for line in example(model).split("\n")
    )
    document = parse_document(shown, "example.yaml", REPOSITORY, {})
    found, faults = fit_document(model, document)
    assert [str(fault) for fault in faults] == []
    assert found == model()
    assert yaml.safe_load(shown).keys() >= {"server", "limits", "security"}


def test_every_default_can_be_written() -> None:
    assert default_text(next(key for key in keys_of(BotConfig) if key.path == "dedup_ttl")) == "12h"
    assert default_text(next(key for key in keys_of(Settings) if key.path == "max_body")) == "1MiB"
    assert default_text(next(key for key in keys_of(Settings) if key.path == "redis.prefix")) == '"hub:"'


def test_shown_values_hide_what_is_secret() -> None:
    settings = load_settings(
        None,
        {
            "HUB_REDIS_URL": "redis://u:s3cret@h:1/0",
            "HUB_MASTER_KEY": "s3cret",
            "HUB_DATABASE_URL": "postgresql://:s3cret@h/d",
        },
    )
    secret = SecretStr("s3cret")
    credentials = Credentials(app_id="cli_x", app_secret=secret, verification_token=(secret, secret))
    values = shown_values(settings) | shown_values(credentials) | shown_values(BotConfig(settings={"key": "s3cret"}))

    assert "s3cret" not in str(values)
    assert values["redis.url"] == "redis://***@h:1/0"
    assert values["master_key"] == "set"
    assert values["admin_token"] == "not set"
    assert values["verification_token"] == "2 set"
    assert values["encrypt_key"] == "not set"
    assert values["settings"] == "{key: ***}"
    assert values["app_id"] == "cli_x"
