"""Installing torch into our own environment: with what, over which breaks, and how it fails."""

from __future__ import annotations

import fcntl
import os
import shlex
import time
from pathlib import Path
from typing import Any

import pytest

from remote_agent import spec
from remote_agent.failure import Failure
from remote_agent.provision import diagnosis, installation, places
from remote_agent.provision.commands import Commands
from remote_agent.provision.interpreters import Interpreter
from remote_agent.provision.target import Target

# Stands for the base Python: makes "environments" whose python is this script again. Their pip has
# nothing by the names in REFUSES, says SAYS and fails if that is set, and else marks torch as there.
BASE = """#!/bin/sh
here=$(dirname "$(dirname "$0")")
echo "$0 $*" >> {log}
case "$*" in
"-m venv --clear --without-pip "*|"-m venv --clear "*)
    [ -n "$NO_VENV" ] && [ "$4" != --without-pip ] && echo "ensurepip is not available" && exit 1
    for folder; do :; done
    [ -e "$folder/complete" ] && echo "marked while it is made anew" >> {log}
    rm -rf "$folder"; mkdir -p "$folder/bin" && cp "$0" "$folder/bin/python"
    [ "$4" = --without-pip ] && touch "$folder/no-pip"; exit 0;;
"-m virtualenv "*) echo "No module named virtualenv"; exit 1;;
"-m pip --version") [ ! -e "$here/no-pip" ];;
"-m pip install "*)
    for wanted; do :; done
    case " $REFUSES " in *" $wanted "*)
        echo "ERROR: No matching distribution found for $wanted"; exit 1;; esac
    [ -n "$BREAKS" ] && [ ! -e {log}.broke ] && touch {log}.broke \
        && echo "Downloading torch-2.13.0-py3-none-any.whl (532.1 MB)" \
        && echo "Connection broken: IncompleteRead" && exit 2
    [ -n "$SAYS" ] && echo "$SAYS" && exit 1
    echo "Successfully installed $wanted"; touch {log}.torch;;
"-c import sysconfig"*) echo {log}.site;;
"-c "*) torch=null; [ -e {log}.torch ] && torch='"2.13.0"'
    echo "@harborx [[3, 11], $torch, null, false, false, \\"\\"]";;
esac
"""


class Base:
    """A home with a base Python to build on; `install` answers what was told."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "hx"
        self.path, self.log = folder / "base", folder / "log"
        self.path.write_text(BASE.replace("{log}", shlex.quote(str(self.log))))
        self.path.chmod(0o755)

    def plan(
        self, target: Target = Target(), python: tuple[int, int] = (3, 11), **orders: Any
    ) -> Any:
        base = Interpreter(str(self.path), python, None, None, False)
        return installation.Plan(base, spec.Provisioning(install=True, **orders), target)

    def install(
        self, target: Target = Target(), seconds: float = 30.0, python: tuple[int, int] = (3, 11),
        **orders: Any,
    ) -> list[str]:  # fmt: skip
        told: list[str] = []
        installation.install(
            str(self.home), self.plan(target, python, **orders), time.monotonic() + seconds,
            lambda step, message: told.append(f"{step}: {message}"),
        )  # fmt: skip
        return told

    def asked(self, words: str = "pip install") -> list[str]:
        """The commands with `words`."""
        return [line for line in self.log.read_text().splitlines() if words in line]


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Base:
    monkeypatch.setattr(installation, "find_uv", lambda: None)
    monkeypatch.setattr(installation, "_BREAK_SECONDS", 0.0)
    return Base(tmp_path)


def test_torch_is_installed_into_our_own_environment(
    base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment is made, the index of the spec is asked, and the second time nothing is done."""
    monkeypatch.setenv("REFUSES", "torch==2.13.0+cpu")
    told = base.install(index_url="https://index.example/simple")
    assert told[0].startswith("creating_venv: ")
    assert "installing: Installing torch==2.13.0+cpu." in told
    asked = base.asked()
    assert [line.split()[-1] for line in asked] == ["torch==2.13.0+cpu", "torch==2.13.0"]
    assert all("--index-url https://index.example/simple" in line for line in asked)
    assert all(line.startswith(f"{base.home}/venv/bin/python ") for line in asked)
    assert not (base.home / "wheels.part").exists()
    assert base.install(index_url="https://index.example/simple") == []
    assert base.asked() == asked


