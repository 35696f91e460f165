"""`clean` ends what runs, removes what is left, and can be asked again and again."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from remote_agent import clean, processes
from tests.agent.instance import (
    MARKER,
    OTHER,
    RUN,
    Instance,
    has_open,
    is_alive,
    naming,
    spec,
    until,
    with_benchmark,
)

# Leaves the session with a child that outlives everything but a search for the cookie.
LEAVING = with_benchmark("""
import os, subprocess, sys, time
def benchmark(path, seq, start):
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    print(os.getpid(), child.pid, flush=True)
    time.sleep(600)
""")


def tree_of(instance: Instance) -> list[int]:
    session = instance.launch(spec())
    until(lambda: session.stream().endswith(b"\n"))
    return [instance.pid(), *map(int, session.stream().split())]


def test_cleaning_ends_a_live_run_and_removes_it(machine: Callable[..., Instance]) -> None:
    """After `cleaned` no process and no file of the run is left."""
    instance = machine(LEAVING)
    tree = tree_of(instance)
    assert all(map(is_alive, tree))
    assert instance.clean() == "cleaned"
    assert not any(map(is_alive, tree))
    assert not list(instance.run_folder.parent.iterdir())


def test_cleaning_is_idempotent(machine: Callable[..., Instance]) -> None:
    """A run that is gone, or never was, is cleaned as well."""
    instance = machine(LEAVING)
    assert [instance.clean() for _ in range(3)] == ["cleaned"] * 3
    assert instance.launch(spec(), epoch=2).answer() == "begin started"
    assert [instance.clean(2) for _ in range(3)] == ["cleaned"] * 3


def test_a_worker_that_slept_through_the_end_starts_nothing(
    machine: Callable[..., Instance],
) -> None:
    """A run that was ended and removed starts again only under a newer epoch, and other runs start anyway."""
    instance = machine(LEAVING)
    assert instance.launch(spec(), epoch=3).answer() == "begin started"
    assert instance.clean(3) == "cleaned"
    assert [instance.launch(spec(), epoch=epoch).answer() for epoch in (1, 3)] == ["refused 3"] * 2
    assert not list(instance.run_folder.parent.iterdir())
    assert instance.clean(1) == "cleaned"
    assert instance.launch(spec(), epoch=2).answer() == "refused 3"
    assert instance.launch(spec(), epoch=4).answer() == "begin started"
    assert instance.clean(4) == "cleaned"


def test_what_is_remembered_of_ended_runs_is_bounded(machine: Callable[..., Instance]) -> None:
    """The file holds the latest two hundred of the last day; what can't be read in it is forgotten."""
    instance = machine(LEAVING)
    instance.run_folder.parent.mkdir(parents=True)
    file = instance.run_folder.parents[1] / "ended"
    now = time.time()
    lines = [f"{uuid4()} 1 {now:.0f}" for _ in range(300)]
    old = f"{RUN} 9 {now - 2 * 24 * 3600:.0f}"
    file.write_text("\n".join([old, "rubbish", "a b c", *lines]) + "\n")
    assert instance.clean() == "cleaned"
    kept = [line.split()[0] for line in file.read_text().splitlines()]
    assert kept == [*(line.split()[0] for line in lines[-199:]), RUN]
    assert instance.launch(spec(), epoch=2).answer() == "begin started"
    instance.clean(2)


def test_cleaning_goes_on_where_an_earlier_one_was_stopped(
    machine: Callable[..., Instance],
) -> None:
    """What a killed `clean` has left half removed is removed by the next."""
    instance = machine(LEAVING)
    leavings = Path(f"{instance.run_folder}.removed")
    leavings.mkdir(parents=True)
    (leavings / "events.ndjson").touch()
    assert instance.clean() == "cleaned"
    assert not leavings.exists()


def test_processes_are_found_without_their_folder(machine: Callable[..., Instance]) -> None:
    """Where the supplier has removed the folder, cleaning still ends the run's processes."""
    instance = machine(LEAVING)
    tree = tree_of(instance)
    instance.run_folder.rename(instance.home / "elsewhere")
    assert instance.clean() == "cleaned"
    assert not any(map(is_alive, tree))


