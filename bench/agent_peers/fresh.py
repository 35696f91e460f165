"""Runs a peer in a process of its own and takes the line that it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).resolve().parents[2]
_SECONDS: Final = 900.0  # a sweep that compiles takes the longest
_TAIL: Final = 2000


class PeerFailed(Exception):
    """A peer that ended badly, said nothing or took too long; the text is the end of what it wrote."""


def run(peer: str, arguments: list[str], seconds: float = _SECONDS) -> dict[str, Any]:
    """What `python -m bench.agent_peers.<peer>` tells. Raises `PeerFailed`."""
    command = [sys.executable, "-m", f"bench.agent_peers.{peer}", *arguments]
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    try:
        ended = subprocess.run(
            command,
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PeerFailed(f"{peer} took more than {seconds:.0f} s") from None
    if ended.returncode:
        raise PeerFailed(f"{peer} ended with {ended.returncode}: {ended.stderr.strip()[-_TAIL:]}")
    return _told(peer, ended.stdout)


def _told(peer: str, output: str) -> dict[str, Any]:
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            told: dict[str, Any] = json.loads(line)
            return told
    raise PeerFailed(f"{peer} printed no result")
