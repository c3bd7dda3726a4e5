"""What CI runs leaves no test out for a server that is missing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[3] / ".ci" / "run"


@pytest.mark.parametrize(("given", "told"), [(None, "true"), ("1", "1")])
def test_both_targets_know_that_it_is_ci(tmp_path: Path, given: str | None, told: str) -> None:
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\necho "$* $CI"\n')
    make.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if name != "CI"} | ({"CI": given} if given else {})
    ran = subprocess.run(
        [RUN], env=env | {"PATH": f"{tmp_path}:{env['PATH']}"}, capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines() == [f"-j 2 check test {told}"]
