"""One check names every fault of every bot, in its files and in its handler."""

from __future__ import annotations

from pathlib import Path

from app.control.registry.check import check_all, stand_in_credentials
from app.control.registry.snapshot import Registry
from tests.unit.control.registry.conftest import WriteBot

REPOSITORY = Path(__file__).parents[4]


def test_all_faults_of_all_bots_and_handlers_come_at_once(root: Path, tmp_path: Path, write_bot: WriteBot) -> None:
    handlers = tmp_path / "bots"
    handlers.mkdir()
    (handlers / "bad.py").write_text("import nothing_of_that_name\n")
    (handlers / "plain.py").write_text("from app.sdk import Bot\nbot = Bot()\n")
    write_bot("one", config="handler: bad\nnonsense: 1\n")
    write_bot("two", config="handler: bad\n", credentials=None)
    write_bot("three", config="handler: plain\nsettings: {colour: red}\n")
    write_bot("four", config="handler: gone\n")
    write_bot("five", config="handler: plain\n")
    write_bot("six", config="handler: nope\ntimeout: fast\n")
    registry = Registry(root, {})
    registry.load()

    report = check_all(registry, handlers, frozenset(registry.statuses))
    text = "\n".join(str(fault) for fault in report.faults)

    assert "one/config.yaml: nonsense: unknown key" in text
    assert "two/credentials.yaml: missing" in text
    assert text.count("nothing_of_that_name") == 1
    assert "three/config.yaml: settings.colour: unknown key" in text
    assert "gone.py: no such handler" in text
    assert "five" not in text
    assert "six/config.yaml: timeout: " in text
    assert "nope.py: no such handler" in text


def test_the_shipped_bots_have_no_fault_but_missing_credentials() -> None:
    registry = Registry(REPOSITORY / "config", {}, stand_in_credentials)
    registry.load()
    assert {"echo", "support", "hr"} <= set(registry.bots)
    shipped = frozenset({"echo", "support", "hr"})
    assert check_all(registry, REPOSITORY / "bots", shipped).faults == ()
