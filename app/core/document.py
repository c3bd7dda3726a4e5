"""Reads one YAML document: placeholders and mounted files resolved, every fault collected, nothing injected.

`${NAME}` and `{{NAME}}` are taken out of the text before YAML sees it (`{{` would be a mapping, `${A}` in a
flow list a syntax error) and each is put back into the finished scalar it stood in. So a value is always text
inside one scalar: it brings no key, list, comment, alias or second document with it, whatever it holds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from app.core.errors import Fault

KeyPath = tuple[str | int, ...]

# Private-use characters: legal in YAML, never part of its syntax, and refused when a file holds them itself.
_OPEN, _CLOSE = "\ue000", "\ue001"
_MARK = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")
# In this order: `$${` and `$${{` are escapes, then the two placeholders, then a `${` nobody can fill.
_PLACEHOLDER = re.compile(
    r"\$(?P<literal>\$\{(?!\{)[^{}\n]*\}?)|\$\$(?P<braces>\{\{[^{}\n]*(?:\}\})?)"
    r"|\$\{\s*(?P<dollar>[A-Za-z_][A-Za-z0-9_]*)\s*\}|\{\{\s*(?P<curly>[A-Za-z_][A-Za-z0-9_]*)\s*\}\}"
    r"|(?P<unknown>\$\{\{?[^{}\n]*\}{0,2})"
)
# A document that people write has hundreds of values; aliases can turn one page into billions.
_MOST_VALUES: Final = 10_000
_MOST_DEPTH: Final = 50
_LARGEST_FILE: Final = 1 << 20
_LARGEST_MOUNTED: Final = 1 << 16

_TAG = "tag:yaml.org,2002:"
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class _Resolver(yaml.resolver.BaseResolver):
    """What a plain scalar means; no dates, octals or base-60 numbers, which turn `12:30` into 750."""


_Resolver.add_implicit_resolver(f"{_TAG}null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Resolver.add_implicit_resolver(
    f"{_TAG}bool", re.compile(r"^(?:true|yes|on|false|no|off)$", re.IGNORECASE), list("tTyYoOfFnN")
)
_Resolver.add_implicit_resolver(f"{_TAG}int", re.compile(r"^[-+]?(?:0|[1-9][0-9_]*)$"), list("-+0123456789"))
_Resolver.add_implicit_resolver(
    f"{_TAG}float", re.compile(r"^[-+]?[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?$"), list("-+0123456789")
)

try:
    from yaml.cyaml import CParser  # type: ignore[attr-defined]

    class _Loader(CParser, _Resolver):  # libyaml: 1,000 bots are read in a second, not in ten
        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            _Resolver.__init__(self)

except ImportError:  # a PyYAML built without libyaml reads the same, only slower

    class _Loader(  # type: ignore[no-redef]
        yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser, yaml.composer.Composer, _Resolver
    ):
        def __init__(self, text: str) -> None:
            yaml.reader.Reader.__init__(self, text)
            yaml.scanner.Scanner.__init__(self)
            yaml.parser.Parser.__init__(self)
            yaml.composer.Composer.__init__(self)
            _Resolver.__init__(self)


@dataclass(frozen=True, slots=True)
class Document:
    """One file as read; `data` is what stands in it, with secrets, and is never printed."""

    file: str
    data: dict[str, Any] = field(repr=False)
    faults: tuple[Fault, ...] = ()
    unresolved: frozenset[KeyPath] = frozenset()
    """Keys whose value could not be had: a fault says so already, further ones would only repeat it."""
    lines: Mapping[KeyPath, int] = field(default_factory=dict, repr=False)
    mounted: tuple[Path, ...] = ()
    """Files that `file:` values came from (or should have): a change of one is a change of the document."""
    digest: str = ""
    """Changes whenever the text or anything resolved into it does."""


def dotted(path: KeyPath) -> str:
    """`("message", "retry", 0)` as people write it: `message.retry[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_document(path: Path, env: Mapping[str, str]) -> Document:
    """Read a YAML file whose top is a mapping; what is wrong with it is in `faults`, nothing is raised."""
    file = str(path)
    try:
        if path.stat().st_size > _LARGEST_FILE:
            return Document(file, {}, (Fault(file, "", f"larger than {_LARGEST_FILE >> 20} MiB"),))
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        return Document(file, {}, (Fault(file, "", f"not UTF-8 (byte {exc.start}): save it as UTF-8"),))
    except OSError as exc:
        return Document(file, {}, (Fault(file, "", f"cannot be read: {exc.strerror or type(exc).__name__}"),))
    return parse_document(text, file, path.parent, env)


def parse_document(text: str, file: str, directory: Path, env: Mapping[str, str]) -> Document:
    """Parse YAML text; `file` names it in faults, `directory` is where relative `file:` values start."""
    if _OPEN in text or _CLOSE in text:
        return Document(file, {}, (Fault(file, "", "holds the private-use characters U+E000 or U+E001"),))
    return _Reading(file, directory, env).parse(text)


class _Reading:
    """One document on its way from text to data."""

    def __init__(self, file: str, directory: Path, env: Mapping[str, str]) -> None:
        self._file, self._directory, self._env = file, directory, env
        self._taken: list[re.Match[str]] = []
        self._faults: list[Fault] = []
        self._unresolved: set[KeyPath] = set()
        self._lines: dict[KeyPath, int] = {}
        self._mounted: list[Path] = []
        self._digest = hashlib.sha256()
        self._values = 0

    def parse(self, text: str) -> Document:
        self._digest.update(text.encode())
        data: Any = {}
        try:
            root = _Loader(_PLACEHOLDER.sub(self._take, text)).get_single_node()
            data = self._build(root, ()) if root is not None else {}
        except yaml.MarkedYAMLError as exc:
            mark = exc.problem_mark or exc.context_mark
            self._fault((), f"not YAML: {_public(exc.problem)}", mark.line + 1 if mark else None)
        except yaml.YAMLError:
            self._fault((), "not YAML: it holds a character that YAML does not allow")
        except _TooMuch as exc:
            self._fault((), str(exc))
            data = {}
        if data is None:
            data = {}
        if not isinstance(data, dict):
            self._fault((), "expected keys with values (`key: value`)")
            data = {}
        return Document(
            self._file,
            data,
            tuple(self._faults),
            frozenset(self._unresolved),
            self._lines,
            tuple(self._mounted),
            self._digest.hexdigest(),
        )

    def _take(self, match: re.Match[str]) -> str:
        self._taken.append(match)
        return f"{_OPEN}{len(self._taken) - 1}{_CLOSE}"

    def _build(self, node: Node, path: KeyPath) -> Any:
        self._values += 1
        if self._values > _MOST_VALUES or len(path) > _MOST_DEPTH:
            raise _TooMuch(f"more than {_MOST_VALUES} values or {_MOST_DEPTH} levels (an alias of itself?)")
        self._lines[path] = node.start_mark.line + 1
        if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
            return dict(self._pairs(node, path))
        if isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
            return [self._build(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        return self._unusable(path, "a YAML tag that is not allowed here: write plain values, lists and keys")

    def _pairs(self, node: MappingNode, path: KeyPath) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._fault(path, "a key must be a word", key_node.start_mark.line + 1)
                continue
            if _OPEN in key_node.value:
                self._fault(path, "placeholders stand in values, not in keys", key_node.start_mark.line + 1)
                continue
            # The text as written, so that a key `on` or `1` is not read as true or a number.
            key = key_node.value
            if key in seen:
                self._fault((*path, key), "written twice: keep one", key_node.start_mark.line + 1)
                continue
            seen.add(key)
            yield key, self._build(value_node, (*path, key))

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        text = node.value
        # Asked of the text as written: an environment value that happens to start with `file:` opens no file.
        if text.startswith("file:"):
            resolved = self._resolve(text[len("file:") :], path)
            return self._mounted_text(resolved, path) if resolved is not None else ""
        if _OPEN in text:
            return self._resolve(text, path) or ""
        if node.tag == f"{_TAG}str":
            return text
        try:
            if node.tag == f"{_TAG}null":
                return None
            if node.tag == f"{_TAG}bool":
                return _WORDS[text.lower()]
            if node.tag == f"{_TAG}int":
                return int(text.replace("_", ""))
            if node.tag == f"{_TAG}float":
                return float(text)
        except (ValueError, KeyError):
            return self._unusable(path, "the value does not fit the YAML tag in front of it")
        return self._unusable(path, "a YAML tag that is not allowed here: write plain values, lists and keys")

    def _resolve(self, text: str, path: KeyPath) -> str | None:
        """The text with every placeholder filled; None, and faults, when one cannot be."""
        whole = True

        def fill(mark: re.Match[str]) -> str:
            nonlocal whole
            taken = self._taken[int(mark[1])]
            name = taken["dollar"] or taken["curly"]
            if name is None and taken["unknown"] is None:
                return taken["literal"] or taken["braces"] or ""
            if name is None:
                problem = "`${` without a name: write ${NAME}, or $${ for the text itself"
            elif name not in self._env:
                problem = f"the environment variable {name} is not set"
            else:
                self._digest.update(f"\0{name}={self._env[name]}".encode("utf-8", "surrogateescape"))
                return self._env[name]
            whole = False
            self._unusable(path, problem)
            return ""

        filled = _MARK.sub(fill, text)
        return filled if whole else None

    def _mounted_text(self, name: str, path: KeyPath) -> str:
        place = self._directory / name
        self._mounted.append(place)
        try:
            if place.stat().st_size > _LARGEST_MOUNTED:
                return str(self._unusable(path, f"the file {name} is larger than {_LARGEST_MOUNTED >> 10} KiB"))
            text = place.read_text("utf-8").rstrip("\r\n")
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else "not UTF-8 text"
            return str(self._unusable(path, f"the file {name} cannot be read: {reason}"))
        self._digest.update(f"\0{name}={text}".encode())
        return text

    def _unusable(self, path: KeyPath, problem: str) -> str:
        self._unresolved.add(path)
        self._fault(path, problem)
        return ""

    def _fault(self, path: KeyPath, problem: str, line: int | None = None) -> None:
        line = line or self._lines.get(path)
        where = f" (line {line})" if line else ""
        self._faults.append(Fault(self._file, dotted(path), problem + where))


class _TooMuch(Exception):
    """A document without end."""


def _public(problem: str | None) -> str:
    """A parser's message without what it quotes from the file: that could be part of a secret."""
    return re.sub(r"(['\"])(?!<)(?:(?!\1).){2,}\1", "…", problem or "it cannot be parsed")
