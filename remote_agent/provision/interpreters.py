"""The Pythons of this machine, and which of them can measure."""

import functools
import json
import os
import re
import subprocess
import sys
from typing import Iterator, List, NamedTuple, Optional, Tuple

from remote_agent import processes

_CHECK_SECONDS = 120.0  # importing torch from a cold network disk takes its time
_MOST = 24
_NAME = re.compile(r"python(?:3(?:\.\d+)?)?")
_PLACES = (
    "/venv/main/bin/python",
    "/opt/conda/bin/python",
    "/opt/venv/bin/python",
    "/workspace/venv/bin/python",
    "~/miniconda3/bin/python",
    "~/anaconda3/bin/python",
    "/root/miniconda3/bin/python",
    "/usr/local/bin/python3",
    "/usr/bin/python3",
)
# Its answer is marked, since torch and site hooks may print too.
_CHECK = """
import json, sys
torch = cuda = None
usable = False
try:
    import torch as found
    torch, cuda = str(found.__version__), found.version.cuda or found.version.hip
    usable = bool(found.cuda.is_available())
except BaseException:
    pass
print("@harborx " + json.dumps([list(sys.version_info[:2]), torch, cuda, usable]))
"""


class Interpreter(NamedTuple):
    """A Python that runs; `torch` is the release it can import, `cuda` what that was built for."""

    path: str
    version: Tuple[int, int]
    torch: Optional[str]
    cuda: Optional[str]
    sees_gpu: bool


def venv_python(home: str) -> str:
    """The interpreter of the virtual environment that we make where there is no torch."""
    return os.path.join(home, "venv", "bin", "python")


def candidates(home: str) -> List[str]:
    """Paths of interpreters worth a look, likeliest first, each once."""
    found: List[str] = []
    seen = set()
    for path in _places(home):
        if not path or not os.access(path, os.X_OK) or os.path.isdir(path):
            continue
        # A virtual environment's interpreter is a link to another one with other modules.
        prefix = os.path.dirname(os.path.dirname(os.path.abspath(path)))
        own_modules = prefix if os.path.exists(os.path.join(prefix, "pyvenv.cfg")) else ""
        key = (os.path.realpath(path), own_modules)
        if key not in seen:
            seen.add(key)
            found.append(path)
    return found[:_MOST]


def check(path: str) -> Optional[Interpreter]:
    """The interpreter at `path`, None where it doesn't run or is older than 3.8."""
    try:
        answer = subprocess.run(
            [path, "-c", _CHECK],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            preexec_fn=functools.partial(processes.die_with, os.getpid()),
            timeout=_CHECK_SECONDS,
        ).stdout.decode("utf-8", "replace")
    except (OSError, subprocess.TimeoutExpired):
        return None
    for line in reversed(answer.splitlines()):
        if line.startswith("@harborx "):
            version, torch, cuda, usable = json.loads(line[len("@harborx ") :])
            if tuple(version) < (3, 8):
                return None
            return Interpreter(path, (version[0], version[1]), torch, cuda, usable)
    return None


def search(home: str, wants_gpu: bool) -> Tuple[Optional[Interpreter], List[Interpreter]]:
    """
    The best interpreter that has torch, if any, and all that were looked at.

    Where a GPU is wanted: one whose torch sees it, else one that was built for CUDA, else any.
    """
    looked: List[Interpreter] = []
    for path in candidates(home):
        found = check(path)
        if found is None:
            continue
        looked.append(found)
        if found.torch and (found.sees_gpu or not wants_gpu):
            return found, looked
    able = [found for found in looked if found.torch]
    able.sort(key=lambda found: found.cuda is None)
    return (able[0] if able else None), looked


def for_installing(looked: List[Interpreter]) -> str:
    """The interpreter to build on: the newest that torch surely serves, else the newest."""
    served = [found for found in looked if (3, 10) <= found.version <= (3, 13)]
    newest = max(served or looked, key=lambda found: found.version, default=None)
    return newest.path if newest else sys.executable


def _places(home: str) -> Iterator[str]:
    yield sys.executable
    yield venv_python(home)
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if os.environ.get(name):
            yield os.path.join(os.environ[name], "bin", "python")
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        try:
            names = sorted(filter(_NAME.fullmatch, os.listdir(folder or ".")), reverse=True)
        except OSError:
            continue
        yield from (os.path.abspath(os.path.join(folder, name)) for name in names)
    yield from map(os.path.expanduser, _PLACES)
