"""`feishu-hub send`: have a bot of a running hub send a message, and see what became of it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperGroup

from app.cli.options import DEFAULT_CONFIG, AsJson, ConfigDir, DataDir
from app.core.errors import HubError

if TYPE_CHECKING:
    from app.cli.admin_api import AdminApi

_IMAGES: Final = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp"})
# Seconds between two looks at a message that cannot be followed.
_LOOK_EVERY: Final = 1.0


def _fit(key: str | None) -> str | None:
    if key is not None and not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise typer.BadParameter("it goes in a header: 1 to 255 characters of ASCII")
    return key


class _ToBot(TyperGroup):
    """Takes `send BOT TO TEXT` for `send to BOT TO TEXT`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["to", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(help="Have a bot send a message: `send BOT TO TEXT`.", no_args_is_help=True, cls=_ToBot)

BotName = Annotated[str, typer.Argument(help="Bot id.")]
MessageId = Annotated[str, typer.Argument(help="The message's id, as `send` printed it.")]
Api = Annotated[
    str | None, typer.Option("--api", help="Address of the admin listener; what hub.yaml says, on this machine.")
]


@app.command()
def to(
    bot: BotName,
    receiver: Annotated[
        str, typer.Argument(metavar="TO", help="A chat (oc_…), a person (ou_…, on_…), or an email address.")
    ],
    text: Annotated[str | None, typer.Argument(help="What to say.")] = None,
    card: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="A card's JSON instead.")] = None,
    markdown: Annotated[str | None, typer.Option(help="Markdown instead.")] = None,
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A file instead; one that is an image as an image.")
    ] = None,
    at: Annotated[str | None, typer.Option(help="When: 2026-01-31T09:00:00+08:00. At once without it.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(callback=_fit, help="Said again with the same key, the same message is sent once.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it is sent; exit status 1 if it is not.")] = False,
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Put a message on the bot's outbox; its id, and with --wait what became of it."""
    from app.cli.admin_api import AdminApi

    document: dict[str, Any] = {"to": receiver, "at": at, "text": text, "markdown": markdown}
    if card is not None:
        try:
            document["card"] = json.loads(card.read_text("utf-8"))
        except ValueError as error:
            raise typer.BadParameter(f"{card} is not JSON: {error}") from None
    if [text, card, markdown, file].count(None) != 3:
        raise typer.BadParameter("give one of TEXT, --card, --markdown and --file")
    document = {name: value for name, value in document.items() if value is not None}
    hub = AdminApi.of(config, data_dir, api)
    part = None
    if file is not None:
        part = ("image" if file.suffix.lower() in _IMAGES else "file", file.name, file.read_bytes())
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    found = hub.post(f"/bots/{bot}/messages", document, part, headers)
    if wait:
        # A card that is too long for one message, and has buttons, is several: a batch.
        noun = "batches" if "total" in found else "messages"
        found = _ended(hub, f"/bots/{bot}/{noun}/{found['id']}")
    _show(found, as_json)
    if found.get("state") in ("failed", "cancelled") or found.get("failed") or found.get("cancelled"):
        raise typer.Exit(1)


@app.command()
def status(
    bot: BotName,
    message: MessageId,
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """What became of a message; for a week after its end."""
    from app.cli.admin_api import AdminApi

    _show(AdminApi.of(config, data_dir, api).get(f"/bots/{bot}/messages/{message}"), as_json)


@app.command()
def cancel(
    bot: BotName,
    message: MessageId,
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    api: Api = None,
    as_json: AsJson = False,
) -> None:
    """Have a message not sent, while it is queued."""
    from app.cli.admin_api import AdminApi

    _show(AdminApi.of(config, data_dir, api).delete(f"/bots/{bot}/messages/{message}"), as_json)


def _ended(hub: AdminApi, path: str) -> dict[str, Any]:
    """What became of a message or batch; asked for where it cannot be followed, or no longer, as its node ends."""
    while True:
        found: dict[str, Any] = hub.get(path)
        if not found.get("waiting", found.get("state") in ("queued", "sending")):
            return found
        try:
            for _ in hub.events(f"{path}/events"):
                pass
        except HubError:
            pass  # too many follow, or the node ends: it is asked instead
        time.sleep(_LOOK_EVERY)


def _show(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    if "total" in found:
        counts = (f"{found[name]} {name}" for name in ("waiting", "sent", "failed", "cancelled") if found[name])
        typer.echo(f"{found['id']} {found['total']} messages: {', '.join(counts)}")
        return
    more = found.get("message_id") or found.get("reason") or ""
    typer.echo(" ".join(filter(None, (found["id"], found["state"], more))))
