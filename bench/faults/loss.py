"""
Packets that get lost on the machines' lines, by nftables in a network namespace of this process's own: nothing
outside is touched, and all of it is gone with us.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from typing import Final

from bench.faults.world import World

KIND: Final = "loss"
_CLONE_NEWNET: Final = 0x40000000
_TOOLS: Final = ("ip", "nft")
_DROPPED: Final = re.compile(r"counter packets (\d+)")
_RULES: Final = """
table inet chaos {{
    chain lines {{
        type filter hook output priority 0;
        tcp dport {{ {ports} }} numgen random mod 100 < {percent} counter drop
        tcp sport {{ {ports} }} numgen random mod 100 < {percent} counter drop
    }}
}}
"""


def enter_namespace() -> str | None:
    """Leave for an empty network with a loopback of its own; or why that is not possible. Before any thread."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0:
        return "it needs root"
    if missing:
        return f"{' and '.join(missing)} missing"
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        return f"no network namespace: {os.strerror(ctypes.get_errno())}"
    try:
        _run("ip", "link", "set", "lo", "up")
        _run("nft", "-c", "-f", "-", text=_RULES.format(ports="1", percent=1))
    except subprocess.CalledProcessError as error:
        return f"the kernel refuses: {error.stderr.strip()}"
    return None


def lose(world: World, percent: int) -> None:
    """From now on each packet between us and a machine is dropped with this chance, either way."""
    ports = ", ".join(str(machine.line.port) for machine in world.machines)
    _run("nft", "-f", "-", text=_RULES.format(ports=ports, percent=percent))
    for machine in world.machines:
        world.fault(KIND, KIND, machine.instance_id).detail["percent"] = percent


def take_stock(world: World) -> None:
    """Write down how many packets were lost."""
    listed = _run("nft", "list", "table", "inet", "chaos")
    dropped = sum(int(count) for count in _DROPPED.findall(listed))
    for fault in world.faults:
        if fault.kind == KIND:
            fault.effective = dropped > 0
            fault.detail["dropped"] = dropped


def _run(*command: str, text: str | None = None) -> str:
    ended = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return ended.stdout
