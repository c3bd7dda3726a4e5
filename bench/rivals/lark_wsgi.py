"""lark-oapi's dispatcher behind plain WSGI, for gunicorn: less than what a Flask app would cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bench.rivals.dispatcher import answer

_NAMES = {
    "HTTP_X_LARK_REQUEST_TIMESTAMP": "X-Lark-Request-Timestamp",
    "HTTP_X_LARK_REQUEST_NONCE": "X-Lark-Request-Nonce",
    "HTTP_X_LARK_SIGNATURE": "X-Lark-Signature",
}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer one event."""
    headers = {name: environ[key] for key, name in _NAMES.items() if key in environ}
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    made = answer(environ["PATH_INFO"].rpartition("/")[2], headers, body)
    start_response(
        f"{made.status_code} OK" if made.status_code == 200 else f"{made.status_code} Error", [*made.headers.items()]
    )
    return [made.content]
