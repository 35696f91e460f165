"""
Runs the benchmarks one after another: a line of JSON for each, what it has to do with a goal into bench/results.json, and
all of that into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from bench import report

BENCHMARKS: Final = {  # the module in bench/ and the function there
    "ssh-cold": "ssh_peers.cold:cold",
    "ssh-delay": "ssh_peers.cold:delay",
    "ssh-warm": "ssh_peers.cold:warm",
    "fleet-100": "ssh_peers.fleet:measure",
    "runs-1000": "fleet.many:measure",
    "memory": "fleet.memory:measure",
    "claims": "fleet.claims:measure",
    "workers": "fleet.scaling:measure",
    "api": "api.speed:measure",
    "stream": "api.stream:measure",
    "telemetry": "growth.telemetry:measure",
    "latest-20": "growth.latest:measure",
    "pages": "growth.pages:measure",
    "retention": "growth.retention:measure",
    "first-byte": "first_byte:measure",
    "help": "help_time:measure",
    "demo": "demo_time:measure",
    "dashboard-load": "dashboard_table:first_load",
    "dashboard-scroll": "dashboard_table:scroll",
    "dashboard-search": "dashboard_table:search",
    "dashboard-event": "dashboard_events:delay",
    "dashboard-watchers": "dashboard_events:load",
}
_VERSIONS: Final = ("asyncssh", "procrastinate", "fastapi", "psycopg")


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", help="comma-separated names", default=",".join(BENCHMARKS))
    parser.add_argument("--dry-run", action="store_true", help="print, and write no file")
    options = parser.parse_args()
    names = [name.strip() for name in options.only.split(",")]
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    machine = _machine()
    versions = {name: version(name) for name in _VERSIONS}
    print(json.dumps({"machine": machine, "versions": versions}), flush=True)
    for name in names:
        found = _function(name)()
        print(json.dumps({"benchmark": name, **found}), flush=True)
        if "goals" in found and not options.dry_run:
            report.keep(name, found["goals"], machine)
            report.tell()


def _function(name: str) -> Any:
    """Imported when its turn comes: each brings its own weight."""
    module, _, function = BENCHMARKS[name].partition(":")
    return getattr(import_module(f"bench.{module}"), function)


def _machine() -> str:
    with Path("/proc/meminfo").open() as file:
        total = int(file.readline().split()[1]) / 2**20
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores, {total:.0f} GiB, {platform.machine()}, Python {platform.python_version()}"
    )


if __name__ == "__main__":
    main()
