"""What the machine is: GPUs, processor, memory and disk, as far as it can be told without torch."""

import math
import os
from typing import Any, Dict, List, Optional

from remote_agent.machine import cards, nvml, surroundings, witnesses
from remote_agent.machine.surroundings import read
from remote_agent.provision import places
from remote_agent.run_folder import home

_GIB = 2**30
_MOST_INSTALLS = 24
_PATH_CHARACTERS = 500  # all of them must fit into one event


def probe(root: str = "/") -> Dict[str, Any]:
    """
    The fields of the event `probe`, and `has_driver`; None for what can't be told.

    `root` is where the machine's files begin. NVML is asked in a child while we look at all else; a
    driver that hangs costs its fields and `cards.ASK_SECONDS`.
    """
    question = cards.Question()
    machine: Dict[str, Any] = {
        "has_driver": nvml.has_driver(root),
        "cpu_model": cpu_model(root),
        "cpu_count": cpu_count(root),
        "ram_gb": _gib(ram_bytes(root)),
        "disk_space_gb": _disk("f_blocks"),
        "disk_free_gb": _disk("f_bavail"),
        "container": surroundings.container(root),
        "kernel": surroundings.kernel(root),
        "glibc": surroundings.glibc(),
        "torch_installs": _torch_installs(),
    }
    found = question.answer()
    seen = {"proc": witnesses.loaded(root), "pci": witnesses.on_bus(root), "torch": None}
    return {
        **machine,
        "gpu_name": found.gpus[0]["name"] if found and found.gpus else None,
        "gpu_count": found.number if found else None,
        "gpus": found.gpus if found else [],
        "witnesses": {"nvml": found.number if found else None, **seen},
        "driver_version": found.driver_version if found else None,
        "cuda_version": found.cuda_version if found else None,
    }


def cpu_model(root: str = "/") -> Optional[str]:
    """The processor's name; None on architectures whose kernels don't tell it."""
    for line in (read(root, "proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name" and value.strip():
            return value.strip()[:200]
    return None


def cpu_count(root: str = "/") -> int:
    """Processors that this process may use: its affinity, and no more than its cgroup grants."""
    allowed = len(os.sched_getaffinity(0))
    quota = _cpu_quota(root)
    return max(1, min(allowed, math.ceil(quota))) if quota else allowed


def ram_bytes(root: str = "/") -> Optional[int]:
    """Memory that this process may use: the machine's, and no more than its cgroup grants."""
    total = None
    for line in (read(root, "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            total = int(line.split()[1]) * 1024
    limits = (
        read(root, "sys/fs/cgroup/memory.max"),
        read(root, "sys/fs/cgroup/memory/memory.limit_in_bytes"),
    )
    granted = [int(text) for text in limits if text and text.strip().isdigit()]
    known = [size for size in (total, *granted) if size]
    return min(known) if known else None


def _torch_installs() -> List[Dict[str, str]]:
    return [
        {"interpreter": found.interpreter, "torch": found.torch}
        for found in places.torch_installs(home())
        if found.torch and len(found.interpreter) <= _PATH_CHARACTERS
    ][:_MOST_INSTALLS]


def _cpu_quota(root: str) -> Optional[float]:
    """How many processors' time the cgroup grants (version 2, else 1), None without a bound."""
    words = (read(root, "sys/fs/cgroup/cpu.max") or "").split()
    if not words:
        words = [
            (read(root, f"sys/fs/cgroup/cpu/cpu.cfs_{name}_us") or "").strip()
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
