"""What benchmarks found, kept in bench/results.json and told in docs/benchmarks.md with a plot of each."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path("bench/results.json")
PAGE: Final = Path("docs/benchmarks.md")
PLOTS: Final = Path("docs/benchmarks")
_PLOTTER: Final = Path(".venv-peers/bin/python")
_BEGIN: Final = "<!-- figures: written by make bench -->"
_END: Final = "<!-- end of figures -->"
_PLOT_SECONDS: Final = 120


def keep(benchmark: str, goals: Iterable[dict[str, Any]], machine: str) -> None:
    """These goals take the place of what the benchmark found before; those of others stay as they were."""
    others = [each for each in kept() if each["benchmark"] != benchmark]
    new = [{"benchmark": benchmark, **goal, "machine": machine} for goal in goals]
    lines = ",\n".join(json.dumps(each) for each in (*others, *new))
    RESULTS.write_text(f"[\n{lines}\n]\n")


def kept() -> list[dict[str, Any]]:
    """A line for each goal: {benchmark, goal, peer, ratio, low, high, target, met, ...}."""
    if not RESULTS.exists():
        return []
    found: list[dict[str, Any]] = json.loads(RESULTS.read_text())
    return found


def tell() -> None:
    """The tables in the page, and the plots beside it where the peers' environment can draw."""
    results = kept()
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_BEGIN}\n\n{tables(results)}\n{_END}{after}")
    if _PLOTTER.exists():
        command = [str(_PLOTTER), "bench/plots.py", str(RESULTS), str(PLOTS)]
        subprocess.run(command, check=True, timeout=_PLOT_SECONDS)


def tables(results: list[dict[str, Any]]) -> str:
    """Markdown: a table for each benchmark, in the order of the results."""
    parts = []
    for name in dict.fromkeys(each["benchmark"] for each in results):
        rows = [each for each in results if each["benchmark"] == name]
        head = "| goal | against | target | measured | 95 % interval | reached |\n|---|---|---|---|---|---|"
        machines = " / ".join(dict.fromkeys(each["machine"] for each in rows))
        lines = "\n".join(_row(each) for each in rows)
        parts.append(
            f"### {name}\n\n{machines}\n\n{head}\n{lines}\n\n![{name}](benchmarks/{name}.svg)\n"
        )
    return "\n".join(parts)


def _row(goal: dict[str, Any]) -> str:
    unit = "x" if goal["unit"] == "x" else f" {goal['unit']}"
    bound = f"{'≥' if goal['at_least'] else '≤'} {_shown(goal['target'])}{unit}"
    sampled = goal["low"] != goal["high"]
    interval = f"{_shown(goal['low'])} to {_shown(goal['high'])}" if sampled else "counted"
    cells = (
        *(goal["goal"], goal["peer"] or "itself", bound),
        *(f"{_shown(goal['ratio'])}{unit}", interval, "yes" if goal["met"] else "**no**"),
    )
    return f"| {' | '.join(cells)} |"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
