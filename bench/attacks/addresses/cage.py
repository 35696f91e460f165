"""
A network with nothing outside: a namespace of this process's own whose every way leads to an interface that goes
nowhere, with a counter on what leaves for where nothing may.

Nothing of the machine is touched, and all of it is gone with the process. Enter it before any thread is begun.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RESOLVER: Final = (
    "127.0.0.53"  # the one address of a forbidden range that is talked to, on port 53 alone
)
OURS: Final = ("45.33.32.156", "2600:3c01::1")  # public addresses of the caged machine itself
ALLOWED: Final = ("9.9.9.9", "2620:fe::9")  # machines of the public internet
# By IANA's registries and not by the product's tables: the two are held against each other here.
FORBIDDEN_4: Final = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
    *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
)
FORBIDDEN_6: Final = (
    *("::/8", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    *("5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
)
# What a translator would send on to a private address; NAT64 of a public one is no tunnel to the inside.
_TRANSLATED: Final = (
    *("64:ff9b::/104", "64:ff9b::a00:0/104", "64:ff9b::7f00:0/104", "64:ff9b::a9fe:0/112"),
    *("64:ff9b::ac10:0/108", "64:ff9b::c0a8:0/112", "64:ff9b::6440:0/106"),
)
_NEWNS, _NEWUSER, _NEWNET = 0x00020000, 0x10000000, 0x40000000
_TOOLS: Final = ("ip", "mount", "nft")
_INTERFACES: Final = """
link set lo up
link add cage type veth peer name nowhere
link set cage up
link set nowhere up
addr add {0}/32 dev cage
addr add {1}/128 dev cage nodad
route add default dev cage src {0}
-6 route add default dev cage src {1}
"""
# The kernel's own talk about addresses is not ours. A reset lets a connection fail at once, and is counted itself no more.
_RULES: Final = """
table inet cage {{
    counter forbidden {{}}
    counter allowed {{}}
    counter other {{}}
    chain out {{
        type filter hook output priority 0; policy drop;
        meta l4proto igmp accept
        icmpv6 type {{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld2-listener-report }} accept
        ip daddr {resolver} meta l4proto {{ tcp, udp }} th dport 53 accept
        ip saddr {resolver} meta l4proto {{ tcp, udp }} th sport 53 accept
        tcp flags & (rst | ack) == rst | ack accept
        ip daddr {{ {forbidden_4}, {ours_4} }} counter name forbidden jump refuse
        ip6 daddr {{ {forbidden_6}, {ours_6} }} counter name forbidden jump refuse
        ip daddr {allowed_4} counter name allowed jump refuse
        ip6 daddr {allowed_6} counter name allowed jump refuse
        counter name other jump refuse
    }}
    chain refuse {{
        meta l4proto tcp reject with tcp reset
        drop
    }}
}}
"""


@dataclass(frozen=True)
class Counted:
    """Packets so far: to where nothing may go, to the public machines that may be reached, and to anywhere else."""

    forbidden: int
    allowed: int
    other: int


def enter(folder: Path) -> str | None:
    """Leave for the cage, with its own resolver and no other source of names; or why that is not possible."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return f"{' and '.join(missing)} missing (Debian: iproute2, mount, nftables)"
    user, group = os.getuid(), os.getgid()
    flags = _NEWNS | _NEWNET | (0 if user == 0 else _NEWUSER)
    if ctypes.CDLL(None, use_errno=True).unshare(flags) != 0:
        return f"no namespaces of our own: {os.strerror(ctypes.get_errno())}"
    try:
        if flags & _NEWUSER:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        _build(folder)
    except subprocess.CalledProcessError as error:
        return f"{' '.join(error.cmd)}: {error.stderr.strip()}"
    except OSError as error:
        return f"no namespaces of our own: {error}"
    return None


def counted() -> Counted:
    listed = json.loads(_run("nft", "-j", "list", "counters", "table", "inet", "cage"))
    found = {each["counter"]["name"]: each["counter"]["packets"] for each in listed["nftables"][1:]}
    return Counted(found["forbidden"], found["allowed"], found["other"])


def _build(folder: Path) -> None:
    _run("mount", "--make-rprivate", "/")
    files = {
        "resolv.conf": f"nameserver {RESOLVER}\nsearch inside.test\noptions timeout:1 attempts:1\n",
        "hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost\n",
        "nsswitch.conf": "hosts: files dns\n",
    }
    for name, content in files.items():
        (folder / name).write_text(content)
        _run("mount", "--bind", str(folder / name), f"/etc/{name}")
    for line in _INTERFACES.format(*OURS).strip().splitlines():
        _run("ip", *line.split())
    rules = _RULES.format(
        resolver=RESOLVER,
        forbidden_4=", ".join(FORBIDDEN_4),
        forbidden_6=", ".join((*FORBIDDEN_6, *_TRANSLATED)),
        ours_4=OURS[0],
        ours_6=OURS[1],
        allowed_4=ALLOWED[0],
        allowed_6=ALLOWED[1],
    )
    _run("nft", "-f", "-", text=rules)


def _run(*command: str, text: str | None = None) -> str:
    ended = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return ended.stdout
