"""How long `harborx --help` takes, beside an interpreter that does nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from bench.summary import summary

ROUNDS: Final = 15


def measure() -> dict[str, Any]:
    """Milliseconds of whole processes, taken in turns; the goal of the issue is under 500."""
    harborx = str(Path(sys.executable).with_name("harborx"))
    helped, bare = [], []
    for _ in range(ROUNDS):
        helped.append(_milliseconds([harborx, "--help"]))
        bare.append(_milliseconds([sys.executable, "-c", "pass"]))
    return {"goal_ms": 500, **summary(helped, "ms"), "bare_python": summary(bare, "ms")}


def _milliseconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1000
