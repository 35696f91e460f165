"""`look`: what a machine tells of itself in one answer, before anything is run on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.ssh.agent_archive import pack
from orchestrator.ssh.look import probe_of
from orchestrator.ssh.session import _LONGEST_ANSWER
from remote_agent.look import shortened
from remote_agent.machine import probe
from tests.agent.driver import card, scripted
from tests.agent.instance import MARKER, Instance

LONGEST = len(f"@harborx {'f' * 64} look ")


def test_a_look_tells_python_and_the_machine(machine: Callable[..., Instance]) -> None:
    """The packed agent answers twice, the orchestrator reads both, and nothing stays on the machine."""
    made = machine(pack().content)
    done = subprocess.run(
        [sys.executable, str(made.agent), "look", "--marker", MARKER],
        capture_output=True,
        text=True,
        env=made.environ,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    version = ".".join(map(str, sys.version_info[:3]))
    assert first == f"@harborx {MARKER} python {version}"
    prefix = f"@harborx {MARKER} look "
    assert second.startswith(prefix)
    told = probe_of(second[len(prefix) :])
    assert told.cpu_count == probe.cpu_count()
    assert told.kernel == os.uname().release
    assert not made.runs.exists()


def test_the_biggest_machine_fits_into_an_answer(tmp_path: Path) -> None:
    """Cards and torches are left out from the end until it fits; how many cards there are is told all the same."""
    with scripted(tmp_path) as driver:
        driver.play(*map(card, range(64)))
        found = probe.probe()
    for installs in (0, 24):
        path = "/home/größe/" + "x" * 480
        torches = [{"interpreter": f"{path}{n}", "torch": "2.13.0"} for n in range(installs)]
        text = shortened({**found, "torch_installs": torches})
        assert LONGEST + len(text) <= _LONGEST_ANSWER
        told = probe_of(text)
        assert told.gpu_count == 64
        assert len(told.gpus) >= 8
        assert told.gpus[0].name == card()["name"]
        assert told.gpus[0].memory_total_gb == 80.0
        assert bool(told.torch_installs) == bool(installs)


def test_eight_cards_are_told_in_full(tmp_path: Path) -> None:
    """The usual big machine loses nothing: every card, and every torch of a few."""
    with scripted(tmp_path) as driver:
        driver.play(*map(card, range(8)))
        found: dict[str, Any] = probe.probe()
    torches = [{"interpreter": f"/opt/env{n}/bin/python", "torch": "2.13.0"} for n in range(6)]
    told = probe_of(shortened({**found, "torch_installs": torches}))
    assert [gpu.uuid for gpu in told.gpus] == [card(place)["uuid"] for place in range(8)]
    assert len(told.torch_installs) == 6
