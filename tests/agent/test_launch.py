"""`launch`: start or attach, follow from an offset, and tell every way it can be lost."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from remote_agent import launch, run_folder
from tests.agent.instance import MARKER, OTHER, RUN, Instance, is_alive, spec, until, with_benchmark

Make = Callable[..., Instance]

# Says three lines, then waits for the file `go` beside the spec, says one more and ends.
WAITING = with_benchmark("""
import os, sys, time
def benchmark(path, seq, start):
    for number in range(3):
        print("line", number, flush=True)
    print("words on stderr", file=sys.stderr, flush=True)
    while not os.path.exists(os.path.join(path, "go")):
        time.sleep(0.01)
    print("gone", flush=True)
    return 0
""")
SAID = b"line 0\nline 1\nline 2\n"
ALL = SAID + b"gone\n"

PYTHONS = [
    sys.executable,
    *sorted(map(str, (Path.home() / ".pyenv" / "versions").glob("3.[89].*/bin/python"))),
    *sorted(map(str, (Path.home() / ".pyenv" / "versions").glob("3.1[0-9].*/bin/python"))),
]


def go(instance: Instance) -> None:
    (instance.run_folder / "go").touch()


@pytest.mark.parametrize("python", PYTHONS)
def test_a_run_is_started_followed_and_cleaned_under_every_python(
    machine: Make, python: str
) -> None:
    """Launch, attach, follow and clean work on every Python from 3.8 on."""
    instance = machine(WAITING, python)
    first = instance.launch(spec())
    assert first.answer() == "begin started"
    until(lambda: first.stream() == SAID)
    second = instance.launch(spec(), offset=7)
    assert second.answer() == "begin attached"
    go(instance)
    end = first.end()
    assert (first.stream(), second.end() and second.stream()) == (ALL, ALL[7:])
    assert end.pop("stderr_tail").splitlines() == ["words on stderr"]
    assert end == {
        "status": 0, "signal": None, "reason": None, "bytes": len(ALL), "rebooted": False
    }  # fmt: skip
    assert instance.clean() == "cleaned"
    assert not list(instance.run_folder.parent.iterdir())


def test_a_run_outlives_its_session_and_is_read_on_byte_for_byte(machine: Make) -> None:
    """A killed session neither ends the run nor changes a byte of what the next one reads."""
    instance = machine(WAITING)
    lost = instance.launch(spec())
    until(lambda: lost.stream() == SAID)
    lost.kill()
    go(instance)
    for offset in (0, 1, len(SAID), len(ALL)):
        session = instance.launch(None, offset=offset)
        assert session.answer() == "begin attached"
        assert session.end()["status"] == 0
        assert session.stream() == ALL[offset:]


def test_a_second_launch_starts_no_second_supervisor(machine: Make) -> None:
    """However many launch one run at once, exactly one starts it."""
    instance = machine(WAITING)
    sessions = [instance.launch(spec()) for _ in range(4)]
    answers = sorted(session.answer() for session in sessions)
    assert answers == ["begin attached"] * 3 + ["begin started"]
    go(instance)
    assert [session.end()["status"] for session in sessions] == [0] * 4
    assert all(session.stream() == ALL for session in sessions)


def test_an_older_epoch_is_refused(machine: Make) -> None:
    """Once an epoch has spoken, an older one can neither attach, nor end, nor remove."""
    instance = machine(WAITING)
    first = instance.launch(spec(), epoch=3)
    assert first.answer() == "begin started"
    assert instance.launch(spec(), epoch=2).answer() == "refused 3"
    assert instance.clean(epoch=2) == "refused 3"
    assert is_alive(instance.pid())
    go(instance)
    assert first.end()["status"] == 0
    assert instance.clean(epoch=2) == "refused 3"
    assert instance.run_folder.exists()
    assert instance.launch(None, epoch=4).answer() == "begin attached"
    assert instance.launch(None, epoch=3).answer() == "refused 4"


def test_attaching_loads_nothing_that_only_starting_needs() -> None:
    """The first byte waits for no import that neither attaching nor following has a use for."""
    source = """
