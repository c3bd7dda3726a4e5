"""Words are found by keyed hashes: the same under one key, others under another, and what is shown was really said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from app.core.errors import SealBroken
from app.storage.audit import Audit
from app.storage.cipher import Cipher, record_identity
from app.storage.database import Database
from app.storage.keeping import Keeping
from app.storage.message import RECALLS, NewMessage
from app.storage.messages import Messages
from app.storage.query import Query
from app.storage.reveal import Found, Reveals
from app.storage.words import hashes, hashes_by_key, says, sought, tokens
from tests.unit.storage.catalog import CatalogOf

CIPHER = Cipher("echo", {b"keyi": bytes(32)}, b"keyi")


class _Keys:
    def __init__(self, **ciphers: Cipher) -> None:
        self.ciphers = ciphers

    async def cipher(self, bot: str) -> Cipher:
        return self.ciphers[bot]

    refresh = cipher


class Still:
    """A clock that stands: no search takes too long."""

    def now(self) -> float:
        return 1_700_000_000.0

    monotonic = now

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


class _Letters:
    def __init__(self) -> None:
        self.withdrawn: list[tuple[str, Sequence[str], Sequence[str]]] = []

    async def withdraw(self, bot: str, message_ids: Sequence[str], *, but: Sequence[str] = ()) -> int:
        self.withdrawn.append((bot, message_ids, but))
        return 1


def said(number: int, text: str, cipher: Cipher = CIPHER, **changes: Any) -> NewMessage:
    key = f"evt_{number}"
    document = {"event": {"message": {"content": orjson.dumps({"text": text}).decode()}}}
    fields: dict[str, Any] = {
        "bot": cipher.bot,
        "key": key,
        "direction": "in",
        "type": "im.message.receive_v1",
        "chat_id": "oc_1",
        "user_id": "ou_1",
        "message_id": f"om_{number}",
        "created": 1_700_000_000_000 + number * 1000,
        "sealed": cipher.seal(orjson.dumps(document), record_identity(key)),
    }
    return NewMessage(**fields | changes)


@pytest.fixture
def reveals(messages: Messages, database: Database) -> Reveals:
    other = Cipher("other", {b"keyi": b"\1" * 32}, b"keyi")
    return Reveals(messages, _Keys(echo=CIPHER, other=other), Audit(database), clock=Still())


@pytest.fixture
def keeping(messages: Messages) -> Keeping:
    return Keeping(messages, _Keys(echo=CIPHER), CatalogOf(echo={"word_index": True}))


async def find(reveals: Reveals, words: str, **narrower: Any) -> list[str]:
    found: Found = await reveals.with_words(words, Query("echo", **narrower), who="me", why="a test")
    assert found.whole
    return [one.info.key for one in found.messages]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Hello, WORLD hello", ["hello", "world"]),
        ("退货的订单", ["退货", "货的", "的订", "订单"]),
        ("订单A-17号", ["订单", "a", "17", "号"]),
        ("ｆｕｌｌ width ﬁ", ["full", "width", "fi"]),
        ("", []),
        ("!?", []),
        ("かな 한국어", ["かな", "한국", "국어"]),
    ],
)
def test_tokens(text: str, found: Sequence[str]) -> None:
    assert tokens(text) == list(found)


def test_a_long_text_does_not_fill_the_index() -> None:
    assert len(tokens(" ".join(map(str, range(5000))))) == 1000


def test_what_says_too_little_cannot_be_sought() -> None:
    assert sought("订 单号") == ["单号"]
    for little in ("订", "?", " "):
        with pytest.raises(ValueError, match="two Chinese characters"):
            sought(little)


def test_hashes_are_the_bots_own_and_go_with_its_key() -> None:
    found = hashes(CIPHER, ["refund"])
    assert found == hashes(Cipher("echo", {b"keyi": bytes(32)}, b"keyi"), ["refund"])
    assert found != hashes(Cipher("echo", {b"keyi": b"\1" * 32}, b"keyi"), ["refund"])
    renewed = Cipher("echo", {b"keyi": bytes(32), b"key2": b"\1" * 32}, b"key2")
    assert found in hashes_by_key(renewed, ["refund"])
    assert found != hashes(renewed, ["refund"])


def test_the_hash_alone_is_not_believed() -> None:
    assert says("请退货，订单 17", "订单 退货")
    assert not says("退款，货的订单", "退货")


async def test_messages_are_found_by_their_words(keeping: Keeping, reveals: Reveals) -> None:
    await keeping.insert(
        [said(1, "请给我退货"), said(2, "order 17 REFUND"), said(3, "退款，收货"), said(4, "订单退货 17")]
    )
    assert await find(reveals, "退货") == ["evt_4", "evt_1"]
    assert await find(reveals, "refund") == ["evt_2"]
    assert await find(reveals, "17") == ["evt_4", "evt_2"]
    assert await find(reveals, "17 退货") == ["evt_4"]
    assert await find(reveals, "nobody") == []


async def test_of_a_common_word_no_more_is_opened_than_is_shown(
    keeping: Keeping, reveals: Reveals, database: Database
) -> None:
    await keeping.insert([said(number, "refund" if number % 10 else "refund now") for number in range(450)])
    assert len((await reveals.with_words("refund", Query("echo"), who="me", why="a test")).messages) == 50
    assert [record.which for record in await Audit(database).list()] == ["251-450"]
    # All of them: each once, the newest first, though the index is asked twice.
    found = await reveals.with_words("refund", Query("echo"), who="me", why="a test", limit=1000)
    assert [one.info.key for one in found.messages] == [f"evt_{number}" for number in reversed(range(450))]
    assert (found.whole, found.before) == (True, None)


async def test_words_with_other_bounds(keeping: Keeping, reveals: Reveals, database: Database) -> None:
    day = 86_400_000
    rows = [said(number, "refund please", created=number * day, chat_id=f"oc_{number % 2}") for number in range(6)]
    await keeping.insert(rows)
    assert await find(reveals, "refund") == [f"evt_{number}" for number in (5, 4, 3, 2, 1, 0)]
    assert [record.which for record in await Audit(database).list()] == ["1-6"], "one record for several days"
    assert await find(reveals, "refund", chat="oc_1") == ["evt_5", "evt_3", "evt_1"]
    assert await find(reveals, "refund", since=2 * day, until=4 * day) == ["evt_3", "evt_2"]
    assert await find(reveals, "refund", sender="ou_9") == []
    assert await find(reveals, "refund", chat="oc_0") == ["evt_4", "evt_2", "evt_0"]


async def test_a_bot_without_the_index_leaves_none(messages: Messages, reveals: Reveals) -> None:
    plain = Keeping(messages, _Keys(echo=CIPHER), CatalogOf(echo={}))
    await plain.insert([said(1, "refund")])
    assert await find(reveals, "refund") == []


async def test_a_batch_that_comes_again_is_indexed_once(keeping: Keeping, reveals: Reveals) -> None:
    await keeping.insert([said(1, "refund")])
    await keeping.insert([said(1, "refund"), said(2, "refund")])
    assert await find(reveals, "refund") == ["evt_2", "evt_1"]


async def test_a_card_without_end_holds_up_nobody(keeping: Keeping, reveals: Reveals) -> None:
    card = b'{"elements":[' * 500 + b"]}" * 500
    document = orjson.dumps({"content": card.decode()})
    await keeping.insert([said(1, "", sealed=CIPHER.seal(document, record_identity("evt_1"))), said(2, "refund")])
    assert await find(reveals, "refund") == ["evt_2"]


async def test_whatever_is_wrong_with_the_words_of_one_the_others_are_stored(
    keeping: Keeping, reveals: Reveals, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def strange(text: str) -> list[str]:
        if "odd" in text:
            raise IndexError(f"cannot read {text}")
        return tokens(text)

    monkeypatch.setattr("app.storage.keeping.tokens", strange)
    await keeping.insert([said(1, "odd words"), said(2, "refund")])
    assert await find(reveals, "refund") == ["evt_2"]
    assert await find(reveals, "odd") == []
    printed = "".join(capfd.readouterr())
    assert ("evt_1" in printed, "odd words" in printed) == (True, False)


async def test_a_damaged_message_is_stored_without_words(keeping: Keeping, messages: Messages) -> None:
    damaged = said(1, "refund", sealed=said(2, "refund").sealed)
    await keeping.insert([damaged, said(3, "refund")])
    assert await messages.count() == 2


async def test_a_bot_without_its_key_holds_up_no_other(messages: Messages, reveals: Reveals) -> None:
    class Wanting(_Keys):
        async def cipher(self, bot: str) -> Cipher:
            if bot == "restored":
                raise SealBroken("bot restored: it was restored from a backup without its data key")
            return await super().cipher(bot)

    indexed = {"word_index": True}
    keeping = Keeping(messages, Wanting(echo=CIPHER), CatalogOf(echo=indexed, restored=indexed))
    await keeping.insert([said(1, "refund", bot="restored"), said(2, "refund")])
    assert await messages.count("restored") == 1
    assert await find(reveals, "refund") == ["evt_2"]


async def test_a_message_that_comes_after_its_recall_is_withdrawn_too(messages: Messages) -> None:
    keeping = Keeping(messages, _Keys(echo=CIPHER), CatalogOf(echo={"honour_recalls": True}))
    await keeping.insert([said(2, "", type="im.message.recalled_v1", message_id="om_1")])
    await keeping.insert([said(1, "withdrawn"), said(3, "stays")])
    states = {info.key: info.state for info in await messages.search(Query(bot="echo"))}
    assert states == {"evt_1": "recalled", "evt_2": "kept", "evt_3": "kept"}
    found = await messages.show(2)
    assert found is not None
    assert (found.info.key, found.sealed) == ("evt_1", None)


async def test_only_what_was_opened_stands_in_the_audit(keeping: Keeping, reveals: Reveals, database: Database) -> None:
    await keeping.insert([said(1, "refund"), said(2, "else")])
    await find(reveals, "refund")
    (record,) = await Audit(database).list()
    assert (record.who, record.action, record.bot, record.which, record.why) == ("me", "words", "echo", "1", "a test")


async def test_an_export_of_several_bots_stands_under_each_with_its_own(
    messages: Messages, reveals: Reveals, database: Database
) -> None:
    other = Cipher("other", {b"keyi": b"\1" * 32}, b"keyi")
    await messages.insert([said(1, "a"), said(2, "b", other), said(3, "c")])
    opened = [one.fault async for one in reveals.export(Query(), who="me", why="a test")]
    assert opened == [None] * 3
    found = {(record.bot, record.action, record.which) for record in await Audit(database).list()}
    assert found == {("echo", "export", "1, 3"), ("other", "export", "2")}


async def test_words_need_a_bot_and_a_reason(keeping: Keeping, reveals: Reveals) -> None:
    await keeping.insert([said(1, "refund")])
    with pytest.raises(ValueError, match="within a bot"):
        await reveals.with_words("refund", Query(), who="me", why="a test")
    with pytest.raises(ValueError, match="say why"):
        await reveals.with_words("refund", Query("echo"), who="me", why=" ")


async def test_a_recall_deletes_what_was_said_where_the_bot_says_so(messages: Messages, reveals: Reveals) -> None:
    keys = _Keys(echo=CIPHER)
    recall = said(3, "", type="im.message.recalled_v1", message_id="om_1")
    await Keeping(messages, keys, CatalogOf(echo={})).insert([said(1, "kept after all"), recall])
    first = await messages.show(1)
    assert first is not None
    assert first.sealed is not None
    letters = _Letters()
    honouring = Keeping(messages, keys, CatalogOf(echo={"honour_recalls": True, "word_index": True}), letters)
    edit = said(5, "an edit", direction="out", type="text", message_id="om_4")
    await honouring.insert([said(4, "withdrawn"), edit, said(6, "", type="im.message.recalled_v1", message_id="om_4")])
    assert letters.withdrawn == [("echo", ["om_4"], RECALLS)]
    shown = [await messages.show(number) for number in (3, 4, 5)]
    assert [one.info.state for one in shown if one] == ["recalled", "recalled", "kept"]
    assert [one.sealed is None for one in shown if one] == [True, True, False]
    assert await find(reveals, "withdrawn") == await find(reveals, "edit") == []
    found = await reveals.show(3, who="me", why="a test")
    assert found is not None
    opened, about = found
    assert opened.fault == "its content was recalled"
    assert [info.type for info in about] == ["text", "im.message.recalled_v1"]
    assert await messages.recall("echo", ["om_4"]) == 0
