"""`python -m bench [section …]`: run the sections, print one table, keep it as JSON in `bench/results/`."""

from __future__ import annotations

import argparse
import importlib
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.machine import description
from bench.plan import Plan, Section
from bench.report import Report

SECTIONS = (
    "accept",
    "memory",
    "start",
    "scale",
    "handle",
    "end_to_end",
    "isolation",
    "sends",
    "limits",
    "cache",
    "schedules",
    "store",
)


def main() -> int:
    """Run what was asked for; 1 when a target was missed, 2 when a section could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="section", help=f"of {', '.join(SECTIONS)}; all without any")
    parser.add_argument("--quick", action="store_true", help="shorter and fewer rounds: to try, not to quote")
    parser.add_argument("--keep", action="store_true", help="leave the scratch directory, with the hubs' logs")
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"there is no section {', '.join(sorted(unknown))}")
    for program in ("wrk", "taskset"):
        if shutil.which(program) is None:
            parser.error(f"{program} is missing: install it (Debian: apt install wrk util-linux)")
    report = Report(description() | {"quick": arguments.quick})
    scratch = Path(tempfile.mkdtemp(prefix="bench-"))
    broken = False
    try:
        for name in arguments.sections or SECTIONS:
            broken |= not _run(name, Plan(scratch, arguments.quick), report)
    finally:
        if arguments.keep:
            print(f"scratch: {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)
    print(report.table())
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    print(f"kept in {report.write(Path(__file__).parent / 'results', stamp)}")
    return 2 if broken else int(any(line.met is False for line in report.rows))


def _run(name: str, plan: Plan, report: Report) -> bool:
    section: Section = importlib.import_module(f"bench.sections.{name}").measure
    began = time.monotonic()
    try:
        report.rows += section(plan)
    except Exception as error:
        # One section that cannot be measured must not cost the others' figures; the exit status tells of it.
        print(f"{name}: NOT MEASURED: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    return True


if __name__ == "__main__":
    sys.exit(main())
