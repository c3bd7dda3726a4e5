"""Cards that type: against a playground that counts operations, checks sequences, and can have no CardKit."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from app.core.errors import FeishuUnavailable, Fenced, TargetGone
from tests.unit.channel.scene import Scene, typing
from tests.waiting import until

CONTENT = "cardkit.v1.card_element.content"
PATCH = "im.v1.message.patch"
NO_SCOPE = 99991672
LONG = "".join(f"Paragraph {number}: {'many words 许多字 ' * 20}\n\n" for number in range(150))


async def test_words_appear_while_they_are_written_and_all_of_them_in_the_end(scene: Scene) -> None:
    card = scene.card()
    card.begin()
    said = ""
    for word in ("Hello", " big", " world"):
        card.write(word)
        said += word
        await until(lambda: scene.texts == [said])  # noqa: B023 - asked before the next word
    assert typing(scene.messages[0])
    await card.end(None)
    assert scene.texts == ["Hello big world"]
    assert not typing(scene.messages[0])
    assert card.message_id == scene.messages[0].message_id
    [archived] = scene.told
    assert json.loads(archived)["body"]["elements"][0]["content"] == "Hello big world"
    assert json.loads(archived)["header"]["title"]["content"] == "Answer"


async def test_a_flood_of_words_is_a_few_operations(scene: Scene) -> None:
    card = scene.card()
    card.begin()
    for number in range(2000):
        card.write(f"{number} ")
        if number % 40 == 0:
            await asyncio.sleep(0.01)
    await card.end(None)
    assert scene.texts == ["".join(f"{number} " for number in range(2000))]
    calls = scene.playground.ledger.find(api=CONTENT)
    # Ten a second, of the first of which some may come at once.
    assert len(calls) < 15 + 10 * (calls[-1].instant - calls[0].instant)


async def test_half_a_character_spoils_nothing(scene: Scene) -> None:
    card = scene.card()
    card.begin()
    card.write("a\ud83d")
    card.write("\ude00b\ud83d")
    await card.end(None)
    assert scene.texts == ["a😀b�"]


async def test_nothing_written_is_a_card_all_the_same(scene: Scene) -> None:
    card = scene.card()
    card.begin()
    await card.end(None)
    assert scene.texts == ["—"]
    assert not typing(scene.messages[0])


async def test_the_next_attempt_types_into_the_same_card_and_shuts_the_first_one_out(scene: Scene) -> None:
    first = scene.card()
    first.begin()
    first.write("The first words")
    await until(lambda: scene.texts == ["The first words"])
    second = scene.card()
    second.begin()
    second.write("Other words")
    await until(lambda: scene.texts == ["Other words"])
    first.write(", and more")
    with pytest.raises(Fenced):
        await first.end(None)
    await second.end(None)
    assert scene.texts == ["Other words"]
    assert not typing(scene.messages[0])


async def test_what_the_first_attempt_had_more_to_say_is_blanked(scene: Scene) -> None:
    first = scene.card()
    first.begin()
    first.write(LONG)
    await first.end(None)
    assert len(scene.messages) > 2
    second = scene.card()
    second.begin()
    second.write("short")
    await second.end(None)
    assert scene.texts[0] == "short"
    assert set(scene.texts[1:]) == {"—"}


async def test_a_text_that_no_card_has_room_for_goes_on_in_the_next(scene: Scene) -> None:
    card = scene.card()
    card.begin()
    for start in range(0, len(LONG), 1000):
        card.write(LONG[start : start + 1000])
    await card.end(None)
    assert len(scene.messages) > 2
    assert "\n\n".join(scene.texts) == LONG
    assert not any(typing(message) for message in scene.messages)
    assert len(scene.told) == len(scene.messages)


@pytest.mark.parametrize("failing", ["cardkit.v1.card.create", "im.v1.message.create"])
async def test_without_cardkit_the_message_is_edited(scene: Scene, failing: str) -> None:
    code = NO_SCOPE if "cardkit" in failing else 230099
    scene.playground.faults.add("code", code=code, status=400, api=failing)
    card = scene.card()
    card.begin()
    card.write("Hello")
    await until(lambda: scene.texts == ["Hello"])
    card.write(" world")
    await card.end(None)
    assert scene.texts == ["Hello world"]
    assert scene.count(PATCH) >= 1
    assert scene.count(CONTENT) == 0


async def test_an_app_without_cardkit_is_not_asked_each_time(scene: Scene) -> None:
    scene.playground.faults.add("code", code=NO_SCOPE, status=400, api="cardkit.v1.card.create", times=5)
    for n in (1, 2):
        card = scene.card(n=n)
        card.begin()
        card.write("Hello")
        await card.end(None)
    assert len(scene.playground.ledger.find(api="cardkit.v1.card.create")) == 1
    assert scene.texts == ["Hello", "Hello"]


async def test_the_next_attempt_edits_on_where_the_first_one_edited(scene: Scene) -> None:
    scene.playground.faults.add("code", code=NO_SCOPE, status=400, api="cardkit.v1.card.create")
    first = scene.card()
    first.begin()
    first.write("Hello")
    await until(lambda: scene.texts == ["Hello"])
    assert first._pump is not None
    first._pump.cancel()  # as the death of its process would
    second = scene.card()
    second.begin()
    second.write("Goodbye")
    await second.end(None)
    assert scene.texts == ["Goodbye"]


@pytest.mark.parametrize("no_cardkit", [True, False], ids=["editing", "typing"])
async def test_a_card_that_takes_no_more_is_followed_by_the_whole_text(scene: Scene, no_cardkit: bool) -> None:
    if no_cardkit:
        scene.playground.faults.add("code", code=NO_SCOPE, status=400, api="cardkit.v1.card.create")
    scene.playground.faults.add("code", code=230027, status=400, api=PATCH if no_cardkit else CONTENT, times=100)
    card = scene.card()
    card.begin()
    card.write("Hello")
    await until(lambda: scene.texts)
    card.write(" world")
    await card.end(None)
    assert json.loads(scene.messages[-1].content) == {"zh_cn": {"title": "Answer", "content": [[md("Hello world")]]}}
    assert len(scene.messages) == 2


def md(text: str) -> dict[str, Any]:
    return {"tag": "md", "text": text}


async def test_typing_that_feishu_ended_is_taken_up_again(scene: Scene) -> None:
    card = scene.card()
    card.begin()
    card.write("Hello")
    await until(lambda: scene.texts == ["Hello"])
    [entity] = scene.playground.cards.cards.values()
    entity.streaming_since, entity.timed_out = None, True
    card.write(" world")
    await card.end(None)
    assert scene.texts == ["Hello world"]
    assert not typing(scene.messages[0])


@pytest.mark.parametrize("kind", ["lost", "half", "html"])
async def test_a_lost_answer_does_not_lose_or_double_anything(scene: Scene, kind: Any) -> None:
    card = scene.card()
    card.begin()
    card.write("Hello")
    await until(lambda: scene.texts == ["Hello"])
    scene.playground.faults.add(kind, api="cardkit.v1.card*", times=2)
    card.write(" world")
    await card.end(None)
    assert scene.texts == ["Hello world"]
    assert not typing(scene.messages[0])


async def test_a_limit_pause_in_the_middle_holds_up_no_writer_and_loses_nothing(scene: Scene) -> None:
    card = scene.card()
    card.begin()
    card.write("a")
    await until(lambda: scene.texts == ["a"])
    pause = {"x-ogw-ratelimit-reset": "1.5"}
    scene.playground.faults.add("code", code=99991400, status=429, headers=pause, api=CONTENT)
    for _ in range(500):
        card.write("b")
        await asyncio.sleep(0)
    await card.end(None)
    assert scene.texts == ["a" + "b" * 500]


async def test_a_handlers_error_leaves_what_was_written(scene: Scene) -> None:
    card = scene.card()
    card.begin()
    card.write("So far")
    await card.end(ValueError("a bad day"))
    assert scene.texts == ["So far"]
    assert not typing(scene.messages[0])


async def test_a_handler_that_is_stopped_leaves_a_readable_card(scene: Scene) -> None:
    card = scene.card()

    async def handler() -> None:
        card.begin()
        error: BaseException | None = None
        try:
            card.write("So far")
            await asyncio.Event().wait()
        except asyncio.CancelledError as stopped:
            error = stopped
            raise
        finally:
            await card.end(error)

    task = asyncio.create_task(handler())
    await until(lambda: scene.texts == ["So far"])
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert not typing(scene.messages[0])


async def test_what_went_wrong_is_told_at_the_next_word(scene: Scene) -> None:
    scene.playground.faults.add("code", code=232009, status=400, api="im.v1.message.create")
    card = scene.card()
    card.begin()

    def told() -> bool:
        try:
            card.write("x")
        except TargetGone:
            return True
        return False

    await until(told)
    with pytest.raises(TargetGone):
        await card.end(None)


async def test_a_feishu_that_is_away_in_the_end_is_an_error(scene: Scene) -> None:
    card = scene.card()
    card.begin()
    card.write("x")
    await until(lambda: scene.texts == ["x"])
    scene.playground.faults.add("html", api="cardkit*", times=100)
    card.write("y")
    with pytest.raises(FeishuUnavailable):
        await card.end(None)
