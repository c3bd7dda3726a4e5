"""What is sealed opens only whole, in its place, and under its key."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import SealBroken
from app.storage.cipher import Cipher, looks_sealed

KEY_ID, KEY = b"\x00\x01\x02\x03", bytes(range(32))
CIPHER = Cipher("echo", {KEY_ID: KEY}, KEY_ID)


@given(plain=st.binary(max_size=4096), identity=st.binary(max_size=64))
def test_opens_what_it_sealed(plain: bytes, identity: bytes) -> None:
    assert CIPHER.open(CIPHER.seal(plain, identity), identity) == plain


@given(plain=st.binary(max_size=64), data=st.data())
def test_no_flipped_bit_goes_unseen(plain: bytes, data: st.DataObject) -> None:
    sealed = bytearray(CIPHER.seal(plain, b"event\n1"))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealBroken, match=r"^bot echo:"):
        CIPHER.open(bytes(sealed), b"event\n1")


@given(plain=st.binary(max_size=64), data=st.data())
def test_no_cut_goes_unseen(plain: bytes, data: st.DataObject) -> None:
    sealed = CIPHER.seal(plain, b"event\n1")
    length = data.draw(st.integers(0, len(sealed) - 1))
    with pytest.raises(SealBroken):
        CIPHER.open(sealed[:length], b"event\n1")


@given(here=st.binary(max_size=32), there=st.binary(max_size=32))
def test_a_record_that_was_moved_does_not_open(here: bytes, there: bytes) -> None:
    sealed = CIPHER.seal(b"hello", here)
    if here != there:
        with pytest.raises(SealBroken, match="moved"):
            CIPHER.open(sealed, there)


def test_another_bots_record_does_not_open_even_under_the_same_key() -> None:
    other = Cipher("support", {KEY_ID: KEY}, KEY_ID)
    with pytest.raises(SealBroken, match=r"^bot support: .*moved"):
        other.open(CIPHER.seal(b"hello", b"event\n1"), b"event\n1")


def test_old_keys_open_and_the_current_one_seals() -> None:
    new_id = b"\x09\x09\x09\x09"
    both = Cipher("echo", {KEY_ID: KEY, new_id: os.urandom(32)}, new_id)
    assert both.open(CIPHER.seal(b"old", b"1"), b"1") == b"old"
    with pytest.raises(SealBroken, match="09090909, which this node does not hold"):
        CIPHER.open(both.seal(b"new", b"1"), b"1")


def test_the_same_plain_is_sealed_differently_each_time() -> None:
    assert len({CIPHER.seal(b"hello", b"1") for _ in range(100)}) == 100


def test_what_is_derived_is_of_its_key_and_of_its_purpose() -> None:
    [words] = CIPHER.derived(b"words")
    assert CIPHER.derived(b"words") == [words]
    assert words not in (KEY, *CIPHER.derived(b"other"))
    new_id = b"\x09\x09\x09\x09"
    both = Cipher("echo", {KEY_ID: KEY, new_id: os.urandom(32)}, new_id)
    # The one that seals comes first.
    assert both.derived(b"words").index(words) == 1


def test_errors_and_repr_hold_neither_content_nor_key() -> None:
    sealed = CIPHER.seal(b"the secret text", b"1")
    with pytest.raises(SealBroken) as caught:
        CIPHER.open(sealed, b"2")
    shown = str(caught.value) + repr(CIPHER)
    assert "secret" not in shown
    assert KEY.hex() not in shown
    assert repr(KEY) not in shown
    assert repr(CIPHER) == "Cipher('echo', current=00010203, keys=<1 hidden>)"


@pytest.mark.parametrize(
    ("keys", "current"),
    [({}, KEY_ID), ({KEY_ID: KEY}, b"none"), ({b"long id": KEY}, b"long id"), ({KEY_ID: b"short"}, KEY_ID)],
)
def test_keys_that_do_not_fit_are_refused(keys: dict[bytes, bytes], current: bytes) -> None:
    with pytest.raises(ValueError, match="bot echo"):
        Cipher("echo", keys, current)


def test_the_outer_form_tells_sealed_from_plain() -> None:
    assert looks_sealed(CIPHER.seal(b"", b""))
    assert not looks_sealed(b'{"text": "a plain event that is long enough to be sealed"}')
    assert not looks_sealed(b"")
