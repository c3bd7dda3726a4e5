"""What a bot says, as Feishu takes it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.channel.render import CARD_LIMIT, TEXT_LIMIT, render
from app.core.errors import FeishuRefused, Misused
from app.sdk.card import Card
from app.sdk.content import File, Image, Post


@pytest.mark.parametrize(
    ("content", "kind", "document"),
    [
        ('你好 "x"\n', "text", {"text": '你好 "x"\n'}),
        (Image("img_1"), "image", {"image_key": "img_1"}),
        (File("file_1", "audio"), "audio", {"file_key": "file_1"}),
        ({"schema": "2.0", "body": {"elements": []}}, "interactive", None),
        ({"elements": [], "config": {"update_multi": True}}, "interactive", None),
        ({"type": "template", "data": {"template_id": "AAq"}}, "interactive", None),
        ({"type": "card", "data": {"card_id": "73"}}, "interactive", None),
        ({"zh_cn": {"title": "t", "content": [[{"tag": "text", "text": "a"}]]}}, "post", None),
        ({"text": "a"}, "text", None),
        ({"image_key": "img_1"}, "image", None),
        ({"file_key": "file_1"}, "file", None),
    ],
)
def test_each_kind_is_recognised(content: Any, kind: str, document: dict[str, Any] | None) -> None:
    found, text = render(content)
    assert found == kind
    assert json.loads(text) == (document or content)


def test_the_sdks_cards_and_posts_are_rendered() -> None:
    card = Card.of(title="t").text("words")
    assert render(card) == ("interactive", render(card.to_dict())[1])
    kind, text = render(Post("**x**", title="t"))
    assert kind == "post"
    assert json.loads(text)["zh_cn"]["title"] == "t"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("字" * (TEXT_LIMIT // 3), "150 KB"),
        ({"schema": "2.0", "x": "y" * CARD_LIMIT}, "30 KB"),
        (Post("y" * CARD_LIMIT), "30 KB"),
        ("", "empty"),
    ],
)
def test_what_feishu_would_refuse_is_refused_here(content: Any, words: str) -> None:
    with pytest.raises(FeishuRefused, match=words) as caught:
        render(content)
    assert "字" not in str(caught.value)
    assert "yy" not in str(caught.value)


def test_a_text_just_inside_the_bound_passes() -> None:
    assert render("x" * (TEXT_LIMIT - len('{"text":""}')))[0] == "text"


@pytest.mark.parametrize("content", [3, None, {}, {"a": 1}, {"zh_cn": {}}, {"text": 1}, ["x"]])
def test_what_a_bot_cannot_say_is_an_authors_error(content: Any) -> None:
    with pytest.raises(Misused):
        render(content)
