"""Machines that log us in and launch, and whose benchmark then says what no benchmark says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from asyncssh.packet import Boolean, String, UInt32

from bench.attacks.hostile.machines.answers import errors_for_ever
from bench.attacks.hostile.machines.behaviour import FLOODS, Behaviour, told
from bench.attacks.hostile.machines.door import (
    CLOSE,
    CONTROLS,
    EOF,
    REQUEST,
    Door,
    Exec,
    for_ever,
    marker_of,
    packet_on,
    silence,
)
from tests.machines import spec_of
from tests.runs.machines import Benchmark

Play = Callable[[Benchmark], Awaitable[None]]

_FLOODED: Final = frozenset({"output_flood", "agent_timed_out"})
_REFUSED: Final = frozenset({"output_refused"})
_ENDED: Final = frozenset(
    {"output_refused", "agent_crashed", "connection_lost", "agent_timed_out", "agent_failed"}
)
_HARMLESS: Final = frozenset({"passed"})


def behaviours() -> list[Behaviour]:
    doors = {play: (telling(play), ends) for play, ends in _PLAYS.items()}
    closings = {make: (make(), ends) for make, ends in _CLOSINGS.items()}
    return [
        Behaviour(each.__name__, told(each), ends, door.open)
        for each, (door, ends) in {**doors, **closings}.items()
    ]


async def one_endless_line(machine: Benchmark) -> None:
    """Ten gigabytes without a newline, as fast as they go."""
    await machine.started()
    await for_ever(machine.process, b"x" * 16384)


async def empty_lines(machine: Benchmark) -> None:
    """Newlines, without end."""
    await machine.started()
    await for_ever(machine.process, b"\n" * 16384)


async def log_lines(machine: Benchmark) -> None:
    """Lines that are no events, without end, full of escape sequences."""
    await machine.started()
    await for_ever(machine.process, f"{CONTROLS}hello\n".encode() * 500)


async def errors_beside(machine: Benchmark) -> None:
    """Error output beside the benchmark, without end."""
    await machine.started()
    await errors_for_ever(machine.process, machine.marker)


async def broken_lines(machine: Benchmark) -> None:
    """Lines with the run's nonce that are no JSON, without end."""
    await machine.started()
    line = b'{"nonce": "' + machine.spec["nonce"].encode() + b'", \x1b[2J\n'
    await for_ever(machine.process, line * 200)


async def other_nonces(machine: Benchmark) -> None:
    """Events of another run, without end."""
    await machine.started()
    line = json.dumps({"v": 1, "nonce": "0" * 32, "seq": 1, "t": 1.0, "type": "warning"})
    await for_ever(machine.process, f"{line}\n".encode() * 100)


async def small_events(machine: Benchmark) -> None:
    """Small events, without end: warnings, progress, samples."""
    await machine.started()
    small: tuple[dict[str, Any], ...] = (
        {"type": "warning", "code": "", "message": ""},
        {"type": "progress", "phase": "measure", "done": 1, "total": 2},
        {"type": "sample", "gpu_index": 0},
    )
    while True:
        await _events(machine, [small[n % 3] for n in range(150)])


async def large_events(machine: Benchmark) -> None:
    """Events as large as they may be, without end: what a disk would fill with."""
    await machine.started()
    many = {f"{n:02}{'k' * 190}": "v" * 190 for n in range(18)}
    while True:
        figure = {"type": "metric", "name": "n" * 200, "unit": "u" * 200, "value": 1.0}
        await _events(machine, [{**figure, "configuration": many, "detail": many}] * 4)


async def telemetry_for_ever(machine: Benchmark) -> None:
    """The longest series of readings, of every GPU there may be, over and over."""
    await machine.started()
    gpu = 0
    while True:
        gpu = (gpu + 1) % 64
        told_of = {"gpu_index": gpu, "interval_seconds": 1.0, "readings": 1, "columns": ["power"]}
        await _events(machine, [{"type": "telemetry", **told_of, "packed": "A" * 60_000}])