import sys
sys.path.insert(0, sys.argv[1])
import remote_agent.launch
print(*sorted({"ctypes", "shutil", "subprocess", "tempfile", "pynvml",
    "remote_agent.machine.nvml", "remote_agent.machine.occupancy", "remote_agent.supervisor"} & set(sys.modules)))
"""
    folder = str(Path(__file__).parents[2])
    argv = [sys.executable, "-I", "-S", "-c", source, folder]
    assert subprocess.run(argv, capture_output=True, check=True).stdout == b"\n"


def test_following_ends_with_stdin(machine: Make) -> None:
    """When the connection goes, the follower goes, without an end line; the run stays."""
    instance = machine(WAITING)
    session = instance.launch(spec())
    until(lambda: session.stream() == SAID)
    session.hang_up()
    assert session.stderr == ""
    assert is_alive(instance.pid())


def test_a_reader_that_is_gone_is_no_error(machine: Make) -> None:
    """Output that nobody takes ends the follower silently."""
    instance = machine(WAITING)
    assert instance.launch(spec()).answer() == "begin started"
    go(instance)
    reader, writer = os.pipe()
    os.close(reader)
    argv = [sys.executable, str(instance.agent), "launch", "--run", RUN, "--epoch", "1"]
    argv += ["--offset", "0", "--marker", MARKER, "--sha256", instance._sha256]
    done = subprocess.run(
        argv, input=b"\n", stdout=writer, stderr=subprocess.PIPE, env=instance.environ, timeout=30
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_damaged_agent_does_nothing(machine: Make) -> None:
    """An agent that does not hash to what was sent says so and starts nothing."""
    instance = machine(WAITING)
    assert instance.launch(spec(), sha256="0" * 64).answer() == "damaged"
    assert not instance.run_folder.exists()


@pytest.mark.parametrize(
    ("orders", "sentence"),
    [
        (spec(run_id=OTHER), "belongs to another run"),
        (spec(nonce="x"), "nonce"),
        (spec(deadline_seconds=0), "deadline_seconds"),
        (spec(options={"batch_size": 0}), "batch_size"),
        (spec(options={"device": "tpu"}), "device"),
        (spec(provision={"torch": "--index-url=x"}), "provision.torch"),
        (spec(provision={"index_url": "--target=/"}), "index_url"),
        (spec(limits=[]), "limits"),
    ],
)
def test_a_spec_that_breaks_the_contract_is_refused(
    machine: Make, orders: dict[str, object], sentence: str
) -> None:
    """A wrong spec is answered with a sentence that names the field, and leaves nothing behind."""
    instance = machine(WAITING)
    answer = instance.launch(orders).answer()
    assert answer.startswith("failed ")
    assert sentence in answer
    assert not instance.run_folder.exists()


@pytest.mark.parametrize("run", ["../../etc", "a/b", f"A{RUN[1:]}", f"{RUN}/..", ""], ids=range(5))
def test_a_run_id_cannot_leave_the_runs_folder(machine: Make, run: str) -> None:
    """Whatever is not a UUID in canonical form is wrong usage, before any file is touched."""
    instance = machine(WAITING)
    argv = [sys.executable, str(instance.agent), "clean", "--run", run, "--epoch", "1"]
    done = subprocess.run([*argv, "--marker", MARKER], env=instance.environ, capture_output=True)
    assert done.returncode == 2
    assert not (instance.home / ".harborx").exists()


def test_a_launch_that_died_early_does_not_wedge_the_run(machine: Make) -> None:
    """A folder whose maker died before starting anything is started by the next who has the spec."""
    instance = machine(WAITING)
    instance.run_folder.mkdir(parents=True)
    (instance.run_folder / "epoch").write_text("1\n")
    only_attached = instance.launch(None)
    assert only_attached.answer() == "begin attached"
    assert only_attached.end()["reason"] == "folder_lost"
    assert instance.launch(spec()).answer() == "begin started"


def test_a_run_whose_folder_is_lost_is_not_started_again(machine: Make) -> None:
    """A run that has spoken before (offset over 0) and has no folder is lost, not begun anew."""
    instance = machine(WAITING)
    session = instance.launch(spec(), offset=7)
    assert session.answer() == "begin attached"
    assert session.end()["reason"] == "folder_lost"
    assert not instance.run_folder.exists()


def test_a_folder_that_never_stays_is_no_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Who can't get hold of the folder has not attached: it says so, after a bounded try."""
    folder = run_folder.RunFolder(str(tmp_path / "runs" / RUN))

    def gone(*_: object) -> None:
        raise run_folder.FolderGone(folder.path)

    monkeypatch.setattr(folder, "locked", gone)
    with pytest.raises(launch.LaunchFailed):
        launch._start_or_attach(folder, RUN, 1, 0, json.dumps(spec()))


