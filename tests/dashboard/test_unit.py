"""The dashboard's own tests of what it calculates (src/**/*.test.ts), which need no browser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_DASHBOARD = Path(__file__).parents[2] / "dashboard"


def test_vitest_passes() -> None:
    answer = subprocess.run(
        [sys.executable, "npm.py", "run", "test"],
        cwd=_DASHBOARD,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "passed" in answer.stdout
