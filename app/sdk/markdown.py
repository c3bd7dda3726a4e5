"""Which kind of message shows a markdown text rightly."""

from __future__ import annotations

import re
from typing import Final, Literal

# What posts and texts show as plain characters: headings, tables, code blocks.
_CARD: Final = re.compile(r"^ {0,3}(?:#{1,6} |`{3}|~{3}|\|.*\|[ \t]*$)", re.MULTILINE)
_POST: Final = re.compile(
    r"\*\*\S|~~\S|`[^`\n]+`|!?\[[^\]\n]*\]\([^)\s]+\)|(?<![\w*])\*[^\s*][^*\n]*\*(?![\w*])"
    r"|^ {0,6}(?:[-*+]|\d{1,3}[.)]) +\S|^ {0,3}> ?\S|^ {0,3}(?:-{3,}|\*{3,})[ \t]*$",
    re.MULTILINE,
)
_MENTION: Final = re.compile(r"<at\s+user_id\s*=\s*[\"']?([^\s\"'>]+)[\"']?\s*>(.*?)</at>", re.DOTALL)


def shown_by(markdown: str) -> Literal["text", "post", "interactive"]:
    """The simplest of Feishu's message types that shows all of it (Feishu docs: message content)."""
    if _CARD.search(markdown):
        return "interactive"
    return "post" if _POST.search(markdown) else "text"


def for_card(markdown: str) -> str:
    """The same with mentions as a card has them: `<at id=…>` where texts say `<at user_id="…">`."""
    return _MENTION.sub(r"<at id=\1></at>", markdown) if "<at" in markdown else markdown
