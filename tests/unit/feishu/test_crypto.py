"""Encryption: Feishu's vectors, what must be refused, and agreement with lark-oapi."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import BadRequest
from app.feishu.crypto import aes_key, decrypt, encrypt
from tests import vectors

KEY = aes_key(vectors.ENCRYPT_KEY)


def test_key_is_sha256_of_the_encrypt_key() -> None:
    assert KEY.hex() == vectors.ENCRYPT_KEY_SHA256


def test_vector_of_the_documentation() -> None:
    key = aes_key(vectors.DOCS_KEY)
    assert decrypt([key], vectors.DOCS_CIPHER) == vectors.DOCS_PLAIN
    assert encrypt(key, vectors.DOCS_PLAIN, vectors.DOCS_IV) == vectors.DOCS_CIPHER


@pytest.mark.parametrize(("plain", "cipher"), vectors.PLAIN_AND_CIPHER)
def test_vectors_both_ways(plain: bytes, cipher: str) -> None:
    assert decrypt([KEY], cipher) == plain
    assert encrypt(KEY, plain, vectors.IV) == cipher


def test_every_key_is_tried() -> None:
    # This other key does not happen to give proper padding.
    assert decrypt([aes_key("the old one"), KEY], vectors.EVENT_CIPHER) == vectors.EVENT_PLAIN


def test_two_encryptions_differ() -> None:
    assert encrypt(KEY, b"same") != encrypt(KEY, b"same")


def _flipped(cipher: str) -> str:
    data = bytearray(base64.b64decode(cipher))
    data[-1] ^= 1
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(_flipped(vectors.EVENT_CIPHER), id="last byte flipped"),
        pytest.param(vectors.EVENT_CIPHER[:-8], id="truncated by a few characters"),
        pytest.param(vectors.EVENT_CIPHER[:-3], id="not whole base64"),
        pytest.param(vectors.EVENT_CIPHER.replace("A", "*", 1), id="foreign character"),
        pytest.param(vectors.EVENT_CIPHER[:40] + "\n" + vectors.EVENT_CIPHER[40:], id="line break"),
        pytest.param(vectors.EVENT_CIPHER.replace("A", "你", 1), id="not ASCII"),
        pytest.param(base64.b64encode(vectors.IV).decode(), id="only the IV"),
        pytest.param("", id="empty"),
    ],
)
def test_damage_is_one_uniform_error(broken: str) -> None:
    with pytest.raises(BadRequest) as refused:
        decrypt([KEY], broken)
    assert str(refused.value) == "the body cannot be decrypted"


def test_wrong_padding_is_refused() -> None:
    # The last byte says 4, the three before it say something else; and there is always some padding.
    for last in (b"x" * 12 + b"\x01\x02\x03\x04", b"x" * 15 + b"\x00", b"\x11" * 16):
        whole = encrypt(KEY, last, bytes(16))
        without_padding_block = base64.b64encode(base64.b64decode(whole)[:-16]).decode()
        with pytest.raises(BadRequest):
            decrypt([KEY], without_padding_block)


def test_no_key_opens_nothing() -> None:
    with pytest.raises(BadRequest):
        decrypt([], vectors.EVENT_CIPHER)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_round_trip(plain: bytes) -> None:
    assert decrypt([KEY], encrypt(KEY, plain)) == plain


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_decrypted_or_refused(text: str) -> None:
    try:
        decrypt([KEY], text)
    except BadRequest:
        pass


@settings(deadline=None)
@given(st.text(max_size=100))
def test_lark_oapi_reads_what_we_encrypt(plain: str) -> None:
    from lark_oapi.core.utils import AESCipher

    sealed = encrypt(KEY, plain.encode())
    assert AESCipher(vectors.ENCRYPT_KEY).decrypt_str(sealed) == plain
