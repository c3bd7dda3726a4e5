"""Handlers: found by name, imported alone, broken alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from app.control.registry.modules import (
    available,
    check_settings,
    handler_directories,
    load_handler,
    unload,
)
from app.core.errors import ConfigError

GOOD = "from app.sdk import Bot\nbot = Bot()\nVALUE = {value!r}\n"


@pytest.fixture
def bots(tmp_path: Path) -> Path:
    directory = tmp_path / "bots"
    directory.mkdir()
    return directory


def fault_of(name: str, *directories: Path) -> str:
    before = set(sys.modules)
    with pytest.raises(ConfigError) as caught:
        load_handler(name, directories)
    left = [module for module in set(sys.modules) - before if "feishu_hub_handler" in module]
    assert left == []
    (fault,) = caught.value.faults
    return str(fault)


def test_a_handler_is_found_by_name_first_in_the_first_directory(bots: Path, tmp_path: Path) -> None:
    second = tmp_path / "more"
    second.mkdir()
    (bots / "one.py").write_text(GOOD.format(value=1))
    (second / "one.py").write_text(GOOD.format(value=2))
    (second / "two.py").write_text(GOOD.format(value=3))

    assert load_handler("one", [bots, second]).file == bots / "one.py"
    assert load_handler("two", [bots, second]).file == second / "two.py"


def test_each_load_is_a_fresh_module_though_the_file_keeps_its_size_and_second(bots: Path) -> None:
    file = bots / "one.py"
    seen = []
    for value in (1, 2, 3):
        file.write_text(GOOD.format(value=value))
        handler = load_handler("one", [bots])
        seen.append((handler.module, sys.modules[handler.module].VALUE))
        unload(handler)
        assert handler.module not in sys.modules
    assert [value for _, value in seen] == [1, 2, 3]
    assert len({module for module, _ in seen}) == 3


def test_two_versions_live_side_by_side(bots: Path) -> None:
    (bots / "one.py").write_text(GOOD.format(value=1))
    old = load_handler("one", [bots])
    (bots / "one.py").write_text(GOOD.format(value=2))
    new = load_handler("one", [bots])

    assert sys.modules[old.module].VALUE == 1
    assert old.bot is not new.bot
    unload(old)
    assert sys.modules[new.module].VALUE == 2
    unload(new)


def test_a_package_may_be_a_handler_and_import_its_own_parts(bots: Path) -> None:
    package = bots / "big"
    package.mkdir()
    (package / "__init__.py").write_text("from app.sdk import Bot\nfrom .words import WORD\nbot = Bot()\n")
    (package / "words.py").write_text("WORD = 'hello'\n")

    handler = load_handler("big", [bots])

    assert f"{handler.module}.words" in sys.modules
    unload(handler)
    assert not any(name.startswith(handler.module) for name in sys.modules)


def test_models_of_a_handler_resolve_their_own_names(bots: Path) -> None:
    (bots / "one.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom pydantic import BaseModel\n"
        "from app.sdk import Bot\n@dataclass\nclass Part:\n    name: str\nclass Settings(BaseModel):\n    part: Part\n"
        "    words: list[str] = []\nbot = Bot(Settings)\n"
    )
    handler = load_handler("one", [bots])

    found, faults = check_settings(handler, {"part": {"name": "x"}}, "config/one")
    assert found is not None
    assert faults == []
    found, faults = check_settings(handler, {"part": {"name": 5}, "words": "s3cret"}, "config/one")
    assert found is None
    assert [str(fault) for fault in faults] == [
        "config/one/config.yaml: settings.part.name: expected a valid string, found a number: put it in quotes",
        "config/one/config.yaml: settings.words: expected a valid list, found text",
    ]
    unload(handler)


def test_a_handler_without_settings_takes_none(bots: Path) -> None:
    (bots / "one.py").write_text(GOOD.format(value=1))
    handler = load_handler("one", [bots])
    assert check_settings(handler, {}, "d")[1] == []
    assert "settings.colour: unknown key" in str(check_settings(handler, {"colour": "red"}, "d")[1][0])
    unload(handler)


@pytest.mark.parametrize(
    ("source", "line", "says"),
    [
        ("x = 1\nimport nothing_of_that_name\n", 2, "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("x = 1\nx = = 2\n", 2, "SyntaxError: invalid syntax"),
        ("\n\nx = y\n", 3, "NameError: name 'y' is not defined"),
        ("def f():\n    raise RuntimeError('s3cret')\nf()\n", 2, "RuntimeError (its text is not shown"),
        ("import sys\nsys.exit('s3cret')\n", 2, "SystemExit (its text is not shown"),
        (
            "from app.sdk import Bot\nbot = Bot()\nbot.add(1)\n",
            3,
            "AttributeError: 'Bot' object has no attribute 'add'",
        ),
        ("import os\nos.environ['S3CRET_NAME_NOT_SET']\n", 2, "KeyError (its text is not shown"),
    ],
)
def test_a_failed_import_names_file_and_line_and_no_secret(bots: Path, source: str, line: int, says: str) -> None:
    (bots / "bad.py").write_text(source)
    fault = fault_of("bad", bots)
    assert fault.startswith(f"{bots / 'bad.py'}:{line}: the import failed with {says}")
    assert "s3cret" not in fault.lower()


def test_a_fault_deep_in_a_library_names_the_handlers_own_line(bots: Path) -> None:
    (bots / "bad.py").write_text("import json\njson.loads('{s3cret')\n")
    assert fault_of("bad", bots).startswith(f"{bots / 'bad.py'}:2: the import failed with JSONDecodeError (")


def test_what_the_sdk_refuses_is_told_in_its_own_words(bots: Path) -> None:
    (bots / "bad.py").write_text("from app.sdk import Bot\nbot = Bot()\n@bot.command('two words')\ndef f(m, c): ...\n")
    assert fault_of("bad", bots) == (
        f"{bots / 'bad.py'}:3: @bot.command('two words'): a command is one word, without spaces"
    )


@pytest.mark.parametrize(("source", "found"), [("", "nothing of that name"), ("bot = 5\n", "a int")])
def test_a_module_without_a_bot_is_no_handler(bots: Path, source: str, found: str) -> None:
    (bots / "bad.py").write_text(source)
    assert fault_of("bad", bots) == f"{bots / 'bad.py'}: bot: expected `bot = Bot()` from app.sdk, found {found}"


def test_an_unknown_name_is_answered_with_those_that_are_there(bots: Path) -> None:
    (bots / "support.py").write_text("")
    (bots / "_hidden.py").write_text("")
    (bots / "notes.txt").write_text("")
    (bots / "big").mkdir()
    (bots / "big" / "__init__.py").write_text("")
    (bots / "empty").mkdir()

    assert available([bots, bots / "gone"]) == ["big", "support"]
    assert "did you mean support?" in fault_of("suport", bots)
    assert "no such handler" in fault_of("_hidden", bots)


def test_handlers_come_from_the_given_directory_then_from_the_examples(bots: Path) -> None:
    first, examples = handler_directories(bots)
    assert first == bots
    assert {"echo", "hr", "support"} <= set(available([examples]))
    assert handler_directories(examples) == (examples,)
