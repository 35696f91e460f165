"""
Draws bench/results.json: python bench/plots.py RESULTS FOLDER, one SVG for each benchmark.

Run by the peers' environment, which has matplotlib; nothing of ours is imported.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot

REACHED, MISSED, TARGET = "#2a9d62", "#c8553d", "#222222"


def main(results: Path, folder: Path) -> None:
    """Every goal is drawn as the share of its target that was reached: 1 is the target, further right is better."""
    # Without them two drawings of the same figures differ.
    matplotlib.rcParams.update({"svg.hashsalt": "harborx", "font.size": 9})
    goals = json.loads(results.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    for name in dict.fromkeys(each["benchmark"] for each in goals):
        _draw(name, [each for each in goals if each["benchmark"] == name], folder / f"{name}.svg")


def _draw(name: str, goals: list[dict[str, Any]], path: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(8, 0.8 + 0.45 * len(goals)), layout="constrained")
    for place, goal in enumerate(reversed(goals)):
        share, low, high = (_share(goal, goal[bound]) for bound in ("ratio", "low", "high"))
        low, high = sorted((low, high))
        axes.barh(place, share, color=REACHED if goal["met"] else MISSED, height=0.6)
        axes.plot([low, high], [place, place], color=TARGET, linewidth=1.5)
        unit = "x" if goal["unit"] == "x" else f" {goal['unit']}"
        sign = "≥" if goal["at_least"] else "≤"
        told = f"{goal['ratio']:.3g}{unit} ({sign} {goal['target']:g}{unit})"
        axes.annotate(
            told, (max(share, high), place), (4, 0), textcoords="offset points", va="center"
        )
    axes.axvline(1, color=TARGET, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(goals)), [_label(goal) for goal in reversed(goals)])
    axes.set_xlabel("share of the target reached (dashed: the target)")
    axes.margins(x=0.25)
    axes.set_xlim(left=0)
    axes.set_title(name, loc="left")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def _share(goal: dict[str, Any], value: float) -> float:
    if goal["at_least"]:
        return float(value / goal["target"])
    return float(goal["target"] / value) if value > 0 else 2.0


def _label(goal: dict[str, Any]) -> str:
    return f"{goal['goal']}\n{goal['peer']}" if goal["peer"] else str(goal["goal"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
