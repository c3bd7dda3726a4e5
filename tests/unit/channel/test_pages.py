"""Long answers: how many messages, which, and what becomes a file or is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.channel.pages import MOST_PAGES, Page, Paper, card_fits, pages_of
from app.channel.render import CARD_LIMIT, TEXT_LIMIT, elements_of, request_size
from app.control.playground.cards import card_fault
from app.core.errors import FeishuRefused
from app.sdk.card import Card
from app.sdk.content import Content, Image, Markdown, Post
from app.sdk.form import Input

PARAGRAPH = '很长的一段话，"带引号"，还有 some words.\n\n'
TABLE = "| a | b |\n| --- | --- |\n| 1 | 2 |\n\n"


def pages(content: Content, **how: Any) -> tuple[Page, ...]:
    found = pages_of(content, **how)
    assert isinstance(found, tuple)
    for page in found:
        assert request_size(page.content) <= (TEXT_LIMIT if page.msg_type == "text" else CARD_LIMIT)
        if page.msg_type == "interactive" and "template_id" not in page.content:
            assert card_fault(json.loads(page.content)) is None
    return found


def long(bytes_: int) -> str:
    return PARAGRAPH * (bytes_ // len(PARAGRAPH.encode()))


@pytest.mark.parametrize(
    "content", ["hi", Markdown("**hi**"), Post("hi"), Card.of("t").text("hi"), Image("img_1"), Card.template("AAq")]
)
def test_what_is_short_is_one_message(content: Content) -> None:
    assert len(pages(content)) == 1
    assert len(pages(content, long="file")) == 1


def test_a_long_text_is_several_texts() -> None:
    text = long(3 * TEXT_LIMIT)
    found = pages(text)
    assert {page.msg_type for page in found} == {"text"}
    assert 3 < len(found) <= 5
    assert "\n\n".join(json.loads(page.content)["text"] for page in found) == text


def test_escapes_count_as_the_request_has_them() -> None:
    text = '"' * (TEXT_LIMIT // 3)
    assert len(pages(text)) == 2


def test_a_long_post_is_several_posts_of_which_the_first_has_the_title() -> None:
    text = long(3 * CARD_LIMIT)
    found = [json.loads(page.content)["zh_cn"] for page in pages(Post(text, "Title"))]
    assert [post["title"] for post in found] == ["Title"] + [""] * (len(found) - 1)
    assert "\n\n".join(post["content"][0][0]["text"] for post in found) == text


def test_a_long_card_is_several_cards() -> None:
    card = Card.of("Title", "red").text(long(CARD_LIMIT)).divider().text("short").button("OK", action="ok")
    card = card.text(long(CARD_LIMIT // 2)).button("Yes", action="yes").button("No", action="no")
    found = [json.loads(page.content) for page in pages(card)]
    assert len(found) > 1
    assert ["header" in one for one in found] == [True] + [False] * (len(found) - 1)
    assert all(one["config"] == {"update_multi": True} for one in found)
    said = [element for one in found for element in elements_of(one)]
    whole = elements_of(card.to_dict())
    assert [one for one in said if one["tag"] != "markdown"] == [one for one in whole if one["tag"] != "markdown"]
    text = "".join(one["content"] for one in said if one["tag"] == "markdown")
    assert text.replace("\n", "") == "".join(one["content"] for one in whole if one["tag"] == "markdown").replace(
        "\n", ""
    )


def test_a_card_of_the_first_schema_is_split_too() -> None:
    elements = [{"tag": "div", "text": {"tag": "lark_md", "content": "x" * 900}} for _ in range(60)]
    document = {"config": {"update_multi": True}, "header": {"title": {"tag": "plain_text", "content": "t"}}}
    found = [json.loads(page.content) for page in pages(Card.raw({**document, "elements": elements}))]
    assert [element for one in found for element in one["elements"]] == elements
    assert [one.get("header") is not None for one in found] == [True] + [False] * (len(found) - 1)


def test_three_tables_a_card() -> None:
    found = pages(Markdown(TABLE * 8))
    assert len(found) == 3
    assert "".join(elements_of(json.loads(page.content))[0]["content"] for page in found).count("| 1 | 2 |") == 8
    assert card_fits("", TABLE * 3)
    assert not card_fits("", TABLE * 4)


def test_more_than_two_hundred_elements() -> None:
    card = Card.of("t")
    for number in range(450):
        card = card.text(str(number))
    assert len(pages(card)) == 3


@pytest.mark.parametrize(
    ("content", "name"),
    [
        pytest.param(long((MOST_PAGES + 1) * TEXT_LIMIT), "message.txt", id="text"),
        pytest.param(Post(long((MOST_PAGES + 1) * CARD_LIMIT)), "message.md", id="post"),
        pytest.param(Markdown("# x\n" + long((MOST_PAGES + 1) * CARD_LIMIT)), "message.md", id="card"),
    ],
)
def test_what_is_far_too_long_is_a_file(content: Content, name: str) -> None:
    found = pages_of(content)
    assert isinstance(found, Paper)
    assert found.name == name
    assert long(TEXT_LIMIT).encode() in found.data


@pytest.mark.parametrize(
    "content", [long(2 * TEXT_LIMIT), Markdown("# x\n" + long(2 * CARD_LIMIT))], ids=["text", "card"]
)
def test_a_bot_that_wants_files_gets_one_at_once(content: Content) -> None:
    assert isinstance(pages_of(content, "file"), Paper)


def test_a_card_with_buttons_is_split_even_where_files_are_wanted() -> None:
    card = Card.of("t").text(long(2 * CARD_LIMIT)).button("OK", action="ok")
    assert len(pages(card, long="file")) > 1


def test_the_words_of_a_block_are_split_and_what_stands_beside_them_is_said_once() -> None:
    button = {"tag": "button", "text": {"tag": "plain_text", "content": "OK"}}
    block = {"tag": "div", "text": {"tag": "lark_md", "content": long(2 * CARD_LIMIT)}, "extra": button}
    found = [json.loads(page.content) for page in pages(Card.raw({"elements": [block, button]}))]
    assert len(found) > 2
    said = [element for one in found for element in one["elements"]]
    assert said[-1] == button
    assert ["extra" in one for one in said[:-1]] == [True] + [False] * (len(said) - 2)
    assert "\n\n".join(one["text"]["content"] for one in said[:-1]) == block["text"]["content"]  # type: ignore[index]


def test_an_id_stands_on_one_piece_alone() -> None:
    element = {"tag": "markdown", "content": long(2 * CARD_LIMIT), "element_id": "answer", "text_size": "heading"}
    found = pages(Card.raw({"schema": "2.0", "body": {"elements": [element]}}))
    said = [element for page in found for element in elements_of(json.loads(page.content))]
    assert [one.get("element_id") for one in said] == ["answer"] + [None] * (len(said) - 1)
    assert {one["text_size"] for one in said} == {"heading"}


def test_the_element_that_cannot_be_split_is_named_by_its_place_in_the_whole() -> None:
    card = Card.of("t").text(long(CARD_LIMIT)).text("short").button("x" * 2 * CARD_LIMIT, action="ok")
    with pytest.raises(FeishuRefused, match=r"^element 3 \(button\) alone is \d+ bytes") as caught:
        pages_of(card)
    assert "xxx" not in str(caught.value)


def test_what_cannot_be_split_is_refused_and_named() -> None:
    form = Card.of("t").form(*(Input(f"n{n}", "label " * 30) for n in range(150)), submit="Send", action="s")
    with pytest.raises(FeishuRefused, match=r"element 1 \(form\) alone is \d+ bytes") as caught:
        pages_of(form.text("short"))
    assert "label" not in str(caught.value)


def test_a_card_of_too_much_beside_text_is_refused() -> None:
    card = Card.of("t")
    for number in range(12 * 200):
        card = card.text("x").image(f"img_{number}")
    with pytest.raises(FeishuRefused, match="say less"):
        pages_of(card)
