"""`clean` ends what runs, removes what is left, and can be asked again and again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.agent.instance import Instance, is_alive, spec, until, with_benchmark

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
    assert instance.launch(spec()).answer() == "begin started"
    assert [instance.clean() for _ in range(3)] == ["cleaned"] * 3


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
