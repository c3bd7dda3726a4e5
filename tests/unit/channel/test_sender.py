"""Every other way to Feishu: each call's form, and what its answer becomes."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from app.channel.facts import BotInfo
from app.channel.limiter import Limiter
from app.channel.limits import SendLimits
from app.channel.sender import IMAGE_LIMIT, Sender
from app.channel.tokens import Tokens
from app.core.errors import FeishuRefused, FeishuUnavailable, OutcomeUnknown
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.feishu.client import FeishuApi
from app.model.bot import BotSpec
from app.storage.cache import CacheTiers
from tests.unit.channel.parts import FastClock, cache_of
from tests.unit.channel.stand_in import Fault, StandIn

CARD = {"schema": "2.0", "body": {"elements": []}}
INFO = "GET /open-apis/bot/v3/info"


async def test_a_card_is_patched(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    feishu.answers["PATCH /open-apis/im/v1/messages/om_1"] = {"code": 0}
    await sender.update(spec, "om_1", "interactive", "{}")
    assert feishu.seen[-1].json == {"content": "{}"}


@pytest.mark.parametrize("kind", ["text", "post"])
async def test_a_text_is_put(sender: Sender, feishu: StandIn, spec: BotSpec, kind: str) -> None:
    feishu.answers["PUT /open-apis/im/v1/messages/om_1"] = {"code": 0}
    await sender.update(spec, "om_1", "text" if kind == "text" else "post", "{}")
    assert feishu.seen[-1].json == {"msg_type": kind, "content": "{}"}


async def test_an_image_cannot_be_updated(sender: Sender, spec: BotSpec) -> None:
    with pytest.raises(FeishuRefused, match="image"):
        await sender.update(spec, "om_1", "image", "{}")


async def test_updates_of_one_message_are_bounded_by_it(
    sender: Sender, feishu: StandIn, spec: BotSpec, link: RedisLink, keys: Keys
) -> None:
    feishu.answers["PATCH /open-apis/im/v1/messages/om_1"] = {"code": 0}
    await sender.update(spec, "om_1", "interactive", "{}")
    assert await link.commands.zcard(keys.limit_message("om_1")) == 1


async def test_a_lost_update_is_repeated(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    feishu.answers["PATCH /open-apis/im/v1/messages/om_1"] = {"code": 0}
    feishu.faults.append(Fault("lost_after"))
    await sender.update(spec, "om_1", "interactive", "{}")
    assert len(feishu.calls("om_1")) == 2


async def test_a_clicked_card_is_updated_by_its_token(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    feishu.answers["POST /open-apis/interactive/v1/card/update"] = {"code": 0}
    await sender.update_card(spec, "c-1", CARD)
    assert feishu.seen[-1].json == {"token": "c-1", "card": CARD}


async def test_previews_go_ten_at_a_time(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    feishu.answers["POST /open-apis/im/v2/url_previews/batch_update"] = {"code": 0}
    await sender.update_previews(spec, [f"pt-{n}" for n in range(12)])
    first, second = feishu.calls("url_previews")
    assert len(first.json["preview_tokens"]) == 10
    assert second.json == {"preview_tokens": ["pt-10", "pt-11"]}


async def test_an_ephemeral_card_is_never_repeated_blindly(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    feishu.answers["POST /open-apis/ephemeral/v1/send"] = {"code": 0, "data": {"message_id": "om_e"}}
    assert await sender.ephemeral(spec, "oc_1", "ou_1", CARD) == "om_e"
    assert feishu.seen[-1].json == {
        "chat_id": "oc_1",
        "open_id": "ou_1",
        "msg_type": "interactive",
        "card": CARD,
    }
    feishu.faults.append(Fault("lost_after"))
    with pytest.raises(OutcomeUnknown):
        await sender.ephemeral(spec, "oc_1", "ou_1", CARD)
    assert len(feishu.calls("ephemeral")) == 2
    assert sender.exchange.outcomes == {"sent": 1, "OutcomeUnknown": 1}


async def test_a_reaction_has_an_id(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    feishu.answers["POST /open-apis/im/v1/messages/om_1/reactions"] = {
        "code": 0,
        "data": {"reaction_id": "r-1"},
    }
    assert await sender.react(spec, "om_1", "SMILE") == "r-1"
    assert feishu.seen[-1].json == {"reaction_type": {"emoji_type": "SMILE"}}


async def test_uploads_give_keys_and_are_repeated_whole(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    feishu.answers["POST /open-apis/im/v1/images"] = {"code": 0, "data": {"image_key": "img_1"}}
    feishu.answers["POST /open-apis/im/v1/files"] = {"code": 0, "data": {"file_key": "file_1"}}
    feishu.faults += [Fault("lost_before")]
    assert await sender.upload_image(spec, b"\x89PNG") == "img_1"
    once, twice = feishu.calls("/images")
    assert b"\x89PNG" in once.body
    assert b"\x89PNG" in twice.body
    assert b'name="image_type"\r\n\r\nmessage' in twice.body
    assert await sender.upload_file(spec, b"OggS", "声音.opus", "opus", 1500) == "file_1"
    body = feishu.seen[-1].body
    assert b'name="file_type"\r\n\r\nopus' in body
    assert b'name="duration"\r\n\r\n1500' in body
    assert "声音.opus".encode() in body


@pytest.mark.parametrize(("size", "words"), [(0, "empty"), (IMAGE_LIMIT + 1, "too large")])
async def test_what_feishu_would_not_take_is_not_uploaded(
    sender: Sender, feishu: StandIn, spec: BotSpec, size: int, words: str
) -> None:
    with pytest.raises(FeishuRefused, match=words):
        await sender.upload_image(spec, b"x" * size)
    assert feishu.seen == []


async def test_a_download_gives_bytes_or_an_error(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    path = "GET /open-apis/im/v1/messages/om_1/resources/img_v3_1"
    feishu.answers[path] = lambda seen: web.Response(body=b"\x89PNG", content_type="image/png")
    assert await sender.download(spec, "om_1", "img_v3_1", "image") == b"\x89PNG"
    assert feishu.seen[-1].query == {"type": "image"}
    feishu.faults.append(Fault("code", code=234043, status=200))
    with pytest.raises(FeishuRefused, match="merged forwards"):
        await sender.download(spec, "om_1", "img_v3_1", "image")


async def test_bot_info_is_asked_once_and_shared(
    sender: Sender,
    api: FeishuApi,
    tokens: Tokens,
    feishu: StandIn,
    spec: BotSpec,
    link: RedisLink,
    keys: Keys,
    clock: FastClock,
) -> None:
    feishu.answers[INFO] = {"code": 0, "msg": "ok", "bot": {"open_id": "ou_bot", "app_name": "客服"}}
    infos = await asyncio.gather(*(sender.bot_info(spec) for _ in range(20)))
    other = Sender(api, tokens, Limiter(link, keys, SendLimits()), cache_of(link, keys), clock=clock)
    assert {*infos, await other.bot_info(spec)} == {BotInfo("ou_bot", "客服")}
    assert len(feishu.calls("/bot/")) == 1


async def test_bot_info_serves_on_while_feishu_is_away(
    sender: Sender, feishu: StandIn, spec: BotSpec, cache: CacheTiers, link: RedisLink, keys: Keys
) -> None:
    feishu.answers[INFO] = {"code": 0, "bot": {"open_id": "ou_bot", "app_name": "x"}}
    await sender.bot_info(spec)
    # Everything runs out.
    await link.commands.delete(*[key async for key in link.commands.scan_iter(f"{keys.prefix}*")])
    cache.memory.clear()
    feishu.faults.extend([Fault("html")] * 5)
    assert (await sender.bot_info(spec)).open_id == "ou_bot"


async def test_bot_info_without_an_open_id_is_no_answer(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    feishu.answers[INFO] = {"code": 0, "data": {}}
    with pytest.raises(FeishuUnavailable):
        await sender.bot_info(spec)


async def test_profiles_are_asked_for_once(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    feishu.answers["GET /open-apis/im/v1/chats/oc_1"] = {"code": 0, "data": {"name": "群", "chat_mode": "group"}}
    feishu.answers["GET /open-apis/contact/v3/users/ou_1"] = {"code": 0, "data": {"user": {"name": "王"}}}
    for _ in range(2):
        assert await sender.chat_info(spec, "oc_1") == {"name": "群", "chat_mode": "group"}
        assert await sender.user_info(spec, "ou_1") == {"name": "王"}
    assert len(feishu.calls("/chats/")) == len(feishu.calls("/users/")) == 1


async def test_a_chat_out_of_reach_has_no_profile(sender: Sender, feishu: StandIn, spec: BotSpec) -> None:
    feishu.faults.append(Fault("code", code=232011, status=400))
    for _ in range(2):
        assert await sender.chat_info(spec, "oc_2") is None
    assert len(feishu.calls("/chats/")) == 1
