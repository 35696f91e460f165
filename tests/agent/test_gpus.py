"""All devices of a machine, a process each: real children on the processor stand for GPUs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.events import Metric
from remote_agent import processes
from remote_agent.measure import children, gpus
from remote_agent.measure.children import Answer
from remote_agent.measure.figure import Figure, as_event
from remote_agent.measure.gpus import Target
from remote_agent.spec import Options
from tests.agent.instance import is_alive, until

TINY = Options(batch_size=2, image_size=32, precision="fp32")
# Measures two devices for longer than anybody waits.
PARENT = """
import sys
from remote_agent.measure import gpus
from remote_agent.spec import Options
options = Options(batch_size=2, image_size=32, precision="fp32")
say = lambda text: print(text, file=sys.stderr, flush=True)
class Long(gpus.Child):
    def order(self, order):
        super().order(dict(order, seconds=300))
gpus.Child = Long
gpus.measure_all(options, [(0, None, "cpu"), (1, None, "cpu")], 0.5, False, say)
"""
# A child that prints where torch or NCCL would, and fails at the second order.
NOISY = """
import contextlib, os, sys
from remote_agent.measure import children
def obey(order):
    os.write(1, b"noise of the order\\n")
    if order["number"] == 2:
        raise ValueError("two")
    return {"answer": order["number"]}
def prepare():
    print("noise of the start", flush=True)
    return contextlib.nullcontext(obey)
sys.exit(children.serve(int(sys.argv[1]), prepare))
"""


def check(figures: list[Figure]) -> None:
    """Each fits the contract."""
    for figure in figures:
        Metric.model_validate(dict(as_event(figure), type="metric"))


def workers(of: int) -> list[int]:
    """The pids of the measuring children of process `of`, the oldest first."""
    found = []
    for pid in sorted(processes.descendants(of)):
        try:
            if b"one-gpu" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


def answer(rate: float, started: float = 100.0, ended: float = 110.0) -> Answer:
    """What a child answers."""
    return {
        "rate": rate,
        "low": rate - 1,
        "high": rate + 1,
        "steps": 10,
        "started": started,
        "ended": ended,
        "at": 100.0,
        "configuration": {"precision": "fp32"},
    }


def by_name(figures: list[Figure]) -> dict[tuple[str, int | None], Figure]:
    return {(figure.name, figure.gpu_index): figure for figure in figures}


def test_two_devices_train_alone_and_together() -> None:
    """Each has its figure of both stretches, all begin together, and the sums are the machine's."""
    told: list[str] = []
    figures = gpus.measure_all(TINY, [(0, None, "cpu"), (5, None, "cpu")], 0.4, True, told.append)
    check(figures)
    found = by_name(figures)
    assert set(found) == {
        *((name, number) for name in ("training alone", "training together") for number in (0, 5)),
        ("all GPUs", None),
        ("straggler", None),
        ("scaling", None),
    }
    assert all(figure.value for figure in figures), figures
    together = [found["training together", number] for number in (0, 5)]
    total = found["all GPUs", None]
    assert total.value == pytest.approx(sum(figure.value or 0 for figure in together))
    assert total.configuration == dict(together[0].configuration, gpus=2)
    assert total.detail["failed"] == 0
    for figure in together:
        assert 0 <= figure.detail["started"] < 0.3
        assert figure.detail["ended"] >= 0.4
        assert figure.configuration["image_size"] == 32
        assert figure.configuration["threads"] == 1
    for text in ("warming up GPU 0", "training on GPU 5", "training on 2 GPUs"):
        assert text in told
    assert workers(os.getpid()) == []


def test_who_dies_or_hangs_is_told_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three devices one can't start, one is killed, one hangs; the fourth is measured all the same."""
    monkeypatch.setattr(gpus, "GRACE_SECONDS", 1.5)
    monkeypatch.setattr(children, "_LEAVE_SECONDS", 0.1)
    monkeypatch.setattr(gpus, "environment", lambda target, of: {"OMP_NUM_THREADS": "1"})
    done: list[str] = []

    def tell(text: str) -> None:
        if text.startswith("training on") and not done:
            done.append(text)
            hanging, dying = workers(os.getpid())[-3:-1]
            os.kill(hanging, signal.SIGSTOP)
            os.kill(dying, signal.SIGKILL)

    devices = [(0, None, "cuda"), (1, None, "cpu"), (2, None, "cpu"), (3, None, "cpu")]
    figures = gpus.measure_all(TINY, devices, 0.4, False, tell)
    check(figures)
    found = by_name(figures)
    troubles = [found["training together", number].detail.get("error") for number in range(4)]
    assert found["training together", 0].value is None
    assert "CUDA" in troubles[0]
    assert troubles[1:3] == ["no answer in time", "the process ended with status -9"]
    assert found["training together", 3].value
    assert found["all GPUs", None].value == found["training together", 3].value
    assert found["all GPUs", None].detail["failed"] == 3
    assert ("straggler", None) not in found
    assert workers(os.getpid()) == []


