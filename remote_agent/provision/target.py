"""What a torch must fit on this machine: the driver, the cards and the C library."""

import os
import re
from typing import NamedTuple, Optional, Tuple

from remote_agent.machine import cards, nvml, surroundings

Version = Tuple[int, int]


class Target(NamedTuple):
    """
    `cuda` is the newest CUDA that the NVIDIA driver can run, None where it doesn't tell;
    `capabilities` are the cards' (8.0 is an A100); `rocm` an AMD GPU that can compute, on a machine
    without an NVIDIA driver; `glibc` is None where the C library is another one, such as musl.
    """

    has_driver: bool = False
    cuda: Optional[Version] = None
    capabilities: Tuple[Version, ...] = ()
    rocm: bool = False
    glibc: Optional[Version] = (2, 28)

    @property
    def has_gpu(self) -> bool:
        """Whether there is a GPU that some torch could use."""
        return self.has_driver or self.rocm


def look() -> Target:
    """This machine. What can't be told is None or empty."""
    has_driver = nvml.has_driver()
    # Many desktop processors have an AMD GPU too; next to an NVIDIA card it is not what is meant.
    rocm = not has_driver and os.path.exists("/dev/kfd")
    target = Target(has_driver, rocm=rocm, glibc=version(surroundings.glibc() or ""))
    told = cards.Question().answer() if has_driver else None
    if told is None:
        return target
    capabilities = (version(gpu["compute_capability"] or "") for gpu in told.gpus)
    return target._replace(
        cuda=version(told.cuda_version or ""), capabilities=tuple(filter(None, capabilities))
    )


def version(text: str) -> Optional[Version]:
    """The first two numbers in `text` ("glibc 2.36", "12.4"), None without them."""
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found.group(1)), int(found.group(2))) if found else None
