"""Machines that log us in and obey, and whose agent then answers what no agent of ours answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from bench.attacks.hostile.machines.above import NO_LAUNCH
from bench.attacks.hostile.machines.behaviour import FLOODS, Behaviour, told
from bench.attacks.hostile.machines.door import CONTROLS, Door, Exec, for_ever, marker_of

Answer = Callable[[Exec, str], Awaitable[None]]


def behaviours() -> list[Behaviour]:
    return [
        Behaviour(answer.__name__, told(answer), ends, _answering(answer).open)
        for answer, ends in _ANSWERS.items()
    ]


async def chatters_for_ever(process: Exec, marker: str) -> None:
    """Greets without end, ahead of any answer."""
    await for_ever(process, b"welcome " * 2048)


async def chatters_nuls(process: Exec, marker: str) -> None:
    """NULs without end, ahead of any answer."""
    await for_ever(process, bytes(16384))


async def errors_for_ever(process: Exec, marker: str) -> None:
    """Error output without end, ahead of any answer."""
    while True:
        await FLOODS.take(16384)
        process.stderr.write(b"e" * 16384)
        await process.stderr.drain()


async def answers_for_ever(process: Exec, marker: str) -> None:
    """An answer that never ends its line."""
    process.stdout.write(f"@harborx {marker} begin ".encode())
    await for_ever(process, b"x" * 16384)


async def answers_with_escapes(process: Exec, marker: str) -> None:
    """Fails, it says, for reasons made of escape sequences, direction marks and invisible characters."""
    process.stdout.write(f"@harborx {marker} failed {CONTROLS}no {CONTROLS}space\n".encode())


async def answers_nonsense(process: Exec, marker: str) -> None:
    """An answer that no agent gives."""
    process.stdout.write(f"@harborx {marker} {CONTROLS} begin started\n".encode())


async def answers_to_another(process: Exec, marker: str) -> None:
    """Answers with the marker of somebody else, over and over."""
    await for_ever(process, f"@harborx {'0' * 32} begin started\n".encode() * 100)


async def says_taken_over(process: Exec, marker: str) -> None:
    """Says that another worker owns the run, with an epoch of a thousand digits."""
    process.stdout.write(f"@harborx {marker} refused {'9' * 1000}\n".encode())


async def never_has_the_agent(process: Exec, marker: str) -> None:
    """Takes the agent however often it comes, and never has it."""
    if marker:
        process.stdout.write(f"@harborx {marker} need-agent /tmp\n".encode())
    elif (process.command or "").startswith("scp"):
        while True:  # a zero for every line: well received
            process.stdout.write(b"\0" * 16)
            if not await process.stdin.read(65536):
                return
    else:
        await process.stdin.read()


async def never_takes_the_agent(process: Exec, marker: str) -> None:
    """Wants the agent, and answers no way of sending it."""
    if marker:
        process.stdout.write(f"@harborx {marker} need-agent /tmp\n".encode())
    else:
        await asyncio.Event().wait()


async def floods_the_sender(process: Exec, marker: str) -> None:
    """Wants the agent, and answers SCP and SFTP with floods."""
    if marker:
        process.stdout.write(f"@harborx {marker} need-agent /tmp\n".encode())
    else:
        head = b"\x02" if process.command else b"\xff\xff\xff\xff"
        await for_ever(process, head + b"\x1b[2J" * 4095)


async def sends_files_back(process: Exec, marker: str) -> None:
    """Wants the agent, and answers SCP with a file of its own, with a path upwards."""
    if marker:
        process.stdout.write(f"@harborx {marker} need-agent /tmp\n".encode())
    else:
        process.stdout.write(b"D0755 0 ../../..\nC0644 5 ../../../harborx-was-here\nowned\0E\n")
        await process.stdin.read()


async def home_with_commands(process: Exec, marker: str) -> None:
    """Names a home folder that would be a command in a shell."""
    process.stdout.write(f"@harborx {marker} need-agent /tmp/'$(reboot)'/../..\n".encode())


_ANSWERS: Final[dict[Answer, frozenset[str]]] = {
    **dict.fromkeys((chatters_for_ever, chatters_nuls, answers_for_ever), NO_LAUNCH),
    **dict.fromkeys((errors_for_ever,), NO_LAUNCH | {"output_flood", "agent_timed_out"}),
    **dict.fromkeys((answers_with_escapes, answers_nonsense, answers_to_another), NO_LAUNCH),
    **dict.fromkeys((says_taken_over, never_has_the_agent), NO_LAUNCH),
    **dict.fromkeys((never_takes_the_agent, floods_the_sender, sends_files_back), NO_LAUNCH),
    **dict.fromkeys((home_with_commands,), NO_LAUNCH),
}


def _answering(answer: Answer) -> Door:
    async def script(process: Exec) -> None:
        await answer(process, marker_of(process))

    return Door(script=script)
