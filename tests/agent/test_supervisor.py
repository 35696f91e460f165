"""The supervisor bounds what it runs, ends all of it, and records how it ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from remote_agent.bounded_log import BoundedLog
from tests.agent.instance import RUN, is_alive, spec, until

# The real supervisor around a stand-in for the benchmark; a grace of its own keeps tests short.
SUPERVISE = """
import sys
from remote_agent import spec
from remote_agent.run_folder import RunFolder
from remote_agent.supervisor import Supervisor
folder = RunFolder(sys.argv[1])
orders = spec.parse(open(folder.spec).read())
Supervisor(folder, orders, grace_seconds=0.5).run([sys.executable, "-c", sys.argv[2]])
"""
# Starts a child that leaves the group and the session, and one that also hides its environment.
TREE = """
import os, subprocess, sys, time
sleep = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
plain = subprocess.Popen(sleep, start_new_session=True)
hidden = subprocess.Popen(sleep, start_new_session=True, env={})
stubborn = subprocess.Popen([sys.executable, "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True);"
    "time.sleep(600)"])
with open(os.environ["PIDS"] + ".tmp", "w") as file:
    print(os.getpid(), plain.pid, hidden.pid, stubborn.pid, file=file)
os.rename(os.environ["PIDS"] + ".tmp", os.environ["PIDS"])
"""


class Supervised:
    """One supervisor on a run folder in a temporary directory."""

    def __init__(self, tmp_path: Path, source: str, before: str = "", **changes: Any) -> None:
        self.folder = tmp_path / RUN
        self.folder.mkdir()
        (self.folder / "spec.json").write_text(json.dumps(spec(**changes)))
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{before}\n{SUPERVISE}", str(self.folder), source],
            env={**os.environ, "PIDS": str(tmp_path / "pids")},
        )

    def exit(self) -> dict[str, Any]:
        """The exit file, once the supervisor has ended well."""
        assert self.process.wait(30) == 0
        return json.loads((self.folder / "exit").read_text())

    def log(self) -> str:
        return (self.folder / "stderr.log").read_text()


def pids(tmp_path: Path) -> list[int]:
    path = tmp_path / "pids"
    return [int(pid) for pid in until(lambda: path.exists() and path.read_text().split())]


@pytest.mark.parametrize(
    ("source", "ending"),
    [
        ("pass", {"status": 0, "signal": None, "reason": None}),
        ("raise SystemExit(3)", {"status": 3, "signal": None, "reason": None}),
        ("import os; os.kill(os.getpid(), 9)",
         {"status": None, "signal": "SIGKILL", "reason": None}),
        ("import os; os.abort()", {"status": None, "signal": "SIGABRT", "reason": None}),
    ],
)  # fmt: skip
def test_the_exit_file_tells_status_or_signal(
    tmp_path: Path, source: str, ending: dict[str, object]
) -> None:
    """The exit file holds the child's status, or the name of the signal that ended it."""
    assert Supervised(tmp_path, source).exit() == ending


def test_a_crash_leaves_its_last_words(tmp_path: Path) -> None:
    """What a crashing child wrote to stderr is in the log, to the last byte."""
    source = "import os, sys; sys.stderr.write('x' * 50000 + 'the cause'); sys.stderr.flush();"
    supervised = Supervised(tmp_path, source + "os.kill(os.getpid(), 11)")
    assert supervised.exit()["signal"] == "SIGSEGV"
    assert supervised.log() == "x" * 50000 + "the cause"


def test_the_deadline_ends_the_whole_tree(tmp_path: Path) -> None:
    """At the deadline nothing survives: no new session, empty environment or deaf ear saves it."""
    source = TREE + "\ntime.sleep(600)"
    supervised = Supervised(tmp_path, source, deadline_seconds=1.5)
    tree = pids(tmp_path)
    assert all(map(is_alive, tree))
    ending = supervised.exit()
    assert (ending["reason"], ending["status"]) == ("deadline", None)
    assert not any(map(is_alive, tree))


def test_what_a_finished_child_leaves_running_is_ended(tmp_path: Path) -> None:
    """A benchmark that ends well but leaves processes behind frees the GPU all the same."""
    supervised = Supervised(tmp_path, TREE)
    tree = pids(tmp_path)
    assert supervised.exit() == {"status": 0, "signal": None, "reason": None}
    assert not any(map(is_alive, tree))


def test_a_supervisor_that_is_told_to_leave_takes_its_tree_along(tmp_path: Path) -> None:
    """SIGTERM to the supervisor ends the whole tree and leaves no exit file."""
    supervised = Supervised(tmp_path, TREE + "\ntime.sleep(600)")
    tree = pids(tmp_path)
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.process.wait(20) == 143
    assert not any(map(is_alive, tree))
    assert not (supervised.folder / "exit").exists()


def test_a_child_that_no_list_names_is_not_overlooked(tmp_path: Path) -> None:
    """Who forks faster than the supervisor reads is missed by its lists, yet ended all the same."""
    blind = """
from remote_agent import processes
descendants, calls = processes.descendants, []
processes.descendants = lambda root: descendants(root) if len(calls) > 40 else calls.append(1) or set()
"""
    hidden = """
import subprocess
child = subprocess.Popen(["sleep", "60"], start_new_session=True, env={})
print(child.pid, flush=True)
"""
    supervised = Supervised(tmp_path, hidden, blind)
    assert supervised.exit()["status"] == 0
    assert not is_alive(int((supervised.folder / "events.ndjson").read_text()))


