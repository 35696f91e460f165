"""
Compares the agent's measuring with other people's, and holds it against its goals: `make bench-agent`.

Every measurement is a fresh process; within a round they follow each other in one order, so that a machine that
becomes slower does so for all. Ratios are formed within a round; told are their median and its interval.
Runs under any interpreter that has torch and timm.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from bench.agent_peers import fresh, plan
from bench.agent_peers.verdicts import Line


def main() -> None:
    given = _arguments()
    asked = ["--device", given.device, "--precision", given.precision]
    try:
        machine = fresh.run("machine", asked)
    except fresh.PeerFailed as failure:
        sys.exit(str(failure))
    settings = _settings(given, machine)
    print(json.dumps({"machine": machine, "settings": settings._asdict()}), flush=True)
    able = [name for name in given.only if plan.GOALS[name].needs(machine)]
    bench = _Bench(machine, settings, dict(given.best), given.json)
    bench.run({name for goal in able for name in plan.GOALS[goal].measurements})
    lines = {goal: bench.lines(goal) for goal in able}
    bench.save([line for found in lines.values() for line in found])
    _report(given.only, lines, bench.failed)
    missed = any(line.met is False for found in lines.values() for line in found)
    sys.exit(bool(bench.failed) or (given.strict and missed))


class _Bench:
    """The measurements of one call: what came out by name, and what failed."""

    def __init__(
        self,
        machine: plan.Machine,
        settings: plan.Settings,
        winners: dict[str, plan.Winner],
        path: Path | None,
    ) -> None:
        self._machine = machine
        self._settings = settings
        self._winners = winners
        self._path = path
        self._sweeps: dict[str, Any] = {}
        self._series: dict[str, list[dict[str, Any]]] = {}
        self.failed: dict[str, str] = {}

    def run(self, names: set[str]) -> None:
        """Round by round, each measurement in as many rounds as it has."""
        for name in sorted(names):
            kind = name.removeprefix("best-")
            if kind != name and kind not in self._winners:
                self._sweep(name, kind)
        every = plan.measurements(self._settings, self._winners)
        wanted = {name: every[name] for name in every if name in names}
        for number in range(max((one.rounds for one in wanted.values()), default=0)):
            for name, one in wanted.items():
                if number < one.rounds and name not in self.failed:
                    found = self._measured(name, one.peer, [*one.arguments, "--round", str(number)])
                    self._series.setdefault(name, []).extend(found)
                    self.save([])

    def lines(self, goal: str) -> list[Line]:
        """The goal's lines; none where one of its measurements failed."""
        if any(name in self.failed for name in plan.GOALS[goal].measurements):
            return []
        return plan.GOALS[goal].judge(self._series, self._machine, self._settings)

    def save(self, lines: list[Line]) -> None:
        """Everything so far, so that a call that is broken off leaves what it measured."""
        if self._path is None:
            return
        everything = {
            "machine": self._machine,
            "settings": self._settings._asdict(),
            "goals": [{**line._asdict(), "estimate": line.estimate._asdict()} for line in lines],
            "failed": self.failed,
            "sweeps": self._sweeps,
            "measurements": self._series,
        }
        self._path.write_text(json.dumps(everything, indent=1) + "\n")

    def _sweep(self, name: str, kind: str) -> None:
        for found in self._measured(name, "sweep", plan.sweep_arguments(self._settings, kind)):
            self._sweeps[kind] = found
            self._winners[kind] = plan.Winner(found["batch_size"], found["mode"])
            _say(f"best {kind}: batch {found['batch_size']}, {found['mode']}")

    def _measured(self, name: str, peer: str, arguments: list[str]) -> list[dict[str, Any]]:
        """One result, or none and the reason in `failed`."""
        began = time.monotonic()
        try:
            found = fresh.run(peer, arguments)
        except fresh.PeerFailed as failure:
            self.failed[name] = str(failure)
            _say(f"{name}: failed: {failure}")
            return []
        rate = found.get("images_per_second")
        told = "" if rate is None else f"{rate:.6g} images/s, "
        _say(f"{name} ({peer}): {told}{time.monotonic() - began:.1f} s")
        return [found]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.agent", description=__doc__)
    parser.add_argument("--only", help="comma-separated goals", default=",".join(plan.GOALS))
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument(
        "--rounds", type=int, help="of every comparison, and processes of the others"
    )
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--seconds", type=float, help="of a figure, at most")
    parser.add_argument("--figures", type=int, help="with and without a slowdown, in each process")
    parser.add_argument(
        "--best",
        type=_winner,
        action="append",
        default=[],
        metavar="KIND:BATCH:MODE",
        help="instead of searching, as training:512:compiled",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="everything measured")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a goal is missed")
    given = parser.parse_args()
    given.only = [name.strip() for name in given.only.split(",")]
    unknown = [name for name in given.only if name not in plan.GOALS]
    if unknown:
        parser.error(f"no goal {', '.join(unknown)}; there are {', '.join(plan.GOALS)}")
    return given


def _winner(text: str) -> tuple[str, plan.Winner]:
    kind, batch_size, mode = text.split(":")
    if kind not in ("training", "inference"):
        raise ValueError(kind)
    return kind, plan.Winner(int(batch_size), mode)


def _settings(given: argparse.Namespace, machine: plan.Machine) -> plan.Settings:
    """The device's usual ones but for what was given; `--rounds` counts for everything that has rounds."""
    usual = dict(plan.DEFAULTS[machine["device"]])
    if given.rounds is not None:
        # One process alone has neither a variation nor a follower to be compared with.
        more = max(2, given.rounds)
        usual.update(rounds=max(1, given.rounds), repeats=more, processes=more)
    for name in ("batch_size", "image_size", "seconds", "figures"):
        if getattr(given, name) is not None:
            usual[name] = getattr(given, name)
    return plan.Settings(machine["device"], machine["precision"], **usual)


def _report(goals: list[str], lines: dict[str, list[Line]], failed: dict[str, str]) -> None:
    rows = [("goal", "value", "low..high", "target", "met", "")]
    for goal in goals:
        if goal not in lines:
            rows.append((goal, "-", "-", "-", "not on this device", ""))
            continue
        missing = [name for name in plan.GOALS[goal].measurements if name in failed]
        if missing:
            rows.append((goal, "-", "-", "-", "failed", ", ".join(missing)))
        rows.extend(_row(line) for line in lines[goal])
    widths = [max(len(row[place]) for row in rows) for place in range(5)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        print("  ".join([*cells, row[-1]]).rstrip(), flush=True)


def _row(line: Line) -> tuple[str, ...]:
    value, low, high = line.estimate
    interval = "-" if low is None or high is None else f"{low:.4g}..{high:.4g}"
    met = {True: "yes", False: "no", None: "-"}[line.met]
    return line.goal, f"{value:.4g}", interval, line.target, met, line.note


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
