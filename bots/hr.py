"""人事机器人 · Reminds of the daily report, greets new colleagues, takes requests for leave."""

from __future__ import annotations

from pydantic import BaseModel, Field

from app.sdk import (
    Bot,
    Card,
    CardAction,
    Context,
    CronTick,
    DatePicker,
    FeishuEvent,
    Input,
    Message,
    Select,
    Toast,
    at,
    plain,
)

KINDS = {"annual": "年假 · Annual leave", "sick": "病假 · Sick leave", "other": "其他 · Other"}


class Settings(BaseModel):
    """`settings:` of config.yaml."""

    chat_id: str = Field("", description="chat of the team (oc_…): reminders and requests go there")


bot = Bot(Settings)


@bot.cron("0 18 * * 1-5", tz="Asia/Shanghai")
async def remind(tick: CronTick, ctx: Context[Settings]) -> None:
    """Remind the team of the daily report, on working days at six."""
    if not ctx.settings.chat_id:
        ctx.log.warning("no chat to remind: set settings.chat_id in config.yaml")
        return
    await ctx.send(
        ctx.settings.chat_id,
        f"{tick.at:%m-%d} 请填写日报 · Please write your daily report",
    )


@bot.event("im.chat.member.user.added_v1")
async def greet(event: FeishuEvent, ctx: Context[Settings]) -> str | None:
    """Greet those who join a chat that the bot is in."""
    newcomers = [user["user_id"]["open_id"] for user in event.body.get("users", ())]
    if not newcomers:
        return None
    names = " ".join(at(open_id) for open_id in newcomers)
    return f"欢迎 {names}！发送 /请假 可以申请休假 · Welcome! Send /leave to ask for leave"


@bot.command("leave", help="/leave  申请休假 · Ask for leave")
@bot.command("请假", help="/请假  申请休假")
async def leave(message: Message, ctx: Context[Settings]) -> Card:
    """Show the form."""
    return Card.of(title="请假申请 · Leave request").form(
        Select("kind", "类型 · Kind", KINDS, required=True),
        DatePicker("first", "开始日期 · First day", required=True),
        DatePicker("last", "结束日期 · Last day", required=True),
        Input("reason", "原因 · Reason", multiline=True),
        submit="提交 · Send",
        action="request_leave",
    )


@bot.card("request_leave")
async def request_leave(action: CardAction, ctx: Context[Settings]) -> Toast | tuple[Toast, Card]:
    """Pass the request on and put what was asked for in the place of the form."""
    kind, first, last = (str(action.form.get(name) or "") for name in ("kind", "first", "last"))
    if kind not in KINDS or not first or not last:
        return Toast.error("请填写类型和日期", {"en_us": "Kind and both days are needed"})
    # Feishu writes a day as "2024-05-01 +0800", so days compare as text.
    if last < first:
        return Toast.error("结束日期早于开始日期", {"en_us": "The last day is before the first"})
    asked = _asked(action, kind, first, last)
    if ctx.settings.chat_id:
        # Whoever pressed the button waits for the toast: the chat may have it a moment later.
        await ctx.send(ctx.settings.chat_id, asked, later=True)
    return Toast.success("已提交", {"en_us": "Sent"}), asked


def _asked(action: CardAction, kind: str, first: str, last: str) -> Card:
    days = f"{first.split(' ')[0]} → {last.split(' ')[0]}"
    card = Card.of(title="请假申请 · Leave request", color="green").text(
        f"{Card.at(action.operator_id)}  {KINDS[kind]}\n{days}"
    )
    reason = str(action.form.get("reason") or "")
    return card.text(plain(reason)) if reason else card
