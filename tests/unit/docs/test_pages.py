"""What the pages point at is there."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.docs.page import PAGES, ROOT, Page

# In backticks and beginning with a directory of the repository, without placeholders.
_PATH = re.compile(r"(?:app|bots|supervisor|tests|docs)/[\w./-]+")
# What the pages tell a reader to make.
_MADE = {"bots/helpdesk.py"}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@pages
def test_links_to_files_lead_somewhere(page: Page) -> None:
    here = (ROOT / page.name).parent
    local = [link for link in page.links if not link.startswith("http")]
    assert [link for link in local if not (here / link.partition("#")[0]).exists()] == []


@pages
def test_links_to_headings_lead_somewhere(page: Page) -> None:
    for link in page.links:
        name, _, anchor = link.partition("#")
        if not anchor or link.startswith("http"):
            continue
        target = ((ROOT / page.name).parent / name).resolve() if name else ROOT / page.name
        words = [words for _, words in Page(str(target.relative_to(ROOT))).headings]
        assert anchor in [re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in words], link


@pages
def test_paths_in_backticks_exist(page: Page) -> None:
    named = {code for code in page.code if _PATH.fullmatch(code)} - _MADE
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


@pages
def test_environment_variables_are_settings(page: Page) -> None:
    from app.core.settings import SHORT_NAMES, Settings, env_name
    from app.core.shape import keys_of

    known = {env_name(key.path) for key in keys_of(Settings)} | SHORT_NAMES.keys()
    named = set(re.findall(r"\bHUB_[A-Z_]*[A-Z]\b", page.text))
    assert named - known == set()


@pages
def test_commands_in_the_middle_of_a_line_are_there(page: Page) -> None:
    for code in page.code:
        for words in re.findall(r"\bfeishu-hub ([^;|&]+)", code):
            assert _unknown(words.split()) == [], f"`{code}`"


def _unknown(words: list[str]) -> list[str]:
    """The words of a call that the command does not know as a command or an option of it."""
    import typer.main

    from app.cli.main import app

    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and words and words[0].islower() and words[0][0] != "-":
        # `list|show` names several at once.
        names, words = words[0].split("|"), words[1:]
        if missing := [name for name in names if name not in command.commands]:
            return missing
        command = command.commands[names[0]]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    return [word for word in words if word.startswith("-") and word.partition("=")[0] not in known]


def test_all_pages_are_looked_at() -> None:
    names = {page.name for page in PAGES}
    assert {"README.md", "docs/operations.md", "docs/architecture.md", "docs/sends.md", "CHANGELOG.md"} <= names
