"""What a bot says and does by plain calls reaches the store: which calls, what is kept of each, in which form."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.channel.call import Call
from app.channel.changes import UPDATED_BY_TOKEN as UPDATED
from app.channel.changes import Change, change_of
from app.channel.limiter import Limiter
from app.channel.limits import SendLimits
from app.channel.sender import Sender
from app.channel.sent_log import SentLog
from app.channel.tokens import Tokens
from app.core.errors import StoreUnavailable
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.feishu.client import Answer, FeishuApi
from app.model.bot import BotSpec
from app.queue.log import EventLog
from app.storage.cache import CacheTiers
from app.storage.cipher import record_identity
from app.storage.keyring import Keyring
from app.storage.master_key import MasterKey, new_key
from tests.unit.channel.stand_in import StandIn
from tests.unit.channel.test_lark import create, patch

CARD = {"schema": "2.0", "body": {"elements": []}}
MADE = {"message_id": "om_2", "chat_id": "oc_2", "msg_type": "image", "body": {"content": "what was forwarded"}}
SAID = {"msg_type": "text", "content": '{"text":"hi"}'}
MESSAGES = "/open-apis/im/v1/messages"
CARDS = "/open-apis/cardkit/v1/cards"


@pytest.fixture
async def keyring(link: RedisLink, keys: Keys, tmp_path: Path) -> AsyncIterator[Keyring]:
    """Under which the log is sealed."""
    keyring = Keyring(MasterKey([new_key()], "a test"), link, keys, tmp_path)
    yield keyring
    await keyring.close()


async def test_what_is_done_to_messages_is_told(
    feishu: StandIn, spec: BotSpec, api: FeishuApi, tokens: Tokens, cache: CacheTiers, link: RedisLink, keys: Keys
) -> None:
    told: list[tuple[str, str]] = []

    async def hear(_spec: BotSpec, change: Change) -> None:
        told.append((change.type, change.message_id))
        raise StoreUnavailable("what cannot be archived is done all the same")

    sender = Sender(api, tokens, Limiter(link, keys, SendLimits()), cache, on_change=hear)
    feishu.answers["PATCH /open-apis/im/v1/messages/om_1"] = {"code": 0}
    feishu.answers["POST /open-apis/im/v1/messages/om_2/reactions"] = {"code": 0, "data": {"reaction_id": "r"}}
    feishu.answers["GET /open-apis/im/v1/chats/oc_1"] = {"code": 0, "data": {}}
    await sender.update(spec, "om_1", "interactive", "{}")
    assert await sender.react(spec, "om_2", "SMILE") == "r"
    await sender.chat_info(spec, "oc_1")
    assert told == [("im.message.patch", "om_1"), ("im.message.reaction.create", "om_2")]


def change(
    method: str, path: str, body: Any = None, made: Any = None, query: tuple[tuple[str, str], ...] = ()
) -> Change | None:
    answer = Answer(200, 0, "", made or {}, {}, "", b"", {})
    return change_of(Call("a name", method, path, json=body, query=query), answer)


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("DELETE", f"{MESSAGES}/om_1", "im.message.delete"),
        ("DELETE", f"{MESSAGES}/om_1/reactions/r", "im.message.reaction.delete"),
        ("PUT", f"{MESSAGES}/om_1", "im.message.update"),
        ("GET", f"{MESSAGES}/om_1", None),
        ("POST", "/open-apis/im/v1/images", None),
        ("PATCH", f"{MESSAGES}/om_1/urgent_app", None),
    ],
)
def test_which_calls_change_a_message(method: str, path: str, kind: str | None) -> None:
    found = change(method, path)
    assert (found.type if found else None) == kind
    assert found is None or found.message_id == "om_1"


@pytest.mark.parametrize(
    ("path", "body", "kind", "content", "user", "target"),
    [
        (MESSAGES, {"receive_id": "ou_1", **SAID}, "text", SAID["content"], "ou_1", ("open_id", "ou_1")),
        (f"{MESSAGES}/om_1/reply", SAID, "text", SAID["content"], "", ("reply", "om_1")),
        (
            f"{MESSAGES}/om_1/forward",
            {"receive_id": "ou_1"},
            "image",
            "what was forwarded",
            "ou_1",
            ("open_id", "ou_1"),
        ),
        ("/open-apis/im/v1/threads/omt_1/forward", {"receive_id": "ou_1"}, "image", "what was forwarded", "ou_1", None),
    ],
    ids=["create", "reply", "forward", "thread"],
)
def test_what_a_plain_call_says_is_a_message(
    path: str, body: Any, kind: str, content: str, user: str, target: tuple[str, str] | None
) -> None:
    query = () if path.endswith("/reply") else (("receive_id_type", "open_id"),)
    for spelt in (body, orjson.dumps(body)):
        found = change("POST", path, spelt, MADE, query)
        assert found is not None
        assert (found.type, found.body, found.user_id) == (kind, content, user)
        assert (found.message_id, found.chat_id) == ("om_2", "oc_2")
        assert target is None or found.target == dict(zip(("kind", "id"), target, strict=True))


def test_a_merged_forward_is_found_inside_its_answer() -> None:
    found = change("POST", f"{MESSAGES}/merge_forward", {"receive_id": "oc_1"}, {"message": MADE})
    assert found is not None
    assert (found.message_id, found.chat_id, found.type) == ("om_2", "oc_2", "image")


@pytest.mark.parametrize(
    ("path", "body", "made", "kind", "message", "kept"),
    [
        ("/open-apis/ephemeral/v1/send", {"card": CARD}, MADE, "ephemeral.send", "om_2", {"card": CARD}),
        ("/open-apis/ephemeral/v1/delete", {"message_id": "om_1"}, {}, "ephemeral.delete", "om_1", None),
        ("/open-apis/message/v4/batch_send/", SAID, {"message_id": "bm-1"}, "message.send", "bm-1", SAID),
        ("/open-apis/interactive/v1/card/update", {"token": "c-1", "card": CARD}, {}, UPDATED, "", {"card": CARD}),
        (CARDS, {"data": "{}"}, {"card_id": "7"}, "cardkit.card", "", {"card_id": "7", "data": "{}"}),
        (f"{CARDS}/7/elements", {"elements": "[]"}, {}, "cardkit.card", "", {"card_id": "7", "elements": "[]"}),
    ],
    ids=["ephemeral", "ephemeral-gone", "batch", "token", "entity", "element"],
)
def test_what_is_said_otherwise(path: str, body: Any, made: Any, kind: str, message: str, kept: Any) -> None:
    found = change("POST", path, body, made)
    assert found is not None
    assert (found.type, found.message_id, found.target) == (kind, message, None)
    assert found.body == (kept or body)


@pytest.mark.parametrize("made", [{}, {"body": None}, {"body": "x", "message": "y"}], ids=["none", "null", "words"])
def test_no_answer_is_too_odd_to_be_kept(made: Any) -> None:
    assert change("POST", MESSAGES, b"{}", made) is not None


async def test_late_cards_and_cards_for_one_are_told(
    feishu: StandIn, spec: BotSpec, api: FeishuApi, tokens: Tokens, cache: CacheTiers, link: RedisLink, keys: Keys
) -> None:
    told: list[tuple[str, str, str, str]] = []

    async def hear(_spec: BotSpec, change: Change) -> None:
        told.append((change.type, change.message_id, change.chat_id, change.user_id))

    sender = Sender(api, tokens, Limiter(link, keys, SendLimits()), cache, on_change=hear)
    feishu.answers["POST /open-apis/interactive/v1/card/update"] = {"code": 0}
    feishu.answers["POST /open-apis/ephemeral/v1/send"] = {"code": 0, "data": {"message_id": "om_e"}}
    await sender.update_card(spec, "c-1", CARD, "om_1")
    await sender.ephemeral(spec, "oc_1", "ou_1", CARD)
    assert told == [(UPDATED, "om_1", "", ""), ("ephemeral.send", "om_e", "oc_1", "ou_1")]


async def test_what_authors_call_stands_in_the_log(
    feishu: StandIn,
    spec: BotSpec,
    api: FeishuApi,
    tokens: Tokens,
    cache: CacheTiers,
    link: RedisLink,
    keys: Keys,
    keyring: Keyring,
) -> None:
    events = EventLog(link, keys)
    sender = Sender(api, tokens, Limiter(link, keys, SendLimits()), cache, on_change=SentLog(events, keyring).changed)
    feishu.answers[f"PATCH {MESSAGES}/om_1"] = {"code": 0}
    response = await sender.call(spec, create())
    await sender.call(spec, patch())
    said, edit = (entry for _, _, entry in await events.read([spec.id], "c", 9, 10))
    assert (said.type, said.message_id, said.chat_id) == ("text", response.data.message_id, response.data.chat_id)
    cipher = await keyring.cipher(spec.id)
    document = orjson.loads(cipher.open(edit.sealed, record_identity(edit.event_id)))
    assert document == {"msg_type": "im.message.patch", "content": {"content": "{}"}}


async def test_what_is_told_stands_in_the_log_sealed(
    link: RedisLink, keys: Keys, spec: BotSpec, tmp_path: Path
) -> None:
    keyring = Keyring(MasterKey([new_key()], "a test"), link, keys, tmp_path)
    events = EventLog(link, keys)
    sent_log = SentLog(events, keyring)
    said = Change("text", "om_2", SAID["content"], "oc_2", "ou_1", {"kind": "open_id", "id": "ou_1"})
    for one in (said, said, Change("im.message.patch", "om_2", {"content": "{}"})):
        await sent_log.changed(spec, one)
    first, again, edit = (entry for _, _, entry in await events.read([spec.id], "c", 9, 10))
    assert again.event_id == first.event_id, "a call that was repeated has said nothing more"
    assert edit.event_id not in ("", first.event_id)
    assert (first.kind, first.type, first.chat_id, first.user_id) == ("sent", "text", "oc_2", "ou_1")
    cipher = await keyring.cipher(spec.id)
    assert orjson.loads(cipher.open(first.sealed, record_identity(first.event_id))) == {**SAID, "target": said.target}
