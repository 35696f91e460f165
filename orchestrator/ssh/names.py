"""From a name to addresses, with the system's resolver: off the event loop, and bounded."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from orchestrator.ssh.gate import Gate

# As sockets take it: (family, (address, port)), of IPv6 with flow and scope.
SockAddress = tuple[int, tuple[str, int] | tuple[str, int, int, int]]


def literal(host: str, port: int) -> list[SockAddress]:
    """The address that `host` spells out in any way that the system reads as one; empty for a name. Asks nobody."""
    try:
        return _asked(host, port, socket.AI_NUMERICHOST)
    except (OSError, ValueError):
        return []


async def look_up(host: str, port: int, tenant: str, gate: Gate) -> list[SockAddress]:
    """
    What the name resolves to, asked once. A name without a dot is looked for in the search domains of this machine
    too, as by any other program here; what comes of that is judged like every answer.

    Raises `OSError` or `ValueError` for what is no name or has no address.
    """
    leave = await gate.lookup(tenant)
    loop = asyncio.get_running_loop()

    def ended(_: Future[list[SockAddress]]) -> None:
        with suppress(RuntimeError):  # the loop is over, and the gate with it
            loop.call_soon_threadsafe(leave)

    # The place is the thread's: a resolver that hangs keeps it when its caller has given up long ago.
    return await asyncio.wrap_future(_in_a_thread(lambda: _asked(host, port), ended))


def _in_a_thread(
    ask: Callable[[], list[SockAddress]], ended: Callable[[Future[list[SockAddress]]], None]
) -> Future[list[SockAddress]]:
    """A thread of its own that the end of the process does not wait for; the loop's executor has work of ours to do."""
    answer: Future[list[SockAddress]] = Future()
    answer.set_running_or_notify_cancel()
    answer.add_done_callback(ended)

    def run() -> None:
        try:
            answer.set_result(ask())
        except (OSError, ValueError) as error:
            answer.set_exception(error)
        finally:
            if not answer.done():  # whatever has ended this thread, nobody waits for ever
                answer.set_exception(OSError("the look-up broke off"))

    try:
        threading.Thread(target=run, name="look-up", daemon=True).start()
    except RuntimeError:
        answer.set_exception(OSError("no thread to be had"))
    return answer


def _asked(host: str, port: int, flags: int = 0) -> list[SockAddress]:
    found: list[Any] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _, _, _, address in found]
