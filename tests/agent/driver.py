"""A machine with GPUs for the agent: `scripted_nvml` in the place of NVIDIA's module, and its script."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.agent import scripted_nvml

H100: dict[str, Any] = {
    "name": "NVIDIA H100 80GB HBM3", "capability": [9, 0], "memory": 80, "used": 0.01,
    "utilization": 99, "temperature": 62, "sm_clock": 1980, "memory_clock": 2619, "reasons": 0,
    "watts": 600, "watts_now": 612.5, "limit": 700, "limit_set": 700, "limit_default": 700,
    "generation": 5, "width": 16, "generation_max": 5, "width_max": 16, "replays": 3,
    "pids": [], "drawing": [], "xids": [], "mig": 0, "persistence": 1, "ecc": 1,
    "errors": [0, 0, 2, 0], "rows": [0, 0, 0, 0], "retired_pending": 0, "violations": {},
}  # fmt: skip
"""One card as `scripted_nvml` wants it: GiB, watts, MHz, seconds; healthy, alone and under load."""


def card(place: int = 0, **changes: Any) -> dict[str, Any]:
    """A card of the machine; slot and UUID follow from its place."""
    slot = f"00000000:{place + 0x3B:02X}:00.0"
    return {**H100, "slot": slot, "uuid": f"GPU-{place:08x}-0000-4000-8000-000000000000", **changes}


class Driver:
    """The script of a machine's NVML, which can be changed while others read it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "script.json"
        source = Path(scripted_nvml.__file__).read_text()
        (folder / "pynvml.py").write_text(source)

    def play(self, *cards: dict[str, Any], missing: str = "", hangs: str = "") -> None:
        """From now on the machine is this one; `missing` are the ends of the names of calls."""
        script = {"cards": cards, "missing": missing.split(), "hangs": hangs}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(script))
        new.rename(self.path)

    def slots(self, number: int) -> list[str]:
        """The first slots, as CUDA writes them."""
        return [card(place)["slot"][4:] for place in range(number)]


@contextmanager
def scripted(folder: Path) -> Iterator[Driver]:
    """A driver in `folder`, for this process and its children."""
    driver = Driver(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCRIPTED_NVML", str(driver.path))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
        patch.syspath_prepend(str(folder))
        patch.delitem(sys.modules, "pynvml", raising=False)
        yield driver
        sys.modules.pop("pynvml", None)
