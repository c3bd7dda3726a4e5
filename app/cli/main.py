"""The `feishu-hub` command: one file a noun, heavy imports only in the command that needs them."""

from __future__ import annotations

import os
import sys

import typer

from app.cli import alerts, bots, cache, config, dead, keys, limits, messages, schedules, send, tasks
from app.cli.backup import backup, restore
from app.cli.dev import dev
from app.cli.doctor import doctor
from app.cli.engine import engine
from app.cli.run import run
from app.cli.say import say
from app.core.errors import HubError

app = typer.Typer(
    name="feishu-hub",
    help="One public webhook endpoint for all of a company's Feishu (飞书/Lark) bots.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals hold secrets
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command()(run)
app.command()(dev)
app.command()(engine)
app.command()(say)
app.command()(doctor)
app.command()(backup)
app.command()(restore)
app.add_typer(bots.app, name="bots")
app.add_typer(config.app, name="config")
app.add_typer(dead.app, name="dead")
app.add_typer(alerts.app, name="alerts")
app.add_typer(limits.app, name="limits")
app.add_typer(messages.app, name="messages")
app.add_typer(send.app, name="send")
app.add_typer(keys.app, name="keys")
app.add_typer(tasks.app, name="tasks")
app.add_typer(cache.app, name="cache")
app.add_typer(schedules.app, name="schedules")


def main() -> None:
    """The entry point; errors the hub knows, and those of files, are said in a line, with exit status 1."""
    _open_closed()
    try:
        app()
    except KeyboardInterrupt:  # before a command began: those see to it themselves
        sys.exit(1)
    except HubError as error:
        sys.stderr.write(f"feishu-hub: {error}\n")
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise  # of no file or directory: nobody foresaw it
        sys.stderr.write(f"feishu-hub: {error.filename}: {error.strerror}\n")
        sys.exit(1)


def _open_closed() -> None:
    """Give each standard stream that whoever started us has closed a place: else the next file opened would be it."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free, and those below it are taken by now.
            os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115


if __name__ == "__main__":
    main()
