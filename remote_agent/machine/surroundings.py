"""What this process runs in: container, kernel and C library. `root` is where the file system begins."""

import os
import platform
from typing import Mapping, Optional

_ENVIRONMENT = (
    ("KUBERNETES_SERVICE_HOST", "kubernetes"),
    ("APPTAINER_CONTAINER", "apptainer"),
    ("SINGULARITY_CONTAINER", "apptainer"),
)
_FILES = (
    ("var/run/secrets/kubernetes.io", "kubernetes"),
    (".singularity.d", "apptainer"),
    ("run/.containerenv", "podman"),
    (".dockerenv", "docker"),
)
# In paths of cgroups and mounts; under version 2 of cgroups the mounts alone give it away.
_TRACES = (
    ("kubepods", "kubernetes"),
    ("/kubelet/pods/", "kubernetes"),
    ("libpod", "podman"),
    ("/containers/storage/", "podman"),
    ("/docker/", "docker"),
    ("docker-", "docker"),
    ("/lxc/", "lxc"),
    ("lxc.payload", "lxc"),
    ("/containerd/", "containerd"),
)
_BYTES = 1_000_000


def container(root: str = "/", environ: Optional[Mapping[str, str]] = None) -> Optional[str]:
    """
    The kind of container that we run in, None outside of any.

    What a container runtime says of itself comes first, then traces that it leaves.
    """
    known = os.environ if environ is None else environ
    for name, kind in _ENVIRONMENT:
        if known.get(name):
            return kind
    for path, kind in _FILES:
        if os.path.exists(os.path.join(root, path)):
            return kind
    said = (known.get("container") or read(root, "run/systemd/container") or "").strip()
    return said[:200] or _traced(root)


def kernel(root: str = "/") -> Optional[str]:
    """The kernel's release, such as 6.8.0-41-generic."""
    told = read(root, "proc/sys/kernel/osrelease") or platform.release()
    return told.strip()[:200] or None


def glibc() -> Optional[str]:
    """The release of GNU's C library, None with another one: torch is built against GNU's."""
    try:
        told = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (OSError, ValueError):
        told = " ".join(platform.libc_ver())
    name, _, release = told.partition(" ")
    return release[:200] or None if name == "glibc" else None


def read(root: str, path: str) -> Optional[str]:
    """The text of a small file under `root`, None where it can't be read."""
    try:
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
            return file.read(_BYTES)
    except OSError:
        return None


def _traced(root: str) -> Optional[str]:
    for path in ("proc/1/cgroup", "proc/self/cgroup", "proc/self/mountinfo"):
        text = _of_ours(path, read(root, path) or "")
        for trace, kind in _TRACES:
            if trace in text:
                return kind
    return None


def _of_ours(path: str, text: str) -> str:
    """
    Of the mounts those that a container's own files come from.

    A host that runs containers has mounts of theirs too, below its own folders.
    """
    if not path.endswith("mountinfo"):
        return text
    ours = ("/", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
    lines = (line for line in text.splitlines() if len(line.split()) > 4)
    return "\n".join(line for line in lines if line.split()[4] in ours)
