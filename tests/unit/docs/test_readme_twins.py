"""The two READMEs say the same: what is changed in one has to be changed in the other."""

from __future__ import annotations

import re

from tests.unit.docs.page import Page

ENGLISH, CHINESE = Page("README.md"), Page("README.zh-CN.md")
_HAN = re.compile("[\u4e00-\u9fff]")


def test_headings_have_the_same_levels_in_the_same_order() -> None:
    assert [level for level, _ in CHINESE.headings] == [level for level, _ in ENGLISH.headings]
    assert len(ENGLISH.headings) == 10


def test_every_heading_is_translated() -> None:
    assert [words for _, words in CHINESE.headings if not _HAN.search(words)] == []


def test_fenced_blocks_are_the_same() -> None:
    assert CHINESE.blocks() == ENGLISH.blocks()
    assert CHINESE.languages == ENGLISH.languages


def test_links_lead_to_the_same_places() -> None:
    # Each links to the other where it speaks of the other language.
    theirs = {"README.md": "README.zh-CN.md"}
    assert [theirs.get(link, link) for link in CHINESE.links] == ENGLISH.links


def test_tables_have_the_same_shape() -> None:
    def shapes(page: Page) -> list[list[int]]:
        return [[len(row) for row in table] for table in page.tables]

    assert shapes(CHINESE) == shapes(ENGLISH)


def test_the_same_words_stand_in_backticks() -> None:
    def words(page: Page) -> set[str]:
        return {part for code in page.code for part in code.split(", ")}

    assert words(CHINESE) == words(ENGLISH)
