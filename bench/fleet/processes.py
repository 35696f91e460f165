"""A process of ours and what it uses: CPU and memory as the kernel counts them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_END_SECONDS: Final = 20.0
_TICK: Final = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """CPU seconds so far, of all its threads; KiB now: resident, and its proportional share of that."""

    cpu_seconds: float
    rss_kib: int
    pss_kib: int


@dataclass(frozen=True)
class Child:
    process: asyncio.subprocess.Process

    def usage(self) -> Usage:
        """What it has used."""
        return usage_of(self.process.pid)

    def cpu_seconds(self) -> float:
        return cpu_of(self.process.pid)

    async def line(self, seconds: float) -> bytes:
        """The next line of its stdout."""
        assert self.process.stdout is not None
        async with asyncio.timeout(seconds):
            found = await self.process.stdout.readline()
        if not found:
            raise ChildProcessError(f"process {self.process.pid} ended before it answered")
        return found

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")

    async def end(self) -> None:
        """Ask it to end, and make it."""
        if self.process.returncode is None:
            self.process.terminate()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


@asynccontextmanager
async def child(
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    errors: Path | None = None,
    python: Path = Path(sys.executable),
) -> AsyncIterator[Child]:
    """`python` with `arguments`, for the length of the block; what it says on stderr goes to the file `errors`."""
    said = errors.open("ab") if errors else None
    try:
        process = await asyncio.create_subprocess_exec(
            *(str(python), *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=said,
            env={**os.environ, **(environ or {})},
            limit=1 << 20,
        )
    finally:
        if said:
            said.close()
    born = Child(process)
    try:
        yield born
    finally:
        await born.end()


def usage_of(pid: int) -> Usage:
    """What a process of ours uses."""
    sizes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        sizes[name] = int(rest.split()[0])
    return Usage(cpu_of(pid), sizes["Rss"], sizes["Pss"])


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK


def unused_cpu() -> tuple[float, float]:
    """Seconds that all cores of this machine have been idle, and waiting for a disk."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    return int(fields[4]) * _TICK, int(fields[5]) * _TICK


def postgres_cpu(data: Path) -> float:
    """CPU seconds of the server that has its data there, with the backends that have ended."""
    postmaster = int((data / "postmaster.pid").read_text().splitlines()[0])
    total = _with_ended_children(postmaster)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if _parent(entry) == postmaster:
                    total += cpu_of(int(entry.name))
            except (OSError, IndexError):
                continue
    return total


def _with_ended_children(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) * _TICK


def _parent(entry: Path) -> int:
    return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
