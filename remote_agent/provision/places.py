"""Where the Pythons of a machine are, and which have a torch: by looking, without starting any."""

import glob
import os
import re
import sys
from typing import Iterator, List, NamedTuple, Optional, Tuple

MARK = "complete"
"""The file in ~/.harborx/venv that is written once its torch has been seen to import."""

_MOST = 100
_MOST_OF_A_KIND = 40
_NAME = re.compile(r"python(?:3(?:\.\d+)?)?")
_RELEASE = re.compile(r"__version__[^=\n]*=\s*['\"]([^'\"\s]{1,64})['\"]")
_MODULES = (
    "lib*/python3*/site-packages",
    "lib*/python3*/dist-packages",
    "local/lib/python3*/dist-packages",
)
_CONDA = ("~/miniconda3", "~/anaconda3", "~/miniforge3", "~/mambaforge", "~/micromamba")
_PLACES = (
    "/venv/main/bin/python",
    "/opt/conda/bin/python",
    "/opt/conda/envs/*/bin/python",
    *(f"{place}/bin/python" for place in _CONDA),
    *(f"{place}/envs/*/bin/python" for place in _CONDA),
    "~/.conda/envs/*/bin/python",
    "/venv/*/bin/python",
    "/workspace/venv/bin/python",
    "/opt/*/bin/python",
    "/opt/*/bin/python3",
    "~/.pyenv/versions/*/bin/python",
    "/usr/local/bin/python3",
    "/usr/bin/python3",
)


class Install(NamedTuple):
    """A torch that lies among an interpreter's modules, whether it works or not."""

    interpreter: str
    torch: Optional[str]


def venv_python(home: str) -> str:
    """The interpreter of the virtual environment that we make where there is no torch."""
    return os.path.join(home, "venv", "bin", "python")


def candidates(home: str) -> List[str]:
    """
    Paths of interpreters worth a look, likeliest first, each once.

    An environment of ours that was never finished is none: half a torch may import and then fail.
    """
    found: List[str] = []
    seen = set()
    unfinished = not os.path.exists(os.path.join(home, "venv", MARK))
    for path in _places(home):
        if not path or not os.access(path, os.X_OK) or os.path.isdir(path):
            continue
        prefix = _prefix(path)
        if unfinished and prefix == os.path.join(os.path.abspath(home), "venv"):
            continue
        # A virtual environment's interpreter is a link to another one with other modules.
        key = (os.path.realpath(path), prefix if _is_environment(prefix) else "")
        if key not in seen:
            seen.add(key)
            found.append(path)
    return found[:_MOST]


def torch_installs(home: str) -> List[Install]:
    """Which candidates have a torch among their modules, and its release where a file tells it."""
    looked = ((path, torch_folder(path)) for path in candidates(home))
    return [Install(path, _release(folder)) for path, folder in looked if folder]


def torch_folder(path: str) -> Optional[str]:
    """The folder of the torch that the interpreter at `path` would import, as far as a look tells."""
    version = guess_version(path)
    for folder in _module_folders(path):
        parts = [part for part in folder.split(os.sep) if part.startswith("python3.")]
        if version and parts and parts[-1] != "python{}.{}".format(*version):
            continue
        torch = os.path.join(folder, "torch")
        if os.path.exists(os.path.join(torch, "__init__.py")):
            return torch
    return None


def guess_version(path: str) -> Optional[Tuple[int, int]]:
    """The version that an interpreter's name, or the name of what it is a link to, tells."""
    for name in (os.path.realpath(path), path):
        found = re.fullmatch(r"python(3)\.(\d+)", os.path.basename(name))
        if found:
            return int(found.group(1)), int(found.group(2))
    return None


def _module_folders(path: str) -> Iterator[str]:
    prefix = _prefix(path)
    real = os.path.dirname(os.path.dirname(os.path.realpath(path)))
    prefixes = [prefix]
    if not _is_environment(prefix) or _sees_system(prefix):
        prefixes += [real, "/usr/local"] if real == "/usr" else [real]
        prefixes.append(os.environ.get("PYTHONUSERBASE") or os.path.expanduser("~/.local"))
    yield from filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    for place in prefixes:
        for pattern in _MODULES:
            yield from sorted(glob.glob(os.path.join(glob.escape(place), pattern)))


def _release(folder: str) -> Optional[str]:
    try:
        with open(os.path.join(folder, "version.py"), encoding="utf-8", errors="replace") as file:
            found = _RELEASE.search(file.read(4000))
    except OSError:
        return None
    return found.group(1) if found else None


def _prefix(path: str) -> str:
    return os.path.dirname(os.path.dirname(os.path.abspath(path)))


def _is_environment(prefix: str) -> bool:
    return os.path.exists(os.path.join(prefix, "pyvenv.cfg"))


def _sees_system(prefix: str) -> bool:
    """Whether a virtual environment has the modules of the Python that it was made with as well."""
    try:
        with open(os.path.join(prefix, "pyvenv.cfg"), encoding="utf-8", errors="replace") as file:
            text = file.read(4000)
    except OSError:
        return False
    return re.search(r"include-system-site-packages\s*=\s*true", text) is not None


def _places(home: str) -> Iterator[str]:
    yield sys.executable
    yield venv_python(home)
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if os.environ.get(name):
            yield os.path.join(os.environ[name], "bin", "python")
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        versions = os.path.join(os.path.dirname(folder), "versions")
        if os.path.basename(folder) == "shims" and os.path.isdir(versions):
            # pyenv's, scripts that choose between interpreters: those themselves are wanted.
            yield from sorted(glob.glob(os.path.join(versions, "*", "bin", "python")))
            continue
        try:
            names = sorted(filter(_NAME.fullmatch, os.listdir(folder or ".")), reverse=True)
        except OSError:
            continue
        yield from (os.path.abspath(os.path.join(folder, name)) for name in names)
    for place in _environments():
        yield os.path.join(place, "bin", "python")
    for pattern in _PLACES:
        yield from sorted(glob.glob(os.path.expanduser(pattern)))[:_MOST_OF_A_KIND]


def _environments() -> Iterator[str]:
    """Conda's and pyenv's own word on where theirs are."""
    for name in ("MAMBA_ROOT_PREFIX", "CONDA_ROOT"):
        if os.environ.get(name):
            yield from sorted(glob.glob(os.path.join(os.environ[name], "envs", "*")))
    if os.environ.get("PYENV_ROOT"):
        yield from sorted(glob.glob(os.path.join(os.environ["PYENV_ROOT"], "versions", "*")))
    try:
        with open(os.path.expanduser("~/.conda/environments.txt"), encoding="utf-8") as file:
            yield from file.read(65_536).split("\n")[:_MOST_OF_A_KIND]
    except (OSError, UnicodeDecodeError):
        return