def test_the_end_is_told_whoever_can_not_be_killed(tmp_path: Path) -> None:
    """A process that no signal ends (stuck in the kernel, say) does not keep the exit file away."""
    # Nobody has that pid, so no signal arrives, and the search goes on finding it.
    stuck = "from remote_agent import processes; processes.bearers = lambda run: {2**22 + 1}"
    supervised = Supervised(tmp_path, "pass", f"{stuck}; processes._KILL_SECONDS = 0.2")
    assert supervised.exit() == {"status": 0, "signal": None, "reason": None}


def test_being_told_to_leave_twice_changes_nothing(tmp_path: Path) -> None:
    """A second SIGTERM does not stop the supervisor from ending its tree."""
    supervised = Supervised(tmp_path, TREE + "\ntime.sleep(600)")
    tree = pids(tmp_path)
    until(lambda: (supervised.folder / "events.ndjson").read_text() == "up\n" * 3)
    supervised.process.send_signal(signal.SIGTERM)
    until(lambda: not is_alive(tree[0]))
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.process.wait(20) == 143
    assert not any(map(is_alive, tree))


def test_a_flood_of_events_is_ended_and_cut(tmp_path: Path) -> None:
    """A child over its bytes of events is ended as output_limit, and the file holds the limit."""
    limits = {"events_bytes": 100_000, "stderr_bytes": 4096}
    supervised = Supervised(tmp_path, "while True: print('x' * 999)", limits=limits)
    assert supervised.exit()["reason"] == "output_limit"
    assert (supervised.folder / "events.ndjson").stat().st_size == 100_000


def test_a_flood_on_stderr_is_bounded_and_harmless(tmp_path: Path) -> None:
    """A child that floods stderr runs to its end; the log keeps its limit and the last words."""
    limits = {"events_bytes": 1000, "stderr_bytes": 20_000}
    source = "import sys\nfor n in range(9000): print('noise', n, file=sys.stderr)"
    supervised = Supervised(tmp_path, source, limits=limits)
    assert supervised.exit() == {"status": 0, "signal": None, "reason": None}
    log = supervised.log()
    assert len(log) <= 20_000
    assert log.startswith("noise 0\n")
    assert log.endswith("noise 8999\n")
    assert "bytes left out]" in log


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    """A child that can't write its events ends with status 74, which the record calls disk_full."""
    source = """
import os, sys
from remote_agent.events import EventWriter
from remote_agent.supervisor import DISK_FULL_STATUS, FULL_DISK
try:
    EventWriter(os.open("/dev/full", os.O_WRONLY), "n").emit("warning", code="c", message="m")
except OSError as error:
    sys.exit(DISK_FULL_STATUS if error.errno in FULL_DISK else 1)
"""
    assert Supervised(tmp_path, source).exit()["reason"] == "disk_full"


def test_a_full_disk_under_the_log_ends_the_run(tmp_path: Path) -> None:
    """When the log can't be written for want of space the run ends as disk_full."""
    folder = tmp_path / RUN
    supervised = Supervised.__new__(Supervised)
    folder.mkdir()
    (folder / "spec.json").write_text(json.dumps(spec()))
    (folder / "stderr.log").symlink_to("/dev/full")
    source = "import sys, time; print('x', file=sys.stderr, flush=True); time.sleep(600)"
    supervised.folder = folder
    supervised.process = subprocess.Popen([sys.executable, "-c", SUPERVISE, str(folder), source])
    ending = supervised.exit()
    assert (ending["reason"], ending["signal"]) == ("disk_full", "SIGTERM")


def test_the_child_knows_its_run_and_is_its_own_group(tmp_path: Path) -> None:
    """The child carries the cookie HARBORX_RUN, leads its session, reads an empty stdin, and caches in its folder."""
    source = (
        "import os, sys; print(os.environ['HARBORX_RUN'], os.getsid(0) == os.getpid(), "
        "os.getpgrp() == os.getpid(), repr(sys.stdin.read())); "
        "print(*(os.environ[name] for name in "
        "('TORCHINDUCTOR_CACHE_DIR', 'TRITON_CACHE_DIR', 'CUDA_CACHE_PATH')), sep='\\n')"
    )
    supervised = Supervised(tmp_path, source)
    supervised.exit()
    said = (supervised.folder / "events.ndjson").read_text()
    first, *caches = said.splitlines()
    assert first == f"{RUN} True True ''"
    assert len(set(caches)) == 3
    assert all(Path(cache).is_relative_to(supervised.folder) for cache in caches)


@pytest.mark.parametrize("pieces", [[b"a"], [b"a" * 9000], [b"b" * 5000] * 9, [b"c"] * 30_000])
def test_a_bounded_log_keeps_both_ends(tmp_path: Path, pieces: list[bytes]) -> None:
    """A log holds all that fits, otherwise beginning and end within its limit."""
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    log = BoundedLog(fd, 10_000)
    for piece in pieces:
        log.write(piece)
    log.close()
    os.close(fd)
    whole, kept = b"".join(pieces), path.read_bytes()
    assert len(kept) <= 10_000
    if len(whole) <= 9_000:
        assert kept == whole
    assert (kept[:4096], kept[-4096:]) == (whole[:4096], whole[-4096:])
