"""The three signatures of Feishu's HTTP world: events, legacy cards, custom bots."""

from __future__ import annotations

import base64
import hashlib
import hmac


def event_signature(timestamp: str | bytes, nonce: str | bytes, encrypt_key: bytes, body: bytes) -> str:
    """`X-Lark-Signature` of events and new callbacks: SHA-256 with the Encrypt Key over the raw body."""
    digest = hashlib.sha256(_bytes(timestamp) + _bytes(nonce) + encrypt_key)
    digest.update(body)
    return digest.hexdigest()


def card_signature(timestamp: str | bytes, nonce: str | bytes, token: bytes, body: bytes) -> str:
    """`X-Lark-Signature` of legacy card callbacks: SHA-1, with the Verification Token in the key's place."""
    digest = hashlib.sha1(_bytes(timestamp) + _bytes(nonce) + token, usedforsecurity=False)
    digest.update(body)
    return digest.hexdigest()


def hook_sign(timestamp: str, secret: str) -> str:
    """`sign` of a custom bot's message: HMAC-SHA256 of no bytes, keyed with timestamp, line feed, secret."""
    key = f"{timestamp}\n{secret}".encode()
    return base64.b64encode(hmac.new(key, b"", hashlib.sha256).digest()).decode()


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
