"""The agent's real archive with the stand-in in the place of its benchmark; all else is the real thing."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Final

from orchestrator.ssh.agent_archive import AgentArchive, pack

_HERE: Final = Path(__file__).parent
_BENCHMARK: Final = "remote_agent/benchmark.py"


def stand_in_archive() -> AgentArchive:
    """Packed anew in each process and the same everywhere: instances know it by its hash."""
    own = {
        _BENCHMARK: (_HERE / "stand_in.py").read_bytes(),
        "bench/__init__.py": b"",
        "bench/faults/__init__.py": b"",
        "bench/faults/transcript.py": (_HERE / "transcript.py").read_bytes(),
    }
    packed, changed = io.BytesIO(pack().content), io.BytesIO()
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(changed, "w") as new:
        for entry in old.infolist():
            if entry.filename not in own:
                new.writestr(entry, old.read(entry))
        for name, content in own.items():
            new.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    content = changed.getvalue()
    return AgentArchive(content, hashlib.sha256(content).hexdigest())
