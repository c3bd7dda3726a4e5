"""Markdown becomes the simplest message that shows it."""

from __future__ import annotations

import pytest

from app.sdk.content import Markdown, message_of


@pytest.mark.parametrize(
    "text",
    [
        "plain words",
        "2 * 3 * 4 = 24",
        "a_b_c and __init__",
        "5 > 3, 3 < 5",
        "C# and #hashtag",
        "a - b",
        "https://example.com/a_b",
        'Hello <at user_id="ou_1"></at>',
        "价格：100-200 元",
        "1.5 metres",
    ],
)
def test_without_markup_a_text(text: str) -> None:
    assert message_of(Markdown(text)) == ("text", {"text": text})


@pytest.mark.parametrize(
    "text",
    [
        "**bold**",
        "so *soft*",
        "~~gone~~",
        "`code`",
        "[a](https://b.c)",
        "- one\n- two",
        "1. one",
        "> said",
        "a\n\n---\nb",
    ],
)
def test_with_markup_a_post(text: str) -> None:
    kind, document = message_of(Markdown(text, "Title"))
    assert kind == "post"
    assert document["zh_cn"] == {"title": "Title", "content": [[{"tag": "md", "text": text}]]}


@pytest.mark.parametrize("text", ["# Title", "a\n\n### b", "```\ncode\n```", "| a | b |\n|---|---|\n| 1 | 2 |"])
def test_with_headings_code_and_tables_a_card(text: str) -> None:
    kind, document = message_of(Markdown(f'{text}\n\n<at user_id="ou_1">Ann</at>', "Title"))
    assert kind == "interactive"
    assert document["header"]["title"]["content"] == "Title"
    [element] = document["body"]["elements"]
    assert element == {"tag": "markdown", "content": f"{text}\n\n<at id=ou_1></at>"}


def test_a_title_needs_a_post() -> None:
    assert message_of(Markdown("plain", "Title"))[0] == "post"