def test_a_folder_that_is_made_anew_meanwhile_is_another_epochs(
    machine: Callable[..., Instance],
) -> None:
    """A zombie that waits for a folder's lock is refused by the folder that has taken its place."""
    instance = machine(LEAVING)
    instance.run_folder.mkdir(parents=True)
    lock = instance.run_folder / "lock"
    with ThreadPoolExecutor() as pool, lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        answer = pool.submit(instance.clean, epoch=1)
        cleaning = until(lambda: naming(f"{instance.agent}\0clean")).pop()
        until(lambda: has_open(cleaning, lock))
        instance.run_folder.rename(instance.home / "elsewhere")
        assert instance.launch(spec(), epoch=2).answer() == "begin started"
    assert answer.result() == "refused 2"
    assert is_alive(instance.pid())


def test_a_supervisor_that_does_not_die_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`cleaned` is never said while the supervisor lives, nor is its folder removed then."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".harborx" / "runs" / RUN
    folder.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"]) as supervisor:
        process = until(lambda: processes.look(supervisor.pid))
        (folder / "pid").write_text(f"{process.pid} {process.start}\n")
        monkeypatch.setattr(processes, "end", lambda *_: False)
        clean.clean(RUN, 1, MARKER, None)
        supervisor.kill()
    answer = f"@harborx {MARKER} failed the run's supervisor, process {process.pid}, can't be ended"
    assert capfd.readouterr().out == answer + "\n"
    assert folder.exists()


def test_cleaning_tells_which_other_runs_are_there(machine: Callable[..., Instance]) -> None:
    """After `cleaned` come the other runs, sorted and at most 20; half removed ones are removed."""
    instance = machine(LEAVING)
    runs = [f"{OTHER[:-2]}{number}" for number in range(10, 35)]
    for name in (*reversed(runs), f"{OTHER}.removed", RUN, "not-a-run", "not-a-run.removed"):
        (instance.runs / name).mkdir(parents=True)
        (instance.runs / name / "epoch").write_text("1\n")
    assert instance.clean() == " ".join(["cleaned", *runs[:20]])
    left = sorted(path.name for path in instance.runs.iterdir())
    assert left == [*runs, "not-a-run", "not-a-run.removed"]


def test_agents_of_other_versions_go_once_no_run_is_alive(
    machine: Callable[..., Instance],
) -> None:
    """With `--keep` all agents but that one are removed, unless a supervisor may still need one."""
    instance = machine(LEAVING)
    agents = instance.home / ".harborx" / "agents"
    agents.mkdir(parents=True)
    kept = {"a" * 64 + ".pyz", "a" * 64 + ".pyz.part", "notes.txt"}
    old = {"b" * 64 + ".pyz", "c" * 64 + ".pyz.part"}
    for name in kept | old:
        (agents / name).touch()

    def left() -> set[str]:
        return {path.name for path in agents.iterdir()}

    assert instance.launch(spec(run_id=OTHER), run=OTHER).answer() == "begin started"
    assert instance.clean(keep="a" * 64) == f"cleaned {OTHER}"
    assert left() == kept | old
    assert instance.clean(run=OTHER) == "cleaned"
    assert left() == kept | old
    assert instance.clean(keep="a" * 64) == "cleaned"
    assert left() == kept


@pytest.mark.parametrize("digest", ["", "a" * 63, "A" * 64, "../" + "a" * 61])
def test_an_agent_to_keep_has_a_whole_digest(machine: Callable[..., Instance], digest: str) -> None:
    """A digest that could name no agent is wrong usage, before anything is removed."""
    instance = machine(LEAVING)
    instance.run_folder.mkdir(parents=True)
    argv = [sys.executable, str(instance.agent), "clean", "--run", RUN, "--epoch", "1"]
    argv += ["--marker", MARKER, "--keep", digest]
    assert subprocess.run(argv, env=instance.environ, capture_output=True).returncode == 2
    assert instance.run_folder.exists()
