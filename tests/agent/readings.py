"""Readings as a loaded card gives them, noise and all: what packing is tried on."""

from __future__ import annotations

import random
from typing import Any

COLUMNS = [
    "seconds", "power_watts", "energy_joules", "temperature_celsius", "sm_clock_mhz",
    "memory_clock_mhz", "clock_reasons", "utilization_percent", "memory_used_gb", "pcie_width",
]  # fmt: skip


def readings(count: int, seed: int = 1) -> list[list[Any]]:
    """A loaded card as NVML shows it: power that swings, a counter, a clock in steps of 15 MHz."""
    noise = random.Random(seed)
    swing, energy, heat, rows = 0.0, 1e9, 62.0, []
    for number in range(count):
        swing = 0.6 * swing + noise.gauss(0, 6)
        energy += (650 + swing) * noise.uniform(0.098, 0.102)
        heat = min(66.0, max(60.0, heat + noise.gauss(0, 0.08)))
        rows.append([
            0.1 * number + noise.uniform(0, 0.002), round(650 + swing, 3), round(energy, 3), round(heat),
            1725 + 15 * round(noise.gauss(0, 0.7)), 2619, noise.choice([4, 4, 4, 0]),
            noise.choice([97, 98, 98, 99, 100]), 45.25, 16 if number % 10 == 0 else None,
        ])  # fmt: skip
    return rows
