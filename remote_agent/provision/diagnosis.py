"""Why torch could not be installed, in the codes of the event `failed`."""

import os
from typing import Optional, Sequence, Set

from remote_agent.failure import Failure
from remote_agent.provision import builds, commands
from remote_agent.provision.target import Target, Version

_GIB = 2**30
_PROCESSORS = ("x86_64", "aarch64")


def explain(
    signs: Set[str], target: Target, python: Version, lines: Sequence[str], message: str
) -> Failure:
    """The failure of a command that showed `signs`; `message` where nothing better is known."""
    detail = "\n".join(lines)
    if commands.DISK in signs:
        return Failure(
            "provision_disk_full", "The disk filled up while torch was installed.", detail
        )
    # An index that can't be reached seems to have nothing, so this comes before what fits.
    if commands.NETWORK in signs:
        return Failure("provision_no_network", "The package index can't be reached.", detail)
    if commands.NOTHING in signs:
        return _nothing_fits(target, python, detail) or Failure("provision_failed", message, detail)
    return Failure("provision_failed", message, detail)


def hopeless(target: Target, python: Version) -> Failure:
    """Why nothing needs to be tried: no torch that is known here can run on this machine."""
    if not any(builds.runs_on(row, target, python) for row in builds.RELEASES):
        failure = _nothing_fits(target, python, "")
        if failure:
            return failure
    words = [f"Python {_dotted(python)}"]
    if target.cuda:
        words.append(f"a driver for CUDA {_dotted(target.cuda)}")
    if target.capabilities:
        cards = ", ".join(sorted(map(_dotted, set(target.capabilities))))
        words.append(f"cards of compute capability {cards}")
    message = f"There is no build of torch for {' and '.join(words)}."
    return Failure("provision_failed", message)


def lacks_disk(folder: str, gib: float, has_already: int) -> Optional[Failure]:
    """
    The failure where `gib` GiB can't be put into the file system of `folder`.

    `has_already` bytes of it are there, from an earlier installation.
    """
    free = free_bytes(folder)
    if free is None or free + has_already >= gib * _GIB:
        return None
    message = f"torch needs {gib:g} GiB of disk in {folder}, where {free / _GIB:.1f} GiB are free."
    return Failure("provision_disk_full", message)


def free_bytes(folder: str) -> Optional[int]:
    """What we may still write in the file system of `folder`; None where it doesn't tell."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


def _nothing_fits(target: Target, python: Version, detail: str) -> Optional[Failure]:
    """What about the machine itself leaves an index with nothing to offer."""
    if target.glibc is None:
        message = "torch needs the GNU C library, and this machine has another one."
        return Failure("provision_glibc_old", message, detail)
    processor = os.uname().machine
    if processor not in _PROCESSORS:
        message = f"torch has no builds for {processor} processors."
        return Failure("provision_python_unfit", message, detail)
    serving = [row.glibc for row in builds.RELEASES if row.oldest <= python <= row.newest]
    if not serving:
        message = f"No torch is known for Python {_dotted(python)}."
        return Failure("provision_python_unfit", message, detail)
    if target.glibc < max(serving):
        message = (
            f"torch for Python {_dotted(python)} needs glibc {_dotted(max(serving))}, its older "
            f"releases {_dotted(min(serving))}; this machine has {_dotted(target.glibc)}."
        )
        return Failure("provision_glibc_old", message, detail)
    return None


def _dotted(version: Version) -> str:
    return "{}.{}".format(*version)
