"""A worker's handlers: imported once, and never at the cost of other bots."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.control.registry.shelf import Shelf
from tests.unit.worker.kit import Bots, spec
from tests.waiting import PATIENCE, until

BOTS = ("quick", "slow", "broken")
CODE = "from app.sdk import Bot\nbot = Bot()\n"


def waits_for(go: Path) -> str:
    """A handler whose import takes until there is a file; one that waited for it here would wait for ever."""
    begun = go.with_name("begun")
    return (
        f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\n"
        f"while not pathlib.Path({str(go)!r}).exists():\n    time.sleep(0.01)\n{CODE}"
    )


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(Bots(*map(spec, BOTS)), (tmp_path,))


async def test_a_handler_is_imported_once(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "quick.py").write_text(CODE)
    await until(lambda: shelf.get("quick") is not None)
    assert shelf.get("quick") is shelf.get("quick")
    assert shelf.get("unknown") is None


async def test_a_slow_import_holds_nobody_up(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(waits_for(tmp_path / "go"))
    assert shelf.get("slow") is None
    (tmp_path / "go").touch()
    await until(lambda: shelf.get("slow") is not None)


async def test_a_broken_handler_is_told_of_once(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nosuchmodule\n")
    with capture_logs() as logs:
        assert shelf.get("broken") is None
        await until(lambda: len(logs) > 0)
        assert shelf.get("broken") is None
    assert [line["handler"] for line in logs] == ["broken"]


async def test_what_never_ends_its_import_does_not_keep_a_worker_from_being_ready(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "quick.py").write_text(CODE)
    (tmp_path / "slow.py").write_text(waits_for(tmp_path / "go"))
    (tmp_path / "broken.py").write_text("1 / 0\n")
    await shelf.ready(BOTS, patience=0.2)
    assert shelf.get("quick") is not None
    assert shelf.get("slow") is None
    (tmp_path / "go").touch()


async def test_the_loop_turns_while_all_are_imported(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.control.registry.shelf._IMPORT_AT_ONCE", 30.0)
    (tmp_path / "quick.py").write_text(CODE)
    (tmp_path / "slow.py").write_text(waits_for(tmp_path / "go"))
    getting_ready = asyncio.create_task(shelf.ready(BOTS, patience=20))
    await until((tmp_path / "begun").exists)
    (tmp_path / "go").touch()
    await asyncio.wait_for(getting_ready, PATIENCE)
    assert shelf.get("slow") is not None


async def test_a_process_of_one_event_waits_for_the_import(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(waits_for(tmp_path / "go"))
    shelf = Shelf(Bots(spec("slow")), (tmp_path,), at_once=True)
    got = asyncio.create_task(asyncio.to_thread(shelf.get, "slow"))
    await until((tmp_path / "begun").exists)
    assert not got.done()
    (tmp_path / "go").touch()
    assert await got is not None
