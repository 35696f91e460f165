"""A GPU that somebody else uses postpones the run: a scripted driver stands in for the real one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agent.instance import Instance, Session, naming, spec, until, with_benchmark

# A machine with two cards. FAKE_NVML gives for each: processes that compute, processes that draw,
# GiB in use. Whoever asks leaves a file; "hang" stands for a driver that is stuck.
DRIVER = """
import os, signal, time
from types import SimpleNamespace as S
open(os.environ["ASKED"], "w").close()
nvmlMemory_v2 = 2
class NVMLError(Exception): pass
def nvmlInit():
    if os.environ["FAKE_NVML"] == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
def card(number):
    return os.environ["FAKE_NVML"].split(",")[number].split()
def nvmlShutdown(): pass
def nvmlDeviceGetCount(): return 2
def nvmlDeviceGetHandleByIndex(index): return S(number=index)
def nvmlDeviceGetName(handle): return "NVIDIA H100\\033[2J 80GB"
def nvmlDeviceGetComputeRunningProcesses(handle): return [S()] * int(card(handle.number)[0])
def nvmlDeviceGetGraphicsRunningProcesses(handle): return [S()] * int(card(handle.number)[1])
def nvmlDeviceGetMemoryInfo(handle, version=None):
    if card(handle.number)[2] == "old" and version:
        raise NVMLError("Function Not Found")
    if card(handle.number)[2] == "none":
        raise NVMLError("Not Supported")
    # The older call counts what the driver keeps for itself.
    used = 0.6 if card(handle.number)[2] == "old" else float(card(handle.number)[2])
    return S(used=int((used + (0 if version else 0.9)) * 2**30))
"""
# `site` imports it in every Python of the machine.
HAS_DRIVER = """
import os
exists = os.path.exists
os.path.exists = lambda path: path == "/dev/nvidiactl" or exists(path)
"""
ENDING = "def benchmark(path, seq, start): return 0"
NAME = "NVIDIA H100?[2J 80GB"


class Machine:
    """An instance with the scripted driver."""

    def __init__(self, instance: Instance, folder: Path, uses: str) -> None:
        self.instance = instance
        self.asked = folder / "asked"
        (folder / "sitecustomize.py").write_text(HAS_DRIVER)
        changes = {"PYTHONPATH": str(folder), "FAKE_NVML": uses, "ASKED": str(self.asked)}
        instance.environ.update(changes)

    def launch(self, device: str = "auto") -> Session:
        return self.instance.launch(spec(options={**spec()["options"], "device": device}))


@pytest.fixture
def with_driver(machine: Callable[..., Instance], tmp_path: Path) -> Callable[[str], Machine]:
    """Makes the test's machine, whose GPUs are used as told."""
    return lambda uses: Machine(machine(with_benchmark(ENDING, DRIVER)), tmp_path, uses)


@pytest.mark.parametrize(
    ("uses", "line"),
    [
        ("0 0 0.4,1 0 none", f"card 1 ({NAME}): 1 process"),
        ("2 0 45.0,1 0 3", f"card 0 ({NAME}): 2 processes, 45.0 GiB in use"),
        ("0 0 0,0 0 1.1", f"card 1 ({NAME}): 1.1 GiB in use"),
        ("0 0 old,0 0 0", f"card 0 ({NAME}): 1.5 GiB in use"),
    ],
)
def test_a_gpu_in_use_postpones(
    with_driver: Callable[[str], Machine], uses: str, line: str
) -> None:
    """Whoever computes on any card, or occupies its memory unseen, is told; nothing is started."""
    machine = with_driver(uses)
    assert machine.launch().answer() == f"busy gpu {line}"
    assert not list(machine.instance.runs.iterdir())


@pytest.mark.parametrize("uses", ["0 0 0.9,0 0 0", "0 3 2.5,0 1 none"])
def test_an_idle_gpu_and_one_that_only_draws_are_free(
    with_driver: Callable[[str], Machine], uses: str
) -> None:
    """What a driver keeps for itself, and a desktop, are no reason to postpone."""
    machine = with_driver(uses)
    assert machine.launch().answer() == "begin started"
    assert machine.asked.exists()


def test_a_driver_that_hangs_is_not_waited_for(with_driver: Callable[[str], Machine]) -> None:
    """Where the driver gives no answer the run is started, and whoever asked it is dead."""
    machine = with_driver("hang")
    session = machine.launch()
    until(machine.asked.exists)
    assert len(naming(f"{machine.instance.agent}\0occupancy")) == 1
    assert session.answer() == "begin started"
    assert not naming(f"{machine.instance.agent}\0occupancy")


def test_a_killed_launch_leaves_nobody_asking(with_driver: Callable[[str], Machine]) -> None:
    """A lost connection does not leave a process behind that waits for a broken driver."""
    machine = with_driver("hang")
    session = machine.launch()
    until(machine.asked.exists)
    session.kill()
    until(lambda: not naming(f"{machine.instance.agent}\0occupancy"), 3.0)


def test_only_who_may_start_on_a_gpu_asks(with_driver: Callable[[str], Machine]) -> None:
    """A run on the CPU and a launch that attaches ask no driver."""
    machine = with_driver("1 0 9,1 0 9")
    session = machine.launch("cpu")
    assert session.answer() == "begin started"
    session.end()
    assert machine.launch("cuda").answer() == "begin attached"
    assert not machine.asked.exists()


def test_without_a_driver_nobody_is_asked(
    with_driver: Callable[[str], Machine], tmp_path: Path
) -> None:
    """A machine without NVIDIA's driver starts at once."""
    machine = with_driver("1 0 9,1 0 9")
    (tmp_path / "sitecustomize.py").unlink()
    assert machine.launch().answer() == "begin started"
    assert not machine.asked.exists()
