"""Reads fields of event bodies, which may hold anything: what is missing or of another type counts as empty."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_NOTHING: Mapping[str, Any] = {}


def mapping(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object under `key`, else an empty one."""
    value = parent.get(key)
    return value if isinstance(value, Mapping) else _NOTHING


def string(parent: Mapping[str, Any], key: str) -> str:
    """The string under `key`, else an empty one."""
    value = parent.get(key)
    return value if isinstance(value, str) else ""


def objects(parent: Mapping[str, Any], key: str) -> tuple[Mapping[str, Any], ...]:
    """The objects in the list under `key`."""
    value = parent.get(key)
    return tuple(one for one in value if isinstance(one, Mapping)) if isinstance(value, list | tuple) else ()


def strings(parent: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """The strings in the list under `key`."""
    value = parent.get(key)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list | tuple) else ()


def document(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object in the JSON string under `key`, as messages carry their content."""
    try:
        value = json.loads(string(parent, key))
    except (ValueError, RecursionError):
        return _NOTHING
    return value if isinstance(value, Mapping) else _NOTHING
