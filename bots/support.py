"""工单机器人 · Takes tickets in a chat and has them approved or rejected by the buttons of a card."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.sdk import Bot, Card, CardAction, Context, Message, Toast, plain, to_me

KEPT = "90d"
LISTED = 20

Status = Literal["open", "approved", "rejected"]
SHOWN: dict[Status, str] = {
    "open": "⏳ 待处理 · Open",
    "approved": "✅ 已通过 · Approved",
    "rejected": "❌ 已驳回 · Rejected",
}


class Settings(BaseModel):
    """`settings:` of config.yaml."""

    reviewers: tuple[str, ...] = Field((), description="open ids of who may decide; empty: everybody in the chat")


bot = Bot(Settings)


@bot.command("ticket", help="/ticket 描述问题  新建工单 · Open a ticket")
@bot.command("工单", help="/工单 描述问题")
async def ticket(message: Message, ctx: Context[Settings]) -> str | Card:
    """Open a ticket, numbered within the chat."""
    if not message.args:
        return "用法：/ticket 描述问题 · Usage: /ticket what is wrong"
    number = await _number(message, ctx)
    opened = {"text": message.args, "by": message.sender_id, "status": "open"}
    await ctx.state.chat.set(f"ticket:{number}", opened, ttl=KEPT)
    return (
        _card(number, opened)
        .button("通过 · Approve", action="approve", value={"number": number}, style="primary")
        .button("驳回 · Reject", action="reject", value={"number": number}, style="danger")
    )


@bot.command("mine", help="/mine  我的工单 · My tickets")
async def mine(message: Message, ctx: Context[Settings]) -> str:
    """List the sender's latest tickets in this chat."""
    last = await ctx.state.chat.get("last", 0)
    lines: list[str] = []
    for number in range(last, max(0, last - LISTED), -1):
        found = await ctx.state.chat.get(f"ticket:{number}")
        if found and found["by"] == message.sender_id:
            lines.append(f"#{number} {SHOWN[found['status']]}  {plain(found['text'])}")
    return "\n".join(lines) or "你还没有工单 · You have no tickets"


@bot.command("help", help="/help  用法 · This list")
@bot.command("帮助")
async def show_help(message: Message, ctx: Context[Settings]) -> str:
    """List the commands."""
    return bot.help_text()


@bot.message(to_me)
async def anything_else(message: Message, ctx: Context[Settings]) -> str:
    """Show the way."""
    return "发送 /help 查看用法 · Send /help to see what I can do"


@bot.card("approve")
async def approve(action: CardAction, ctx: Context[Settings]) -> Toast | tuple[Toast, Card]:
    """Approve the ticket of the card."""
    return await _decide(action, ctx, "approved")


@bot.card("reject")
async def reject(action: CardAction, ctx: Context[Settings]) -> Toast | tuple[Toast, Card]:
    """Reject the ticket of the card."""
    return await _decide(action, ctx, "rejected")


async def _number(message: Message, ctx: Context[Settings]) -> int:
    """The ticket's number; the same when the hub hands the message over once more after a crash."""
    chat = ctx.state.chat
    # Messages of a chat come one after the other, so nobody else counts meanwhile.
    last: int = await chat.get("last", 0)
    number: int = await chat.get(f"number:{message.message_id}", last + 1)
    await chat.set(f"number:{message.message_id}", number, ttl="24h")
    await chat.set("last", max(last, number))
    return number


async def _decide(action: CardAction, ctx: Context[Settings], status: Status) -> Toast | tuple[Toast, Card]:
    if ctx.settings.reviewers and action.operator_id not in ctx.settings.reviewers:
        return Toast.warning("你不能审批工单", {"en_us": "You may not decide on tickets"})
    number = action.get("number")
    found = await ctx.state.chat.get(f"ticket:{number}")
    if found is None:
        return Toast.error("这个工单已过期", {"en_us": "This ticket is no longer kept"})
    if found["status"] == "open":
        found |= {"status": status, "decided_by": action.operator_id}
        await ctx.state.chat.set(f"ticket:{number}", found, ttl=KEPT)
        return Toast.success("完成", {"en_us": "Done"}), _card(number, found)
    return Toast.info("已有人处理", {"en_us": "Somebody was faster"}), _card(number, found)


def _card(number: int, found: dict[str, Any]) -> Card:
    status: Status = found["status"]
    color: Literal["blue", "green", "red"] = "blue" if status == "open" else "green" if status == "approved" else "red"
    decided = f" {Card.at(found['decided_by'])}" if "decided_by" in found else ""
    return (
        Card.of(title=f"工单 #{number} · Ticket #{number}", color=color)
        .text(plain(found["text"]))
        .text(f"{Card.at(found['by'])}  {SHOWN[status]}{decided}")
    )
