"""`remote_agent/` packed to the one file that is pushed, named by its content."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import zipfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from orchestrator.domain.errors import ConfigError

# The archive must hash alike wherever it is packed, so no timestamp of a checkout may enter it.
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_MAIN: Final = b"""\
from remote_agent.compile_once import install
install()
from remote_agent.__main__ import main
main()
"""


@dataclass(frozen=True)
class AgentArchive:
    """A runnable `.pyz`; `sha256` (hex) is its address on every instance."""

    content: bytes = field(repr=False)
    sha256: str


@cache
def pack() -> AgentArchive:
    """
    The agent of this installation with pynvml inside.

    Raises `ConfigError` where the agent's sources or pynvml are missing from the installation.
    """
    package = _source("remote_agent").parent
    files = {
        path.relative_to(package).as_posix(): path.read_bytes()
        for path in sorted(package.rglob("*.py"))
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        _add(archive, "__main__.py", _MAIN)
        for name, content in files.items():
            _add(archive, f"remote_agent/{name}", content)
        _add(archive, "pynvml.py", _source("pynvml").read_bytes())
    content = buffer.getvalue()
    return AgentArchive(content, hashlib.sha256(content).hexdigest())


def _source(module: str) -> Path:
    """Where a module's source is, without importing it."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ConfigError(f"The installation has no module {module}; install it again.")
    return Path(spec.origin)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)
