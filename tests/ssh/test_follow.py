"""Following a run: every byte, bounded, and a truthful end."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from orchestrator.domain.errors import AgentTimedOut, ConnectionLost, OutputFlood
from orchestrator.ssh.agent_archive import AgentArchive
from orchestrator.ssh.connection import Deadlines, connect
from orchestrator.ssh.follow import NO_END, End, Following, parse_end
from orchestrator.ssh.launch import Order, launch
from tests.machines import SshdMachine, scripted_machine
from tests.ssh.conftest import everything
from tests.ssh.stand_in import spec

GOOD = {
    "status": 0,
    "signal": None,
    "reason": None,
    "bytes": 5,
    "stderr_tail": "",
    "rebooted": False,
}


@asynccontextmanager
async def following_of(script: str, agent: AgentArchive) -> AsyncIterator[Following]:
    async with (
        scripted_machine(script) as machine,
        connect(machine.target()) as connection,
        launch(connection, agent, Order("run-1", 1), expected=False) as following,
    ):
        yield following


async def test_megabytes_arrive_whole_and_in_small_chunks(
    machine: SshdMachine, agent: AgentArchive
) -> None:
    """8 MiB come byte for byte, no chunk above 64 KiB, however slowly they are taken."""
    line = "x" * 1023 + "\n"
    order = Order("run-1", 1, 512, spec(first=line, times=8 * 1024, then="end\n"))
    async with (
        connect(machine.target()) as connection,
        launch(connection, agent, order) as following,
    ):
        chunks = [chunk async for chunk in following.chunks(deadline=float("inf"))]
    assert b"".join(chunks) == (line.encode() * (8 * 1024) + b"end\n")[512:]
    assert max(map(len, chunks)) <= 65536
    assert following.end is not None
    assert following.end.bytes == 8 * 1024 * 1024 + 4


async def test_a_flood_is_cut_off_and_costs_no_memory(agent: AgentArchive) -> None:
    """1 GiB without a newline ends at the cap, in chunks of 64 KiB, within a few MiB of memory."""
    sizes: list[int] = []
    tracemalloc.start()
    try:
        async with following_of("one_gigabyte", agent) as following:
            with pytest.raises(OutputFlood):
                await _sizes(following, sizes, max_bytes=4_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 3_800_000 < sum(sizes) <= 4_000_000
    assert max(sizes) <= 65536
    assert peak < 24 * 1024 * 1024  # both ends of the connection live in this process


async def test_a_machine_that_never_pauses_is_given_up_too(agent: AgentArchive) -> None:
    """The deadline counts although there is always something to read."""
    async with following_of("one_gigabyte", agent) as following:
        deadline = asyncio.get_running_loop().time()
        with pytest.raises(AgentTimedOut):
            [_ async for _ in following.chunks(deadline=deadline)]


async def test_stderr_does_not_stop_stdout(agent: AgentArchive) -> None:
    """1 MiB of stderr ahead of the end line neither blocks nor hides it."""
    async with following_of("stderr_before_end", agent) as following:
        assert await everything(following) == b"one\n"
        assert following.end == End(status=0, bytes=8)


async def test_endless_stderr_is_cut_off(agent: AgentArchive) -> None:
    """A flood of error output is a flood too."""
    async with following_of("endless_stderr", agent) as following:
        with pytest.raises(OutputFlood) as caught:
            await everything(following)
        assert len(caught.value.evidence["stderr"]) <= 4096


@pytest.mark.parametrize("script", ["mid_line", "polite_goodbye"])
async def test_a_broken_connection_is_not_an_end(script: str, agent: AgentArchive) -> None:
    """What came before the break is delivered, then the break is told, however polite it was."""
    sizes: list[int] = []
    async with following_of(script, agent) as following:
        with pytest.raises(ConnectionLost):
            await _sizes(following, sizes)
        assert sum(sizes) == len("half a li")
        assert following.end is None


async def test_a_frozen_network_is_noticed(agent: AgentArchive, brief: Deadlines) -> None:
    """Three missed keepalives are a lost connection, long before any deadline of the run."""
    async with scripted_machine("begin_then_silent") as machine, _relay(machine.port) as relay:
        target = replace(machine.target(), port=relay.port)
        async with (
            connect(target, deadlines=brief) as connection,
            launch(connection, agent, Order("run-1", 1), deadlines=brief) as following,
        ):
            relay.frozen.set()
            with pytest.raises(ConnectionLost):
                await everything(following)


async def test_the_deadline_ends_the_wait(agent: AgentArchive) -> None:
    """At the deadline, a time of the event loop, following stops."""
    async with following_of("begin_then_silent", agent) as following:
        with pytest.raises(AgentTimedOut, match="deadline") as caught:
            await everything(following, seconds=0.2)
        assert caught.value.evidence["bytes"] == 4


async def test_silence_ends_the_wait(agent: AgentArchive) -> None:
    """So many seconds without a byte end it as well, when asked for."""
    async with following_of("begin_then_silent", agent) as following:
        with pytest.raises(AgentTimedOut, match=r"0\.1 s without output"):
            await everything(following, idle=0.1)


async def test_a_missing_end_is_told(agent: AgentArchive) -> None:
    """A follower that died leaves no status, and what it said is made printable."""
    async with following_of("no_end", agent) as following:
        assert await everything(following) == b"one\n"
        assert following.end == End(reason=NO_END, stderr_tail="Killed \n")


def test_a_proper_end_is_read() -> None:
    """The last end line with our marker counts, among whatever else stderr holds."""
    said = {**GOOD, "status": None, "signal": "SIGKILL", "reason": "deadline", "stderr_tail": "a"}
    stderr = b"@harborx m end {}\nnoise\n" + _line(said) + b"@harborx other end {}\n"
    assert parse_end(stderr, "m") == End(None, "SIGKILL", "deadline", 5, "a", False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "0"},
        {"status": -1},
        {"status": 256},
        {"status": True},
        {"status": 1.0},
        {"bytes": 2**60},
        {"bytes": -1},
        {"signal": "x" * 100},
        {"signal": 9},
        {"reason": "because"},
        {"reason": []},
        {"stderr_tail": None},
        {"rebooted": "no"},
        {"rebooted": None},
    ],
)
def test_an_improper_end_is_none(wrong: dict[str, object]) -> None:
    """A field of the wrong type or range makes the whole line count for nothing."""
    assert parse_end(_line({**GOOD, **wrong}), "m").reason == NO_END


@pytest.mark.parametrize("missing", sorted(GOOD))
def test_an_incomplete_end_is_none(missing: str) -> None:
    """Every field must be there, null or not."""
    said = {name: value for name, value in GOOD.items() if name != missing}
    assert parse_end(_line(said), "m").reason == NO_END


@pytest.mark.parametrize(
    "text", [b"", b"null", b"[1]", b"{", b"[" * 60_000, b'{"status": ' + b"9" * 5000, b"\xff\xfe"]
)
def test_rubbish_is_no_end(text: bytes) -> None:
    """Broken, nested, huge or undecodable JSON does no harm."""
    assert parse_end(b"@harborx m end " + text + b"\n", "m").reason == NO_END


def test_the_tail_is_made_safe_to_show() -> None:
    """Escape sequences of the machine never reach a terminal."""
    said = {**GOOD, "stderr_tail": "a\x1b]52;c;AAAA\x07b\u202ec" + "x" * 9000}
    tail = parse_end(_line(said), "m").stderr_tail
    assert tail.startswith("ab\ufffdc")
    assert len(tail) <= 4096


async def _sizes(following: Following, sizes: list[int], **limits: int) -> None:
    async for chunk in following.chunks(deadline=float("inf"), **limits):
        sizes.append(len(chunk))  # noqa: PERF401 - kept also when it raises


def _line(said: object) -> bytes:
    return b"@harborx m end " + json.dumps(said).encode() + b"\n"


class _Relay:
    def __init__(self) -> None:
        self.port = 0
        self.frozen = asyncio.Event()


@asynccontextmanager
async def _relay(port: int) -> AsyncIterator[_Relay]:
    """A wire to `port` that carries nothing any more once it is frozen, and stays open."""
    relay = _Relay()
    over = asyncio.Event()

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            if relay.frozen.is_set():
                await over.wait()
            sink.write(data)
        sink.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    async with server:
        yield relay
        over.set()
