"""Builds the requests that Feishu posts: documents, envelopes, signatures, and forged ones for attacks."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from app.control.playground.world import TENANT, App
from app.feishu.crypto import encrypt
from app.feishu.signature import card_signature, event_signature

CONTENT_TYPE: Final = "application/json;charset=utf-8"


@dataclass(frozen=True, slots=True)
class Posted:
    """One request to a hub: headers and the raw body."""

    headers: dict[str, str]
    body: bytes = field(repr=False)


def event_v2(
    app: App, event_type: str, body: dict[str, Any], event_id: str, now: float, *, micro: bool = False
) -> dict[str, Any]:
    """A schema 2.0 event; `micro` gives `create_time` in microseconds, as cards and contacts have it."""
    return {
        "schema": "2.0",
        "header": {
            "event_id": event_id,
            "event_type": event_type,
            "create_time": str(int(now * (1e6 if micro else 1e3))),
            "token": app.verification_token,
            "app_id": app.app_id,
            "tenant_key": TENANT,
        },
        "event": body,
    }


def event_v1(app: App, event_type: str, body: dict[str, Any], event_id: str, now: float) -> dict[str, Any]:
    """A schema 1.0 event, with `ts` in seconds and a fraction."""
    return {
        "uuid": event_id,
        "token": app.verification_token,
        "ts": f"{now:.7f}",
        "type": "event_callback",
        "event": {"type": event_type, "app_id": app.app_id, "tenant_key": TENANT, **body},
    }


def challenge(app: App, value: str) -> dict[str, Any]:
    """What is posted when a URL is saved in the console."""
    return {"challenge": value, "token": app.verification_token, "type": "url_verification"}


def posted(app: App, document: dict[str, Any], now: float, *, unsigned: bool = False) -> Posted:
    """The request that carries a document: encrypted and signed where the app has an Encrypt Key."""
    plain = orjson.dumps(document)
    headers = {"Content-Type": CONTENT_TYPE, "X-Request-Id": secrets.token_hex(16)}
    if app.key is None or app.encrypt_key is None:
        return Posted(headers, plain)
    body = b'{"encrypt":"' + encrypt(app.key, plain).encode() + b'"}'
    return Posted(headers if unsigned else headers | signed(app, body, now), body)


def signed(app: App, body: bytes, now: float) -> dict[str, str]:
    """The three signature headers over a raw body."""
    stamp, nonce = str(int(now)), secrets.token_hex(8)
    return {
        "X-Lark-Request-Timestamp": stamp,
        "X-Lark-Request-Nonce": nonce,
        "X-Lark-Signature": event_signature(stamp, nonce, (app.encrypt_key or "").encode(), body),
    }


def legacy_card(app: App, document: dict[str, Any], now: float) -> Posted:
    """A flat `card.action.trigger_v1` callback, signed with SHA-1 over the Verification Token."""
    body, stamp, nonce = orjson.dumps(document), str(int(now)), secrets.token_hex(8)
    signature = card_signature(stamp, nonce, app.verification_token.encode(), body)
    headers = {
        "X-Lark-Request-Timestamp": stamp,
        "X-Lark-Request-Nonce": nonce,
        "X-Lark-Signature": signature,
    }
    return Posted({"Content-Type": CONTENT_TYPE, **headers}, body)


def _bad_signature(app: App, document: dict[str, Any], now: float) -> Posted:
    good = posted(app, document, now)
    return Posted({**good.headers, "X-Lark-Signature": "0" * 64}, good.body)


def _missing_headers(app: App, document: dict[str, Any], now: float) -> Posted:
    return posted(app, document, now, unsigned=True)


def _tampered(app: App, document: dict[str, Any], now: float) -> Posted:
    good = posted(app, document, now)
    middle = len(good.body) // 2
    other = b"A" if good.body[middle : middle + 1] != b"A" else b"B"
    return Posted(good.headers, good.body[:middle] + other + good.body[middle + 1 :])


def _tampered_but_signed(app: App, document: dict[str, Any], now: float) -> Posted:
    """A ciphertext that is no whole number of blocks, with a good signature: only decryption can find it."""
    body = b'{"encrypt":"' + posted(app, document, now).body[12:-14] + b'"}'
    return Posted({"Content-Type": CONTENT_TYPE} | signed(app, body, now), body)


def _wrong_token(app: App, document: dict[str, Any], now: float) -> Posted:
    return posted(app, {**document, "header": {**document.get("header", {}), "token": "not-the-token"}}, now)


def _other_app(app: App, document: dict[str, Any], now: float) -> Posted:
    header = {**document.get("header", {}), "app_id": "cli_ffffffffffffffff"}
    return posted(app, {**document, "header": header}, now)


def _plain(app: App, document: dict[str, Any], now: float) -> Posted:
    body = orjson.dumps(document)
    return Posted({"Content-Type": CONTENT_TYPE} | signed(app, body, now), body)


def _old(app: App, document: dict[str, Any], now: float) -> Posted:
    return posted(app, document, now - 30 * 86400.0)


def _huge(app: App, document: dict[str, Any], now: float) -> Posted:
    return posted(app, {**document, "padding": "x" * (10 * 1024 * 1024)}, now)


def _invalid_utf8(app: App, document: dict[str, Any], now: float) -> Posted:
    body = b'{"encrypt":"\xff\xfe\xfd"}'
    return Posted({"Content-Type": CONTENT_TYPE} | signed(app, body, now), body)


def _deep(app: App, document: dict[str, Any], now: float) -> Posted:
    body = b'{"event":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    return Posted({"Content-Type": CONTENT_TYPE} | signed(app, body, now), body)


def _not_json(app: App, document: dict[str, Any], now: float) -> Posted:
    body = b"this is not JSON"
    return Posted({"Content-Type": CONTENT_TYPE} | signed(app, body, now), body)


# Forged requests by name; each takes the app that is attacked, a genuine document, and the time in seconds.
ATTACKS: Final[dict[str, Callable[[App, dict[str, Any], float], Posted]]] = {
    "bad_signature": _bad_signature,
    "missing_headers": _missing_headers,
    "tampered": _tampered,
    "truncated_but_signed": _tampered_but_signed,
    "wrong_token": _wrong_token,
    "other_app": _other_app,
    "plain": _plain,
    "old": _old,
    "huge": _huge,
    "invalid_utf8": _invalid_utf8,
    "deep": _deep,
    "not_json": _not_json,
}
