"""What is imported before the nursery's fork is in three processes: nothing that only the node needs may be there."""

from __future__ import annotations

import subprocess
import sys

_ONLY_THE_NODE = (
    *("sqlalchemy", "alembic", "fastapi", "uvicorn", "jinja2", "psutil", "apprise", "lark_oapi", "watchfiles"),
    "app.hub",
)


def test_a_worker_imports_nothing_that_only_the_node_needs() -> None:
    code = (
        f"import sys, app.cli.main, app.node_process; print([name for name in {_ONLY_THE_NODE} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
