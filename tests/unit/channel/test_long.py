"""Long answers, all the way: in order, each part once, or as a file; against a playground that counts bytes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from app.channel.pages import MOST_PAGES
from app.channel.render import TEXT_LIMIT
from app.control.playground.world import Message
from app.model.bot import BotMessage
from app.model.outbound import SendName, Target
from app.sdk.content import Content, Markdown
from tests.unit.channel.scene import Scene

PARAGRAPH = "一段话, some words.\n\n"


def long(size: int) -> str:
    return PARAGRAPH * (size // len(PARAGRAPH.encode()))


async def say(scene: Scene, content: Content) -> str:
    name = SendName("support", "om_event", 0, "im.message.create", scene.chat.chat_id, 1)
    target = Target("chat_id", scene.chat.chat_id, scene.chat.chat_id)
    return (await scene.sender.say(scene.spec, target, content, name, scene.ledger)).message_id


def file_of(scene: Scene) -> bytes:
    [message] = scene.messages
    assert message.msg_type == "file"
    return scene.playground.world.uploads[json.loads(message.content)["file_key"]].data


async def test_a_long_text_arrives_whole_and_in_order_and_once(scene: Scene) -> None:
    text = long(2 * TEXT_LIMIT)
    first = await say(scene, text)
    texts = [json.loads(message.content)["text"] for message in scene.messages]
    assert len(texts) == 3
    assert "\n\n".join(texts) == text
    assert first == scene.messages[0].message_id
    assert await say(scene, text) == first
    assert len(scene.messages) == 3


async def test_what_a_death_left_unsaid_is_said(scene: Scene) -> None:
    text = long(2 * TEXT_LIMIT)
    scene.ledger.sent[f"0:im.message.create:{scene.chat.chat_id}:1"] = "om_before"
    assert await say(scene, text) == "om_before"
    texts = [json.loads(message.content)["text"] for message in scene.messages]
    assert len(texts) == 2
    assert text.endswith("\n\n".join(texts))


async def test_markdown_with_a_table_arrives_as_cards(scene: Scene) -> None:
    table = "| a | b |\n| --- | --- |\n" + "".join(f"| {n} | {'x' * 50} |\n" for n in range(1500))
    await say(scene, Markdown(f"# Numbers\n\n{table}", "Report"))
    assert len(scene.texts) > 2
    rows = [line for text in scene.texts for line in text.splitlines() if line.endswith("x |")]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1500))


async def test_what_is_far_too_long_arrives_as_a_file(scene: Scene) -> None:
    text = long((MOST_PAGES + 1) * TEXT_LIMIT)
    await say(scene, text)
    assert file_of(scene) == text.encode()


async def test_a_bot_may_want_files(scene: Scene) -> None:
    config = scene.spec.config.model_copy(update={"message": BotMessage(long="file")})
    scene.spec = replace(scene.spec, config=config)
    await say(scene, long(2 * TEXT_LIMIT))
    assert file_of(scene) == long(2 * TEXT_LIMIT).encode()


@pytest.mark.parametrize("pages", [MOST_PAGES + 2, 3 * MOST_PAGES], ids=["more messages", "a file"])
async def test_a_card_does_not_type_for_ever(scene: Scene, pages: int) -> None:
    text = long(pages * 30 * 1024).replace("some", "**some**")
    card = scene.card()
    card.begin()
    card.write(text)
    await card.end(None)
    *cards, last = scene.messages
    posts = [message for message in cards if message.msg_type == "post"]
    assert len(cards) - len(posts) == MOST_PAGES
    if pages > 2 * MOST_PAGES:
        assert not posts
        rest = scene.playground.world.uploads[json.loads(last.content)["file_key"]].data.decode()
    else:
        rest = "\n\n".join(said_by(message) for message in [*posts, last])
    assert "\n\n".join([*scene.texts[:MOST_PAGES], rest]) == text


def said_by(post: Message) -> str:
    return str(json.loads(post.content)["zh_cn"]["content"][0][0]["text"])
