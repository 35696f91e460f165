"""
The score `harborx-v1`: compute miles per hour = throughput (samples/s) x factor x 3600.

The factor comes from the *measured* GPU name, never from the claimed one. The database computes the
stored value (`compute_miles_factor` in schema.sql); this is the same rule for whoever only wants to explain it.
"""

from __future__ import annotations

from typing import Final

FORMULA: Final = "harborx-v1"

_FACTORS: Final = (("H200", 1.6), ("H100", 1.5), ("A100", 1.2))  # in the order of the rule


def factor(measured_gpu_name: str | None) -> float:
    name = (measured_gpu_name or "").upper()
    return next((value for model, value in _FACTORS if model in name), 1.0)


def compute_miles_per_hour(samples_per_sec: float, measured_gpu_name: str | None) -> float:
    """245.5 samples/s on an H100 is 1,325,700."""
    return samples_per_sec * factor(measured_gpu_name) * 3600
