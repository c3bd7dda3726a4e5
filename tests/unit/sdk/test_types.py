"""Strict mypy accepts what an author may write and rejects every wrong signature."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

# Each line with "rejected" must be an error, every other line must be fine.
SNIPPET = """
from pydantic import BaseModel
from app.sdk import Bot, Card, CardAction, Context, CronTick, FeishuEvent, Link, Message, Preview, Toast, to_me

class Settings(BaseModel):
    limit: int = 1

class Other(BaseModel):
    limit: int = 1

bot = Bot(Settings)
bare = Bot()

@bot.command("a")
async def typed_settings(message: Message, ctx: Context[Settings]) -> str:
    return "x" * ctx.settings.limit

@bot.command("a")
async def no_type_argument(message: Message, ctx: Context) -> Card | None:
    return None

@bot.message(to_me)
def plain(message: Message, ctx: Context) -> str:
    return ""

@bot.card("a")
async def both(action: CardAction, ctx: Context[Settings]) -> tuple[Toast, Card]:
    return Toast.success(""), Card.of()

@bot.event("im.chat.updated_v1")
async def event(event: FeishuEvent, ctx: Context) -> None: ...

@bot.preview(r"x")
async def preview(preview: Preview, ctx: Context) -> Link:
    return Link("x")

@bot.cron("0 9 * * *")
async def cron(tick: CronTick, ctx: Context) -> None: ...

@bot.error(ValueError, KeyError)
async def two_errors(error: ValueError | KeyError, ctx: Context) -> str:
    return ""

@bot.error()
async def all_errors(error: Exception, ctx: Context) -> Toast | None:
    return None

@bot.on_start
async def start(ctx: Context[Settings]) -> None: ...

async def keeps_its_type(message: Message, ctx: Context[Settings]) -> str:
    return await typed_settings(message, ctx)

@bot.command("a")  # rejected
async def card_for_message(action: CardAction, ctx: Context) -> str:
    return ""

@bot.command("a")  # rejected
async def returns_number(message: Message, ctx: Context) -> int:
    return 1

@bot.message()  # rejected
async def one_parameter(message: Message) -> str:
    return ""

@bot.command("a")  # rejected
async def other_settings(message: Message, ctx: Context[Other]) -> str:
    return ""

@bare.command("a")  # rejected
async def settings_of_a_bot_without(message: Message, ctx: Context[Settings]) -> str:
    return ""

@bot.card("a")  # rejected
async def text_for_a_button(action: CardAction, ctx: Context) -> str:
    return ""

@bot.cron("0 9 * * *")  # rejected
async def text_for_nobody(tick: CronTick, ctx: Context) -> str:
    return ""

@bot.error(ValueError)  # rejected
async def other_error(error: KeyError, ctx: Context) -> str:
    return ""

@bot.on_start  # rejected
async def hook_with_event(message: Message, ctx: Context) -> None: ...
"""


def test_mypy_rejects_wrong_handlers_and_nothing_else(tmp_path: Path) -> None:
    # mypy names the decorator's line; a file outside the checkout keeps it out of other runs.
    file = tmp_path / "author.py"
    file.write_text(SNIPPET, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--hide-error-context",
        str(file),
    ]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    wrong = {int(line) for line in re.findall(r"author\.py:(\d+): error", ran.stdout)}
    expected = {number for number, line in enumerate(SNIPPET.splitlines(), 1) if "# rejected" in line}
    assert wrong == expected, ran.stdout + ran.stderr
