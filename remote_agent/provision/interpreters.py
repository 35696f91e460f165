"""Which Pythons of this machine run, and whether their torch can measure here."""

import functools
import json
import os
import subprocess
import sys
import time
from typing import List, NamedTuple, Optional, Tuple

from remote_agent import processes
from remote_agent.provision import builds, places
from remote_agent.provision.target import Target
from remote_agent.spec import Provisioning

_CHECK_SECONDS = 120.0  # importing torch from a cold network disk takes its time
_SEARCH_SECONDS = 400.0  # for all of them together
_DYING_SECONDS = 2.0
_MOST_STARTS = 6  # of interpreters that show no torch
_NO_BUILD = (
    "no kernel image",
    "driver on your system is too old",
    "not compatible with the current",
)
# Its answer is marked, since torch and site hooks may print too. Only work that was done tells
# whether a GPU can be used: a torch that lacks the card's code imports, and counts the card.
_CHECK = """
import json, sys
torch = cuda = None
rocm = usable = False
problem = ""
try:
    import torch as found
    torch = str(found.__version__)
    rocm = bool(getattr(found.version, "hip", None))
    cuda = found.version.cuda or getattr(found.version, "hip", None)
    if sys.argv[1] == "gpu":
        found.cuda.init()
        square = found.ones(2, 2, device="cuda")
        usable = float((square @ square).sum()) == 8.0
        problem = "" if usable else "it computes nonsense"
except BaseException as error:
    problem = " ".join((str(error) or type(error).__name__).split())[:500]
print("@harborx " + json.dumps([list(sys.version_info[:2]), torch, cuda, usable, rocm, problem]))
"""


class Interpreter(NamedTuple):
    """
    A Python that runs. `torch` is the release it can import, `cuda` the CUDA or, with `rocm`, the
    ROCm that it was built for. `sees_gpu`: it has computed on the GPU; `problem` is why it could
    not, or why torch could not be imported.
    """

    path: str
    version: Tuple[int, int]
    torch: Optional[str]
    cuda: Optional[str]
    sees_gpu: bool
    rocm: bool = False
    problem: str = ""

    @property
    def is_unfit(self) -> bool:
        """Whether another build of torch could use the GPU where this one can't."""
        return not self.cuda or any(words in self.problem for words in _NO_BUILD)


def check(
    path: str, wants_gpu: bool = False, seconds: float = _CHECK_SECONDS
) -> Optional[Interpreter]:
    """
    The interpreter at `path`, None where it doesn't run, takes too long or is older than 3.8.

    With `wants_gpu` its torch computes on the GPU, else no GPU is touched.
    """
    answer = _output([path, "-c", _CHECK, "gpu" if wants_gpu else ""], seconds)
    for line in reversed(answer.splitlines()):
        if line.startswith("@harborx "):
            try:
                version, torch, cuda, usable, rocm, problem = json.loads(line[len("@harborx ") :])
                found = Interpreter(path, (version[0], version[1]), torch, cuda, usable, rocm)
            except (ValueError, LookupError, TypeError):
                return None
            return found._replace(problem=problem) if found.version >= (3, 8) else None
    return None


def search(home: str, wants_gpu: bool) -> Tuple[Optional[Interpreter], List[Interpreter]]:
    """
    The best interpreter that has torch, if any, and all that were started.

    Those are started first whose modules show a torch, then a few others: to have one to build on,
    and for a torch that lies elsewhere. Where a GPU is wanted: one whose torch has computed on it,
    else one whose build is not to blame, else any.
    """
    limit = time.monotonic() + _SEARCH_SECONDS
    paths = places.candidates(home)
    likely = [path for path in paths if places.torch_folder(path)]
    others = sorted((path for path in paths if path not in likely), key=_promise)
    looked: List[Interpreter] = []
    for path in likely + others[:_MOST_STARTS]:
        seconds = min(_CHECK_SECONDS, limit - time.monotonic())
        found = check(path, wants_gpu, seconds) if seconds > 0 else None
        if found is None:
            continue
        looked.append(found)
        if found.torch and (found.sees_gpu or not wants_gpu):
            return found, looked
    able = [found for found in looked if found.torch]
    able.sort(key=lambda found: (not found.cuda, found.is_unfit))
    return (able[0] if able else None), looked


def for_installing(
    looked: List[Interpreter], orders: Provisioning, target: Target
) -> Optional[Interpreter]:
    """The interpreter to build on: the one that can have the best torch, and then the newest."""
    return max(
        looked,
        key=lambda found: (builds.rank(orders, target, found.version), found.version),
        default=None,
    )


def _promise(path: str) -> Tuple[bool, Tuple[int, int]]:
    """For sorting: our own first, then the newest by name that some torch serves."""
    version = places.guess_version(path) or (3, 0)
    served = any(release.oldest <= version <= release.newest for release in builds.RELEASES)
    return path != sys.executable, (-version[0] if served else 0, -version[1] if served else 0)


def _output(argv: List[str], seconds: float) -> str:
    """What a command prints, nothing where it can't be started or takes longer."""
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            preexec_fn=functools.partial(processes.die_with, os.getpid()),
        )
    except OSError:
        return ""
    try:
        return child.communicate(timeout=seconds)[0].decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        child.kill()
    try:
        child.communicate(timeout=_DYING_SECONDS)
    except subprocess.TimeoutExpired:
        pass  # stuck in a driver: not even SIGKILL ends it now
    return ""
