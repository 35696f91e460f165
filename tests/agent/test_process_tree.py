"""The whole tree, always: nothing of a run outlives its deadline or its folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from remote_agent import processes
from tests.agent.instance import Instance, can_lock, naming, spec, until, with_benchmark

Make = Callable[..., Instance]

# A benchmark that is deaf to SIGTERM, with orphans that left its session: one keeps the cookie, one
# hides its environment, some are also never the same process twice, so that no list names them.
# Whoever of them lives has the file `alive` locked, since a fork inherits that.
WILD = with_benchmark("""
import fcntl, os, signal, sys, time
LOCK = '''
import fcntl, os, sys, time
fcntl.flock(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), fcntl.LOCK_SH)
print("here", flush=True)
end = time.monotonic() + 60
while time.monotonic() < end:
'''
SLEEPER = LOCK + "    time.sleep(1)"
COMET = LOCK + "    if os.fork(): os._exit(0)\\n    os.setsid()"
def orphan(source, environ):
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    alive = os.path.expanduser("~/alive")
    os.execve(sys.executable, [sys.executable, "-c", source, alive], environ)
def benchmark(path, seq, start):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    orphan(SLEEPER, dict(os.environ))
    orphan(SLEEPER, {})
    for _ in range(4):
        orphan(COMET, {})
    time.sleep(60)
""")
WAITING = with_benchmark("""
import sys, time
def benchmark(path, seq, start):
    print("words on stderr", file=sys.stderr, flush=True)
    print("here", flush=True)
    time.sleep(60)
""")


def test_nothing_outlives_the_deadline(machine: Make) -> None:
    """Orphans, empty environments, deaf ears and endless forks are gone 15 s after the deadline."""
    instance = machine(WILD)
    began = time.monotonic()
    session = instance.launch(spec(deadline_seconds=1.5))
    until(lambda: session.stream() == b"here\n" * 6)
    assert not can_lock(instance.home / "alive")
    session.hang_up()
    until(lambda: not naming(instance.run_folder))
    assert time.monotonic() - began < 1.5 + 15
    assert can_lock(instance.home / "alive")
    assert instance.launch(None).end()["reason"] == "deadline"


def test_cleaning_leaves_the_ending_to_the_supervisor(machine: Make) -> None:
    """`cleaned` is said of the same tree once all of it is gone."""
    instance = machine(WILD)
    session = instance.launch(spec())
    until(lambda: session.stream() == b"here\n" * 6)
    session.hang_up()
    assert instance.clean() == "cleaned"
    assert can_lock(instance.home / "alive")
    assert not naming(instance.run_folder)


def rename(folder: Path) -> None:
    folder.rename(folder.parent.parent / "elsewhere")


def replace(folder: Path) -> None:
    rename(folder)
    folder.mkdir()


@pytest.mark.parametrize("lose", [shutil.rmtree, rename, replace])
def test_a_run_ends_with_its_folder(machine: Make, lose: Callable[[Path], None]) -> None:
    """Who removes, moves or replaces the folder ends the run; nothing is written in its place."""
    instance = machine(WAITING)
    session = instance.launch(spec())
    until(lambda: session.stream() == b"here\n")
    assert len(naming(f"{instance.run_folder}")) == 2
    lose(instance.run_folder)
    until(lambda: not naming(instance.run_folder), 3.0)
    assert session.end()["reason"] == "folder_lost"
    assert not instance.run_folder.exists() or not list(instance.run_folder.iterdir())
    moved = instance.home / ".harborx" / "elsewhere"
    if moved.exists():
        assert (moved / "stderr.log").read_text() == "words on stderr\n"
        assert not (moved / "exit").exists()


def test_losing_only_the_events_is_losing_the_folder(machine: Make) -> None:
    """Events that nobody can read any more are no reason to go on."""
    instance = machine(WAITING)
    session = instance.launch(spec())
    until(lambda: session.stream() == b"here\n")
    (instance.run_folder / "events.ndjson").unlink()
    until(lambda: not naming(instance.run_folder), 3.0)
    assert session.end()["reason"] == "folder_lost"


# Each starts, as the benchmark does, something that never ends and names the folder in argv[1].
STARTS = {
    "interpreter": "interpreters.check(sys.argv[1] + '/python')",
    "installer": (
        "installation._Installation('', '', 0.0, print)._runs([sys.argv[1] + '/python'], 60.0)"
    ),
    "sampler": "sampler.Sampler([sys.argv[1]]).ready()",
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_what_the_benchmark_starts_dies_with_it(tmp_path: Path, start: str) -> None:
    """A benchmark that is killed takes along what it has started, stuck in the driver or not."""
    hanging = tmp_path / "python"
    hanging.write_text(f"#!{sys.executable}\nimport time; time.sleep(60)\n")
    hanging.chmod(0o755)
    (tmp_path / "pynvml.py").write_text("import time; time.sleep(60)")
    source = f"import sys; from remote_agent.machine import sampler; from remote_agent.provision import installation, interpreters; {start}"
    benchmark = subprocess.Popen(
        [sys.executable, "-c", source, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{Path.cwd()}"},
    )
    until(lambda: len(naming(tmp_path)) == 2)
    benchmark.send_signal(signal.SIGKILL)
    benchmark.wait()
    until(lambda: not naming(tmp_path), 3.0)


def test_a_child_whose_parent_died_at_once_dies_too() -> None:
    """Whoever ties itself to a process that is no longer its parent ends there and then."""
    source = "import os; from remote_agent import processes; processes.die_with(os.getpid())"
    assert subprocess.run([sys.executable, "-c", source]).returncode == -signal.SIGKILL


def test_a_python_without_ctypes_is_no_hindrance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel can't be asked to end a tree, the run goes on without that net."""
    monkeypatch.setitem(sys.modules, "ctypes", None)
    processes.adopt_orphans()


def test_children_are_found_where_the_kernel_does_not_list_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Scanning all processes finds the family that /proc tells on other kernels."""
    shell = ["sh", "-c", "sleep 60 & echo; wait"]
    with subprocess.Popen(shell, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        listed = processes.descendants(child.pid)
        monkeypatch.setattr(os.path, "exists", lambda path: False)
        assert processes.descendants(child.pid) == listed
        assert len(listed) == 1
        for pid in listed:
            os.kill(pid, signal.SIGKILL)
