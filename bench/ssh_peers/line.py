"""Two network namespaces with a delayed line between them, for as long as they are needed."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from bench.ssh_peers.relay import SERVER

_SECONDS: Final = 10


@dataclass(frozen=True)
class Line:
    """Where the server listens, and what puts a command on either side of the line."""

    address: str = "127.0.0.1"
    client: tuple[str, ...] = ()
    server: tuple[str, ...] = ()


def lacking() -> str:
    """What there would have to be for network namespaces and TUN devices; empty where it is there."""
    missing = {
        "root": os.geteuid() != 0,
        "iproute2": shutil.which("ip") is None,
        "/dev/net/tun": not os.path.exists("/dev/net/tun"),
    }
    return ", ".join(name for name, lacks in missing.items() if lacks)


@contextmanager
def alone() -> Iterator[Line]:
    """A namespace with a loopback only, where a server may listen on every address of it and nobody else comes."""
    name = f"hx-alone-{secrets.token_hex(3)}"
    _run("ip", "netns", "add", name)
    try:
        within = ("ip", "netns", "exec", name)
        _run(*within, "ip", "link", "set", "lo", "up")
        yield Line("0.0.0.0", within, within)
    finally:
        _run("ip", "netns", "del", name)


@contextmanager
def delayed(round_trip: float) -> Iterator[Line]:
    """A line with this round trip, in seconds. Raises `OSError` or `CalledProcessError` where it can't be had."""
    own = secrets.token_hex(3)
    names = [f"hx-{side}-{own}" for side in ("near", "far")]
    with ExitStack() as stack:
        for name in names:
            _run("ip", "netns", "add", name)
            stack.callback(_run, "ip", "netns", "del", name)
        relay = subprocess.Popen(
            [sys.executable, "-m", "bench.ssh_peers.relay", *names, str(round_trip / 2)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        stack.callback(_end, relay)
        if relay.stdout is None or relay.stdout.readline() != b"up\n":
            raise OSError("the delayed line does not come up")
        near, far = (("ip", "netns", "exec", name) for name in names)
        yield Line(SERVER, near, far)


def _end(relay: subprocess.Popen[bytes]) -> None:
    relay.communicate(timeout=_SECONDS)  # the end of its stdin is its end


def _run(*words: str) -> None:
    subprocess.run(words, check=True, timeout=_SECONDS, capture_output=True)
