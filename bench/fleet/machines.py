"""
Stand-in machines: `python -m bench.fleet.machines` is a process with many SSH servers, each on an address of its own.

They speak the launch contract as the agent does, and say what a benchmark says: events at a slow rate, then a result.
Told "go" on stdin, the runs that were held may end; when stdin ends, so does the process.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from base64 import urlsafe_b64decode
from dataclasses import asdict, dataclass
from typing import Any, Final

import asyncssh

from bench.faults.stand_in import result_of
from orchestrator.ssh.keys import one_line
from remote_agent import spec

Exec = asyncssh.SSHServerProcess[bytes]
_GIGABYTE: Final = 1 << 30
_PIECE: Final = 48 * 1024


@dataclass(frozen=True)
class Manner:
    """
    What a machine does with a run: `events` over `seconds`, going on at that rate while it is held. `says` is "events",
    or what it floods with instead: "progress" (events without end) or "noise" (bytes without a newline).
    """

    count: int
    first: int = 0
    seconds: float = 30.0
    events: int = 200
    held: bool = False
    says: str = "events"


def main() -> None:
    asyncio.run(_serve(Manner(**json.loads(sys.argv[1]))))


async def _serve(manner: Manner) -> None:
    own = asyncssh.generate_private_key("ssh-ed25519")
    house = _House(manner)
    addresses = []
    for number in range(manner.first, manner.first + manner.count):
        opened = socket.create_server((address_of(number), 0), backlog=64)
        await asyncssh.listen(
            sock=opened,
            config=None,
            server_factory=_Door,
            server_host_keys=[own],
            process_factory=house.play,
            encoding=None,
            gss_host=None,
            kex_algs=["curve25519-sha256"],
            encryption_algs=["aes128-gcm@openssh.com"],
            compression_algs=None,
            login_timeout=300,
            allow_scp=False,
        )
        addresses.append(opened.getsockname())
    print(json.dumps({"host_key": one_line(own), "addresses": addresses}), flush=True)
    async for line in _lines():
        if line.strip() == b"go":
            house.released.set()


async def _lines() -> Any:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line


def address_of(number: int) -> str:
    """Loopback has sixteen million addresses; sshd's own limit on logins, which we heed, is one address's."""
    return f"127.1.{number // 250}.{number % 250 + 1}"


class _Door(asyncssh.SSHServer):
    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return True


class _House:
    """All machines of this process."""

    def __init__(self, manner: Manner) -> None:
        self.manner = manner
        self.released = asyncio.Event()
        if not manner.held:
            self.released.set()

    async def play(self, process: Exec) -> None:
        """One exec: the agent is there already, and does what it is asked."""
        words = (process.command or "").split()
        marker = words[words.index("--marker") + 1]
        try:
            if "clean" in words:
                process.stdout.write(_answer(marker, "cleaned"))
            else:
                await self._launch(process, words, marker)
            process.exit(0)
        except (asyncssh.Error, OSError):
            process.close()  # the orchestrator has left

    async def _launch(self, process: Exec, words: list[str], marker: str) -> None:
        line = words[words.index("--spec") + 1]
        orders = spec.parse(urlsafe_b64decode(line + "=" * (-len(line) % 4)).decode())
        process.stdout.write(_answer(marker, "begin started"))
        if self.manner.says == "events":
            said = await self._measure(process, orders)
        else:
            said = await self._flood(process, orders)
        end = {"status": 0, "signal": None, "reason": None, "bytes": said}
        told = json.dumps({**end, "stderr_tail": "", "rebooted": False})
        process.stderr.write(_answer(marker, f"end {told}"))

    async def _measure(self, process: Exec, orders: spec.Spec) -> int:
        options = orders.options
        images = options.batch_size * options.steps
        voice = _Voice(process, orders.nonce)
        voice.say("started", agent="stand-in", python="3", platform="fleet")
        voice.say("probe", gpu_count=0, cpu_model="stand-in", cpu_count=2, ram_gb=1.5)
        voice.say("progress", phase="measure", done=0, total=images, images_per_sec=1.0)
        began = time.monotonic()
        step = self.manner.seconds / self.manner.events
        told = 0
        while told < self.manner.events or not self.released.is_set():
            told += 1
            await asyncio.sleep(max(0.0, began + told * step - time.monotonic()))
            done = images * min(told, self.manner.events) // self.manner.events
            voice.say("progress", phase="measure", done=done, total=images, images_per_sec=99.5)
        taken = time.monotonic() - began
        voice.say("result", **result_of(options, images, taken, taken))
        return voice.said

    async def _flood(self, process: Exec, orders: spec.Spec) -> int:
        """A gigabyte, as fast as it is taken."""
        voice = _Voice(process, orders.nonce)
        voice.say("started", agent="stand-in", python="3", platform="fleet")
        while voice.said < _GIGABYTE:
            if self.manner.says == "noise":
                voice.write(b"x" * _PIECE)
            else:
                voice.say_many(
                    64, "progress", phase="measure", done=1, total=2, images_per_sec=99.5
                )
            await process.stdout.drain()
        return voice.said


class _Voice:
    """Events of one run, numbered."""

    def __init__(self, process: Exec, nonce: str) -> None:
        self.said = 0
        self._process = process
        self._nonce = nonce
        self._seq = 0
        self._began = time.monotonic()

    def say(self, kind: str, **fields: Any) -> None:
        self.write(self._line(kind, fields))

    def say_many(self, count: int, kind: str, **fields: Any) -> None:
        self.write(b"".join(self._line(kind, fields) for _ in range(count)))

    def write(self, data: bytes) -> None:
        self._process.stdout.write(data)
        self.said += len(data)

    def _line(self, kind: str, fields: dict[str, Any]) -> bytes:
        head = {"v": 1, "nonce": self._nonce, "seq": self._seq, "type": kind}
        self._seq += 1
        moment = round(time.monotonic() - self._began, 4)
        return json.dumps({**head, "t": moment, **fields}, separators=(",", ":")).encode() + b"\n"


def _answer(marker: str, text: str) -> bytes:
    return f"@harborx {marker} {text}\n".encode()


def manner_text(manner: Manner) -> str:
    return json.dumps(asdict(manner))


if __name__ == "__main__":
    main()
