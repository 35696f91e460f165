"""What the machine is: GPUs, processor, memory and disk, as far as it can be told without torch."""

import math
import os
from typing import Any, Dict, Optional

from remote_agent.machine import nvml

_GIB = 2**30


def probe() -> Dict[str, Any]:
    """The fields of the event `probe`; None for what can't be told."""
    machine: Dict[str, Any] = {
        "gpu_name": None,
        "gpu_count": None,
        "gpus": [],
        "driver_version": None,
        "cuda_version": None,
        "cpu_model": cpu_model(),
        "cpu_count": cpu_count(),
        "ram_gb": _gib(ram_bytes()),
        "disk_space_gb": _disk("f_blocks"),
        "disk_free_gb": _disk("f_bavail"),
    }
    with nvml.opened() as library:
        gpus = library.gpus() if library else None
        if library and gpus is not None:
            machine["gpu_name"] = gpus[0].name if gpus else None
            machine["gpu_count"] = len(gpus)
            machine["gpus"] = [_described(gpu) for gpu in gpus[:64]]
            machine["driver_version"] = library.driver_version()
            machine["cuda_version"] = library.cuda_version()
    return machine


def cpu_model() -> Optional[str]:
    """The processor's name; None on architectures whose kernels don't tell it."""
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name" and value.strip():
            return value.strip()[:200]
    return None


def cpu_count() -> int:
    """Processors that this process may use: its affinity, and no more than its cgroup grants."""
    allowed = len(os.sched_getaffinity(0))
    quota = _cpu_quota()
    return max(1, min(allowed, math.ceil(quota))) if quota else allowed


def ram_bytes() -> Optional[int]:
    """Memory that this process may use: the machine's, and no more than its cgroup grants."""
    total = None
    for line in (_read("/proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            total = int(line.split()[1]) * 1024
    limits = (
        _read("/sys/fs/cgroup/memory.max"),
        _read("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    )
    granted = [int(text) for text in limits if text and text.strip().isdigit()]
    known = [size for size in (total, *granted) if size]
    return min(known) if known else None


def _cpu_quota() -> Optional[float]:
    """How many processors' time the cgroup grants (version 2, else 1), None without a bound."""
    words = (_read("/sys/fs/cgroup/cpu.max") or "").split()
    if not words:
        words = [
            (_read(f"/sys/fs/cgroup/cpu/cpu.cfs_{name}_us") or "").strip()
            for name in ("quota", "period")
        ]
    if len(words) == 2 and all(word.isdigit() and int(word) for word in words):
        return int(words[0]) / int(words[1])
    return None


def _disk(count: str) -> Optional[float]:
    """The size `count` of the file system that holds the home folder, in GiB."""
    try:
        disk = os.statvfs(os.path.expanduser("~"))
    except OSError:
        return None
    return _gib(getattr(disk, count) * disk.f_frsize)


def _gib(size: Optional[int]) -> Optional[float]:
    return None if size is None else round(size / _GIB, 2)


def _described(gpu: nvml.Gpu) -> Dict[str, Any]:
    total = gpu.memory_total_gb
    return {
        "index": gpu.number,
        "name": gpu.name,
        "uuid": gpu.uuid,
        "memory_total_gb": None if total is None else round(total, 2),
    }


def _read(path: str) -> Optional[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1_000_000)
    except OSError:
        return None