async def deep_nesting(machine: Benchmark) -> None:
    """An event nested a thousand deep, and lines of nothing but brackets."""
    await machine.started()
    nested = json.dumps({"type": "warning"})[:-1] + ', "x": ' + "[" * 1000 + "]" * 1000 + "}"
    await _line(machine, nested)
    await machine.say(b"[" * 65000 + b"\n" + machine.spec["nonce"].encode() + b"[" * 4000 + b"\n")
    machine.end()


async def huge_numbers(machine: Benchmark) -> None:
    """Numbers of thousands of digits, of 2^63 and beyond, and 1e999."""
    await machine.started()
    for number in ("9" * 5000, str(2**63), str(2**200), "1e999", "-1e999", "0." + "1" * 5000):
        done = f'"phase": "measure", "done": {number}, "total": {number}'
        await _line(machine, '{"type": "progress", ' + done + "}")
    machine.end()


async def no_numbers(machine: Benchmark) -> None:
    """A result that is not a number."""
    await machine.started()
    await machine.result(throughput_samples_per_sec=float("nan"), loss=float("-inf"))
    machine.end()


async def keys_twice(machine: Benchmark) -> None:
    """Events that say everything twice, and differently."""
    await machine.started()
    await _line(machine, '{"type": "failed", "type": "warning", "code": "a", "code": 7}')
    await machine.result()
    machine.end()


async def lone_surrogates(machine: Benchmark) -> None:
    """Text that is no Unicode, NULs and bytes that are no UTF-8."""
    await machine.started()
    for text in (r"\ud800", r"\udfff\ud800", r"\u0000", r"a\u0000b"):
        await _line(machine, f'{{"type": "warning", "code": "x", "message": "{text}"}}')
    await machine.say(b'{"nonce": "' + machine.spec["nonce"].encode() + b'\xff\xfe\xc0\x80"}\n')
    machine.end()


async def numbers_with_gaps(machine: Benchmark) -> None:
    """Events whose numbers jump and go backwards."""
    await machine.started()
    for machine.seq in (5, 0, -1, 2**70):
        await machine.event("warning", code="x", message="y")
    machine.end()


async def after_the_end(machine: Benchmark) -> None:
    """A result, then another, then a failure, then a thousand warnings."""
    await machine.started()
    await machine.result()
    await machine.result()
    await machine.event("failed", code="x", message="y")
    await _events(machine, [{"type": "warning", "code": "x", "message": "y"}] * 1000)
    machine.end()


async def escapes_in_events(machine: Benchmark) -> None:
    """Everything that an event can say, made of escapes, direction marks and invisible characters."""
    c = CONTROLS
    await machine.event("started", agent=c, python=c, platform=c)
    await machine.event("probe", gpu_name=c, driver_version=c, cpu_model=c, kernel=c)
    await machine.event("provision", step="found", message=c, interpreter=c, torch=c)
    await machine.event("warning", code=c, message=c * 20)
    await machine.event("metric", name=c, unit=c, value=1.0, configuration={c: c}, detail={c: c})
    await machine.event("failed", code=c, message=c * 20, detail=c * 20)
    machine.end(status=1, stderr_tail=c * 20)


async def torn_for_ever(machine: Benchmark) -> None:
    """Half a line, and the connection goes, every time."""
    await machine.say(b'{"v": 1, "nonce": "' + machine.spec["nonce"].encode() + b'", "se')
    machine.process.get_extra_info("connection").abort()


async def never_ends(machine: Benchmark) -> None:
    """Begins, and says nothing more for ever."""
    await machine.started()
    await asyncio.Event().wait()


async def a_byte_a_second(machine: Benchmark) -> None:
    """Its output, one byte a second."""
    for byte in b'{"v": 1, "nonce": "' * 100:
        await machine.say(bytes((byte,)))
        await asyncio.sleep(1.0)


async def no_end_line(machine: Benchmark) -> None:
    """Ends without a word of how."""
    await machine.started()
    machine.process.stderr.write(b"Killed \x1b]52;c;AAAA\x07\n")


async def end_of_lies(machine: Benchmark) -> None:
    """An end with an exit status of 2^63, a signal of escapes and a reason that there is not."""
    await machine.started()
    machine.end(status=2**63, signal=CONTROLS, reason="\x1b[2J", bytes=-1, stderr_tail=7)


