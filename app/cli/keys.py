"""`feishu-hub keys`: the keys under which everything is sealed."""

from __future__ import annotations

import typer

app = typer.Typer(help="The keys under which everything is sealed.", no_args_is_help=True)


@app.callback()
def _noun() -> None:
    # Typer would make a noun with one command that command itself.
    pass


@app.command()
def make() -> None:
    """Print a new master key, to be given to every node as HUB_MASTER_KEY."""
    from app.storage.master_key import new_key

    typer.echo(new_key())
