"""Changes on a real disk take effect within two seconds, however they are made."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from app.control.registry.directories import code_stamp
from app.control.registry.snapshot import Registry
from app.control.registry.watch import POLL, SETTLE, FileWatch
from app.core.ending import ended
from tests.unit.control.registry.conftest import CREDENTIALS, WriteBot
from tests.waiting import until


@asynccontextmanager
async def watching(registry: Registry, *, hints: bool = True) -> AsyncIterator[None]:
    watch = FileWatch(
        registry.root, registry.stamps, lambda: registry.reload(everything=False), settle=0.1, poll=0.5, hints=hints
    )
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        await ended(task)


def test_the_shipped_times_keep_the_promise_of_two_seconds() -> None:
    assert POLL + SETTLE < 2


@pytest.mark.parametrize("hints", [True, False])
async def test_bots_are_added_changed_broken_mended_and_removed(root: Path, write_bot: WriteBot, hints: bool) -> None:
    registry = Registry(root, {})
    told: list[frozenset[str]] = []
    registry.subscribe(told.append)

    def handler_of(bot: str) -> str | None:
        return registry.bots[bot].config.handler if bot in registry.bots else None

    def state_of(bot: str) -> str | None:
        return registry.statuses[bot].state if bot in registry.statuses else None

    write_bot("still")
    async with watching(registry, hints=hints):
        await until(lambda: "still" in registry.bots)
        untouched = registry.bots["still"]
        write_bot("one")
        await until(lambda: handler_of("one") == "echo")
        write_bot("one", config="handler: other\n")
        await until(lambda: handler_of("one") == "other")
        write_bot("one", config="handler: [\n")
        await until(lambda: state_of("one") == "outdated")
        assert handler_of("one") == "other"
        write_bot("one", config="handler: mended\n")
        await until(lambda: handler_of("one") == "mended")
        shutil.rmtree(root / "one")
        await until(lambda: "one" not in registry.bots)

        assert registry.bots["still"] is untouched
        assert told == [{"still"}, {"one"}, {"one"}, {"one"}, {"one"}]


@pytest.mark.parametrize("hints", [True, False])
async def test_a_root_may_come_later_and_be_replaced(root: Path, write_bot: WriteBot, hints: bool) -> None:
    registry = Registry(root, {})
    async with watching(registry, hints=hints):
        await until(lambda: registry.root_faults)
        write_bot("one")
        await until(lambda: set(registry.bots) == {"one"})
        os.rename(root, f"{root}-old")
        write_bot("two")
        await until(lambda: set(registry.bots) == {"two"})
        write_bot("three")
        await until(lambda: set(registry.bots) == {"two", "three"})


@pytest.mark.parametrize("hints", [True, False])
async def test_a_swapped_link_counts_as_kubernetes_swaps_it(root: Path, tmp_path: Path, hints: bool) -> None:
    directory = root / "one"
    directory.mkdir(parents=True)
    for version, handler in (("..v1", "first"), ("..v2", "second")):
        (directory / version).mkdir()
        (directory / version / "config.yaml").write_text(f"handler: {handler}\n")
        (directory / version / "credentials.yaml").write_text(CREDENTIALS.replace("{bot}", "one"))
    os.symlink("..v1", directory / "..data")
    for name in ("config.yaml", "credentials.yaml"):
        os.symlink(f"..data/{name}", directory / name)
    registry = Registry(root, {})

    async with watching(registry, hints=hints):
        await until(lambda: "one" in registry.bots)
        os.symlink("..v2", directory / "..data_tmp")
        os.rename(directory / "..data_tmp", directory / "..data")
        await until(lambda: registry.bots["one"].config.handler == "second")


async def test_a_bots_whole_directory_may_be_a_link_that_is_swapped(
    root: Path, tmp_path: Path, write_bot: WriteBot
) -> None:
    for version in ("v1", "v2"):
        write_bot("one", config=f"handler: {version}\n").rename(tmp_path / version)
    os.symlink(tmp_path / "v1", root / "one")
    registry = Registry(root, {})

    async with watching(registry):
        await until(lambda: "one" in registry.bots)
        os.symlink(tmp_path / "v2", root / "new")
        os.rename(root / "new", root / "one")
        await until(lambda: registry.bots["one"].config.handler == "v2")
        (tmp_path / "v2" / "config.yaml").write_text("handler: v3\n")
        await until(lambda: registry.bots["one"].config.handler == "v3")


async def test_a_bot_may_be_renamed(root: Path, write_bot: WriteBot) -> None:
    registry = Registry(root, {})
    write_bot("one")
    async with watching(registry):
        await until(lambda: "one" in registry.bots)
        os.rename(root / "one", root / "two")
        await until(lambda: set(registry.bots) == {"two"})


async def test_an_action_that_fails_does_not_end_the_watch(tmp_path: Path) -> None:
    acts: list[int] = []

    async def changed() -> None:
        acts.append(1)
        raise RuntimeError

    def acted(times: int) -> bool:
        return len(acts) == times

    file = tmp_path / "one.py"
    task = asyncio.create_task(
        FileWatch(tmp_path, lambda: code_stamp([tmp_path]), changed, settle=0.02, poll=0.1).run()
    )
    try:
        for expected in (1, 2, 3):
            await until(partial(acted, expected))
            file.write_text("x" * expected)
    finally:
        await ended(task)


async def test_what_vanishes_under_a_look_does_not_end_the_watch(tmp_path: Path) -> None:
    """An editor's directory beside the handlers goes while they are looked through."""
    state, acts = "before", 0
    gone = FileNotFoundError(2, "No such file or directory")
    errors = [gone, gone]

    def look() -> str:
        if acts and errors:
            raise errors.pop()
        return state

    async def changed() -> None:
        nonlocal acts
        acts += 1

    task = asyncio.create_task(FileWatch(tmp_path, look, changed, settle=0.01, poll=0.02, hints=False).run())
    try:
        await until(lambda: acts and not errors)
        state = "after"
        await until(lambda: acts >= 2)
    finally:
        await ended(task)


async def test_what_is_not_settled_is_not_acted_on(tmp_path: Path) -> None:
    """A directory that is being written is looked at again and again, and read when it stands still."""
    looks: list[str] = []
    answers = iter(["before", "before", "half", "more", "whole", "whole"])
    acts: list[str] = []

    def look() -> str:
        looks.append(next(answers, "whole"))
        return looks[-1]

    async def changed() -> None:
        acts.append(looks[-1])

    task = asyncio.create_task(FileWatch(tmp_path, look, changed, settle=0.01, poll=0.02, hints=False).run())
    try:
        await until(lambda: len(acts) == 2)
        assert acts == ["before", "whole"]
        await until(lambda: len(looks) > 10)
        assert acts == ["before", "whole"]
    finally:
        await ended(task)
