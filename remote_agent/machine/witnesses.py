"""How many NVIDIA GPUs the kernel and the PCI bus see: whoever lies about cards has to change them all."""

import os
from typing import List, Optional

from remote_agent.machine.surroundings import read

_NVIDIA = "0x10de"
_DISPLAY_CLASSES = (
    "0x0300",
    "0x0302",
)  # with a screen or without; an audio part of a card is neither
_MOST = 4096  # of entries in a folder


def loaded(root: str = "/") -> Optional[int]:
    """The cards that NVIDIA's kernel module drives, None where it doesn't tell."""
    names = _names(root, "proc/driver/nvidia/gpus")
    return None if names is None else len(names)


def on_bus(root: str = "/") -> Optional[int]:
    """The cards on the PCI bus, None where the bus can't be seen. Virtual functions are not counted."""
    names = _names(root, "sys/bus/pci/devices")
    return None if names is None else sum(_is_card(root, name) for name in names)


def _names(root: str, folder: str) -> Optional[List[str]]:
    try:
        return os.listdir(os.path.join(root, folder))[:_MOST]
    except OSError:
        return None


def _is_card(root: str, name: str) -> bool:
    device = f"sys/bus/pci/devices/{name}"
    if (read(root, f"{device}/vendor") or "").strip().lower() != _NVIDIA:
        return False
    if not (read(root, f"{device}/class") or "").strip().lower().startswith(_DISPLAY_CLASSES):
        return False
    return not os.path.lexists(os.path.join(root, device, "physfn"))