def test_losing_the_folder_is_told(machine: Make) -> None:
    """When the supplier removes the folder of a live run, the follower says folder_lost."""
    instance = machine(WAITING)
    session = instance.launch(spec())
    until(lambda: session.stream() == SAID)
    instance.run_folder.rename(instance.home / "elsewhere")
    assert session.end()["reason"] == "folder_lost"


def test_losing_the_supervisor_is_told_and_ends_the_benchmark(machine: Make) -> None:
    """A supervisor killed without an exit file is supervisor_lost, and its child dies with it."""
    instance = machine(WAITING)
    session = instance.launch(spec())
    until(lambda: session.stream() == SAID)
    supervisor = instance.pid()
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    assert len(children) == 1
    os.kill(supervisor, signal.SIGKILL)
    end = session.end()
    assert (end["reason"], end["status"], end["bytes"]) == ("supervisor_lost", None, len(SAID))
    until(lambda: not is_alive(int(children[0])))
    assert instance.launch(spec()).end()["reason"] == "supervisor_lost"


def test_a_reused_pid_is_not_the_supervisor(machine: Make) -> None:
    """A live process under the noted pid counts only with the noted start time."""
    instance = machine(WAITING)
    instance.run_folder.mkdir(parents=True)
    (instance.run_folder / "events.ndjson").touch()
    (instance.run_folder / "pid").write_text(f"{os.getpid()} 1\n")
    assert instance.launch(spec()).end()["reason"] == "supervisor_lost"


def test_a_reboot_is_told(machine: Make) -> None:
    """A run without an exit file from before the last boot is host_rebooted."""
    instance = machine(WAITING)
    instance.run_folder.mkdir(parents=True)
    (instance.run_folder / "events.ndjson").write_bytes(SAID)
    (instance.run_folder / "pid").write_text("1 1\n")
    (instance.run_folder / "boot_id").write_text("an-earlier-boot\n")
    session = instance.launch(spec(), offset=7)
    end = session.end()
    assert (end["reason"], end["rebooted"]) == ("host_rebooted", True)
    assert session.stream() == SAID[7:]


def test_nothing_of_a_run_is_readable_by_others(machine: Make) -> None:
    """The run's folder is 0700 and its files 0600."""
    instance = machine(WAITING)
    session = instance.launch(spec())
    until(lambda: session.stream() == SAID)
    assert instance.run_folder.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in instance.run_folder.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert json.loads((instance.run_folder / "spec.json").read_text()) == spec()


def test_a_newer_epoch_is_admitted_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk keeps nobody from attaching or cleaning: the number is written where the old one stands."""
    folder = run_folder.RunFolder(str(tmp_path))
    folder.admit(9)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(run_folder.RunFolder, "write", full)
    folder.admit(12)
    with pytest.raises(run_folder.EpochRefused, match="12"):
        folder.admit(11)
