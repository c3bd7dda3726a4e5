"""Writes the reference page and the example files, with every key of the configuration, from the models."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel

from app.core.settings import SHORT_NAMES, Settings, env_name
from app.core.shape import Key, keys_of
from app.core.values import parse_network, parse_size, parse_span, size_text, span_text
from app.model.bot import BotConfig, Credentials

_WIDTH: Final = 44
"""Column of the comments in example files; longer values push theirs to the right."""

_HEAD: Final = """\
# Configuration reference

<!-- Generated from the models by `app.control.registry.reference.docs_reference`; a test holds it true. -->

Every file is YAML. Unknown keys, wrong types and missing secrets are errors; all of them are named at once.

- **Spans** read `500ms`, `30s`, `5m`, `24h`, `30d`, or a number of seconds. **Sizes** read `512KB`, `1MiB`, or a
  number of bytes. A **list** may also be one text with commas between its words.
- `${NAME}` and `{{NAME}}` in a value are replaced by the environment variable NAME; a missing one is an error. What
  is put in is always text inside that one value. `$${` and `$${{` write the signs themselves.
- A value that begins with `file:` is read from that file (a path relative to the YAML file, or absolute), without
  its last line break: `app_secret: file:/run/secrets/support`.
- `feishu-hub config validate` and `feishu-hub bots check` check everything without starting anything.
"""


def docs_reference() -> str:
    """The whole text of docs/reference.md."""
    parts = [
        _HEAD,
        "## hub.yaml\n\nEverything is optional. The environment wins over the file, the command line over both.\n"
        "A process of one bot (`-c config/BOT`) reads `config/BOT/hub.yaml`, where there is none `config/hub.yaml`.\n",
        _table(Settings, environment=True),
        "Further names for common ones:\n",
        "\n".join(f"- `{name}` is `{key}`" for name, key in SHORT_NAMES.items()) + "\n",
        "An empty variable counts as not set; one that names no setting is warned of at the start.\n",
        "## config/BOT/config.yaml\n\nBOT is the bot's id: `a-z`, `0-9`, `_` and `-`, at most 64 characters.\n",
        _table(BotConfig),
        "## config/BOT/credentials.yaml\n\nNever part of a repository; readable by the hub's user alone.\n",
        _table(Credentials),
        "`verification_token` and `encrypt_key` may be lists while one is being changed: each entry is accepted.\n",
    ]
    return "\n".join(parts)


def example(model: type[BaseModel], given: Mapping[str, str] | None = None) -> str:
    """YAML with every key of a model: `given` ones set, the others as comments with their defaults."""
    return "\n".join(_lines(model, given or {}, "", "")) + "\n"


def shown_values(model: BaseModel) -> dict[str, str]:
    """Every key of a filled model and its value as YAML; for secrets only whether they are set."""
    shown: dict[str, str] = {}
    for key in keys_of(type(model)):
        value: Any = model
        for part in key.path.split("."):
            value = getattr(value, part)
        shown[key.path] = _shown(key, value)
    return shown


def kind_of(key: Key) -> str:
    """What a value of the key looks like: one word, or the words allowed."""
    metadata = [getattr(part, "func", None) for part in key.field.metadata]
    for function, word in ((parse_span, "span"), (parse_size, "size")):
        if function in metadata or _names(key.field.annotation, function):
            return word
    return _kind(key.field.annotation)


def default_text(key: Key) -> str:
    """A key's default as it would be written in YAML."""
    return _text(key, key.default)


def _shown(key: Key, value: Any) -> str:
    if not key.secret:
        return _text(key, value)
    if isinstance(value, str):  # a URL that may hold a password
        return re.sub(r"//[^@]*@", "//***@", value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: ***' for name in value)}}}"
    if isinstance(value, tuple):
        return f"{len(value)} set" if value else "not set"
    return "not set" if value is None else "set"


def _text(key: Key, value: Any) -> str:
    kind = kind_of(key)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if kind == "span":
        return span_text(value)
    if kind == "size":
        return size_text(value)
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: …' for name in value)}}}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(str(one) for one in value)}]"
    if isinstance(value, float):
        return f"{value:g}"
    return f'"{value}"' if isinstance(value, str) and value.endswith(":") else str(value)


def _table(model: type[BaseModel], *, environment: bool = False) -> str:
    heads = ["key", "value", "default", *(["environment"] if environment else []), "what it is"]
    rows = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for key in keys_of(model):
        cells = [f"`{key.path}`", kind_of(key), "required" if key.required else f"`{default_text(key)}`"]
        if environment:
            cells.append(f"`{env_name(key.path)}`")
        cells.append(key.description)
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def _lines(model: type[BaseModel], given: Mapping[str, str], above: str, indent: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        path = f"{above}{name}"
        inner = list(keys_of(model, above))
        key = next((one for one in inner if one.path == path), None)
        if key is None:
            section = next(part for part in _models(field.annotation))
            yield f"{indent}{name}:"
            yield from _lines(section, given, f"{path}.", f"{indent}  ")
        elif not key.description.startswith("reserved"):
            value = given.get(path)
            line = f"{indent}{name}: {value}" if value is not None else f"{indent}#{name}: {default_text(key)}"
            yield f"{line.ljust(_WIDTH)}  # {key.description}"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _names(annotation: Any, function: object) -> bool:
    """Whether an annotation carries a validator, as the members of `Span | None` do."""
    if any(getattr(part, "func", None) is function for part in getattr(annotation, "__metadata__", ())):
        return True
    return any(_names(part, function) for part in get_args(annotation))


def _kind(annotation: Any) -> str:
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in inside)
    if origin is tuple:
        return f"list of {_kind(inside[0])}"
    if origin is dict:
        return "keys"
    if _names(annotation, parse_network):
        return "networks"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "keys"
    simple = {bool: "true or false", int: "whole number", float: "number", str: "text"}
    if annotation in simple:
        return simple[annotation]
    if inside:
        return next((_kind(part) for part in inside if part is not type(None)), "text")
    return {"Path": "path", "SecretStr": "secret", "Any": "anything"}.get(getattr(annotation, "__name__", ""), "text")
