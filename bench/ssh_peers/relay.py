"""
A line with a delay: two TUN devices in two network namespaces, and each packet handed over a while later. The kernel that
this runs on may have no netem. `python -m bench.ssh_peers.relay NAMESPACE NAMESPACE SECONDS`, until its stdin ends.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from typing import Final

CLIENT, SERVER = "10.77.0.1", "10.77.0.2"
_SET_INTERFACE: Final = 0x400454CA  # TUNSETIFF
_PLAIN_TUN: Final = 0x0001 | 0x1000  # IFF_TUN | IFF_NO_PI
_NEW_NETWORK: Final = 0x40000000  # CLONE_NEWNET
_LONGEST: Final = 65536


def main() -> None:
    near, far, delay = sys.argv[1], sys.argv[2], float(sys.argv[3])
    ends = (_device(near, "tunnear", CLIENT), _device(far, "tunfar", SERVER))
    print("up", flush=True)
    _hand_over(ends, delay)


def _device(namespace: str, name: str, address: str) -> int:
    """A TUN device in the namespace, as a file descriptor of this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(there, _NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), f"no way into namespace {namespace}")
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, _SET_INTERFACE, struct.pack("16sH14x", name.encode(), _PLAIN_TUN))
        for words in (
            ("addr", "add", f"{address}/24", "dev", name),
            ("link", "set", name, "up", "mtu", "1500", "txqueuelen", "10000"),
            ("link", "set", "lo", "up"),
        ):
            subprocess.run(["ip", *words], check=True, timeout=10)
        if libc.setns(here, _NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), "no way back")
    finally:
        os.close(here)
        os.close(there)
    return device


def _hand_over(ends: tuple[int, int], delay: float) -> None:
    waiting: deque[tuple[float, int, bytes]] = (
        deque()
    )  # in the order of their time: the delay is the same for all
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    poll = select.poll()
    for fd in (*ends, 0):
        poll.register(fd, select.POLLIN)
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, end, packet = waiting.popleft()
            with suppress(
                OSError
            ):  # a full queue, or an end that is going: a line may lose packets
                os.write(end, packet)
        pause = (waiting[0][0] - time.monotonic()) * 1000 if waiting else None
        for fd, _ in poll.poll(None if pause is None else max(0.0, pause)):
            if fd == 0:
                return
            waiting.extend((time.monotonic() + delay, other[fd], each) for each in _packets(fd))


def _packets(device: int) -> list[bytes]:
    found: list[bytes] = []
    try:
        while len(found) < 64:
            found.append(os.read(device, _LONGEST))
    except BlockingIOError:
        pass
    return found


if __name__ == "__main__":
    main()
