"""Reads a multipart form that is whole in memory: nothing that people send is written to a disk."""

from __future__ import annotations

from dataclasses import dataclass, field

from python_multipart.multipart import MultipartParser, parse_options_header


@dataclass(frozen=True, slots=True)
class FormPart:
    """One part of a form; `filename` is None where the part has none."""

    filename: str | None
    data: bytes = field(repr=False)


def read_form(content_type: str, body: bytes) -> dict[str, FormPart]:
    """The parts by name, the last of each; ValueError where it is no multipart form, or a malformed one."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise ValueError("the body is no multipart/form-data")
    parts = _Parts()
    parser = MultipartParser(
        options[b"boundary"],
        {
            "on_part_begin": parts.begin,
            "on_header_field": parts.name,
            "on_header_value": parts.value,
            "on_header_end": parts.header,
            "on_part_data": parts.data,
            "on_part_end": parts.end,
        },
    )
    parser.write(body)
    parser.finalize()
    return parts.found


class _Parts:
    """Collects the parts that the parser finds."""

    def __init__(self) -> None:
        self.found: dict[str, FormPart] = {}
        self._name = self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []

    def begin(self) -> None:
        self._headers, self._body = {}, []

    def name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def data(self, data: bytes, start: int, end: int) -> None:
        self._body.append(data[start:end])

    def end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        filename = options.get(b"filename")
        name = options.get(b"name", b"").decode("utf-8", "replace")
        text = None if filename is None else filename.decode("utf-8", "replace")
        self.found[name] = FormPart(text, b"".join(self._body))
