"""Where a long text is cut: at what a reader takes for a seam, and never so that something is lost."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.channel.split import cut, split


def within(most: int, text: str, **how: bool) -> list[str]:
    return list(split(text, 4 * most, lambda part: len(part) <= most, **how))


@pytest.mark.parametrize(
    ("text", "most", "parts"),
    [
        pytest.param("short", 10, ["short"], id="fits"),
        pytest.param("one two\n\na\nfour", 12, ["one two", "a\nfour"], id="paragraph before line"),
        pytest.param("first line\nsecond line", 15, ["first line", "second line"], id="line"),
        pytest.param("第一句话。第二句话很长。", 8, ["第一句话。", "第二句话很长。"], id="sentence"),
        pytest.param("alpha beta gamma", 12, ["alpha beta ", "gamma"], id="word"),
        pytest.param("x" * 25, 10, ["x" * 10, "x" * 10, "x" * 5], id="nothing to cut at"),
        pytest.param("\n" * 30 + "end", 10, ["end"], id="blank"),
        pytest.param('hello <at user_id="1"></at> you', 24, ["hello ", '<at user_id="1"></at> ', "you"], id="mention"),
    ],
)
def test_seams(text: str, most: int, parts: list[str]) -> None:
    assert within(most, text) == parts


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet=st.sampled_from("ab .\n。字，"), max_size=300), most=st.integers(1, 40))
def test_nothing_but_line_breaks_is_left_out(text: str, most: int) -> None:
    parts = within(most, text)
    assert all(len(part) <= most for part in parts)
    assert re.sub(r"\s", "", "".join(parts)) == re.sub(r"\s", "", text)


@settings(max_examples=100, deadline=None)
@given(
    text=st.text(alphabet=st.sampled_from("ab|-` \n"), max_size=300),
    more=st.text(alphabet=st.sampled_from("ab|-` \n"), max_size=50),
)
def test_markdown_comes_to_an_end_and_keeps_its_letters(text: str, more: str) -> None:
    parts = within(60, text + more, markdown=True)
    letters = re.sub(r"[^ab]", "", "".join(parts))
    wanted = re.sub(r"[^ab]", "", text + more)
    assert wanted == letters or len(letters) > len(wanted), "only heads of blocks are said twice"


def test_a_page_that_is_full_stays_as_it_is() -> None:
    """What types shows a page for good while the text goes on."""
    text = "\n\n".join(f"paragraph {number} of some words" for number in range(20))
    first, _ = cut(text, 400, lambda part: len(part) <= 100, markdown=True)
    for length in range(150, len(text)):
        assert cut(text[:length], 400, lambda part: len(part) <= 100, markdown=True)[0] == first


def test_a_code_block_is_not_cut_where_it_can_be_kept() -> None:
    code = "```python\n" + "x = 1\n" * 5 + "```"
    parts = within(80, "intro " * 8 + "\n" + code + "\nafter", markdown=True)
    assert any(code in part for part in parts)


def test_a_code_block_that_is_cut_goes_on_as_one() -> None:
    lines = [f"line_{number} = {number}" for number in range(30)]
    parts = within(120, "```python\n" + "\n".join(lines) + "\n```", markdown=True)
    assert len(parts) > 3
    for part in parts:
        assert part.startswith("```python\n")
        assert part.endswith("\n```")
    assert [line for part in parts for line in part.splitlines() if line.startswith("line_")] == lines


def test_a_table_that_is_cut_has_its_head_again() -> None:
    rows = [f"| {number} | row |" for number in range(30)]
    parts = within(120, "\n".join(["| n | what |", "| --- | --- |", *rows]), markdown=True)
    assert len(parts) > 3
    assert all(part.startswith("| n | what |\n| --- | --- |\n") for part in parts)
    assert [line for part in parts for line in part.splitlines()[2:]] == rows
