"""The registry: what is in force after each look."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from app.control.registry.check import stand_in_credentials
from app.control.registry.loader import Reading, examine
from app.control.registry.snapshot import Registry
from app.model.bot import Credentials
from app.model.catalog import Catalog
from tests.unit.control.registry.conftest import CREDENTIALS, WriteBot

BROKEN = "handler: echo\nnonsense: 1\n"


@pytest.fixture
def registry(root: Path) -> Registry:
    return Registry(root, {})


def states(registry: Registry) -> dict[str, str]:
    return {bot: status.state for bot, status in registry.statuses.items()}


def test_it_is_a_catalog(registry: Registry) -> None:
    catalog: Catalog = registry
    assert catalog.bots == {}


def test_a_root_holds_many_bots_and_other_things(root: Path, registry: Registry, write_bot: WriteBot) -> None:
    write_bot("one")
    write_bot("two")
    write_bot(".hidden")
    write_bot("_draft")
    (root / "hub.yaml").write_text("")
    (root / "empty").mkdir()

    assert registry.load() == {"one", "two"}
    assert set(registry.bots) == set(registry.statuses) == {"one", "two"}
    assert not registry.single


@pytest.mark.parametrize("missing", ["config", "credentials"])
def test_a_directory_with_a_bots_own_files_is_one_bot(root: Path, write_bot: WriteBot, missing: str) -> None:
    one = Registry(write_bot("one", **{missing: None}), {}, stand_in_credentials if missing == "credentials" else None)
    one.load()
    assert one.single
    assert list(one.statuses) == ["one"]


def test_a_file_that_strays_into_the_root_does_not_turn_it_into_one_bot(
    root: Path, registry: Registry, write_bot: WriteBot
) -> None:
    write_bot("one")
    registry.load()
    (root / "config.yaml").write_text("handler: echo\n")
    assert registry.load() == frozenset()
    assert set(registry.bots) == {"one"}


def test_changes_replace_the_snapshot_and_are_told_once(registry: Registry, write_bot: WriteBot) -> None:
    told: list[frozenset[str]] = []
    registry.subscribe(told.append)
    write_bot("one")
    write_bot("two")
    registry.load()
    before = registry.bots
    kept = before["two"]

    write_bot("one", config="handler: other\n")
    write_bot("three")
    assert registry.load() == {"one", "three"}
    assert registry.load() == frozenset()

    assert told == [{"one", "two"}, {"one", "three"}]
    assert set(before) == {"one", "two"}
    assert before["one"].config.handler == "echo"
    assert registry.bots["one"].config.handler == "other"
    assert registry.bots["two"].revision == kept.revision
    with pytest.raises(TypeError):
        registry.bots["one"] = kept  # type: ignore[index]


def test_a_listener_that_fails_keeps_nobody_else_from_hearing(registry: Registry, write_bot: WriteBot) -> None:
    told: list[frozenset[str]] = []

    def deaf(_changed: frozenset[str]) -> None:
        raise RuntimeError

    registry.subscribe(deaf)
    registry.subscribe(told.append)
    write_bot("one")
    registry.load()
    assert told == [{"one"}]


def test_a_broken_directory_keeps_its_last_good_version_and_fails_alone(
    registry: Registry, write_bot: WriteBot
) -> None:
    write_bot("one")
    write_bot("two")
    registry.load()
    good = registry.bots["one"]

    write_bot("one", config=BROKEN, credentials="app_id: 5\n")
    write_bot("two", config="handler: other\n")

    assert registry.load() == {"two"}
    assert registry.bots["one"] is good
    assert states(registry) == {"one": "outdated", "two": "ready"}
    text = "\n".join(str(fault) for fault in registry.faults["one"])
    assert "nonsense" in text
    assert "app_secret" in text
    assert "two" not in registry.faults

    write_bot("one")
    assert registry.load() == frozenset()
    assert states(registry)["one"] == "ready"
    assert registry.faults == {}


def test_a_directory_that_was_never_good_does_not_run(registry: Registry, write_bot: WriteBot) -> None:
    write_bot("one", config=BROKEN)
    write_bot("two", credentials=None)
    directory = write_bot("three", credentials=None)
    (directory / "credentials.yaml.example").write_text("")

    assert registry.load() == frozenset()
    assert states(registry) == {"one": "broken", "three": "missing credentials", "two": "missing credentials"}
    assert "copy credentials.yaml.example" in str(registry.faults["three"][0])


def test_a_removed_bot_vanishes_with_its_last_good_version(registry: Registry, write_bot: WriteBot) -> None:
    directory = write_bot("one")
    registry.load()
    shutil.rmtree(directory)
    assert registry.load() == {"one"}
    assert registry.statuses == {}
    write_bot("one", config=BROKEN)
    registry.load()
    assert registry.bots == {}


def test_a_disabled_bot_is_known_and_does_not_run(registry: Registry, write_bot: WriteBot) -> None:
    write_bot("one")
    registry.load()
    write_bot("one", config="handler: echo\nenabled: false\n")
    assert registry.load() == {"one"}
    assert registry.bots == {}
    assert states(registry) == {"one": "disabled"}


def test_two_directories_cannot_share_an_app_and_who_has_it_keeps_it(registry: Registry, write_bot: WriteBot) -> None:
    write_bot("two")
    registry.load()
    copied = CREDENTIALS.replace("{bot}", "two")
    write_bot("a-copy", credentials=copied)

    assert registry.load() == frozenset()
    assert set(registry.bots) == {"two"}
    (fault,) = registry.faults["a-copy"]
    assert "app_id: is the app of bot two already" in str(fault)

    # Also while it is broken, and until it is taken away.
    write_bot("two", config=BROKEN)
    assert registry.load() == frozenset()
    assert states(registry) == {"a-copy": "broken", "two": "outdated"}
    write_bot("two", config="handler: echo\nenabled: false\n")
    assert registry.load() == {"a-copy", "two"}
    assert set(registry.bots) == {"a-copy"}


def test_of_two_new_ones_the_first_by_name_has_the_app(registry: Registry, write_bot: WriteBot) -> None:
    for bot in ("b", "a"):
        write_bot(bot, credentials=CREDENTIALS.replace("{bot}", "same"))
    registry.load()
    assert states(registry) == {"a": "ready", "b": "broken"}


def test_two_bots_may_swap_their_apps_in_one_step(registry: Registry, write_bot: WriteBot) -> None:
    write_bot("a")
    write_bot("b")
    registry.load()
    write_bot("a", credentials=CREDENTIALS.replace("{bot}", "b"))
    write_bot("b", credentials=CREDENTIALS.replace("{bot}", "a"))
    assert registry.load() == {"a", "b"}
    assert registry.bots["a"].credentials.app_id == "cli_b"
    assert registry.faults == {}


def test_a_root_that_is_missing_is_a_fault_and_changes_nothing(
    root: Path, registry: Registry, write_bot: WriteBot
) -> None:
    assert registry.load() == frozenset()
    assert "no such directory: make it, or name another with -c DIR" in str(registry.root_faults[0])

    write_bot("one")
    assert registry.load() == {"one"}
    assert registry.root_faults == ()

    root.rename(root.with_name("away"))
    assert registry.load() == frozenset()
    assert set(registry.bots) == {"one"}
    assert registry.root_faults


def test_supplied_credentials_stand_before_the_file(root: Path, write_bot: WriteBot) -> None:
    write_bot("one", credentials=None)
    write_bot("two")

    def supply(bot: str) -> Credentials | None:
        return stand_in_credentials("playground") if bot == "one" else None

    registry = Registry(root, {}, supply)
    registry.load()
    assert {bot: spec.credentials.app_id for bot, spec in registry.bots.items()} == {
        "one": "cli_playground",
        "two": "cli_two",
    }


def test_only_what_changed_is_read_again(registry: Registry, root: Path, write_bot: WriteBot) -> None:
    for bot in ("one", "two"):
        write_bot(bot)
    registry.load()
    assert registry.scan(everything=False).readings == {}
    write_bot("two", config="handler: other\n")
    assert set(registry.scan(everything=False).readings) == {"two"}
    (root / "one" / ".config.yaml.swp").write_text("an editor's")
    (root / "one" / "config.yaml~").write_text("an editor's")
    assert set(registry.scan(everything=False).readings) == {"two"}
    assert set(registry.scan(everything=True).readings) == {"one", "two"}


def test_a_mounted_secret_that_changes_is_a_change(root: Path, registry: Registry, write_bot: WriteBot) -> None:
    secret = root.parent / "secret"
    secret.write_text("one")
    write_bot("one", credentials=CREDENTIALS.replace("app-s3cret", f"file:{secret}"))
    registry.load()
    before = registry.stamps()
    secret.write_text("three")
    assert registry.stamps() != before
    assert set(registry.scan(everything=False).readings) == {"one"}


@pytest.mark.parametrize("known", [False, True], ids=["first read", "read again"])
def test_a_mounted_secret_that_changes_while_it_is_read_is_a_change(
    root: Path, registry: Registry, write_bot: WriteBot, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    secret = root.parent / "secret"
    secret.write_text("one")
    write_bot("one", credentials=CREDENTIALS.replace("app-s3cret", f"file:{secret}"))
    if known:
        registry.load()

    def then_changed(*args: Any) -> Reading:
        reading = examine(*args)
        secret.write_text(secret.read_text() + "+")
        return reading

    with monkeypatch.context() as patch:
        patch.setattr("app.control.registry.snapshot.examine", then_changed)
        registry.load()
    registry.apply(registry.scan(everything=False))
    assert registry.bots["one"].credentials.app_secret.get_secret_value() == secret.read_text()


async def test_reloading_reads_off_the_loop_and_tells_on_it(registry: Registry, write_bot: WriteBot) -> None:
    write_bot("one")
    told: list[frozenset[str]] = []
    registry.subscribe(told.append)
    assert await registry.reload() == {"one"}
    write_bot("one", config="handler: other\n")
    assert await registry.reload(everything=False) == {"one"}
    assert told == [{"one"}, {"one"}]
