"""docs/architecture.md names every Redis key as the code builds it."""

from __future__ import annotations

import inspect
import re

from app.core.keys import LASTING, Keys
from tests.unit.docs.page import ROOT, Page

PAGE = Page("docs/architecture.md")
[KEYS] = [table for table in PAGE.tables if table[0][:2] == ["key", "built by"]]
ROWS = {name: how for row in KEYS[1:] for name, how in [(row[0], row[1])]}


def _built() -> dict[str, str]:
    """Every public method of Keys with the name that it builds of its parameters' names."""
    keys = Keys()
    methods = {name: method for name, method in inspect.getmembers(keys, inspect.ismethod) if not name.startswith("_")}
    del methods["outbox"]  # gives the same names once more, for a second queue
    return {
        name: method(**{parameter: parameter.upper() for parameter in inspect.signature(method).parameters})
        for name, method in methods.items()
    }


def test_every_method_stands_there_with_the_key_that_it_builds() -> None:
    built = _built()
    assert len(built) > 10
    # These two build parts and beginnings of the keys of one bot, not keys of their own.
    assert built.pop("bot") == "hub:{BOT}:PART"
    assert f"`root` builds `{built.pop('root')}`" in PAGE.prose
    shown = {how.strip("`"): name.strip("`") for name, how in ROWS.items()}
    assert {how: shown.get(how) for how in built} == built


def test_every_attribute_stands_there() -> None:
    names = {
        value for name, value in vars(Keys()).items() if name not in ("prefix", "group") and not name.startswith("_")
    }
    assert names - {f"hub:{rest}" for rest in re.findall(r"`hub:(\{?\w+\}?)`", " ".join(ROWS))} == set()


def test_every_lasting_key_stands_there() -> None:
    named = " ".join(ROWS)
    missing = [part for part in LASTING if not re.search(rf"`hub:(\{{BOT\}}:)?{part}(`|:)", named)]
    assert missing == []


def test_every_key_that_a_script_makes_stands_there() -> None:
    scripts = [path.read_text() for path in (ROOT / "app").rglob("*.lua")]
    parts = {part for text in scripts for part in re.findall(r"(?:root|KEYS\[1\]) \.\. '(\w+)'", text)}
    parts |= {part for text in scripts for part in re.findall(r"(?:root|KEYS\[1\]) \.\. '(\w+):'", text)}
    assert {"log", "mail", "seen", "claim"} <= parts
    assert [part for part in sorted(parts) if f"`hub:{{BOT}}:{part}" not in " ".join(ROWS)] == []


def test_page_has_no_key_that_nobody_builds() -> None:
    built = set(_built().values()) | {f"hub:{{BOT}}:{part}" for part in LASTING} | set(vars(Keys()).values())
    outbox = Keys().outbox()
    built |= {outbox.wake, *(outbox.bot("BOT", part) for part in ("PART", "due"))}
    named = {name for row in ROWS for name in re.findall(r"`([^`]+)`", row)}
    assert named - built == set()


def test_page_is_no_book() -> None:
    assert len(PAGE.text.splitlines()) <= 320
