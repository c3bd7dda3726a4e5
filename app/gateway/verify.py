"""Proves that a request comes from Feishu and is meant for this bot: a pure function of bot, headers, body and time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any, Final, NamedTuple

import orjson

from app.core.errors import BadRequest, NotVerified
from app.feishu.crypto import decrypt
from app.feishu.parse import app_id_of, is_event, is_legacy_card, parse_instant, token_of
from app.feishu.signature import card_signature, event_signature
from app.model.bot import BotSpec

# Only challenges are read without a signature; real ones are under 200 bytes.
_LARGEST_UNSIGNED: Final = 8 * 1024
_NO_EVENT: Final = "the body is not a Feishu event"
_LEADING_DIGITS: Final = re.compile(rb"\d{10}")


class Signed(NamedTuple):
    """The three headers that a signature needs; None for one that is missing, empty or there twice."""

    timestamp: bytes | None
    nonce: bytes | None
    signature: bytes | None


class Verified(NamedTuple):
    """A proved event: its parsed JSON, and the bytes received or decrypted."""

    document: dict[str, Any]
    plain: bytes
    odd_timestamp: bool = False
    """The signed timestamp was no number, so its age was not checked."""

    def __repr__(self) -> str:
        return f"Verified(<{len(self.plain)} bytes hidden>)"


@dataclass(frozen=True, slots=True)
class Challenge:
    """A `url_verification` request with the right token; it is answered at once with its value."""

    value: str


def verify(spec: BotSpec, signed: Signed, body: bytes, now: float) -> Verified | Challenge:
    """What the request holds, once proved; NotVerified or BadRequest. `now` is in seconds since the epoch.

    Signature, decryption, token, app id, in this order: nothing unsigned is decrypted but a challenge, which Feishu
    does not sign (Feishu docs: URL verification).
    """
    place = _matching_key(spec, signed, body)
    if place is None:
        return _without_signature(spec, signed, body, now)
    odd = _check_age(spec, signed.timestamp, now)
    envelope = _json(body)
    encrypted = envelope.get("encrypt")
    if not isinstance(encrypted, str):
        return _challenge(spec, envelope, "plain")
    plain = decrypt((spec.keys[place],), encrypted)
    return _admit(spec, _json(plain), plain, odd)


def _matching_key(spec: BotSpec, signed: Signed, body: bytes) -> int | None:
    """The index of the bot's encrypt key that made the signature, if any."""
    timestamp, nonce, signature = signed
    if timestamp is None or nonce is None or signature is None:
        return None
    found = None
    for place, key in enumerate(spec.encrypt_keys):
        # No early end: the time must not tell which key is right. An empty key proves nothing.
        if compare_digest(event_signature(timestamp, nonce, key, body).encode(), signature) and key:
            found = place
    return found


def _without_signature(spec: BotSpec, signed: Signed, body: bytes, now: float) -> Verified | Challenge:
    if spec.config.legacy_cards and _signed_as_card(spec, signed, body):
        return _legacy_card(spec, body, _check_age(spec, signed.timestamp, now))
    if not spec.keys:
        if not spec.config.allow_plaintext:
            raise NotVerified("plain")
        document = _json(body)
        if "encrypt" in document:
            raise BadRequest("the body cannot be decrypted: this bot has no encrypt key")
        return _admit(spec, document, body, odd=False)
    if len(body) > _LARGEST_UNSIGNED:
        raise NotVerified("signature")
    document = _json(body)
    encrypted = document.get("encrypt")
    if not isinstance(encrypted, str):
        return _challenge(spec, document, "plain")
    for key in spec.keys:
        # A wrong key gives proper padding once in 256 times, so only JSON ends the search. All failures here get the
        # same answer: a sender who cannot sign learns nothing about padding.
        try:
            opened = _json(decrypt((key,), encrypted))
        except BadRequest:
            continue
        return _challenge(spec, opened, "signature")
    raise NotVerified("signature")


def _signed_as_card(spec: BotSpec, signed: Signed, body: bytes) -> bool:
    timestamp, nonce, signature = signed
    if timestamp is None or nonce is None or signature is None:
        return False
    found = False
    for token in spec.tokens:
        match = compare_digest(card_signature(timestamp, nonce, token, body).encode(), signature)
        found |= match and token != b""
    return found


def _legacy_card(spec: BotSpec, body: bytes, odd: bool) -> Verified | Challenge:
    plain, document = body, _json(body)
    encrypted = document.get("encrypt")
    if isinstance(encrypted, str):
        plain = decrypt(spec.keys, encrypted)
        document = _json(plain)
    if not is_legacy_card(document):
        # This weaker check is for legacy cards alone.
        return _challenge(spec, document, "signature")
    return Verified(document, plain, odd)


def _admit(spec: BotSpec, document: dict[str, Any], plain: bytes, odd: bool) -> Verified | Challenge:
    if document.get("type") == "url_verification":
        return _challenge(spec, document, "token")
    if not _known_token(spec, token_of(document)):
        if not is_event(document):
            raise BadRequest(_NO_EVENT)
        if not (is_legacy_card(document) and spec.config.legacy_cards and spec.keys):
            raise NotVerified("token")
    app_id = app_id_of(document)
    if app_id and app_id != spec.credentials.app_id:
        raise NotVerified("app_id")
    return Verified(document, plain, odd)


def _challenge(spec: BotSpec, document: dict[str, Any], otherwise: str) -> Challenge:
    """The challenge in `document`; if there is none, the check named `otherwise` has failed."""
    if document.get("type") != "url_verification":
        raise NotVerified(otherwise)
    token = document.get("token")
    if not _known_token(spec, token if isinstance(token, str) else ""):
        raise NotVerified("token")
    value = document.get("challenge")
    if not isinstance(value, str):
        raise BadRequest("the challenge is missing or no string")
    return Challenge(value)


def _known_token(spec: BotSpec, token: str) -> bool:
    given = token.encode()
    found = False
    for known in spec.tokens:
        found |= compare_digest(given, known)
    return found and given != b""


def _check_age(spec: BotSpec, timestamp: bytes | None, now: float) -> bool:
    """Refuse what was signed too long ago; True if the timestamp is no number and could not be checked."""
    stamp = timestamp or b""
    signed_at = parse_instant(stamp)
    if signed_at is None or signed_at > now:
        # Nothing separates timestamp and nonce in the signed text, so characters of the nonce can be moved to an old
        # request's timestamp. Its first ten digits are the seconds, whatever the unit.
        leading = _LEADING_DIGITS.match(stamp)
        if leading is None:
            return signed_at is None
        signed_at = float(leading[0])
    if now - signed_at > spec.config.max_age:
        raise NotVerified("age")
    return False


def _json(data: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise BadRequest("the body is not JSON") from None
    if not isinstance(document, dict):
        raise BadRequest(_NO_EVENT)
    return document
