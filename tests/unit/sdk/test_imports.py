"""`from app.sdk import …` brings nothing heavy with it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "redis",
    "fastapi",
    "starlette",
    "uvicorn",
    "lark_oapi",
    "aiohttp",
    "sqlalchemy",
    "structlog",
    "cryptography",
)


def test_what_a_bot_imports_is_light() -> None:
    code = f"import sys, app.sdk, bots.support; print([name for name in {HEAVY} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    from app import sdk

    for name in sdk.__all__:
        assert getattr(sdk, name) is not None
