"""Whose processes compute on a card: ours, or those of others who slow us down."""

import os
from typing import List, Optional

from remote_agent import processes

_GENERATIONS = 64  # from a process up to the one that it descends from


def foreign(pids: Optional[List[int]], root: int) -> Optional[int]:
    """
    How many of `pids` are neither `root`, nor its offspring, nor bearers of this run's cookie.

    None where that can't be told: to a container NVML may name its host's pids, and ours would be
    among them under a number that we don't know.
    """
    if pids is None:
        return None
    others = [pid for pid in pids if not _is_ours(pid, root)]
    if len(others) == len(pids) and not all(map(_is_seen, others)):
        return None
    return len(others)


def _is_ours(pid: int, root: int) -> bool:
    return _descends(pid, root) or _bears_cookie(pid)


def _descends(pid: int, root: int) -> bool:
    for _ in range(_GENERATIONS):
        if pid == root:
            return True
        process = processes.look(pid)
        if process is None or process.parent <= 1:
            return False
        pid = process.parent
    return False


def _bears_cookie(pid: int) -> bool:
    run_id = os.environ.get(processes.COOKIE)
    if not run_id:
        return False
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{processes.COOKIE}={run_id}".encode() in file.read().split(b"\0")
    except OSError:
        return False


def _is_seen(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")
