"""Median and spread of a few dozen measurements."""

from __future__ import annotations

from statistics import median, quantiles


def summary(samples: list[float], unit: str) -> dict[str, float | int | str]:
    """Count, median, p5 and p95, rounded to a thousandth of `unit`."""
    cuts = quantiles(samples, n=20, method="inclusive")
    return {
        "n": len(samples),
        "unit": unit,
        "median": round(median(samples), 3),
        "p5": round(cuts[0], 3),
        "p95": round(cuts[-1], 3),
    }
