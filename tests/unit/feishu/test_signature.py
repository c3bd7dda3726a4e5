"""Signatures: Feishu's vectors, and agreement with lark-oapi's dispatcher and card handler."""

from __future__ import annotations

import json
from typing import Any

from app.feishu.crypto import aes_key, encrypt
from app.feishu.signature import card_signature, event_signature, hook_sign
from tests import vectors


def test_event_vectors() -> None:
    key = vectors.ENCRYPT_KEY.encode()
    for body, signature in (
        (vectors.CHALLENGE_BODY, vectors.CHALLENGE_SIGNATURE),
        (vectors.EVENT_BODY, vectors.EVENT_SIGNATURE),
    ):
        assert event_signature(vectors.TIMESTAMP, vectors.NONCE, key, body) == signature
        assert event_signature(vectors.TIMESTAMP.encode(), vectors.NONCE.encode(), key, body) == signature


def test_body_sizes_of_the_vectors() -> None:
    assert (len(vectors.CHALLENGE_BODY), len(vectors.EVENT_BODY), len(vectors.LEGACY_CARD_BODY)) == (
        166,
        806,
        160,
    )
    assert len(vectors.EVENT_PLAIN) == 572


def test_legacy_card_vector() -> None:
    token = vectors.VERIFICATION_TOKEN.encode()
    found = card_signature(vectors.TIMESTAMP, vectors.NONCE, token, vectors.LEGACY_CARD_BODY)
    assert found == vectors.LEGACY_CARD_SIGNATURE


def test_custom_bot_vector() -> None:
    assert hook_sign(vectors.TIMESTAMP, vectors.HOOK_SECRET) == vectors.HOOK_SIGN


def test_everything_that_is_signed_counts() -> None:
    key = b"k"
    plain = event_signature("1", "n", key, b"body")
    assert plain != event_signature("2", "n", key, b"body")
    assert plain != event_signature("1", "m", key, b"body")
    assert plain != event_signature("1", "n", b"l", b"body")
    assert plain != event_signature("1", "n", key, b"bodY")


def test_lark_oapi_accepts_what_we_sign() -> None:
    from lark_oapi import EventDispatcherHandler, RawRequest

    seen: list[Any] = []
    handler = (
        EventDispatcherHandler.builder(vectors.ENCRYPT_KEY, vectors.VERIFICATION_TOKEN)
        .register_p2_im_message_receive_v1(seen.append)
        .build()
    )
    sealed = encrypt(aes_key(vectors.ENCRYPT_KEY), vectors.EVENT_PLAIN)
    request = RawRequest()
    request.uri = "/webhook"
    request.body = json.dumps({"encrypt": sealed}).encode()
    request.headers = {
        "X-Lark-Request-Timestamp": vectors.TIMESTAMP,
        "X-Lark-Request-Nonce": vectors.NONCE,
        "X-Lark-Signature": event_signature(
            vectors.TIMESTAMP, vectors.NONCE, vectors.ENCRYPT_KEY.encode(), request.body
        ),
    }
    assert handler.do(request).status_code == 200
    assert [data.event.message.message_id for data in seen] == ["om_0001"]

    request.headers["X-Lark-Signature"] = "0" * 64
    assert handler.do(request).status_code == 500
