"""Where this agent's own code lies, and how to start it once more."""

import os
from typing import List, Optional

import remote_agent

# Outside an archive the package may lie among another interpreter's modules, which must not come
# before those of the interpreter that runs it.
_FROM_FOLDER = (
    "import sys; sys.path.append(sys.argv.pop(1)); from remote_agent.__main__ import main; main()"
)


def archive() -> Optional[str]:
    """The absolute path of the .pyz that runs, None where the package lies in a plain folder."""
    path = getattr(getattr(remote_agent.__spec__, "loader", None), "archive", None)
    return os.path.abspath(path) if path else None


def sha256() -> Optional[str]:
    """The archive's digest in hex, None where there is no archive. Raises `OSError`."""
    path = archive()
    if path is None:
        return None
    import hashlib  # late: OpenSSL takes its time to load, and only `launch` asks

    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def command(interpreter: str, *arguments: str) -> List[str]:
    """The argv that runs this same agent with `arguments` under `interpreter`."""
    path = archive()
    if path is not None:
        return [interpreter, path, *arguments]
    parent = os.path.dirname(os.path.dirname(os.path.abspath(remote_agent.__file__)))
    return [interpreter, "-c", _FROM_FOLDER, parent, *arguments]
