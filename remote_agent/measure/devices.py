"""The devices that torch sees, and where they sit in the machine."""

import contextlib
import ctypes
from typing import Any, List, NamedTuple, Optional

import torch

from remote_agent.failure import Failure


class Device(NamedTuple):
    """A GPU as torch numbers it; `bus_id` is its PCI slot as NVML wants it."""

    number: int
    name: str
    uuid: Optional[str]
    bus_id: Optional[str]
    memory_total_gb: Optional[float]


def choose_device(wanted: str) -> str:
    """cuda or cpu. Raises `Failure` gpu_missing where CUDA is demanded and there is none."""
    if wanted == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        built = torch.version.cuda or torch.version.hip or "no GPU at all"
        raise Failure(
            "gpu_missing",
            "A GPU was asked for, but torch sees none on this machine.",
            f"torch {torch.__version__}, built for {built}",
        )
    return "cpu"


def gpus() -> List[Device]:
    """All GPUs that torch sees, in its order; none on a CPU."""
    if not torch.cuda.is_available():
        return []
    return [_device(index) for index in range(torch.cuda.device_count())]


def _device(index: int) -> Device:
    properties: Any = torch.cuda.get_device_properties(index)
    # torch 2.4 and newer have it. AMD's runtime takes numbers where NVIDIA's takes UUIDs.
    uuid = None if torch.version.hip else getattr(properties, "uuid", None)
    total = getattr(properties, "total_memory", None)
    return Device(
        number=index,
        name=str(properties.name)[:200],
        uuid=f"GPU-{uuid}" if uuid else None,
        bus_id=_bus_id(index),
        memory_total_gb=total / 2**30 if total else None,
    )


def _bus_id(index: int) -> Optional[str]:
    """
    The PCI slot of torch's GPU `index`, such as 0000:3B:00.0.

    CUDA and NVML number cards differently, and CUDA_VISIBLE_DEVICES hides some from one of them.
    """
    with contextlib.suppress(OSError, AttributeError, UnicodeDecodeError):
        cuda = ctypes.CDLL("libcuda.so.1")
        device, name = ctypes.c_int(), ctypes.create_string_buffer(32)
        if cuda.cuDeviceGet(ctypes.byref(device), index):
            return None
        if cuda.cuDeviceGetPCIBusId(name, len(name), device):
            return None
        return name.value.decode("ascii") or None
    return None
