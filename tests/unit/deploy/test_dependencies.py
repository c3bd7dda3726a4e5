"""What the hub imports is in requirements.lock: tests run beside tools that bring many packages of their own."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[3]


def imported(source: str) -> Iterator[str]:
    """The packages a module asks for, at its beginning or later."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module).partition(".")[0]


def test_imports_are_locked() -> None:
    locked = {normal(name) for name in re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.M)}
    own = sys.stdlib_module_names | {"app", "bots"}
    files = [*(ROOT / "app").rglob("*.py"), *(ROOT / "bots").rglob("*.py")]
    needed = {name for file in files for name in imported(file.read_text()) if name not in own}
    assert {"fastapi", "redis", "yaml"} <= needed
    come_from = packages_distributions()
    assert [name for name in sorted(needed) if locked.isdisjoint(map(normal, come_from.get(name, ())))] == []


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
