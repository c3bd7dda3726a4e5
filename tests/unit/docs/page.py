"""One Markdown page of the project, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.M | re.S)
_HEADING = re.compile(r"^(#+) (.+)$", re.M)
_LINK = re.compile(r"\]\(([^)\s]+)\)|<(https?://[^>]+)>")
_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Page:
    """A page by its path from the repository's root."""

    name: str

    @property
    def text(self) -> str:
        return (ROOT / self.name).read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """The page without its fenced blocks."""
        return _BLOCK.sub("", self.text)

    def blocks(self, language: str | None = None) -> list[str]:
        """Fenced blocks, as they stand (without the indentation of a list), of one language or all."""
        return [
            re.sub(rf"^{indent}", "", code, flags=re.M)
            for indent, kind, code in _BLOCK.findall(self.text)
            if language in (None, kind)
        ]

    @property
    def languages(self) -> list[str]:
        """What each fenced block says it is."""
        return [kind for _, kind, _ in _BLOCK.findall(self.text)]

    @property
    def headings(self) -> list[tuple[int, str]]:
        """Level and words of each heading."""
        return [(len(signs), words) for signs, words in _HEADING.findall(self.prose)]

    @property
    def links(self) -> list[str]:
        """Where the page leads, in order."""
        return [named or bare for named, bare in _LINK.findall(self.prose)]

    @property
    def code(self) -> set[str]:
        """What stands in backticks."""
        return set(_CODE.findall(self.prose))

    @property
    def tables(self) -> list[list[list[str]]]:
        """Its tables: rows of cells, the heading first."""
        found: list[list[list[str]]] = []
        before = ""
        for line in self.prose.splitlines():
            if line.startswith("|"):
                if not before.startswith("|"):
                    found.append([])
                if not set(line) <= set("|- :"):
                    found[-1].append([cell.strip() for cell in line.strip().strip("|").split("|")])
            before = line
        return found


PAGES = [Page(str(path.relative_to(ROOT))) for path in [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))]]
