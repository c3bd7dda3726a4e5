"""Says what is wrong with a request: the field, what was found there, what would be right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from app.core.shape import kind_of_value, unknown_key


def said_of(errors: Sequence[Any], model: type[BaseModel] | None = None) -> str:
    """All of pydantic's findings, once for each field; `model` is the body's, for the names that it may hold."""
    said = dict.fromkeys(f"{'.'.join(map(str, _place(error)))}: {_problem(error, model)}" for error in errors)
    return "; ".join(said)


def _place(error: Mapping[str, Any]) -> tuple[int | str, ...]:
    # For invalid JSON the place is a number of bytes.
    return ("body",) if error["type"] == "json_invalid" else error["loc"]


def _problem(error: Mapping[str, Any], model: type[BaseModel] | None) -> str:
    if isinstance(error.get("input"), bytes):
        return "expected JSON: send it with the header Content-Type: application/json"
    kind, more = error["type"], error.get("ctx") or {}
    found = f", found {_kind(error['input'])}" if "input" in error else ""
    match kind:
        case "missing":
            return "missing"
        case "extra_forbidden":
            return unknown_key(str(error["loc"][-1]), error["loc"][1:], model, "field")
        case "json_invalid":
            return f"not JSON: {more.get('error', 'it ends too early')} at byte {error['loc'][-1]}"
        case "value_error":
            return str(error["msg"]).removeprefix("Value error, ")
        case "string_type":
            return f"expected text{found}"
        case "string_unicode":
            return "expected text that is Unicode, found half of a surrogate pair"
        case "string_too_short" if more["min_length"] == 1:
            return "expected text, found none"
        case "string_too_short" | "string_too_long":
            return f"expected text of {_bounds(more)} characters"
        case "string_pattern_mismatch":
            return f"expected text that matches {more['pattern'].encode('unicode_escape').decode()}, found other text"
        case "too_short" | "too_long":
            return f"expected {_bounds(more)}, found {more['actual_length']}"
        case "literal_error" | "enum":
            return f"expected one of {more['expected'].replace(' or ', ', ')}{found}"
        case "int_type" | "int_parsing" | "int_from_float" | "int_parsing_size":
            return f"expected a whole number{found}"
        case "float_type" | "float_parsing" | "finite_number":
            return f"expected a number{found}"
        case "bool_type" | "bool_parsing":
            return f"expected true or false{found}"
        case "list_type" | "tuple_type":
            return f"expected a list{found}"
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"expected an object{found}"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            word = {"gt": "over", "ge": "at least", "lt": "under", "le": "at most"}
            [(sign, bound)] = more.items()
            return f"expected {word[sign]} {bound:g}" if isinstance(bound, float) else f"expected {word[sign]} {bound}"
    return str(error["msg"])


def _kind(value: Any) -> str:
    return "an object" if isinstance(value, Mapping) else kind_of_value(value)


def _bounds(more: Mapping[str, Any]) -> str:
    return f"at least {more['min_length']}" if "min_length" in more else f"at most {more['max_length']}"
