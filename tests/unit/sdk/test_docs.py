"""The code in docs/bots.md runs, and the tests it shows pass."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[3] / "docs" / "bots.md"


def _code() -> list[str]:
    """The page's code, one source for each bot: a block without a bot of its own goes on with the last one."""
    sources: list[str] = []
    for block in re.findall(r"^```python\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.M | re.S):
        if "bot = Bot(" in block:
            sources.append(block)
        else:
            sources[-1] += block
    return sources


SOURCES = _code()


@pytest.mark.parametrize("number", range(len(SOURCES)))
async def test_code_of_the_page_runs(number: int) -> None:
    names: dict[str, Any] = {"__name__": f"docs_bots_{number}"}
    # dont_inherit: this file's own `from __future__` must not change what a reader would run
    exec(compile(SOURCES[number], f"{DOCS.name}, bot {number}", "exec", dont_inherit=True), names)
    shown = {name: value for name, value in names.items() if name.startswith("test_")}
    assert shown, "every bot on the page shows a test"
    for function in shown.values():
        assert inspect.iscoroutinefunction(function)
        await function()


def test_page_has_the_bots_it_is_written_for() -> None:
    assert len(SOURCES) == 8


def test_page_names_everything_an_author_can_import() -> None:
    from app import sdk

    page = DOCS.read_text(encoding="utf-8")
    # Types that authors meet as return values or in signatures only.
    unnamed = {"Content", "Filter", "Mention"}
    missing = [name for name in sdk.__all__ if name not in unnamed and not re.search(rf"\b{name}\b", page)]
    assert missing == []


def test_page_names_only_what_a_parameter_has() -> None:
    from app import sdk

    table = DOCS.read_text(encoding="utf-8").partition("| parameter | holds |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.M)
    assert [kind for kind, _ in rows] == ["Message", "CardAction", "Preview", "FeishuEvent", "CronTick"]
    for kind, cells in rows:
        assert [name for name in re.findall(r"`(\w+)", cells) if name not in dir(getattr(sdk, kind))] == []
