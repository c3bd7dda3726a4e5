"""Checks data against a model and names everything wrong with it: key, what was found, what is allowed."""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, SecretBytes, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from app.core.document import Document, KeyPath, dotted
from app.core.errors import Fault

Model = TypeVar("Model", bound=BaseModel)


class Frozen(BaseModel):
    """A part of a configuration: unknown keys are errors, nothing changes after reading."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_section(cls, value: Any) -> Any:
        # `server:` with nothing under it, its keys commented out, means the defaults.
        return {} if value is None else value


@dataclass(frozen=True, slots=True)
class Key:
    """One key that a file may hold, as its model declares it."""

    path: str
    field: FieldInfo

    @property
    def default(self) -> Any:
        """The value where a file does not name the key; None for required keys too (see `required`)."""
        value = self.field.get_default(call_default_factory=True)
        return None if value is PydanticUndefined else value

    @property
    def required(self) -> bool:
        return self.field.is_required()

    @property
    def description(self) -> str:
        return self.field.description or ""

    @property
    def secret(self) -> bool:
        """Whether its value must never be shown."""
        return not self.field.repr or _mentions(self.field.annotation, (SecretStr, SecretBytes))


def keys_of(model: type[BaseModel], above: str = "") -> Iterator[Key]:
    """Every key of a model that holds a value, in the order declared, nested ones by their dotted path."""
    for name, field in model.model_fields.items():
        inner = _section(field.annotation)
        if inner is not None:
            yield from keys_of(inner, f"{above}{name}.")
        else:
            yield Key(f"{above}{name}", field)


def fit(
    model: type[Model],
    data: Mapping[str, Any],
    place: Callable[[KeyPath], tuple[str, str, int | None]],
    unresolved: frozenset[KeyPath] = frozenset(),
) -> tuple[Model | None, list[Fault]]:
    """The model filled with `data`, or every fault; `place` says where a path stands: file, key, line."""
    try:
        return model.model_validate(dict(data)), []
    except ValidationError as exc:
        faults = []
        for error in exc.errors(include_url=False):
            path = _in_data(error["loc"], data)
            if any(path[:length] in unresolved for length in range(1, len(path) + 1)):
                continue
            file, key, line = place(path)
            where = f" (line {line})" if line else ""
            fault = Fault(file, key, _problem(error, path, model) + where)
            if fault not in faults:  # a union reports once for each of its branches
                faults.append(fault)
        return None, faults


def fit_document(model: type[Model], document: Document) -> tuple[Model | None, list[Fault]]:
    """As `fit`, for a document; its own faults come first."""
    if any(not fault.key for fault in document.faults):
        return None, list(document.faults)  # in a file that does not exist, every key would be missing

    def place(path: KeyPath) -> tuple[str, str, int | None]:
        return document.file, dotted(path), document.lines.get(path)

    found, faults = fit(model, document.data, place, document.unresolved)
    faults = [*document.faults, *faults]
    return (None if faults else found), faults


def _problem(error: ErrorDetails, path: KeyPath, model: type[BaseModel]) -> str:
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        return unknown_key(str(path[-1]), path, model)
    if kind == "missing":
        return _lacking("missing", path, model)
    if kind == "value_error":
        text = str(error.get("ctx", {}).get("error", "not allowed"))
        if text == "empty":
            return _lacking("empty", path, model)
        return f"{text}, found {kind_of_value(value)}" if text.startswith("expected") and "found" not in text else text
    if kind == "string_pattern_mismatch":
        if value == "":
            return _lacking("empty", path, model)
        return f"expected text that matches {error.get('ctx', {}).get('pattern')}, found other text"
    if kind in ("model_type", "dict_type"):
        return f"expected keys with values, found {kind_of_value(value)}"
    text = error["msg"].replace("Input should be", "expected").split(", unable to parse")[0]
    if kind.startswith(("greater_than", "less_than")) and isinstance(value, int | float):
        return f"{text}, found {value}"  # only numeric fields have bounds, and none of them is secret
    hint = ": put it in quotes" if kind == "string_type" and isinstance(value, int | float) else ""
    return f"{text}, found {kind_of_value(value)}{hint}"


def _lacking(how: str, path: KeyPath, model: type[BaseModel]) -> str:
    """Says that a value is missing, and what the key is for; for credentials, where in Feishu's console to find it."""
    key = dotted(tuple(part for part in path if isinstance(part, str)))
    described = [one.description for one in keys_of(model) if one.path == key]
    return ": ".join([how, *filter(None, described)])


def unknown_key(key: str, path: KeyPath, model: type[BaseModel] | None, what: str = "key") -> str:
    """Says that the model has no key at `path`, and which one was meant or is allowed there."""
    section: type[BaseModel] | None = model
    each: type[BaseModel] | None = None
    for part in path[:-1]:
        if isinstance(part, str):  # else one of a list, whose model is known already
            field = section.model_fields.get(part) if section else None
            # In a mapping the operator chooses the keys, and each has the same section under it.
            section = _section(field.annotation, lists=True) if field else each
            each = _section_each(field.annotation) if field else None
    allowed = [field.alias or name for name, field in section.model_fields.items()] if section else []
    near = difflib.get_close_matches(key, allowed, n=1)
    if not near and model is not None:
        near = [one.path for one in keys_of(model) if one.path.rsplit(".", 1)[-1] == key][:1]
    meant = f"did you mean {near[0]}? " if near else ""
    return f"unknown {what}; {meant}allowed here: {', '.join(allowed)}" if allowed else f"unknown {what}: leave it out"


def kind_of_value(value: Any) -> str:
    """What a value is, never the value: it could be a secret at the wrong key."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    for types_, word in (
        ((int, float), "a number"),
        ((str,), "text"),
        ((dict,), "keys"),
        ((list, tuple), "a list"),
    ):
        if isinstance(value, types_):
            return word if value or isinstance(value, int | float) else f"{word}, empty"
    return type(value).__name__


def _in_data(loc: tuple[str | int, ...], data: Mapping[str, Any]) -> KeyPath:
    """A location without what pydantic adds for unions: only steps that the data has, and the last."""
    path: list[str | int] = []
    here: Any = data
    for part in loc:
        if isinstance(here, dict):
            path.append(part)
            here = here.get(part)
        elif isinstance(here, list | tuple) and isinstance(part, int):
            path.append(part)
            here = here[part] if part < len(here) else None
        else:
            break
    return tuple(path)


def _section(annotation: Any, *, lists: bool = False) -> type[BaseModel] | None:
    """The model that an annotation nests (`Server`, `Server | None`); lists of models are values, unless asked for."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    origin = get_origin(annotation)
    if origin is Annotated:
        return _section(get_args(annotation)[0], lists=lists)
    if origin in (Union, types.UnionType) or (lists and origin is tuple):
        return next(filter(None, (_section(one, lists=lists) for one in get_args(annotation))), None)
    return None


def _section_each(annotation: Any) -> type[BaseModel] | None:
    """The model of each value of a mapping."""
    return _section(get_args(annotation)[1]) if get_origin(annotation) is dict else None


def _mentions(annotation: Any, wanted: tuple[type, ...]) -> bool:
    return annotation in wanted or any(_mentions(part, wanted) for part in get_args(annotation))
