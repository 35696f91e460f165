"""
The benchmark of the chaos machines, in the place of `remote_agent/benchmark.py` inside the archive.

It measures nothing: it plays the run's transcript slowly, says a result that our clock agrees with, and leaves
marks outside the run's folder, by which the checker knows what really happened. Python 3.8.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from typing import Any

from bench.faults import transcript
from remote_agent import spec
from remote_agent.run_folder import RunFolder

_PARAMETERS = 25_557_032


def benchmark(path: str, seq: int, start: float | None) -> int:
    """Plays the spec of the run folder at `path`; returns 0."""
    with open(RunFolder(path).spec, encoding="utf-8") as file:
        orders = spec.parse(file.read())
    home = os.environ["HOME"]
    lock = _mark(home, orders.run_id)
    _leave_a_stray()
    with open(os.path.join(home, "pace"), encoding="ascii") as file:
        pace = float(file.read())
    os.makedirs(os.path.join(home, "said"), exist_ok=True)
    with open(os.path.join(home, "said", orders.run_id), "ab") as said:
        _play(orders, pace, said.fileno())
    os.close(lock)
    return 0


def _mark(home: str, run_id: str) -> int:
    """One line for each start, and one where another benchmark still runs: the lock is held for life."""
    lock = os.open(os.path.join(home, "audit.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        _append(os.path.join(home, "overlaps"), run_id)
    _append(os.path.join(home, "starts"), run_id)
    return lock


def _append(path: str, text: str) -> None:
    with open(path, "a", encoding="ascii") as file:
        file.write(text + "\n")


def _leave_a_stray() -> None:
    """A grandchild in a session of its own that would sleep for ever."""
    subprocess.Popen(
        ["/bin/sh", "-c", "sleep 86400 > /dev/null 2>&1 &"],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ).wait()


def _play(orders: spec.Spec, pace: float, said: int) -> None:
    options = orders.options
    images = options.batch_size * options.steps
    played = transcript.lines(orders.run_id, orders.nonce, images, pace)
    began = time.monotonic()
    first_measure = None
    for line in played:
        _wait(began + line.at)
        if first_measure is None and b'"measure"' in line.data:
            first_measure = time.monotonic()
        if line.torn:
            _say(said, line.data[: line.torn])
            time.sleep(0.03)
        _say(said, line.data[line.torn :])
    at = transcript.duration(orders.run_id, pace)
    _wait(began + at)
    measured = time.monotonic() - (first_measure or began)
    fields = result_of(options, images, measured, at)
    seq = transcript.events_in(played, orders.nonce)
    _say(said, transcript.event(orders.nonce, seq, at, "result", fields))


def _wait(until: float) -> None:
    time.sleep(max(0.0, until - time.monotonic()))


def _say(said: int, data: bytes) -> None:
    for file in (said, 1):
        left = data
        while left:
            left = left[os.write(file, left) :]


def result_of(
    options: spec.Options, images: int, measured: float, seconds: float
) -> dict[str, Any]:
    """What a processor would tell that measured so many images in `measured` of the test's `seconds`."""
    rate = images / measured
    return {
        "test_type": "resnet50",
        "batch_size": options.batch_size,
        "num_epochs": options.num_epochs,
        "image_size": options.image_size,
        "throughput_samples_per_sec": rate,
        "throughput_images_per_sec": rate,
        "latency_ms": 1000 * measured / options.steps,
        "loss": 6.5,
        "test_duration_seconds": seconds,
        "images": images,
        "steps": options.steps,
        "measured_seconds": measured,
        "device": "cpu",
        "gpu_count": 0,
        "precision": "fp32",
        "model_source": "builtin",
        "parameters": _PARAMETERS,
        "torch_version": "0",
        "system_telemetry": {"ram_gb": 1.5, "cpu_count": 2},
        "raw_results": {"stand_in": True},
    }
