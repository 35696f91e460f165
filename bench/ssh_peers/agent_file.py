"""The agent that every client pushes: the same 40 KB of code, with the same result from the same interpreter."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Final

import remote_agent
from orchestrator.ssh.agent_archive import AgentArchive

SIZE: Final = 40 * 1024
LINES: Final = 5
PYTHON: Final = ("python3", "-I", "-S")  # as the product starts it

# `result` is for tools that run a script; `launch` is what the product says (docs/agent-contract.md).
_SOURCE: Final = """
import os, sys
words = sys.argv[1:]
marker = words[words.index("--marker") + 1] if "--marker" in words else None
lines = "".join('{"seq": %d, "throughput": 245.5}' % n + chr(10) for n in range(5))
if marker is None:
    os.write(1, lines.encode())
else:
    os.write(1, ("@harborx %s begin started" % marker + chr(10) + lines).encode())
    end = '{"status": 0, "signal": null, "reason": null, "bytes": %d, "stderr_tail": "", "rebooted": false}'
    os.write(2, ("@harborx %s end " % marker + end % len(lines) + chr(10)).encode())
"""


def plain() -> bytes:
    """A runnable archive of `SIZE` bytes, as `python -m zipapp` makes it: what every client is given."""
    return _archive(zipfile.ZIP_STORED)


def packed() -> bytes:
    """The same code as the product packs its own agent, which is what it would push."""
    return _archive(zipfile.ZIP_DEFLATED)


def agent(content: bytes) -> AgentArchive:
    return AgentArchive(content, hashlib.sha256(content).hexdigest())


def _archive(method: int) -> bytes:
    bare = len(_packed(b"", zipfile.ZIP_STORED))
    return _packed(_modules()[: SIZE - bare], method)


def _modules() -> bytes:
    """Sources as an agent has them, which nothing here imports."""
    folder = Path(remote_agent.__file__).parent
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*.py")))


def _packed(modules: bytes, method: int) -> bytes:
    buffer = io.BytesIO()
    buffer.write(f"#!/usr/bin/env -S {' '.join(PYTHON)}\n".encode())
    with zipfile.ZipFile(buffer, "a", method) as archive:
        for name, content in (("__main__.py", _SOURCE.encode()), ("modules.py", modules)):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, content, method)
    return buffer.getvalue()
