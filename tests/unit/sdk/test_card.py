"""Cards, forms, toasts, links and contents, as Feishu wants them."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.errors import Misused
from app.sdk import Card, DatePicker, File, Image, Input, Link, Post, Select, Toast, at, plain
from app.sdk.content import message_of


def test_card_is_schema_2_and_shared() -> None:
    card = Card.of(title="审批", color="green").text("**hi**").divider().image("img_1", "a cat").to_dict()
    assert card == {
        "schema": "2.0",
        "config": {"update_multi": True},
        "header": {"title": {"tag": "plain_text", "content": "审批"}, "template": "green"},
        "body": {
            "elements": [
                {"tag": "markdown", "content": "**hi**"},
                {"tag": "hr"},
                {"tag": "img", "img_key": "img_1", "alt": {"tag": "plain_text", "content": "a cat"}},
            ]
        },
    }


def test_card_without_title_has_no_header() -> None:
    assert "header" not in Card.of().text("x").to_dict()


def test_every_step_gives_a_new_card() -> None:
    empty = Card.of(title="t")
    empty.text("x")
    assert empty.to_dict()["body"] == {"elements": []}


def test_button_calls_its_action_with_its_value() -> None:
    [button] = elements(Card.of().button("OK", action="approve", value={"id": 4, "action": "x"}, style="primary"))
    assert button["behaviors"] == [{"type": "callback", "value": {"id": 4, "action": "approve"}}]
    assert button["type"] == "primary"
    # A name must be unique within a card, so only forms have named buttons.
    assert "name" not in button
    assert "confirm" not in button


def test_button_may_ask_before() -> None:
    [button] = elements(Card.of().button("Delete", action="d", style="danger", confirm="Really?"))
    assert button["confirm"]["text"]["content"] == "Really?"


def test_buttons_in_succession_share_a_row() -> None:
    card = Card.of().button("1", action="a").link("2", "https://example.test").text("x").button("3", action="c")
    row, text, single = elements(card)
    assert row["tag"] == "column_set"
    assert [column["elements"][0]["text"]["content"] for column in row["columns"]] == ["1", "2"]
    assert (text["tag"], single["tag"]) == ("markdown", "button")


def test_form_names_every_component() -> None:
    card = Card.of().form(
        Input("why", "Why", required=True, multiline=True),
        Select("kind", "Kind", {"a": "A"}),
        DatePicker("day", "Day"),
        submit="Send",
        action="sent",
        value={"id": 1},
        name="ask",
    )
    [form] = elements(card)
    assert (form["tag"], form["name"]) == ("form", "ask")
    assert [one["name"] for one in form["elements"]] == ["why", "kind", "day", "sent"]
    why, kind, _day, button = form["elements"]
    assert (why["required"], why["input_type"]) == (True, "multiline_text")
    assert kind["options"] == [{"text": {"tag": "plain_text", "content": "A"}, "value": "a"}]
    assert button["form_action_type"] == "submit"
    assert button["behaviors"][0]["value"] == {"id": 1, "action": "sent"}


def test_foreign_cards_go_out_as_they_are() -> None:
    raw = {"schema": "2.0", "body": {"elements": []}}
    assert Card.raw(raw).to_dict() == raw
    assert Card.raw(raw).to_answer() == {"type": "raw", "data": raw}
    template = {"type": "template", "data": {"template_id": "AAq1", "template_variable": {"a": 1}}}
    assert Card.template("AAq1", {"a": 1}).to_dict() == template
    assert Card.template("AAq1", {"a": 1}).to_answer() == template
    assert Card.template("AAq1", version="1.0.0").to_dict()["data"]["template_version_name"] == "1.0.0"
    with pytest.raises(Misused, match=r"Card\.raw or Card\.template is complete"):
        Card.raw(raw).text("x")


def test_own_card_in_an_answer() -> None:
    card = Card.of(title="t")
    assert card.to_answer() == {"type": "raw", "data": card.to_dict()}


def test_toast() -> None:
    assert Toast.success("done").to_dict() == {"type": "success", "content": "done"}
    assert [made("x").to_dict()["type"] for made in (Toast.info, Toast.warning, Toast.error)] == [
        "info",
        "warning",
        "error",
    ]
    both = {"zh_cn": "完成", "en_us": "done"}
    assert Toast.success("done", both).to_dict() == {"type": "success", "content": "done", "i18n": both}


def test_link() -> None:
    assert Link("T").to_dict() == {"inline": {"title": "T"}}
    full = Link("T", Card.of(title="c"), image_key="img", i18n={"en_us": "T"}, url="https://example.test").to_dict()
    assert full["inline"]["image_key"] == "img"
    assert full["inline"]["i18n_title"] == {"en_us": "T"}
    assert full["inline"]["url"]["pc"] == "https://example.test"
    assert full["card"]["type"] == "raw"


@pytest.mark.parametrize(
    ("content", "kind", "document"),
    [
        ("hi", "text", {"text": "hi"}),
        (Card.template("t"), "interactive", Card.template("t").to_dict()),
        (
            Post("**x**", "t"),
            "post",
            {"zh_cn": {"title": "t", "content": [[{"tag": "md", "text": "**x**"}]]}},
        ),
        (Image("img_1"), "image", {"image_key": "img_1"}),
        (File("file_1"), "file", {"file_key": "file_1"}),
        (File("file_1", "audio"), "audio", {"file_key": "file_1"}),
    ],
)
def test_message_of(content: Any, kind: str, document: dict[str, Any]) -> None:
    assert message_of(content) == (kind, document)


@pytest.mark.parametrize("wrong", [None, 5, {"text": "x"}, Toast.info("x"), b"x"])
def test_message_of_anything_else_is_an_error_that_helps(wrong: Any) -> None:
    with pytest.raises(Misused, match=r"give text, Markdown, Card \(Card.raw"):
        message_of(wrong)


def test_other_peoples_words_mention_nobody() -> None:
    said = plain('<at user_id="all"></at> <AT id=all> < at id=x> </at> <person id=x> a < b, <attic>')
    assert "<at " not in said.lower()
    assert "</at" not in said.lower()
    assert "<person" not in said
    assert "a < b" in said
    assert "<attic>" in said


def test_mentions() -> None:
    assert at("ou_1") == '<at user_id="ou_1"></at>'
    assert Card.at("ou_1") == "<at id=ou_1></at>"


def test_what_is_said_is_never_printed() -> None:
    for one in (Card.of(title="机密").text("机密"), Toast.info("机密"), Post("机密", "机密"), Link("机密")):
        assert "机密" not in repr(one)


def elements(card: Card) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = card.to_dict()["body"]["elements"]
    return found
