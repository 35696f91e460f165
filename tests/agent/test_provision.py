"""Finding a Python that has torch, and installing one where there is none."""

from __future__ import annotations

import fcntl
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from remote_agent import benchmark, spec
from remote_agent.events import EventWriter
from remote_agent.failure import Failure
from remote_agent.machine import nvml
from remote_agent.provision import installation, interpreters
from tests.agent.instance import NONCE, RUN, decoded

CPU = ("2.13.0+cpu", None, False)
BLIND = ("2.13.0", "12.6", False)
SEEING = ("2.13.0", "12.6", True)


def python(path: Path, torch: tuple[str, str | None, bool] | None, minor: int = 11) -> Path:
    """A stand-in for an interpreter that answers the check as told."""
    import json

    path.parent.mkdir(parents=True, exist_ok=True)
    answer = json.dumps([[3, minor], *(torch or (None, None, False))])
    path.write_text(f"#!/bin/sh\necho a banner\necho '@harborx {answer}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The only places that are searched: fill it with stand-ins."""
    found: list[Path] = []
    monkeypatch.setattr(interpreters, "_places", lambda home: iter(map(str, found)))
    return found


@pytest.mark.parametrize(
    ("offered", "wants_gpu", "chosen"),
    [
        ([None, CPU, SEEING], False, 1),
        ([None, CPU, BLIND, SEEING], True, 3),
        ([CPU, BLIND], True, 1),
        ([None, CPU], True, 1),
        ([None, None], True, None),
    ],
)
def test_the_interpreter_that_sees_the_gpu_is_preferred(
    tmp_path: Path, places: list[Path], offered: list[Any], wants_gpu: bool, chosen: int | None
) -> None:
    """Without a GPU the first torch does; with one, the first that sees it, else a CUDA build."""
    places += [python(tmp_path / str(n) / "python3", torch) for n, torch in enumerate(offered)]
    found, _ = interpreters.search(str(tmp_path), wants_gpu)
    assert (found and found.path) == (None if chosen is None else str(places[chosen]))


def test_interpreters_that_do_not_run_are_passed_over(tmp_path: Path, places: list[Path]) -> None:
    """Missing, broken, silent and too old ones are no candidates; the next one is."""
    broken, silent = tmp_path / "broken", tmp_path / "silent"
    broken.write_text("#!/nowhere/python\n")
    silent.write_text("#!/bin/sh\n")
    for path in (broken, silent):
        path.chmod(0o755)
    old = python(tmp_path / "old", CPU, minor=7)
    good = python(tmp_path / "good", CPU)
    places += [tmp_path / "missing", broken, silent, old, good]
    found, looked = interpreters.search(str(tmp_path), False)
    assert [seen.path for seen in looked] == [str(good)]
    assert found == looked[0]


def test_our_own_interpreter_is_found_with_its_torch() -> None:
    """The real check, on the interpreter that runs this test, tells its torch and version."""
    import torch

    found = interpreters.check(sys.executable)
    assert found is not None
    assert (found.torch, found.version) == (str(torch.__version__), sys.version_info[:2])


def test_the_path_is_searched_each_interpreter_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links to one interpreter count once, except that a virtual environment is its own."""
    real = python(tmp_path / "bin" / "python3.12", None)
    (tmp_path / "bin" / "python3").symlink_to(real)
    (tmp_path / "bin" / "python-config").symlink_to(real)
    environment = tmp_path / "venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(real)
    (environment / "pyvenv.cfg").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{environment}/bin:/nowhere")
    ours = [path for path in interpreters.candidates("/nowhere") if path.startswith(str(tmp_path))]
    assert ours == [str(real), str(environment / "bin" / "python")]


def test_installing_builds_on_a_python_that_torch_serves() -> None:
    """The newest Python up to 3.13 is taken, a newer or older one only without it."""

    def seen(*minors: int) -> list[interpreters.Interpreter]:
        return [interpreters.Interpreter(str(n), (3, n), None, None, False) for n in minors]

    assert interpreters.for_installing(seen(8, 11, 13, 15)) == "13"
    assert interpreters.for_installing(seen(8, 9)) == "9"
    assert interpreters.for_installing([]) == sys.executable


def test_the_small_build_comes_first_without_a_driver() -> None:
    """Without a driver pip is asked for the CPU build first, with one never."""
    assert installation.requirements("2.13.0", False) == [
        "torch==2.13.0+cpu", "torch==2.13.0", "torch"
    ]  # fmt: skip
    assert installation.requirements("2.13.0", True) == ["torch==2.13.0", "torch"]


# Stands for the base Python: makes "environments" whose python is this script again; their pip
# refuses what SCRIPT_REFUSES names and otherwise marks torch as installed.
BASE = """#!/bin/sh
here=$(dirname "$(dirname "$0")")
echo "$*" >> {log}
case "$*" in
"-m venv --clear --without-pip "*|"-m venv --clear "*)
    [ -n "$NO_VENV" ] && [ "$4" != --without-pip ] && echo "ensurepip is not available" && exit 1
    for folder; do :; done
    mkdir -p "$folder/bin" && cp "$0" "$folder/bin/python"
    [ "$4" = --without-pip ] && touch "$folder/no-pip"; exit 0;;
