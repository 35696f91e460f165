"""Runs the benchmarks one after another and prints a line of JSON for each."""

from __future__ import annotations

import argparse
import json
import platform
from importlib.metadata import version

from bench import dashboard_events, dashboard_table, demo_time, first_byte, help_time

BENCHMARKS = {
    "first-byte": first_byte.measure,
    "help": help_time.measure,
    "demo": demo_time.measure,
    "dashboard-load": dashboard_table.first_load,
    "dashboard-scroll": dashboard_table.scroll,
    "dashboard-search": dashboard_table.search,
    "dashboard-event": dashboard_events.delay,
    "dashboard-watchers": dashboard_events.load,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", help="comma-separated names", default=",".join(BENCHMARKS))
    names = [name.strip() for name in parser.parse_args().only.split(",")]
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    machine = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "asyncssh": version("asyncssh"),
        "procrastinate": version("procrastinate"),
        "fastapi": version("fastapi"),
    }
    print(json.dumps({"versions": machine}), flush=True)
    for name in names:
        print(json.dumps({"benchmark": name, **BENCHMARKS[name]()}), flush=True)


if __name__ == "__main__":
    main()