async def exit_status_of_lies(machine: Benchmark) -> None:
    """An exit status of 2^32-1, then 0, then a signal with a name of escapes."""
    await machine.started()
    await machine.result()
    machine.end()
    for status in (0xFFFFFFFF, 0):
        told_of = (String(b"exit-status"), Boolean(False), UInt32(status))
        packet_on(machine.process, REQUEST, *told_of)
    name, said = String(CONTROLS.encode() * 50), String(b"\x1b[2J" * 100)
    packet_on(
        *(machine.process, REQUEST, String(b"exit-signal"), Boolean(False)),
        *(name, Boolean(True), said, String(b"\x1b")),
    )


def no_exit_status() -> Door:
    """A good run whose command ends without any exit status."""
    return telling(_good, REQUEST)


def no_close() -> Door:
    """A good run whose output ends and whose channel is never closed."""
    return telling(_good_to_the_end, CLOSE)


def neither_end_nor_close() -> Door:
    """A good run that never says that its output ends, and never closes."""
    return telling(_good, CLOSE, EOF)


def no_eof() -> Door:
    """A good run whose channel is closed without an end of its output."""
    return telling(_good, EOF)


_CLOSINGS: Final[dict[Callable[[], Door], frozenset[str]]] = {
    **dict.fromkeys((no_exit_status, no_close, no_eof), _HARMLESS),
    neither_end_nor_close: frozenset({"agent_timed_out"}),
}
_PLAYS: Final[dict[Play, frozenset[str]]] = {
    **dict.fromkeys((one_endless_line, empty_lines, log_lines), _FLOODED),
    **dict.fromkeys((errors_beside, broken_lines, other_nonces), _FLOODED),
    **dict.fromkeys((small_events, large_events, telemetry_for_ever), _FLOODED),
    **dict.fromkeys((deep_nesting, huge_numbers, no_numbers, lone_surrogates), _REFUSED),
    **dict.fromkeys((numbers_with_gaps, after_the_end), _REFUSED),
    **dict.fromkeys((keys_twice,), _REFUSED),
    **dict.fromkeys((escapes_in_events, no_end_line, end_of_lies), _ENDED),
    **dict.fromkeys((torn_for_ever, never_ends, a_byte_a_second), _ENDED),
    exit_status_of_lies: _HARMLESS | {"connection_lost"},
}


async def _good_to_the_end(machine: Benchmark) -> None:
    await _good(machine)
    machine.process.stdout.write_eof()


async def _good(machine: Benchmark) -> None:
    await machine.started()
    await machine.result()
    machine.end()


def telling(play: Play, *silenced: int) -> Door:
    """A machine that cleans and launches as it should; packets of the kinds `silenced` are never sent."""

    async def script(process: Exec) -> None:
        marker = marker_of(process)
        if " clean " in f" {process.command} ":
            process.stdout.write(f"@harborx {marker} cleaned\n".encode())
        else:
            spec = spec_of(process)
            process.stdout.write(f"@harborx {marker} begin started\n".encode())
            await play(Benchmark(process, marker, spec))
            await process.stdout.drain()
        process.exit(0)

    return Door(met=lambda conn: silence(conn, *silenced), script=script)


async def _events(machine: Benchmark, events: list[dict[str, Any]]) -> None:
    head = {"v": 1, "nonce": machine.spec["nonce"], "t": 1.0}
    lines = [
        json.dumps({**head, "seq": seq, **event}) for seq, event in enumerate(events, machine.seq)
    ]
    machine.seq += len(events)
    data = "".join(f"{line}\n" for line in lines).encode()
    await FLOODS.take(len(data))
    await machine.say(data)


async def _line(machine: Benchmark, event: str) -> None:
    """An event written by hand, with its head."""
    head = {"v": 1, "nonce": machine.spec["nonce"], "seq": machine.seq, "t": 1.0}
    machine.seq += 1
    await machine.say(json.dumps(head)[:-1].encode() + b", " + event[1:].encode() + b"\n")
