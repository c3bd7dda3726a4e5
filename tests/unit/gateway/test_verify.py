"""Verification: who is let in, who is not, and that nothing else ever comes out of it."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from app.core.errors import BadRequest, NotVerified, RequestRefused
from app.feishu.crypto import aes_key, encrypt
from app.feishu.signature import card_signature
from app.gateway.verify import Challenge, Signed, Verified, verify
from app.model.bot import BotSpec
from tests import vectors
from tests.unit.gateway.kit import (
    Request,
    bot,
    message,
    plain_request,
    sealed_request,
    signed_request,
)

NOW = 1700000010.0
VECTOR = Signed(vectors.TIMESTAMP.encode(), vectors.NONCE.encode(), vectors.EVENT_SIGNATURE.encode())
UNSIGNED = Signed(None, None, None)


def check_of(spec: BotSpec, request: Request, now: float = NOW) -> str:
    with pytest.raises(NotVerified) as refused:
        verify(spec, request.signed, request.body, now)
    # The caller reads the same, whatever failed.
    assert str(refused.value) == "the request could not be verified"
    return refused.value.check


def let_in(spec: BotSpec, request: Request, now: float = NOW) -> Verified:
    proved = verify(spec, request.signed, request.body, now)
    assert isinstance(proved, Verified)
    return proved


def test_vector_is_let_in() -> None:
    proved = verify(bot(), VECTOR, vectors.EVENT_BODY, NOW)
    assert isinstance(proved, Verified)
    assert proved.plain == vectors.EVENT_PLAIN
    assert proved.document == orjson.loads(vectors.EVENT_PLAIN)
    assert not proved.odd_timestamp


def test_signature_of_another_body_is_refused_before_decrypting(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> bytes:
        raise AssertionError("decrypted without a signature")

    monkeypatch.setattr("app.gateway.verify.decrypt", never)
    request = signed_request(b'{"encrypt":"other"}')
    body = orjson.dumps({"encrypt": "A" * 10_000})
    assert check_of(bot(), Request(request.headers, body)) == "signature"


@pytest.mark.parametrize("missing", ["X-Lark-Request-Timestamp", "X-Lark-Request-Nonce", "X-Lark-Signature"])
def test_missing_header(missing: str) -> None:
    request = sealed_request(message(), timestamp=vectors.TIMESTAMP)
    del request.headers[missing]
    assert check_of(bot(), request) == "signature"


@pytest.mark.parametrize("value", ["", "x", "0" * 64, "é", vectors.EVENT_SIGNATURE.upper()])
def test_wrong_signature(value: str) -> None:
    signed = Signed(VECTOR.timestamp, VECTOR.nonce, value.encode() or None)
    with pytest.raises(NotVerified):
        verify(bot(), signed, vectors.EVENT_BODY, NOW)


def test_every_configured_key_and_token_is_good() -> None:
    spec = bot(keys=("old key", "new key"), tokens=("old token", "new token"))
    for key in ("old key", "new key"):
        for token in ("old token", "new token"):
            let_in(spec, sealed_request(message(token=token), key=key, timestamp=vectors.TIMESTAMP))
    request = sealed_request(message(token="old token"), key="third key", timestamp=vectors.TIMESTAMP)
    assert check_of(spec, request) == "signature"


def test_signed_by_one_key_and_encrypted_with_another_is_refused() -> None:
    spec = bot(keys=("one", "two"))
    body = orjson.dumps({"encrypt": encrypt(aes_key("two"), orjson.dumps(message()), bytes(16))})
    request = signed_request(body, key="one", timestamp=vectors.TIMESTAMP)
    with pytest.raises(BadRequest):
        verify(spec, request.signed, request.body, NOW)


def test_empty_secrets_prove_nothing() -> None:
    assert check_of(bot(keys=("",)), sealed_request(message(), key="", timestamp=vectors.TIMESTAMP)) == "signature"
    unsafe = bot(keys=(), tokens=("",), allow_plaintext=True)
    assert check_of(unsafe, plain_request(message(token=""))) == "token"
    assert check_of(bot(keys=(), tokens=(), allow_plaintext=True), plain_request(message())) == "token"


def test_wrong_token_and_app() -> None:
    def sealed(document: dict[str, Any]) -> Request:
        return sealed_request(document, timestamp=vectors.TIMESTAMP)

    assert check_of(bot(), sealed(message(token="other"))) == "token"
    assert check_of(bot(), sealed(message(token=""))) == "token"
    assert check_of(bot(), sealed(message(app_id="cli_other"))) == "app_id"
    old = {"uuid": "1", "token": vectors.VERIFICATION_TOKEN, "ts": "1700000000.1", "type": "event_callback"}
    let_in(bot(), sealed({**old, "event": {"type": "app_open"}}))
    assert check_of(bot(), sealed({**old, "event": {"type": "app_open", "app_id": "cli_other"}})) == "app_id"


@pytest.mark.parametrize("signed", [True, False])
def test_plain_event_to_a_bot_with_a_key(signed: bool) -> None:
    body = orjson.dumps(message())
    request = signed_request(body, timestamp=vectors.TIMESTAMP) if signed else plain_request(body)
    assert check_of(bot(), request) == "plain"


def test_bot_without_keys_needs_the_flag() -> None:
    assert check_of(bot(keys=()), plain_request(message())) == "plain"
    let_in(bot(keys=(), allow_plaintext=True), plain_request(message()))
    assert check_of(bot(keys=(), allow_plaintext=True), plain_request(message(token="other"))) == "token"
    with pytest.raises(BadRequest):
        verify(bot(keys=(), allow_plaintext=True), UNSIGNED, vectors.EVENT_BODY, NOW)


class TestAge:
    def test_every_unit(self) -> None:
        for stamp in ("1700000000", "1700000000000", "1700000000000000", "1700000000.5"):
            request = sealed_request(message(), timestamp=stamp)
            let_in(bot(max_age="1h"), request, now=1700000000 + 3600)
            assert check_of(bot(max_age="1h"), request, now=1700000000 + 3602) == "age"

    def test_default_covers_feishus_last_redelivery(self) -> None:
        request = sealed_request(message(), timestamp="1700000000")
        let_in(bot(), request, now=1700000000 + 7.1 * 3600)
        assert check_of(bot(), request, now=1700000000 + 9 * 3600) == "age"

    def test_a_clock_that_is_behind_does_no_harm(self) -> None:
        let_in(bot(), sealed_request(message(), timestamp="1700000000"), now=1700000000 - 600)

    def test_no_number_is_let_in_and_marked(self) -> None:
        for stamp in ("soon", "2023-11-14T22:13:20Z", "0x6553f100"):
            assert let_in(bot(), sealed_request(message(), timestamp=stamp)).odd_timestamp

    def test_moving_the_nonce_into_the_timestamp_makes_nothing_younger(self) -> None:
        late = 1700000000 + 9 * 3600
        request = sealed_request(message(), timestamp="1700000000", nonce="1234567890abc")
        whole = "17000000001234567890abc"
        for cut in range(1, len(whole)):
            moved = Signed(whole[:cut].encode(), whole[cut:].encode(), request.signed.signature)
            with pytest.raises(NotVerified) as refused:
                verify(bot(), moved, request.body, late)
            assert refused.value.check == "age"


class TestChallenge:
    def test_vector(self) -> None:
        assert verify(bot(), UNSIGNED, vectors.CHALLENGE_BODY, NOW) == Challenge("ajls384kdjx98XX")
        signed = VECTOR._replace(signature=vectors.CHALLENGE_SIGNATURE.encode())
        assert verify(bot(), signed, vectors.CHALLENGE_BODY, NOW) == Challenge("ajls384kdjx98XX")

    def test_plain(self) -> None:
        for spec in (bot(), bot(keys=(), allow_plaintext=True)):
            assert verify(spec, UNSIGNED, vectors.CHALLENGE_PLAIN, NOW) == Challenge("ajls384kdjx98XX")

    def test_any_key_in_any_place(self) -> None:
        # Of so many wrong keys some give proper padding by chance; the right one must still be found.
        spec = bot(keys=[f"key {n}" for n in range(600)] + [vectors.ENCRYPT_KEY])
        assert verify(spec, UNSIGNED, vectors.CHALLENGE_BODY, NOW) == Challenge("ajls384kdjx98XX")

    def test_wrong_token(self) -> None:
        for spec in (bot(tokens=("other",)), bot(keys=(), tokens=("other",), allow_plaintext=True)):
            assert check_of(spec, plain_request(vectors.CHALLENGE_PLAIN)) == "token"
        assert check_of(bot(tokens=("other",)), plain_request(vectors.CHALLENGE_BODY)) == "token"
        assert check_of(bot(), plain_request({"type": "url_verification", "challenge": "c"})) == "token"
        assert check_of(bot(), plain_request({"type": "url_verification", "token": 1, "challenge": "c"})) == "token"

    def test_without_a_value(self) -> None:
        with pytest.raises(BadRequest):
            verify(
                bot(),
                UNSIGNED,
                orjson.dumps({"type": "url_verification", "token": vectors.VERIFICATION_TOKEN}),
                NOW,
            )

    def test_unsigned_ciphertext_tells_nothing_of_padding(self) -> None:
        good = base64.b64decode(vectors.CHALLENGE_CIPHER)
        seen = set()
        for last in range(256):
            body = orjson.dumps({"encrypt": base64.b64encode(good[:-1] + bytes([last])).decode()})
            try:
                verify(bot(), UNSIGNED, body, NOW)
            except RequestRefused as refused:
                seen.add((refused.status, str(refused)))
        assert seen == {(401, "the request could not be verified")}


class TestLegacyCards:
    SIGNED = VECTOR._replace(signature=vectors.LEGACY_CARD_SIGNATURE.encode())

    @pytest.mark.parametrize("keys", [(), (vectors.ENCRYPT_KEY,)])
    def test_only_with_the_flag(self, keys: tuple[str, ...]) -> None:
        proved = verify(bot(keys=keys, legacy_cards=True), self.SIGNED, vectors.LEGACY_CARD_BODY, NOW)
        assert isinstance(proved, Verified)
        assert proved.plain == vectors.LEGACY_CARD_BODY
        with pytest.raises(NotVerified):
            verify(bot(keys=keys, allow_plaintext=True), self.SIGNED, vectors.LEGACY_CARD_BODY, NOW)

    def test_encrypted(self) -> None:
        sealed = encrypt(aes_key(vectors.ENCRYPT_KEY), vectors.LEGACY_CARD_BODY)
        body = orjson.dumps({"encrypt": sealed})
        token = vectors.VERIFICATION_TOKEN.encode()
        by_card = VECTOR._replace(signature=card_signature(vectors.TIMESTAMP, vectors.NONCE, token, body).encode())
        by_event = signed_request(body, timestamp=vectors.TIMESTAMP).signed
        for signed in (by_card, by_event):
            proved = verify(bot(legacy_cards=True), signed, body, NOW)
            assert isinstance(proved, Verified)
            assert proved.plain == vectors.LEGACY_CARD_BODY
            with pytest.raises(NotVerified):
                verify(bot(), signed, body, NOW)

    def test_unsigned_or_wrongly_signed(self) -> None:
        for keys in ((), (vectors.ENCRYPT_KEY,)):
            spec = bot(keys=keys, legacy_cards=True, allow_plaintext=True)
            with pytest.raises(NotVerified):
                verify(spec, UNSIGNED, vectors.LEGACY_CARD_BODY, NOW)
            with pytest.raises(NotVerified):
                verify(spec, self.SIGNED, vectors.LEGACY_CARD_BODY + b" ", NOW)
            for missing in Signed._fields:
                with pytest.raises(NotVerified):
                    verify(spec, self.SIGNED._replace(**{missing: None}), vectors.LEGACY_CARD_BODY, NOW)

    def test_age_counts(self) -> None:
        with pytest.raises(NotVerified):
            verify(bot(legacy_cards=True), self.SIGNED, vectors.LEGACY_CARD_BODY, NOW + 9 * 3600)

    def test_the_weak_door_is_for_cards_alone(self) -> None:
        body = orjson.dumps(message())
        token = vectors.VERIFICATION_TOKEN.encode()
        signed = VECTOR._replace(signature=card_signature(vectors.TIMESTAMP, vectors.NONCE, token, body).encode())
        with pytest.raises(NotVerified):
            verify(bot(legacy_cards=True), signed, body, NOW)


@pytest.mark.parametrize(
    "plain",
    [
        pytest.param(b"not json", id="not JSON"),
        pytest.param(b"[1,2]", id="a list"),
        pytest.param(b'"text"', id="a string"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(b'{"a":"\xc3"}', id="not UTF-8 inside"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"a":' * 2000 + b"1" + b"}" * 2000, id="deep objects"),
        pytest.param(b'{"a":1}', id="no event"),
        pytest.param(b"{}", id="empty object"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_is_no_event(plain: bytes) -> None:
    for spec, request in (
        (bot(), sealed_request(plain, timestamp=vectors.TIMESTAMP)),
        (bot(keys=(), allow_plaintext=True), plain_request(plain)),
    ):
        with pytest.raises(BadRequest):
            verify(spec, request.signed, request.body, NOW)


def test_signed_rubbish_in_the_envelope() -> None:
    for body in (b"not json", b"[]", b'{"encrypt":"%%%"}', b'{"encrypt":""}'):
        request = signed_request(body, timestamp=vectors.TIMESTAMP)
        with pytest.raises(BadRequest):
            verify(bot(), request.signed, request.body, NOW)
    request = signed_request(b'{"encrypt":{"a":1}}', timestamp=vectors.TIMESTAMP)
    assert check_of(bot(), request) == "plain"
