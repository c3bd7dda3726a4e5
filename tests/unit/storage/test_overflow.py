"""What is put aside survives the process, is handed back in order, and leaves no file behind."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.core.errors import StoreUnavailable
from app.storage.cipher import Cipher
from app.storage.overflow import Overflow
from tests.unit.storage.house import CIPHER
from tests.unit.storage.test_messages import row

OTHER = Cipher("echo", {b"next": bytes(32)}, b"next")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "archive-overflow.db"


@pytest.fixture
async def overflow(path: Path) -> AsyncIterator[Overflow]:
    overflow = Overflow(path)
    yield overflow
    await overflow.close()


def modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.glob("*")}


async def test_an_empty_one_makes_no_file(overflow: Overflow, path: Path) -> None:
    assert await overflow.count() == 0
    assert await overflow.first(10) == []
    assert modes(path.parent) == {}


async def test_rows_come_back_in_order_whole_and_once(overflow: Overflow) -> None:
    rows = [row(number) for number in range(5)]
    await overflow.put(rows[:3])
    await overflow.put(rows[1:])
    waiting = await overflow.first(10)
    assert [item for _, item in waiting] == rows
    await overflow.drop([number for number, _ in waiting[:2]])
    assert [item for _, item in await overflow.first(2)] == rows[2:4]


async def test_rows_outlive_the_process(overflow: Overflow, path: Path) -> None:
    await overflow.put([row(1)])
    assert modes(path.parent) == {"archive-overflow.db": 0o600}
    second = Overflow(path)
    assert [item for _, item in await second.first(10)] == [row(1)]
    await second.close()


async def test_the_file_goes_with_the_last_row_and_comes_again(overflow: Overflow, path: Path) -> None:
    for _ in range(2):
        await overflow.put([row(1)])
        ((number, _),) = await overflow.first(10)
        await overflow.drop([number])
        assert modes(path.parent) == {}


async def test_it_does_not_grow_over_its_bound(path: Path) -> None:
    overflow = Overflow(path, max_size=100_000)
    await overflow.put([row(0)])
    with pytest.raises(StoreUnavailable, match=r"archive-overflow\.db: .*full"):
        await overflow.put([row(number, sealed=b"x" * 1000) for number in range(1, 200)])
    assert await overflow.count() == 1
    await overflow.close()


async def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "archive-overflow.db").write_text("no database" * 1000)
    overflow = Overflow(tmp_path / "archive-overflow.db")
    with pytest.raises(StoreUnavailable, match="move it away"):
        await overflow.first(10)
    await overflow.close()


async def test_rows_of_a_shredded_key_go_and_no_others(overflow: Overflow, path: Path) -> None:
    gone, kept = CIPHER.seal(b"x", b"1"), OTHER.seal(b"x", b"1")
    rows = [row(1)._replace(sealed=gone), row(2)._replace(sealed=kept), row(3)._replace(sealed=gone, bot="other")]
    await overflow.put(rows)
    await overflow.forget(rows[0].bot, frozenset({CIPHER.current_id}))
    assert [item for _, item in await overflow.first(10)] == rows[1:]
    await overflow.forget("other", frozenset({CIPHER.current_id}))
    await overflow.forget(rows[0].bot, frozenset({CIPHER.current_id, OTHER.current_id}))
    assert modes(path.parent) == {}
    await overflow.forget("other", frozenset({CIPHER.current_id}))
