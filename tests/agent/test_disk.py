"""The disk's figures: past the cache where that can be, little of it used, and never a file left."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.domain.events import Metric
from remote_agent.measure import disk
from remote_agent.measure.figure import Figure, as_event
from tests.agent.instance import until

GIB = 2**30
# Opens as we do, says so, and then writes for as long as nobody kills it.
ENDLESS = """
import os, sys, time
from remote_agent.measure import disk
write = os.pwrite
def slow(*arguments):
    print("writing", flush=True)
    time.sleep(60)
    return write(*arguments)
os.pwrite = slow
if sys.argv[2] == "named":
    del os.O_TMPFILE
disk.throughput(sys.argv[1], 60)
"""


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight blocks of a megabyte are enough."""
    monkeypatch.setattr(disk, "_BLOCK", 2**20)
    monkeypatch.setattr(disk, "_MOST_BLOCKS", 8)


def check(figures: list[Figure]) -> None:
    for figure in figures:
        Metric.model_validate(dict(as_event(figure), type="metric"))
    assert [figure.name for figure in figures] == ["disk write", "disk read"]


def refuse(number: int, wrong: Callable[..., bool], real: Callable[..., Any]) -> Callable[..., Any]:
    """`real`, which fails with `number` where `wrong` says so."""

    def call(*arguments: Any, **more: Any) -> Any:
        if wrong(*arguments):
            raise OSError(number, os.strerror(number))
        return real(*arguments, **more)

    return call


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("nameless", [True, False])
def test_both_ways_write_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direct: bool, nameless: bool
) -> None:
    """With and without O_DIRECT and O_TMPFILE the whole is written and read, from a file without a name."""
    seen: list[list[str]] = []
    write = os.pwrite

    def look(*arguments: Any) -> int:
        seen.append(os.listdir(tmp_path))
        return write(*arguments)

    monkeypatch.setattr(os, "pwrite", look)
    if not direct:
        monkeypatch.delattr(os, "O_DIRECT")
    if not nameless:
        monkeypatch.delattr(os, "O_TMPFILE")
    figures = disk.throughput(str(tmp_path), 20)
    check(figures)
    for figure in figures:
        assert figure.value is not None
        assert figure.low is not None
        assert figure.low <= figure.value <= (figure.high or figure.value)
        assert figure.detail["bytes"] == 8 * 2**20
        assert figure.value == pytest.approx(8 * 2**20 / figure.detail["seconds"] / 1e6)
        if not direct:
            assert figure.configuration["how"] == "fsync and posix_fadvise"
    assert seen
    assert not any(seen)
    assert os.listdir(tmp_path) == []


def test_without_direct_the_cache_is_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written data is synced, then dropped from the cache, and only then read."""
    acts: list[str] = []
    monkeypatch.delattr(os, "O_DIRECT")
    for name in ("pwrite", "fdatasync", "fsync", "posix_fadvise", "preadv"):

        def spy(*arguments: Any, act: str = name, real: Any = getattr(os, name)) -> Any:
            acts.append(act)
            return real(*arguments)

        monkeypatch.setattr(os, name, spy)
    disk.throughput(str(tmp_path), 20)
    told = [act for n, act in enumerate(acts) if n == 0 or acts[n - 1] != act]
    synced = ["pwrite", "fdatasync"] * 2
    assert told == [*synced, "fsync", "posix_fadvise", "preadv"]


@pytest.mark.parametrize("nameless", [True, False])
@pytest.mark.parametrize("when", ["open", "write"])
def test_where_direct_is_refused_the_cache_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, nameless: bool
) -> None:
    """A file system that refuses O_DIRECT, at once or at the first write, is measured without it."""
    real_open, real_write = os.open, os.pwrite
    first: list[int] = []

    def opened(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        if flags & os.O_DIRECT and str(path).startswith(str(tmp_path)):
            os.close(real_open(path, flags & ~os.O_DIRECT, mode))  # Linux makes it, then refuses
            raise OSError(errno.EINVAL, "Invalid argument")
        return real_open(path, flags, mode, **more)

    def written(*arguments: Any) -> int:
        first.append(1)
        if len(first) == 1:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real_write(*arguments)

    if not nameless:
        monkeypatch.delattr(os, "O_TMPFILE")
    if when == "open":
        monkeypatch.setattr(os, "open", opened)
    else:
        monkeypatch.setattr(os, "pwrite", written)
    figures = disk.throughput(str(tmp_path), 20)
    check(figures)
    assert all(figure.value for figure in figures)
    assert {figure.detail["method"] for figure in figures} == {"fsync and posix_fadvise"}
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("after", [3, 0])
def test_a_full_disk_is_a_figure_without_a_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Where the disk is full nothing fails: the figures say ENOSPC, and the file is gone."""
    calls: list[int] = []
    full = refuse(errno.ENOSPC, lambda *_: calls.append(1) or len(calls) > after, os.pwrite)
    monkeypatch.setattr(os, "pwrite", full)
    figures = disk.throughput(str(tmp_path), 20)
    check(figures)
    assert [figure.value for figure in figures] == [None, None]
    assert all("ENOSPC" in figure.detail["error"] for figure in figures)
    assert os.listdir(tmp_path) == []


def test_what_is_read_wrongly_has_no_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that brings something else than was written is told, and the write's figure stays."""
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, place: len(buffers[0]))
    written, read = disk.throughput(str(tmp_path), 20)
    assert written.value
    assert read.value is None
    assert "something else" in read.detail["error"]


def test_a_short_budget_ends_it(tmp_path: Path) -> None:
    """With the budget over after one block, one block is what was measured."""
    figures = disk.throughput(str(tmp_path), 1e-9)
    check(figures)
    assert all(figure.detail["bytes"] in (2**20, 4 * 2**20) for figure in figures)
    assert all(figure.value for figure in figures)


@pytest.mark.parametrize(
    ("free", "blocks"),
    [(100 * GIB, 64), (3 * GIB, 36), (2 * GIB + 100 * 2**20, 12), (2 * GIB, 0), (GIB, 0)],
)
def test_little_of_the_disk_is_used(
    monkeypatch: pytest.MonkeyPatch, free: int, blocks: int
) -> None:
    """At most 512 MiB, a tenth of what is free, and never the last 2 GiB."""
    monkeypatch.setattr(disk, "_BLOCK", 2**23)
    monkeypatch.setattr(disk, "_MOST_BLOCKS", 64)
    sizes = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda folder: sizes)
    assert disk._room("/") == blocks


def test_too_little_space_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written where less than 2 GiB would be left, nor where there is no such folder."""
    monkeypatch.setattr(disk, "_room", lambda folder: 0)
    monkeypatch.setattr(os, "pwrite", lambda *_: pytest.fail("it wrote"))
    for figures in (disk.throughput(str(tmp_path), 1), disk.throughput("/nowhere", 1)):
        check(figures)
        assert [figure.value for figure in figures] == [None, None]
        assert all(figure.detail["error"] for figure in figures)


@pytest.mark.parametrize("how", ["nameless", "named"])
def test_a_kill_leaves_no_file(tmp_path: Path, how: str) -> None:
    """Killed while it writes, it leaves nothing in the folder."""
    child = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(tmp_path), how], stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"writing\n"
        child.kill()
    assert until(lambda: child.poll() is not None)
    assert os.listdir(tmp_path) == []


def test_the_file_system_has_its_name() -> None:
    """/proc is told to be of the kind proc; what does not exist is of none."""
    assert disk._file_system("/proc") == "proc"
    assert disk._file_system("/nowhere") is None
