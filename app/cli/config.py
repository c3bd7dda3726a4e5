"""`feishu-hub config`: the settings of this node, as file and environment give them together."""

from __future__ import annotations

import difflib
import os
from typing import Annotated, Any

import typer

from app.cli.faults import counted, fail, report
from app.cli.options import DEFAULT_CONFIG, AsJson, BotsDir, ConfigDir
from app.cli.tables import print_json, print_values

app = typer.Typer(help="Settings: validate, get.", no_args_is_help=True)


@app.command()
def validate(config: ConfigDir = DEFAULT_CONFIG, bots: BotsDir = None, as_json: AsJson = False) -> None:
    """Check hub.yaml, the environment, every bot and its handler; name every fault at once, exit 1 if there is any."""
    from app.cli.settings import settings_of
    from app.control.registry.check import check_addresses, check_all, unknown_bots
    from app.control.registry.snapshot import Registry
    from app.core.errors import ConfigError, Fault
    from app.core.logs import configure_logs

    configure_logs("console", "error")  # the command prints what the registry would log
    faults: list[Fault] = []
    warnings: list[str] = []
    registry = Registry(config, os.environ)
    registry.load()
    try:
        settings = settings_of(config)
        warnings += [f"environment: {name}: names no setting" for name in settings.unknown_env]
        warnings += unknown_bots(settings, registry.statuses)
        faults += check_addresses(settings)
    except ConfigError as exc:
        faults += exc.faults
    found = check_all(registry, bots, frozenset(registry.statuses))
    faults += found.faults
    warnings += found.warnings
    right = f"settings and {counted(len(found.bots), 'bot')} are right"
    said = counted(len(faults), "fault") if faults else right
    later = "a running hub takes up bots and api_tokens by itself, all other settings when it is started anew"
    report(faults, warnings, f"{said}\n{later}", as_json)


@app.command()
def get(
    key: Annotated[
        str | None, typer.Argument(help="Dotted, such as server.port; a section, or nothing for all.")
    ] = None,
    config: ConfigDir = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Print settings as they are in force, from file and environment together; of secrets only whether they are set."""
    from app.cli.settings import settings_of
    from app.control.registry.reference import shown_values
    from app.core.errors import ConfigError

    if not config.is_dir():
        typer.echo(f"{config}: no such directory: name another with -c DIR", err=True)
        raise typer.Exit(1)
    try:
        settings = settings_of(config)
    except ConfigError as exc:
        fail(exc.faults)
    values = shown_values(settings)
    chosen = {name: value for name, value in values.items() if key in (None, name) or name.startswith(f"{key}.")}
    if not chosen:
        near = difflib.get_close_matches(key or "", values, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        typer.echo(f"there is no setting {key}{hint}", err=True)
        raise typer.Exit(1)
    if as_json:
        print_json({name: _typed(text) for name, text in chosen.items()})
    elif key in chosen:
        typer.echo(chosen[key])
    else:
        print_values(chosen)


def _typed(text: str) -> Any:
    """A shown value, which is YAML, as programs want it: a number as a number, null as null."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text