"-m virtualenv "*) echo "No module named virtualenv"; exit 1;;
"-m pip --version") [ ! -e "$here/no-pip" ];;
"-m pip install "*)
    for wanted; do :; done
    case " $REFUSES " in *" $wanted "*)
        echo "ERROR: No matching distribution found for $wanted"; exit 1;; esac
    [ -n "$NO_NETWORK" ] && echo "ERROR: could not connect" && exit 1
    echo "Successfully installed $wanted"; touch {log}.torch;;
"-c import sysconfig"*) echo {log}.site;;
"-c "*) torch=null; [ -e {log}.torch ] && torch='"2.13.0"'
    echo "@harborx [[3, 11], $torch, null, false]";;
esac
"""


@pytest.fixture
def base(tmp_path: Path) -> tuple[str, Path]:
    """The stand-in base Python and the log of what it was asked."""
    path, log = tmp_path / "base", tmp_path / "log"
    path.write_text(BASE.replace("{log}", shlex.quote(str(log))))
    path.chmod(0o755)
    return str(path), log


def install(tmp_path: Path, base: str, seconds: float = 30.0, **orders: Any) -> list[str]:
    told: list[str] = []
    installation.install(
        str(tmp_path / "hx"), base, spec.Provisioning(install=True, **orders),
        time.monotonic() + seconds, lambda step, message: told.append(f"{step}: {message}"),
    )  # fmt: skip
    return told


def test_torch_is_installed_into_our_own_environment(
    tmp_path: Path, base: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment is made, the index of the spec is asked, and the second time nothing is done."""
    monkeypatch.setenv("REFUSES", "torch==2.13.0+cpu")
    monkeypatch.setattr(nvml, "has_driver", lambda: False)
    told = install(tmp_path, base[0], index_url="https://index.example/simple")
    assert told[0].startswith("creating_venv: ")
    assert "installing: Installing torch==2.13.0+cpu." in told
    asked = [line for line in base[1].read_text().splitlines() if "pip install" in line]
    assert [line.split()[-1] for line in asked] == ["torch==2.13.0+cpu", "torch==2.13.0"]
    assert all("--index-url https://index.example/simple" in line for line in asked)
    assert install(tmp_path, base[0]) == []


def test_without_ensurepip_the_outer_pip_fills_the_environment(
    tmp_path: Path, base: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian without python3-venv: a bare environment, filled with --target by the base's pip."""
    monkeypatch.setenv("NO_VENV", "1")
    install(tmp_path, base[0])
    (asked,) = [line for line in base[1].read_text().splitlines() if "pip install" in line]
    assert f"--target {base[1]}.site" in asked


def test_a_failed_installation_tells_pips_last_lines(
    tmp_path: Path, base: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network pip is asked once, and its words are the failure's detail."""
    monkeypatch.setenv("NO_NETWORK", "1")
    with pytest.raises(Failure) as caught:
        install(tmp_path, base[0])
    assert caught.value.code == "provision_failed"
    assert "could not connect" in caught.value.detail
    assert base[1].read_text().count("pip install") == 1


def test_two_runs_do_not_install_at_once(tmp_path: Path, base: tuple[str, Path]) -> None:
    """While another run installs, this one waits and says so; past its limit it fails."""
    (tmp_path / "hx").mkdir()
    with (tmp_path / "hx" / "install.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Failure, match="takes too long"):
            install(tmp_path, base[0], seconds=0.0)
    install(tmp_path, base[0])


@pytest.mark.parametrize("install_allowed", [True, False])
def test_provisioning_is_told_in_events(
    tmp_path: Path, places: list[Path], base: tuple[str, Path],
    monkeypatch: pytest.MonkeyPatch, install_allowed: bool,
) -> None:  # fmt: skip
    """Searching, creating, installing, installed; or provision_failed where it is not allowed."""
    places.append(Path(base[0]))
    monkeypatch.setattr(benchmark, "home", lambda: str(tmp_path / "hx"))
    orders = spec.Spec(RUN, NONCE, 60.0, provisioning=spec.Provisioning(install=install_allowed))
    path = tmp_path / "events"
    writer = EventWriter(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), NONCE)
    if install_allowed:
        assert benchmark._find_torch(orders, writer) == str(tmp_path / "hx/venv/bin/python")
        steps = [event.body.step for event in decoded(path.read_bytes())]
        assert (steps[:2], steps[-1]) == (["searching", "creating_venv"], "installed")
        assert set(steps[2:-1]) == {"installing"}
    else:
        with pytest.raises(Failure, match="No Python of this machine has torch"):
            benchmark._find_torch(orders, writer)
    os.close(writer.fd)
