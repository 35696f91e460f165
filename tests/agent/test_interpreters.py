"""The Pythons of a machine: which are looked at, which are started, and what is said of each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.ssh.agent_archive import pack
from remote_agent.provision import interpreters, places
from remote_agent.provision.interpreters import Interpreter
from remote_agent.provision.target import Target
from remote_agent.spec import Provisioning
from tests.agent.instance import Instance, decoded, is_alive, spec, until
from tests.agent.stand_ins import (
    BLIND,
    CPU,
    ROCM,
    SEEING,
    UNFIT,
    Torch,
    environment,
    python,
    starts,
)

# What the suppliers have; where one is not on this machine there is no test for it.
REAL = sorted(
    path
    for minor in range(8, 14)
    for path in (Path.home() / ".pyenv" / "versions").glob(f"3.{minor}.*/bin/python3")
)


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The only places that are searched: fill it with stand-ins."""
    found: list[Path] = []
    monkeypatch.setattr(places, "_places", lambda home: iter(map(str, found)))
    return found


@pytest.mark.parametrize(
    ("torches", "wants_gpu", "chosen"),
    [
        ([None, CPU, SEEING], False, 1),
        ([None, CPU, BLIND, SEEING], True, 3),
        ([CPU, BLIND], True, 1),
        ([UNFIT, BLIND], True, 1),
        ([CPU, UNFIT], True, 1),
        ([CPU, ROCM], True, 1),
        ([None, CPU], True, 1),
        ([None, None], True, None),
    ],
)
def test_the_interpreter_that_computes_on_the_gpu_is_preferred(
    tmp_path: Path, offered: list[Path], torches: list[Torch | None], wants_gpu: bool,
    chosen: int | None,
) -> None:  # fmt: skip
    """Without a GPU the first torch does; with one, what computed on it, else a build not to blame."""
    offered += [python(tmp_path / str(n) / "python3", torch) for n, torch in enumerate(torches)]
    found, _ = interpreters.search(str(tmp_path), wants_gpu)
    assert (found and found.path) == (None if chosen is None else str(offered[chosen]))


def test_interpreters_that_do_not_run_are_passed_over(tmp_path: Path, offered: list[Path]) -> None:
    """Missing, broken, silent, raving and too old ones are no candidates; the next one is."""
    broken, silent, raving = (tmp_path / name for name in ("broken", "silent", "raving"))
    broken.write_text("#!/nowhere/python\n")
    silent.write_text("#!/bin/sh\n")
    raving.write_text("#!/bin/sh\necho '@harborx [[3], null'\n")
    for path in (broken, silent, raving):
        path.chmod(0o755)
    old = python(tmp_path / "old", CPU, minor=7)
    good = python(tmp_path / "good", CPU)
    offered += [tmp_path / "missing", broken, silent, raving, old, good]
    found, looked = interpreters.search(str(tmp_path), False)
    assert [seen.path for seen in looked] == [str(good)]
    assert found == looked[0]


def test_many_pythons_do_not_cost_many_starts(tmp_path: Path, offered: list[Path]) -> None:
    """The one that shows a torch is started first, and where it does, no other is."""
    offered += [environment(tmp_path / f"env{n}", None) for n in range(24)]
    offered.append(environment(tmp_path / "last", SEEING, shows="2.13.0"))
    found, _ = interpreters.search(str(tmp_path), True)
    assert found
    assert found.path == str(offered[-1])
    assert [starts(path) for path in offered] == [0] * 24 + [1]
    offered.pop()
    assert interpreters.search(str(tmp_path), True)[0] is None
    assert sum(starts(path) for path in offered) == 6


