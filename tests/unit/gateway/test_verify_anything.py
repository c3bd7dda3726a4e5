"""Verification of whatever comes: refused in order, never another exception, nothing let in without proof."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import BadRequest, NotVerified, RequestRefused
from app.feishu.parse import parse_event
from app.gateway.verify import Signed, Verified, verify
from app.model.bot import BotSpec
from tests import vectors
from tests.unit.gateway.kit import bot, sealed_request, signed_request

NOW = 1700000010.0
VECTOR = Signed(vectors.TIMESTAMP.encode(), vectors.NONCE.encode(), vectors.EVENT_SIGNATURE.encode())


specs = st.sampled_from(
    [
        bot(),
        bot(keys=(), allow_plaintext=True),
        bot(keys=()),
        bot(legacy_cards=True),
        bot(keys=("a", "b"), tokens=("c", "d"), legacy_cards=True),
    ]
)
headers = st.none() | st.binary(max_size=30) | st.sampled_from([b"1700000000", b"1700000000000"])
bodies = st.one_of(
    st.binary(max_size=300),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=10),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "encrypt",
                        "type",
                        "token",
                        "challenge",
                        "header",
                        "schema",
                        "event",
                        "action",
                        "open_message_id",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=15,
    ).map(orjson.dumps),
)


@settings(deadline=None)
@given(specs, headers, headers, headers, bodies)
def test_whatever_comes_unsigned_is_refused_in_order(
    spec: BotSpec, timestamp: bytes | None, nonce: bytes | None, signature: bytes | None, body: bytes
) -> None:
    with pytest.raises(RequestRefused) as refused:
        verify(spec, Signed(timestamp, nonce, signature), body, NOW)
    assert refused.value.status in (400, 401)


@settings(deadline=None)
@given(bodies)
def test_whatever_is_signed_and_sealed_is_let_in_or_refused_in_order(plain: bytes) -> None:
    request = sealed_request(plain, timestamp=vectors.TIMESTAMP)
    try:
        proved = verify(bot(legacy_cards=True), request.signed, request.body, NOW)
        if isinstance(proved, Verified):
            parse_event(proved.document, raw=proved.plain)
    except (BadRequest, NotVerified):
        pass


@settings(deadline=None, max_examples=200)
@given(st.integers(0, len(vectors.EVENT_BODY) - 1), st.integers(1, 255))
def test_any_flipped_bit_is_refused(place: int, flip: int) -> None:
    body = bytearray(vectors.EVENT_BODY)
    body[place] ^= flip
    with pytest.raises(RequestRefused):
        verify(bot(), VECTOR, bytes(body), NOW)
    # Signed as it is, the damage shows when it is decrypted or parsed, or does not matter.
    request = signed_request(bytes(body), timestamp=vectors.TIMESTAMP)
    try:
        verify(bot(), request.signed, request.body, NOW)
    except RequestRefused:
        pass