def test_a_child_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no room for another process the GPU's figures say so."""

    def refuse(*_: Any) -> Any:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(gpus, "Child", refuse)
    figures = gpus.measure_all(TINY, [(0, None, "cpu"), (1, None, "cpu")], 1, True, print)
    check(figures)
    assert all(figure.value is None for figure in figures)
    assert "temporarily" in by_name(figures)["training alone", 1].detail["error"]


def test_children_die_with_their_parent() -> None:
    """Whoever kills the parent has killed its children, in the middle of a measurement too."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with parent:
        assert parent.stderr is not None
        assert parent.stdout is not None
        while b"training on 2 GPUs" not in parent.stderr.readline():
            assert parent.poll() is None
        family = workers(parent.pid)
        assert len(family) == 2
        parent.kill()
        until(lambda: not any(map(is_alive, family)))
        assert parent.stdout.read() == b""


def test_a_childs_noise_is_no_answer() -> None:
    """What is printed within a child goes to stderr; its answers alone are on stdout."""
    child = subprocess.run(
        [sys.executable, "-c", NOISY, str(os.getpid())],
        input=b'{"number": 1}\n{"number": 2}\n{"number": 3}\n',
        capture_output=True,
        timeout=60,
    )
    assert child.stdout.splitlines() == [b"{}", b'{"answer": 1}', b'{"error": "ValueError: two"}']
    assert child.stderr.count(b"noise of the order") == 2
    assert b"noise of the start" in child.stderr
    assert child.returncode == 1


def test_a_device_is_named_by_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child sees one GPU: by UUID, else by our number among those that we see ourselves."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus.environment(Target(3, "GPU-a", "cuda"), 4) == {"CUDA_VISIBLE_DEVICES": "GPU-a"}
    assert gpus.environment(Target(3, None, "cuda"), 4) == {"CUDA_VISIBLE_DEVICES": "3"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6, 7")
    assert gpus.environment(Target(1, None, "cuda"), 2) == {"CUDA_VISIBLE_DEVICES": "7"}
    monkeypatch.setattr(gpus.probe, "cpu_count", lambda: 9)
    assert gpus.environment(Target(0, None, "cpu"), 2) == {"OMP_NUM_THREADS": "4"}


def test_the_straggler_and_the_scaling_are_told() -> None:
    """The slowest against the median, with its number, and the sum together against the sum alone."""
    targets = [Target(number, None, "cuda") for number in range(4)]
    single = {number: answer(100.0) for number in range(4)}
    together = {0: answer(100.0), 1: answer(98.0), 2: answer(60.0), 3: answer(102.0)}
    found = by_name(gpus.figures(targets, single, together))
    check(list(found.values()))
    assert found["straggler", None].value == pytest.approx(60 / 99)
    assert found["straggler", None].detail["gpu_index"] == 2
    assert found["scaling", None].value == pytest.approx(360 / 400)
    total = found["all GPUs", None]
    assert (total.value, total.low, total.high) == (360, 356, 364)
    assert total.detail["common_stretch"] == 1
    assert "note" not in total.detail


def test_scaling_compares_the_same_gpus() -> None:
    """A GPU that was lost in between counts in neither sum, and without any there is no scaling."""
    targets = [Target(number, None, "cuda") for number in range(2)]
    lost: dict[str, Any] = {"error": "gone"}
    single = {0: answer(100.0), 1: answer(100.0)}
    found = by_name(gpus.figures(targets, single, {0: answer(90.0), 1: lost}))
    check(list(found.values()))
    assert found["scaling", None].value == pytest.approx(0.9)
    assert found["all GPUs", None].configuration["gpus"] == 1
    assert found["training together", 1].value is None
    nobody = by_name(gpus.figures(targets, {}, {0: lost, 1: lost}))
    check(list(nobody.values()))
    assert nobody["all GPUs", None].value is None
    assert ("scaling", None) not in nobody


def test_a_short_common_stretch_is_told() -> None:
    """Where less than 80 % was common to all, the figures of that stretch say so."""
    targets = [Target(0, None, "cuda"), Target(1, None, "cuda")]
    for late, noted in ((101.0, False), (103.0, True)):
        together = {0: answer(100.0), 1: answer(100.0, started=late, ended=111.0)}
        found = by_name(gpus.figures(targets, {}, together))
        share = found["all GPUs", None].detail["common_stretch"]
        assert share == pytest.approx((110 - late) / 10)
        assert ("note" in found["all GPUs", None].detail) is noted
        assert ("note" in found["training together", 0].detail) is noted