def test_a_look_tells_where_a_torch_lies(
    tmp_path: Path, offered: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A torch among an interpreter's modules is told with its release, without a start."""
    system = python(tmp_path / "opt" / "bin" / "python3.12", None)
    for minor in (11, 12):
        torch = tmp_path / "opt" / "lib" / f"python3.{minor}" / "dist-packages" / "torch"
        torch.mkdir(parents=True)
        (torch / "__init__.py").touch()
        (torch / "version.py").write_text(f'__version__ = "2.{minor}.0+cu126"\n')
    named = environment(tmp_path / "named", None, shows="2.7.1")
    bare = environment(tmp_path / "bare", None)
    seeing = environment(tmp_path / "seeing", None)
    seeing.unlink()
    seeing.symlink_to(system)
    (tmp_path / "seeing" / "pyvenv.cfg").write_text("include-system-site-packages = true\n")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    offered += [system, named, bare, seeing]
    told = [tuple(found) for found in places.torch_installs(str(tmp_path / "home"))]
    assert told == [
        (str(system), "2.12.0+cu126"), (str(named), "2.7.1"), (str(seeing), "2.12.0+cu126")
    ]  # fmt: skip
    assert starts(system) == starts(named) == 0
    assert places.torch_folder(str(bare)) is None
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    (tmp_path / "modules" / "torch").mkdir(parents=True)
    (tmp_path / "modules" / "torch" / "__init__.py").touch()
    assert places.torch_folder(str(bare)) == str(tmp_path / "modules" / "torch")


def test_the_path_is_searched_each_interpreter_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links to one interpreter count once, except that a virtual environment is its own."""
    real = python(tmp_path / "bin" / "python3.12", None)
    (tmp_path / "bin" / "python3").symlink_to(real)
    (tmp_path / "bin" / "python-config").symlink_to(real)
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").symlink_to(real)
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{tmp_path}/venv/bin:/nowhere")
    ours = [path for path in places.candidates("/nowhere") if path.startswith(str(tmp_path))]
    assert ours == [str(real), str(tmp_path / "venv" / "bin" / "python")]


def test_the_usual_homes_of_pythons_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Conda's environments wherever its own list says they are, and pyenv's behind their shims."""
    homes = [
        "miniconda3", "miniconda3/envs/train", "miniforge3/envs/a", "elsewhere/env",
        ".pyenv/versions/3.12.1", "roots/pyenv/versions/3.11.7",
    ]  # fmt: skip
    paths = {str(environment(tmp_path / home, None)) for home in homes}
    (tmp_path / ".conda").mkdir()
    (tmp_path / ".conda" / "environments.txt").write_text(f"{tmp_path}/elsewhere/env\n/gone\n\n")
    python(tmp_path / "roots" / "pyenv" / "shims" / "python3", None)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}/roots/pyenv/shims")
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    found = {path for path in places.candidates("/nowhere") if path.startswith(str(tmp_path))}
    assert found == paths


def test_an_unfinished_environment_of_ours_is_no_candidate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a torch may import and fail later: ~/.harborx/venv counts once it has its mark."""
    ours = environment(tmp_path / "venv", SEEING, shows="2.13.0")
    assert str(ours) not in places.candidates(str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(ours))  # the agent itself may be run by it
    assert str(ours) not in places.candidates(str(tmp_path))
    (tmp_path / "venv" / places.MARK).touch()
    assert str(ours) in places.candidates(str(tmp_path))


def test_our_own_interpreter_is_found_with_its_torch() -> None:
    """The real check, on the interpreter that runs this test, tells its torch and version."""
    import torch

    found = interpreters.check(sys.executable)
    assert found is not None
    assert (found.torch, found.version) == (str(torch.__version__), sys.version_info[:2])


GPU_CODE = """
class version:
    cuda, hip = {cuda!r}, {hip!r}
__version__ = "2.13.0"
class Square:
    def __matmul__(self, other):
        {matmul}
        return self
    def sum(self):
        return {sum}
def ones(*shape, device):
    assert (shape, device) == ((2, 2), "cuda")
    return Square()
class cuda:
    is_available = staticmethod(lambda: True)
    @staticmethod
    def init():
        {init}
