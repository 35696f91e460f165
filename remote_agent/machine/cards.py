"""All cards of the machine, each with what it is and its health: asked once, in a child."""

import json
import os
import subprocess
import sys
from typing import Any, Dict, List, NamedTuple, Optional

from remote_agent import own_code
from remote_agent.machine import asking, tenants
from remote_agent.machine.health import Health
from remote_agent.machine.nvml import Nvml, same_slot
from remote_agent.output import write_all

ASK_SECONDS = 45.0
"""Without persistence mode a driver takes half a minute to wake the cards of a big machine."""

_MOST = 64


class Cards(NamedTuple):
    """What NVML tells; `gpus` are the contract's, at most 64 of `number`; `health` has their order."""

    driver_version: Optional[str]
    cuda_version: Optional[str]
    number: int
    gpus: List[Dict[str, Any]]
    health: List[Health]

    def health_of(self, bus_ids: List[str]) -> List[Optional[Health]]:
        """The counters of the cards in these PCI slots, None for those that aren't there."""
        return [self._health_of(bus_id) for bus_id in bus_ids]

    def _health_of(self, bus_id: str) -> Optional[Health]:
        for place, gpu in enumerate(self.gpus):
            if same_slot(gpu["pci_bus_id"], bus_id):
                return self.health[place]
        return None


class Question:
    """Is put when it is made; `answer` waits for what comes of it."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            own_code.command(sys.executable, "sample", str(os.getpid())),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def answer(self) -> Optional[Cards]:
        """The cards, None without NVML or where it has not answered in time."""
        text = asking.answer_of(self._child, ASK_SECONDS)
        if not text or not text.endswith("\n"):
            return None
        told = json.loads(text.splitlines()[-1])
        return Cards(**dict(told, health=[Health(**one) for one in told["health"]]))


def health(bus_ids: List[str]) -> List[Optional[Health]]:
    """The counters of the cards in these PCI slots now, None for what can't be told."""
    found = Question().answer() if bus_ids else None
    return found.health_of(bus_ids) if found else [None] * len(bus_ids)


def tell(library: Nvml, root: int) -> int:
    """
    The child: prints the answer; what `root` and its offspring compute is ours. Returns 0.

    1 where the cards can't be counted.
    """
    handles = library.cards()
    if handles is None:
        return 1
    told = Cards(
        driver_version=library.driver_version(),
        cuda_version=library.cuda_version(),
        number=len(handles),
        gpus=[described(library, *card, root) for card in list(handles.items())[:_MOST]],
        health=[Health.of(library, handle) for handle in list(handles.values())[:_MOST]],
    )
    answer = dict(told._asdict(), health=[one._asdict() for one in told.health])
    write_all(1, json.dumps(answer).encode() + b"\n")
    return 0


def described(library: Nvml, number: int, handle: Any, root: int) -> Dict[str, Any]:
    """The contract's fields of one card, and what of its memory is in use and by how many drawing."""
    total, free = library.memory_gb(handle)
    return {
        "index": number,
        "name": library.name(handle),
        "uuid": library.uuid(handle),
        "pci_bus_id": library.bus_id(handle),
        "memory_total_gb": _rounded(total),
        "memory_free_gb": _rounded(free),
        "memory_used_gb": _rounded(library.memory_in_use_gb(handle)),
        "compute_capability": _capability(library, handle),
        "mig_enabled": _first(library.ask("nvmlDeviceGetMigMode", handle)),
        "persistence": _yes(library.ask("nvmlDeviceGetPersistenceMode", handle)),
        "ecc_enabled": _first(library.ask("nvmlDeviceGetEccMode", handle)),
        "power_limit_watts": _watts(library, handle, "nvmlDeviceGetEnforcedPowerLimit")
        or _watts(library, handle, "nvmlDeviceGetPowerManagementLimit"),
        "power_limit_default_watts": _watts(
            library, handle, "nvmlDeviceGetPowerManagementDefaultLimit"
        ),
        # What card and slot can do together: a new card in an older slot is no fault of the link.
        "pcie_generation_max": library.count("nvmlDeviceGetMaxPcieLinkGeneration", handle, most=16),
        "pcie_width_max": library.count("nvmlDeviceGetMaxPcieLinkWidth", handle, most=64),
        "processes": tenants.foreign(library.compute_pids(handle), root),
        "graphics_processes": library.graphics_processes(handle),
        "vbios": library.text("nvmlDeviceGetVbiosVersion", handle),
    }


def _rounded(size: Optional[float]) -> Optional[float]:
    return None if size is None else round(size, 2)


def _capability(library: Nvml, handle: Any) -> Optional[str]:
    found = library.ask("nvmlDeviceGetCudaComputeCapability", handle)
    return f"{found[0]}.{found[1]}" if found else None


def _first(modes: Any) -> Optional[bool]:
    """The mode now, of a pair with the one after the next start."""
    return bool(modes[0]) if modes else None


def _yes(flag: Any) -> Optional[bool]:
    return None if flag is None else bool(flag)


def _watts(library: Nvml, handle: Any, call: str) -> Optional[float]:
    milliwatts = library.count(call, handle, most=20_000_000)
    return milliwatts / 1000 if milliwatts else None
