"""People use the chat page in a real browser: write, mention, click, and see what the bots do."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from playwright.async_api import Browser, Page, expect

from app.control.playground.wire import Answer
from tests.browsers import new_page
from tests.unit.playground.conftest import Town

pytestmark = pytest.mark.system

CARD: dict[str, Any] = {
    "schema": "2.0",
    "header": {"title": {"tag": "plain_text", "content": "Approve?"}, "template": "blue"},
    "body": {
        "elements": [
            {"tag": "markdown", "content": "**bold** [link](https://example.test) <script>alert(1)</script>"},
            {
                "tag": "form",
                "name": "f",
                "elements": [
                    {"tag": "input", "name": "reason", "label": {"tag": "plain_text", "content": "Reason"}},
                    {"tag": "date_picker", "name": "day", "placeholder": {"tag": "plain_text", "content": "First day"}},
                    {
                        "tag": "button",
                        "name": "ok",
                        "form_action_type": "submit",
                        "text": {"tag": "plain_text", "content": "Approve"},
                    },
                ],
            },
        ]
    },
}
DONE = {"schema": "2.0", "body": {"elements": [{"tag": "markdown", "content": "approved"}]}}


async def opened(town: Town, browser: Browser, **options: Any) -> tuple[Page, list[str]]:
    """The page, and whatever its console complains of."""
    page, complaints = await new_page(browser, **options)
    await page.goto(f"{town.url}/playground")
    return page, complaints


def echoing(town: Town) -> None:
    """Have the hub answer every message to the first app, as a bot would."""

    async def answer(event: dict[str, Any]) -> None:
        header, body = event["header"], event["event"]
        if header["event_type"] == "im.message.receive_v1" and header["app_id"] == "cli_a":
            text = orjson.loads(body["message"]["content"])["text"]
            named = body["message"].get("mentions", [])
            if body["message"]["chat_type"] == "p2p" or any(m["id"]["open_id"] == town.app.open_id for m in named):
                await town.call.say(body["message"]["chat_id"], f"echo: {text}")

    town.hub.on_event = answer


async def test_writing_and_mentioning(town: Town, browser: Browser) -> None:
    echoing(town)
    page, complaints = await opened(town, browser, locale="en-US")
    await expect(page.locator("#chat-name")).to_have_text("Helper")
    await page.fill("#draft", "hello <b>you</b>")
    await page.press("#draft", "Enter")
    await expect(page.locator(".message:not(.mine) .text")).to_have_text("echo: hello you")
    await expect(page.locator(".message.mine .delivery")).to_have_text("✓ Delivered")
    await page.get_by_role("button", name="Team").click()
    await expect(page.locator("#chat-name")).to_have_text("Team")
    await page.locator("#draft").press_sequentially("@He")
    await expect(page.locator("#suggestions")).to_contain_text("Helper")
    await page.press("#draft", "Enter")
    await page.locator("#draft").press_sequentially("deploy")
    await page.press("#draft", "Shift+Enter")
    await page.locator("#draft").press_sequentially("now")
    await page.press("#draft", "Enter")
    await expect(page.locator(".message:not(.mine) .text")).to_contain_text("echo: @_user_1 deploy\nnow")
    await expect(page.locator(".message.mine .delivery")).to_have_text("✓ Delivered 2 of 2")
    assert town.playground.world.chats[town.group.chat_id].messages[0].mentions[0].who is town.app
    await page.locator(".message.mine .delivery").click()
    await expect(page.locator("#details-body")).to_contain_text("im.message.receive_v1")
    assert complaints == []


async def test_cards_are_drawn_and_acted_on(town: Town, browser: Browser) -> None:
    body = {"receive_id": town.p2p.chat_id, "msg_type": "interactive", "content": orjson.dumps(CARD).decode()}
    page, complaints = await opened(town, browser, locale="zh-CN", timezone_id="Asia/Shanghai")
    await expect(page.locator("#chat-name")).to_have_text("Helper")
    await town.call("POST", "im/v1/messages", body, receive_id_type="chat_id")
    card = page.locator(".card")
    await expect(card.locator("strong")).to_have_text("bold")
    await expect(card.locator("a")).to_have_attribute("href", "https://example.test")
    await expect(card).to_contain_text("<script>alert(1)</script>")
    await card.get_by_label("Reason").fill("tested")
    await expect(card.get_by_text("First day")).to_be_visible()
    await card.get_by_label("First day").fill("2026-11-23")
    answer = {"toast": {"type": "success", "content": "done"}, "card": {"type": "raw", "data": DONE}}
    town.hub.answers = [Answer(500, b""), Answer(200, orjson.dumps(answer))]
    await card.get_by_role("button", name="Approve").click()
    await expect(page.locator(".toast.error")).to_contain_text("200671")
    await card.get_by_role("button", name="Approve").click()
    await expect(page.locator(".toast.success")).to_have_text("✓done")
    await expect(page.locator(".card")).to_have_text("approved")
    assert town.hub.documents[-1]["event"]["action"]["form_value"] == {"reason": "tested", "day": "2026-11-23 +0800"}
    assert complaints == []


async def test_reactions_edits_and_recalls_show_in_place(town: Town, browser: Browser) -> None:
    said = await town.playground.user_says(town.ann, town.p2p, "one")
    _, answer = await town.call.say(town.p2p.chat_id, "before")
    page, complaints = await opened(town, browser, locale="zh-CN")
    await expect(page.locator(".message")).to_have_count(2)
    path = f"im/v1/messages/{answer['data']['message_id']}"
    await town.call("PUT", path, {"msg_type": "text", "content": '{"text":"after"}'})
    await expect(page.locator(".message").nth(1)).to_contain_text("已编辑")
    await expect(page.locator(".message").nth(1)).to_contain_text("after")
    await town.playground.react(town.tom, said.message, "SMILE")
    await expect(page.locator(".reaction")).to_contain_text("Tom")
    await page.locator(".message.mine").hover()
    await page.get_by_role("button", name="撤回").click()
    await expect(page.locator(".message").first).to_contain_text("此消息已撤回")
    assert said.message.recalled
    assert complaints == []


async def test_a_failed_delivery_is_seen(town: Town, browser: Browser) -> None:
    page, _ = await opened(town, browser, locale="en-US")
    await expect(page.locator("#chat-name")).to_have_text("Helper")
    town.hub.answers = [Answer(503, b"")] * 5
    await page.fill("#draft", "anyone?")
    await page.press("#draft", "Enter")
    await expect(page.locator(".delivery.failed")).to_have_text("✕ Failed")


async def test_a_phone_shows_one_column_and_either_language(town: Town, browser: Browser) -> None:
    phone = {"viewport": {"width": 360, "height": 720}, "has_touch": True, "is_mobile": True}
    page, complaints = await opened(town, browser, locale="en-US", color_scheme="dark", **phone)
    await expect(page.locator("#chat")).to_be_hidden()
    await page.locator(".row").first.tap()
    await expect(page.locator("#draft")).to_be_visible()
    await expect(page.locator(".side")).to_be_hidden()
    assert await page.evaluate("document.documentElement.scrollWidth") == 360
    await page.locator("#back").tap()
    await page.locator("#language").tap()
    await expect(page.locator("#new-group")).to_have_text("新建群组")
    assert await page.evaluate("document.documentElement.lang") == "zh-CN"
    assert complaints == []