"""


@pytest.mark.parametrize(
    ("changes", "sees", "rocm", "unfit", "problem"),
    [
        ({}, True, False, False, ""),
        ({"cuda": None, "hip": "7.2.1"}, True, True, False, ""),
        ({"matmul": "raise RuntimeError('CUDA error: no kernel image is available')"},
         False, False, True, "no kernel image"),
        ({"init": "raise RuntimeError('The NVIDIA driver on your system is too old (found 12040)')"},
         False, False, True, "too old"),
        ({"init": "raise RuntimeError('No CUDA GPUs are available')"}, False, False, False, "No CUDA"),
        ({"cuda": None, "init": "raise AssertionError('Torch not compiled with CUDA enabled')"},
         False, False, True, "not compiled"),
        ({"sum": "0.0"}, False, False, False, "nonsense"),
    ],
    ids=["works", "rocm", "no code for the card", "driver too old", "no card", "cpu", "nonsense"],
)  # fmt: skip
def test_only_work_done_on_the_gpu_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any], sees: bool, rocm: bool, unfit: bool, problem: str,
) -> None:  # fmt: skip
    """A torch that imports and counts the card is not enough: it must multiply on it, and rightly."""
    code = {"cuda": "13.0", "hip": None, "matmul": "pass", "sum": "8.0", "init": "pass", **changes}
    (tmp_path / "torch.py").write_text(GPU_CODE.format(**code))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = interpreters.check(sys.executable, wants_gpu=True)
    assert found
    assert (found.torch, found.cuda) == ("2.13.0", code["cuda"] or code["hip"])
    assert (found.sees_gpu, found.rocm, found.is_unfit) == (sees, rocm, unfit)
    assert problem in found.problem
    untouched = interpreters.check(sys.executable)
    assert untouched
    assert (untouched.sees_gpu, untouched.problem) == (False, "")


def test_a_check_has_an_end(tmp_path: Path) -> None:
    """An import that hangs is given up, and its process does not stay."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    path.chmod(0o755)
    assert interpreters.check(str(path), seconds=0.5) is None
    pid = int(until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    until(lambda: not is_alive(pid))


def test_installing_builds_on_the_python_that_can_have_the_best_torch() -> None:
    """The newest that the wanted release serves; where the driver is old, one that older ones serve."""

    def chosen(target: Target, *minors: int) -> str | None:
        looked = [Interpreter(str(n), (3, n), None, None, False) for n in minors]
        base = interpreters.for_installing(looked, Provisioning(), target)
        return base and base.path

    assert chosen(Target(), 8, 11, 13, 16) == "13"
    assert chosen(Target(), 8, 9) == "9"
    assert chosen(Target(has_driver=True, cuda=(11, 8)), 8, 12, 14) == "12"
    assert chosen(Target()) is None


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.parents[1].name)
class TestRealInterpreters:
    """Each Python that the agent may meet, from the pyenv of this machine."""

    def test_it_is_checked(self, path: Path) -> None:
        """Its version is told, and that it has no torch."""
        found = interpreters.check(str(path), wants_gpu=True)
        assert found
        assert found.version == tuple(map(int, path.parents[1].name.split(".")[:2]))
        assert (found.torch, found.cuda, found.sees_gpu) == (None, None, False)
        assert "torch" in found.problem
        assert places.torch_folder(str(path)) is None

    def test_all_modules_import(self, tmp_path: Path, path: Path) -> None:
        """Every module of the packed agent imports, those aside that measure with torch."""
        archive = tmp_path / "agent.pyz"
        archive.write_bytes(pack().content)
        done = subprocess.run(
            [path, "-W", "error", "-c", IMPORT_ALL, str(archive)],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        told = done.stdout.split()
        assert {"remote_agent.provision.finding", "remote_agent.launch", "pynvml"} <= set(told)

    def test_a_run_goes_as_far_as_it_can(
        self, machine: Callable[..., Instance], path: Path
    ) -> None:
        """It launches, follows, probes and searches; without a torch anywhere it says so."""
        instance = machine(pack().content, str(path))
        instance.environ["PATH"] = "/usr/bin:/bin"
        session = instance.launch(spec())
        assert session.answer() == "begin started"
        assert session.end()["reason"] is None
        events = decoded(session.stream())
        kinds = [event.body.type for event in events]
        assert kinds[:3] == ["started", "probe", "provision"]
        version = events[0].body.python
        assert version == path.parents[1].name
        if kinds[-1] == "failed":
            assert events[-1].body.code == "provision_failed"
            assert str(path) in events[-1].body.detail
        else:  # this machine has a torch where every machine is searched
            assert kinds[-1] == "result"
        assert instance.clean() == "cleaned"


IMPORT_ALL = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import remote_agent, pynvml
print("pynvml")
for found in pkgutil.walk_packages(remote_agent.__path__, "remote_agent."):
    try:
        importlib.import_module(found.name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
    else:
        print(found.name)
"""