@pytest.mark.parametrize(
    ("orders", "options"),
    [
        ({"index_url": "https://i.example/{build}"}, "--index-url https://i.example/cu126 "),
        ({"index_url": "http://i.example:81/x"}, "--trusted-host i.example:81 "),
        ({}, "--timeout 30 torch==2.13.0+cu126"),
    ],
)
def test_pip_is_told_where_to_look(base: Base, orders: dict[str, Any], options: str) -> None:
    """An index for each build gets the build's name; one without TLS is trusted since it was named."""
    base.install(Target(has_driver=True, cuda=(12, 4)), **orders)
    assert options in base.asked()[0]


def test_wheels_on_the_machine_need_no_network(base: Base, tmp_path: Path) -> None:
    """A folder of wheels is all that pip may look into; one that is not there is told."""
    (tmp_path / "wheels").mkdir()
    base.install(wheels_dir=str(tmp_path / "wheels"), index_url="https://index.example")
    assert f"--no-index --find-links {tmp_path}/wheels " in base.asked()[0]
    assert "--index-url" not in base.asked()[0]
    with pytest.raises(Failure, match="no folder of wheels at /nowhere/wheels") as caught:
        base.install(wheels_dir="/nowhere/wheels")
    assert caught.value.code == "provision_failed"


def test_without_ensurepip_the_outer_pip_fills_the_environment(
    base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian without python3-venv: a bare environment, filled with --target by the base's pip."""
    monkeypatch.setenv("NO_VENV", "1")
    base.install()
    (asked,) = base.asked()
    assert f"--target {base.log}.site" in asked


def test_uv_is_used_where_nothing_is_configured(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uv knows an index for every build; where it fails, or an index was named, pip does it."""
    uv = tmp_path / "uv"
    uv.write_text(
        f'#!/bin/sh\necho "uv $*" >> {base.log}\n[ -z "$UV_FAILS" ] && touch {base.log}.torch\n'
    )
    uv.chmod(0o755)
    monkeypatch.setattr(installation, "find_uv", lambda: str(uv))
    monkeypatch.setenv("UV_FAILS", "1")
    cuda = Target(has_driver=True, cuda=(12, 4))
    told = base.install(cuda)
    expected = (
        f"--python {base.home}/venv/bin/python --no-progress --torch-backend cu126 torch==2.13.0"
    )
    assert base.asked("uv pip") == [f"uv pip install {expected}"]
    assert "installing: Installing torch==2.13.0+cu126." in told
    (base.home / "venv" / places.MARK).unlink()
    monkeypatch.delenv("UV_FAILS")
    base.install(Target(has_driver=True))
    assert base.asked("uv pip")[-1].endswith("--torch-backend auto torch==2.13.0")
    base.install(index_url="https://index.example")
    assert len(base.asked("uv pip")) == 2
    assert len(base.asked("/python -m pip install")) == 2


@pytest.mark.parametrize(
    ("says", "target", "python", "code"),
    [
        ("ERROR: could not connect", Target(), (3, 11), "provision_no_network"),
        ("Failed to establish a new connection: [Errno -2] Name or service not known",
         Target(glibc=(2, 17)), (3, 11), "provision_no_network"),
        ("OSError: [Errno 28] No space left on device", Target(), (3, 11), "provision_disk_full"),
        ("[Errno 122] Disk quota exceeded", Target(), (3, 11), "provision_disk_full"),
        ("ERROR: No matching distribution found for torch", Target(), (3, 11), "provision_failed"),
        ("ERROR: No matching distribution found for torch", Target(glibc=(2, 27)), (3, 11),
         "provision_glibc_old"),
        ("ERROR: No matching distribution found for torch", Target(), (3, 20),
         "provision_python_unfit"),
        ("ERROR: 403 Client Error: Forbidden", Target(), (3, 11), "provision_failed"),
    ],
)  # fmt: skip
def test_a_failure_has_the_code_of_its_cause(
    base: Base, monkeypatch: pytest.MonkeyPatch,
    says: str, target: Target, python: tuple[int, int], code: str,
) -> None:  # fmt: skip
    """What pip said, and what the machine is, tells why; its last lines are the detail."""
    monkeypatch.setenv("SAYS", says)
    with pytest.raises(Failure) as caught:
        base.install(target, python=python, index_url="https://index.example")
    assert caught.value.code == code
    assert says in caught.value.detail
    assert len(base.asked()) == (1 if "No matching" not in says else len(set(base.asked())))


@pytest.mark.parametrize(
    ("target", "python", "code"),
    [
        (Target(glibc=None), (3, 11), "provision_glibc_old"),
        (Target(glibc=(2, 12)), (3, 11), "provision_glibc_old"),
        (Target(glibc=(2, 17)), (3, 14), "provision_glibc_old"),
        (
            Target(has_driver=True, cuda=(10, 2), capabilities=((7, 0),)),
            (3, 11),
            "provision_failed",
        ),
    ],
)
def test_what_can_not_fit_is_not_tried(
    base: Base, target: Target, python: tuple[int, int], code: str
) -> None:
    """Another C library, or a driver that is too old for all builds, is told before anything is done."""
    with pytest.raises(Failure) as caught:
        base.install(target, python=python)
    assert caught.value.code == code
    assert not base.log.exists()


def test_too_little_disk_is_told_before_anything_is_fetched(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CUDA build needs 12 GiB, a CPU build 1.5, wheels on the machine what they unpack to."""
    monkeypatch.setattr(diagnosis, "free_bytes", lambda folder: 2 * 2**30)
    cuda = Target(has_driver=True, cuda=(13, 0))
    with pytest.raises(Failure, match=r"12 GiB .* 2.0 GiB are free") as caught:
        base.install(cuda)
    assert caught.value.code == "provision_disk_full"
    assert base.asked() == []
    (tmp_path / "wheels").mkdir()
    base.install(cuda, wheels_dir=str(tmp_path / "wheels"))
    base.install()
    monkeypatch.setattr(diagnosis, "free_bytes", lambda folder: 2**30)
    (base.home / "venv" / places.MARK).unlink()
    with pytest.raises(Failure, match=r"1.5 GiB .* 1.0 GiB are free"):
        base.install()


def test_a_connection_that_breaks_is_taken_up_again(
    base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a download was under way, the same is asked for once more, within the same run."""
    monkeypatch.setenv("BREAKS", "1")
    told = base.install()
    assert "installing: The connection broke; going on with what is here." in told
    assert [line.split()[-1] for line in base.asked()] == ["torch==2.13.0+cpu"] * 2


def test_an_environment_of_another_plan_is_made_anew(base: Base) -> None:
    """What was finished for another driver or other orders is no answer; it is not whole meanwhile."""
    base.install()
    mark = base.home / "venv" / places.MARK
    before = mark.read_text()
    assert base.install(torch="2.12.0")
    assert mark.read_text() != before
    assert base.asked("marked") == []
    mark.unlink()
    assert base.install(torch="2.12.0")[0].startswith("creating_venv")


def test_two_runs_do_not_install_at_once(base: Base) -> None:
    """While another run installs, this one waits and says so; past its limit it fails."""
    base.home.mkdir()
    with (base.home / "install.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Failure, match="takes too long"):
            base.install(seconds=0.0)
    base.install()


def test_what_would_lead_pip_elsewhere_is_taken_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine's settings for pip can't send torch to another folder, nor its parts to /tmp."""
    for name in ("PIP_TARGET", "PIP_PREFIX", "PIP_NO_CACHE_DIR", "PIP_REQUIRE_VIRTUALENV"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PIP_USER", "1")
    (tmp_path / "tmp").mkdir()
    commands = Commands(str(tmp_path), lambda step, message: None)
    assert commands.run(["sh", "-c", "env | grep -E '^(PIP|TMPDIR)' | sort"], 20.0)
    told = dict(line.split("=", 1) for line in commands.last)
    assert told["TMPDIR"] == str(tmp_path / "tmp")
    assert told["PIP_USER"] == "0"
    assert not {"PIP_TARGET", "PIP_PREFIX", "PIP_NO_CACHE_DIR", "PIP_REQUIRE_VIRTUALENV"} & set(
        told
    )


def test_a_full_disk_while_marking_is_told(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the mark can't be written the environment does not count as whole."""

    def full(fd: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Failure) as caught:
        base.install()
    assert caught.value.code == "provision_disk_full"
    assert not (base.home / "venv" / places.MARK).exists()
